"""The attributions with each of the baselines side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import streamlit as st

from core.attribution import Attribution
from core.attribution.baselines import BaselineKind
from core.attribution.statistics import statistics
from core.compute.progress import About, AtMost
from core.display.charts import correlation_figure
from core.display.words import number
from core.segmenter import Prediction
from core.trust.similarity import rank_correlations
from widgets.integrated_gradients.settings import BASELINE_NAMES, Settings, attribute, draws_of, kind_of, result_key
from widgets.integrated_gradients.views import map_layers
from widgets.integrated_gradients.words import error_chips, number_or_none
from widgets.shared.pixel_set_picker import Question
from widgets.shared.results import Report, results
from widgets.shared.sidebar import Selection
from widgets.shared.slow_work import compute_in_background, part_at, start_button, was_cancelled
from widgets.viewer.scene import Panel
from widgets.viewer.viewer import viewer

Maps = dict[BaselineKind, Attribution]
_BADGES = {
    "good": ":green-badge[:material/check_circle: {}]",
    "plain": ":grey-badge[{}]",
    "bad": ":red-badge[:material/cancel: {}]",
}


def baselines_panel(
    selection: Selection,
    question: Question,
    prediction: Prediction,
    settings: Settings,
    attribution: Attribution,
    shown: Mapping[str, Any],
) -> None:
    """The attribution beside those of the other baselines, each as soon as it is there; how far all agree at last."""
    st.caption(
        "A map answers “why, rather than for the baseline?”, so another baseline is another question. Where maps of "
        "different baselines agree, the answer does not depend on that choice."
    )
    baselines = [kind for kind in BASELINE_NAMES if kind != "image" or kind_of(settings) == "image"]
    key = result_key("baselines", selection, question, settings)
    if not start_button(key, "Compare", "compare"):
        return
    own = {kind_of(settings): attribution}
    found = compute_in_background(
        "baselines", key, "Comparing baselines, steps",
        lambda report: _with_each(baselines, own, selection, question, settings, report),
        lambda: part_at("baselines"), again="Go on",
    )  # fmt: skip
    so_far: Maps = found or part_at("baselines") or own
    there = {kind: so_far[kind] for kind in baselines if kind in so_far}
    maps, agreement = st.columns([len(baselines), 1.3], gap="small")
    with maps:
        note = "cancelled" if was_cancelled("baselines") else "not there yet"
        viewer(
            "baselines",
            [
                Panel(name, map_layers(there[kind], of=name)) if kind in there else Panel(name, [], note=note)
                for kind, name in ((kind, BASELINE_NAMES[kind]) for kind in baselines)
            ],
            prediction.labels.shape, selection.picture_key, settings=shown, tools=(), is_compact=True,
        )  # fmt: skip
        shares = [statistics(one, prediction).predicted for one in there.values()]
        st.table(
            {
                "Baseline": [BASELINE_NAMES[kind] for kind in there],
                "Exactness": [_exactness(one) for one in there.values()],
                "Score difference": [number(one.score_difference or 0.0) for one in there.values()],
                "Ratio": [number_or_none(share.ratio) for share in shares],
            },
            hide_index=True,
        )
    if found is None:
        return
    with agreement:
        st.markdown("**Agreement**", help="Spearman's rank correlation of the magnitudes, pixel by pixel.")
        table = rank_correlations([found[kind].magnitude() for kind in baselines])
        figure = correlation_figure(table, [BASELINE_NAMES[kind] for kind in baselines])
        st.plotly_chart(figure, height=300, theme=None, config={"displayModeBar": False}, key="ig-agreement")


def _exactness(one: Attribution) -> str:
    chips = error_chips(one.convergence_percent, one.map_error_percent)
    return " ".join(_BADGES[chip.tone].format(chip.text) for chip in chips)


def _with_each(
    baselines: Sequence[BaselineKind],
    own: Maps,
    selection: Selection,
    question: Question,
    settings: Settings,
    report: Report,
) -> Maps:
    """The attributions with these baselines, each shown as soon as it is there and kept as the page keeps its `own`."""
    chosen = {kind: settings if kind in own else replace(settings, baseline=kind) for kind in baselines}
    keys = {kind: result_key("integrated gradients", selection, question, one) for kind, one in chosen.items()}
    draws = {kind: draws_of(one) for kind, one in chosen.items()}
    found: Maps = {kind: one for kind in baselines if (one := own.get(kind) or results().get(keys[kind])) is not None}
    taken = 0
    for kind in [kind for kind in baselines if kind not in found]:
        report.show(dict(found))
        per_draw = sum(one.measured["steps"] for one in found.values()) / sum(draws[one] for one in found)
        later = per_draw * sum(draws[one] for one in baselines if one not in found and one != kind)
        count = partial(_count, report, taken, per_draw * draws[kind], later)
        compute = partial(attribute, selection, question.target, chosen[kind], count)
        found[kind] = results().get_or_compute(keys[kind], compute)
        taken += found[kind].measured["steps"]
    return found


def _count(report: Report, before: int, expected: float, later: float, done: int, of: int) -> None:
    """Report the steps of all baselines, of which this one is `expected` to take as many until it says how many."""
    this = max(done, expected) if isinstance(of, AtMost) else of
    report(before + done, About(before + this + later))
