"""How far the maps agree on which pixels matter."""

from collections.abc import Mapping

import numpy as np
import streamlit as st

from core.display.charts import correlation_figure
from core.trust.similarity import rank_correlations, top_overlaps
from widgets.shared.results import results
from widgets.shared.slow_work import compute_in_background
from widgets.trust.trial import Trial, TrustMap

_MEASURES = {"ranks": "Ranks of all pixels", "top": "Most important pixels"}
_FEW = 10


def agreement_panel(trial: Trial, maps: Mapping[str, TrustMap]) -> None:
    """The matrix of Spearman's correlation, or of the overlap of the most important pixels."""
    slots = st.columns([1.2, 1, 0.8], vertical_alignment="bottom", gap="medium")
    measure = slots[0].segmented_control(
        "Compared", list(_MEASURES), default="ranks", required=True, key="agreement_of", bind="query-params",
        format_func=lambda name: _MEASURES[name], width="stretch",
    )  # fmt: skip
    names, values = [one.title for one in maps.values()], [one.values for one in maps.values()]
    if measure == "ranks":
        reading = (
            "Spearman's rank correlation, pixel by pixel: **1** the same order, **0** no relation, **−1** the reverse."
        )
        key = "ranks", trial.identity, tuple(maps)
        table = compute_in_background(
            "ranks", key, "Agreement, maps ranked", lambda progress: rank_correlations(values, progress)
        )
    else:
        percent = slots[1].slider("Share of the pixels", 1, 20, 10, format="%d%%", key="top_share", bind="query-params")
        reading = (
            f"The share of the {percent} % most important pixels that two maps have in common: **1** all of them; "
            f"**{percent / 100:.2f}** is what two random maps share."
        )
        place = "top overlaps", trial.identity, tuple(maps), percent
        table = results().get_or_compute(place, lambda: top_overlaps(values, percent / 100))
    st.caption(
        reading + " Methods that agree with each other may still be wrong together; agreement with a control is a "
        "warning sign."
    )
    if table is None:
        return
    figure = correlation_figure(table, names)
    own = sum(not one.is_control for one in maps.values())
    for line in ({"x0": own - 0.5, "x1": own - 0.5, "y0": -0.5, "y1": len(names) - 0.5},
                 {"y0": own - 0.5, "y1": own - 0.5, "x0": -0.5, "x1": len(names) - 0.5}):  # fmt: skip
        figure.add_shape(type="line", line={"color": "#7d8794", "width": 1.5, "dash": "dot"}, **line)
    figure.update_xaxes(tickangle=-40)
    st.plotly_chart(
        figure, width="stretch" if len(names) > _FEW else 200 + 70 * len(names), height=140 + 34 * len(names),
        theme=None, config={"displayModeBar": False}, key="trust-agreement",
    )  # fmt: skip
    missing = [one.title for one in maps.values() if np.ptp(one.values) == 0]
    if missing:
        st.caption(f"Without a number: {', '.join(missing)}, the same at every pixel, so there is no order.")
