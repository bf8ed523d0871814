"""Panels below an attribution: its numbers, its channels, how exact it is."""

import numpy as np
import streamlit as st

from core.attribution import Attribution
from core.attribution.integrated_gradients import errors_by_steps
from core.attribution.statistics import RegionShare, compared_with, statistics
from core.display.charts import curve_figure
from core.display.colours import intensity_rgb, png_bytes
from core.display.words import number, percent
from core.io.tables import json_bytes
from core.segmenter import Prediction
from core.target import Target
from widgets.integrated_gradients.settings import Settings, result_key
from widgets.integrated_gradients.views import Display
from widgets.integrated_gradients.words import number_or_none
from widgets.shared.downloads import attribution_downloads
from widgets.shared.pixel_set_picker import Question
from widgets.shared.sidebar import Selection
from widgets.shared.slow_work import compute_in_background, start_button
from widgets.shared.sources import PickedImage

_STEPS = (2, 4, 8, 16, 32, 64)


def statistics_panel(
    attribution: Attribution, prediction: Prediction, truth: np.ndarray | None, names: tuple[str, ...],
    class_names: tuple[str, ...],
) -> None:  # fmt: skip
    """The numbers, each group with a line on how to read it."""
    numbers = statistics(attribution, prediction, truth)
    st.markdown(f"**The map**: magnitude per pixel, in {attribution.unit}")
    for slot, name in zip(st.columns(6), ("mean", "std", "minimum", "maximum"), strict=False):
        slot.metric(name.capitalize(), number(getattr(numbers, name)), border=True)
    _share(_region_in_words(attribution.target, class_names), numbers.predicted)
    if numbers.truth is not None:
        _share("The same by the ground truth", numbers.truth)
    if len(names) > 1:
        st.markdown(f"**The channels**: their sums add up to that of the map, {number(sum(numbers.channel_sums))}")
        parts = zip(names, numbers.channel_sums, numbers.channel_shares, strict=True)
        for slot, (name, part, share) in zip(st.columns(max(6, len(names))), parts, strict=False):
            words = f"{percent(share)} of Σ|a|"
            slot.metric(name, number(part), words, border=True, delta_color="off", delta_arrow="off")


def _region_in_words(target: Target, class_names: tuple[str, ...]) -> str:
    kind = compared_with(target)
    if kind == "explained":
        return "The pixels explained"
    if kind == "foreground":
        return f"The foreground, all that is not {class_names[0]}"
    return f"What is predicted as {class_names[target.class_index]}"


def _share(title: str, share: RegionShare) -> None:
    st.markdown(f"**{title}**: {share.in_words()}")
    values = {
        "Area": f"{share.area:,} px",
        "Share of image": percent(share.area_ratio),
        "Mean inside": number_or_none(share.inside),
        "Mean outside": number_or_none(share.outside),
        "Ratio": number_or_none(share.ratio),
        "Mass inside": percent(share.mass),
    }
    helps = {
        "Ratio": "Mean magnitude inside divided by outside: how many times as much a pixel inside makes of the "
        "difference. Near 1 the map does not distinguish the region from its surroundings.",
        "Mass inside": "Share of the sum of magnitudes that lies inside.",
    }
    for slot, (name, value) in zip(st.columns(6), values.items(), strict=True):
        slot.metric(name, value, border=True, help=helps.get(name))


def steps_panel(selection: Selection, question: Question, settings: Settings) -> None:
    """The error against the number of steps, on demand."""
    st.caption(
        "How far the sum of the map is from the difference of the scores, and the estimated error of the map itself, "
        f"after each number of steps of a fixed rule. It takes {sum(_STEPS)} steps in all."
    )
    key = result_key("convergence", selection, question, settings)
    if not start_button(key, "Measure", "show_chart"):
        return
    found = compute_in_background(
        "convergence", key, "Measuring the error, steps",
        lambda progress: errors_by_steps(
            selection.segmenter, selection.image.values, question.target, settings.baseline, settings.rule, _STEPS,
            settings.sigma, progress=progress,
        ),
    )  # fmt: skip
    if found is not None:
        sums, maps = zip(*found.values(), strict=True)
        curves = {"sum": (list(found), sums), "map, estimated": (list(found), maps)}
        figure = curve_figure(curves, ("Steps", "Error in per cent"), logarithmic=True)
        st.plotly_chart(figure, height=320, theme=None, config={"displayModeBar": False}, key="ig-convergence")


def downloads_panel(
    attribution: Attribution, image: PickedImage, prediction: Prediction, display: Display, stem: str
) -> None:
    """The files of the attribution, its statistics and the overlay."""
    base = intensity_rgb(image.values)
    more = {
        ("statistics.json", "Statistics", "application/json"): lambda: json_bytes(
            statistics(attribution, prediction, image.truth).as_dict()
        ),
        ("overlay.png", "Overlay", "image/png"): lambda: png_bytes(display.over(base, display.shown(attribution))),
    }
    attribution_downloads(attribution, stem, more)
