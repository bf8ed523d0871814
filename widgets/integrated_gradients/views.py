"""The pictures of the page of Integrated Gradients: one viewer with the controls of its display."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import streamlit as st

from core.attribution import Attribution
from core.display.colours import ColourScale, colour_limit, magnitude_scale, signed_scale
from core.segmenter import Prediction
from widgets.integrated_gradients.words import is_unfinished
from widgets.shared.last_map import OLD_NOTE, OLD_OPACITY
from widgets.shared.pixel_set_picker import Question, pixel_set_layers
from widgets.shared.sidebar import Selection
from widgets.viewer.controls import Choice, Control, Shown, Slider
from widgets.viewer.scene import Ends, Layer, Panel, Picture, ScalarMap
from widgets.viewer.settings import ZOOMING, opacity_slider, overlaid_labels, overlay_choice, share_slider
from widgets.viewer.viewer import viewer

PERCENTILES = (95.0, 98.0, 99.0, 99.5, 99.9, 100.0)
_OVERLAYS = {"prediction": "Prediction", "attribution": "Attribution", "both": "Both", "baseline": "Baseline"}
Limits = dict[float, float]
_known_maps: WeakKeyDictionary[Attribution, dict[str, tuple[np.ndarray, Limits]]] = WeakKeyDictionary()


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
        strength = np.where(strength >= self.threshold, strength, 0)
        return scale.over(base, values, self.opacity * strength.astype(np.float32))


def display_of(settings: Mapping[str, Any]) -> Display:
    """The display that the controls are set to."""
    return Display(
        settings["map"] == "signed", settings["percentile"], settings["overlay_opacity"], settings["overlay_from"]
    )


def controls_of(*, has_truth: bool) -> list[Control]:
    """The controls of the display, for an image with or without a ground truth."""
    over_image = "overlay", ("attribution", "both")
    return [
        Choice(
            name="map", label="Map", default="signed", options={"signed": "Signed", "magnitude": "Magnitude"},
            help="Signed: the channels' sum, red where a pixel raises the score against the baseline, blue where it "
            "lowers it. Magnitude: the root of the channels' sum of squares.",
        ),
        overlay_choice("Over the image", "prediction", _OVERLAYS, has_truth=has_truth),
        opacity_slider(when=("overlay", ("prediction", "both", "truth")), below=True),
        Slider(
            name="percentile", label="Colours end at the percentile", default=99.5, values=PERCENTILES, below=True,
            help="A few extreme pixels would hide all others at 100.",
        ),
        share_slider("overlay_opacity", "Attribution over the image", 0.8, below=True, when=over_image),
        share_slider(
            "overlay_from", "Attribution from", 0.1, below=True, when=over_image,
            help="Pixels weaker than this share of the end of the colours are left out over the image.",
        ),
    ]  # fmt: skip


def panels_of(
    selection: Selection,
    prediction: Prediction,
    question: Question | None,
    baseline: np.ndarray | None,
    attribution: Attribution | None,
    *,
    is_old: bool,
    is_cancelled: bool,
) -> list[Panel]:
    """The image with what can be laid over it, and the map, which says so while it is old (dimmed) or unfinished."""
    image, names = selection.image, selection.segmenter.class_names
    over: list[Layer] = [Picture(image=image.values)]
    if baseline is not None:
        over.append(Picture(name="baseline", title="baseline", image=baseline, shown=Shown("overlay", "baseline")))
    over.append(overlaid_labels("prediction", prediction.labels, names, ("prediction", "both")))
    if image.truth is not None:
        over.append(overlaid_labels("truth", image.truth, names))
    shown: list[Layer] = []
    if attribution is not None:
        over += map_layers(attribution, is_over=True)
        shown = map_layers(attribution, opacity=OLD_OPACITY if is_old else 1.0)
    note = OLD_NOTE if is_old else "cancelled" if is_cancelled else ""
    if attribution is None and not is_cancelled:
        note = "no pixels yet" if question is None else "no baseline yet" if baseline is None else "computing…"
    elif attribution is not None and not is_old and is_unfinished(attribution):
        note = f"{attribution.measured['steps']} steps so far, cancelled" if is_cancelled else "coarse, sharpening"
    help_ = "Signed: red raises the score, blue lowers it; or its magnitude."
    return [
        Panel("Image", [*over, *pixel_set_layers(question)], ZOOMING),
        Panel("Attribution", shown, help_, note),
    ]


def map_layers(attribution: Attribution, *, of: str = "", is_over: bool = False, opacity: float = 1.0) -> list[Layer]:
    """The magnitude and the signed map, of which a control shows one; `of` tells their names from those of others."""
    maps = _maps(attribution)
    layers: list[Layer] = []
    for name, scale in (("magnitude", magnitude_scale(1.0)), ("signed", signed_scale(1.0))):
        shown = [Shown("map", name), *([Shown("overlay", ("attribution", "both"))] if is_over else [])]
        layers.append(
            ScalarMap(
                name=f"{name} {of}".strip(), title=name, values=maps[name][0], scale=scale, unit=attribution.unit,
                ends=Ends("percentile", maps[name][1]), shown=shown, names_unit=True,
                opacity="$overlay_opacity" if is_over else opacity, over=is_over, fading=is_over,
                floor="$overlay_from" if is_over else 0.0, has_bar=not is_over,
            )
        )  # fmt: skip
    return layers


def show_channels(attribution: Attribution, selection: Selection, settings: Mapping[str, Any]) -> None:
    """Signed map and magnitude of each channel, all on one scale."""
    limits = _ends(attribution.values)
    limit = limits[settings["percentile"]]
    st.caption(f"All on one scale, ± {limit:.3g} {attribution.unit}: red raises the score, blue lowers it.")
    panels = []
    for index, (name, values) in enumerate(
        zip(channel_names(len(attribution.values)), attribution.values, strict=True)
    ):
        for kind, scale in (("signed", signed_scale(limit)), ("magnitude", magnitude_scale(limit))):
            shown = values if kind == "signed" else np.abs(values)
            layer = ScalarMap(
                name=f"{kind} {index}", title=kind, values=shown, scale=scale, unit=attribution.unit, names_unit=True
            )
            panels.append(Panel(f"{name}, {kind}", [layer]))
    viewer("channels", panels, attribution.image_size, selection.picture_key, tools=(), is_compact=True)


def channel_names(channels: int) -> tuple[str, ...]:
    """Names of the channels."""
    if channels == 3:
        return "Red", "Green", "Blue"
    return ("Grey",) if channels == 1 else tuple(f"Channel {index}" for index in range(channels))


def _maps(attribution: Attribution) -> dict[str, tuple[np.ndarray, Limits]]:
    """Both maps with the ends of their colours; the same arrays each time, so that the browser fetches them once."""
    known = _known_maps.get(attribution)
    if known is None:
        maps = {"magnitude": attribution.magnitude(), "signed": attribution.signed_map()}
        known = _known_maps[attribution] = {name: (values, _ends(values)) for name, values in maps.items()}
    return known


def _ends(values: np.ndarray) -> Limits:
    return {percentile: colour_limit(values, percentile=percentile) for percentile in PERCENTILES}
