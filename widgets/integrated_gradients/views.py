"""The views of an attribution beside the image, the prediction and the ground truth."""

from dataclasses import dataclass
from html import escape
from itertools import cycle

import numpy as np
import streamlit as st

from core.attribution import Attribution
from core.data.index_masks import IGNORED
from core.display.colours import (
    ColourScale,
    class_colour,
    colour_limit,
    intensity_rgb,
    labels_over,
    magnitude_scale,
    signed_scale,
)
from core.display.figures import CHART_BUTTONS, FRAME_HEIGHT, map_figure
from core.segmenter import Prediction, Segmenter
from widgets.shared.sources import PickedImage

PERCENTILES = [100.0, 99.9, 99.5, 99.0, 98.0, 95.0]
_LABEL_OPACITY = 0.45


@dataclass(frozen=True)
class Display:
    """How maps are shown.

    Attributes:
        signed: Whether the signed sum over the channels is shown rather than the magnitude.
        percentile: Percentile of the magnitude at which the colours end.
        opacity: Opacity of overlays, in [0, 1].
        threshold: Magnitudes below this share of the limit are not laid over the image.
    """

    signed: bool
    percentile: float
    opacity: float
    threshold: float

    def shown(self, attribution: Attribution) -> np.ndarray:
        """The map (H, W) that is shown."""
        return attribution.signed_map() if self.signed else attribution.magnitude()

    def scale(self, values: np.ndarray) -> ColourScale:
        """The colour scale of a map."""
        return (signed_scale if self.signed else magnitude_scale)(colour_limit(values, percentile=self.percentile))

    def over(self, base: np.ndarray, values: np.ndarray) -> np.ndarray:
        """The map laid over a picture (H, W, 3), the stronger the less transparent."""
        scale = self.scale(values)
        strength = scale.strength(values)
        strength = np.where(strength >= self.threshold, 0.35 + 0.65 * strength, 0)
        return scale.over(base, values, self.opacity * strength.astype(np.float32))


def pick_display() -> Display:
    """Controls of the display, kept in the URL."""
    slots = st.columns([2.2, 3, 2.4, 3], vertical_alignment="bottom")
    signed = slots[0].segmented_control(
        "Map", ["magnitude", "signed"], default="magnitude", required=True, key="map", bind="query-params",
        format_func=str.capitalize, wrap=True,
        help="Magnitude: the root of the channels' sum of squares. Signed: the channels' sum, red where a pixel raises "
        "the score against the baseline, blue where it lowers it.",
    ) == "signed"  # fmt: skip
    percentile = slots[1].select_slider(
        "Colours end at the percentile", PERCENTILES, 99.5, key="percentile", bind="query-params",
        format_func=lambda value: f"{value:g}", help="A few extreme pixels would hide all others at 100.",
    )  # fmt: skip
    opacity = slots[2].slider("Overlay", 0, 100, 80, 5, format="%d%%", key="overlay_opacity", bind="query-params")
    threshold = slots[3].slider(
        "Overlay from", 0, 100, 10, 5, format="%d%%", key="overlay_from", bind="query-params",
        help="Pixels weaker than this share of the end of the colours are left out of the overlays.",
    )  # fmt: skip
    return Display(bool(signed), float(percentile), opacity / 100, threshold / 100)


def show_heat_map(attribution: Attribution, display: Display, height: int) -> None:
    """The map with its colour bar; hovering shows the values."""
    values = display.shown(attribution)
    st.markdown(f"**{'Signed attribution' if display.signed else 'Magnitude'}**")
    figure = map_figure(values, attribution.unit, display.scale(values), f"ig-{values.shape}")
    st.plotly_chart(figure, height=height + FRAME_HEIGHT, theme=None, config=CHART_BUTTONS, key="ig-map")


def show_labels(segmenter: Segmenter, labels: np.ndarray | None, title: str) -> None:
    """Classes as colours, with a legend."""
    st.markdown(f"**{title}**")
    if labels is None:
        st.info("This image has no ground truth.", icon=":material/help:")
        return
    # Level with the maps beside it, which have buttons above.
    st.html('<div style="height: 18px"></div>')
    st.image(labels_over(np.zeros((*labels.shape, 3), np.uint8) + np.uint8(27), labels, 1.0), width="stretch")
    there = [index for index in np.unique(labels) if 0 < index < len(segmenter.class_names)]
    marks = "".join(
        f'<span style="white-space:nowrap; margin-right:10px">'
        f'<span style="color:rgb{class_colour(int(index))}">■</span> {escape(segmenter.class_names[int(index)])}</span>'
        for index in there
    )
    st.html(f'<div style="font-size:12px;color:#7d8794">{marks or "background only"}</div>')


def show_overlays(attribution: Attribution, image: PickedImage, prediction: Prediction, display: Display) -> None:
    """Attribution, prediction, both, and the ground truth, over the image."""
    base = intensity_rgb(image.values)
    values = display.shown(attribution)
    predicted = labels_over(base, prediction.labels, _LABEL_OPACITY)
    pictures = {
        "Attribution over the image": display.over(base, values),
        "Prediction over the image": predicted,
        "Both": display.over(predicted, values),
    }
    if image.truth is not None:
        truth = np.where(image.truth != IGNORED, image.truth, 0)
        pictures["Ground truth over the image"] = labels_over(base, truth, _LABEL_OPACITY)
    for slot, (title, picture) in zip(st.columns(4, gap="small"), pictures.items(), strict=False):
        slot.markdown(f"**{title}**")
        slot.image(picture, width="stretch")


def show_channels(attribution: Attribution, display: Display, names: tuple[str, ...]) -> None:
    """Signed map and magnitude of each channel, all on one scale."""
    limit = colour_limit(attribution.values, percentile=display.percentile)
    st.caption(f"All on one scale, ± {limit:.3g} {attribution.unit}: red raises the score, blue lowers it.")
    pictures: dict[str, np.ndarray] = {}
    for name, values in zip(names, attribution.values, strict=True):
        pictures[f"**{name}**, signed"] = signed_scale(limit).rgb(values)
        pictures[f"**{name}**, magnitude"] = magnitude_scale(limit).rgb(np.abs(values))
    slots = st.columns(max(4, min(6, len(pictures))), gap="small")
    for slot, (title, picture) in zip(cycle(slots), pictures.items(), strict=False):
        slot.markdown(title)
        slot.image(picture, width="stretch")


def channel_names(channels: int) -> tuple[str, ...]:
    """Names of the channels."""
    if channels == 3:
        return "Red", "Green", "Blue"
    return ("Grey",) if channels == 1 else tuple(f"Channel {index}" for index in range(channels))
