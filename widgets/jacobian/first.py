"""Before there is a Jacobian: the gradient map of the pixel looked at, and beside it the place of the maps to come."""

from collections.abc import Sequence

from core.attribution import Attribution
from widgets.shared.explainer import Explainer
from widgets.shared.last_map import OLD_NOTE, OLD_OPACITY
from widgets.shared.pixel_answers import MAP, SIGNS, SIGNS_IN_SHORT, pixel_map_layer
from widgets.shared.sidebar import Selection
from widgets.viewer.controls import Control
from widgets.viewer.scene import AboveThreshold, Layer, Panel, Picture
from widgets.viewer.settings import (
    OF_THIS_MAP,
    ZOOMING,
    limit_slider,
    opacity_slider,
    overlaid_labels,
    overlay_choice,
    proportion_slider,
)


def first_controls(*, has_truth: bool) -> list[Control]:
    """All controls, for an image with or without a ground truth."""
    return [
        overlay_choice("Overlay", "prediction", {"prediction": "Prediction"}, has_truth=has_truth),
        opacity_slider(),
        proportion_slider(
            OF_THIS_MAP,
            "Of the largest magnitude of this pixel's own map. Once the Jacobian is there, it is one of the largest "
            "value in all pixels' maps, so that their counts can be compared.",
        ),
        limit_slider(),
    ]


def first_panels(
    selection: Selection,
    outlook: str,
    explainer: Explainer | None = None,
    attribution: Attribution | None = None,
    *,
    is_old: bool = False,
) -> Sequence[Panel]:
    """The image, the pixel's map, and an empty panel that says what will be there.

    Without an explainer, before the network has predicted anything, the map is missing.
    """
    image, names = selection.image, selection.segmenter.class_names
    layers: list[Layer] = [Picture(image=image.values)]
    row: list[Layer] = []
    if explainer is not None:
        layers.append(overlaid_labels("prediction", explainer.prediction.labels, names))
        if image.truth is not None:
            layers.append(overlaid_labels("truth", image.truth, names))
        layers.append(AboveThreshold(of=MAP, proportion="$threshold"))
        opacity = OLD_OPACITY if is_old else 1.0
        row = [
            pixel_map_layer(attribution, "gradient", explainer.unit, opacity=opacity),
            AboveThreshold(name="box", of=MAP, proportion="$threshold", is_tinted=False),
        ]
    return [
        Panel("Image: click a pixel", layers, help=ZOOMING, name="Image"),
        Panel("Gradient map of the pixel", row, help=SIGNS,
              note=OLD_NOTE if is_old and attribution is not None else SIGNS_IN_SHORT),
        Panel("Threshold map", [], empty=outlook),
    ]  # fmt: skip
