"""The two panels of the Pixel Explorer: the image with its overlays, and the pixel's map."""

from core.attribution import Attribution
from core.display.colours import magnitude_scale
from core.segmenter import Prediction
from core.target import PREDICTED
from widgets.shared.explainer import Explainer
from widgets.shared.last_map import OLD_NOTE, OLD_OPACITY
from widgets.shared.pixel_answers import MAP, SIGNS, SIGNS_IN_SHORT, pixel_map_layer
from widgets.shared.sidebar import Selection
from widgets.viewer.controls import Shown
from widgets.viewer.scene import AboveThreshold, Layer, Panel, Picture, ScalarMap
from widgets.viewer.settings import ZOOMING, overlaid_labels


def first_panels(selection: Selection) -> list[Panel]:
    """The image, before the network has predicted anything."""
    return [Panel("Image", [Picture(image=selection.image.values)]), Panel("Gradient map", [])]


def image_panel(selection: Selection, prediction: Prediction) -> Panel:
    """The image, what the network predicts, and what of the map lies above the threshold."""
    names, image, index = selection.segmenter.class_names, selection.image, selection.score.class_index
    shown, probability = (
        ("predicted class", prediction.probabilities.max(axis=0))
        if index == PREDICTED
        else (names[index], prediction.probabilities[index])
    )
    layers: list[Layer] = [
        Picture(image=image.values),
        overlaid_labels("prediction", prediction.labels, names),
        ScalarMap(
            name="probability", title=f"P({shown})", opacity="$opacity", values=probability,
            scale=magnitude_scale(1.0), over=True, unit=f"probability of {shown}",
            shown=Shown("overlay", "probability"), is_read=False,  # the numbers say it
        ),
    ]  # fmt: skip
    if image.truth is not None:
        layers.append(overlaid_labels("truth", image.truth, names))
    layers.append(
        AboveThreshold(
            of=MAP, definition="$threshold_of", proportion="$threshold", absolute="$absolute", shown=Shown("above")
        )
    )
    return Panel("Image", layers, help=ZOOMING)


def map_panel(explainer: Explainer, attribution: Attribution | None, *, is_old: bool = False) -> Panel:
    """The pixel's map, or dimmed the one before, with the box of what lies above the threshold."""
    layers: list[Layer] = [
        map_layer(explainer, attribution, opacity=OLD_OPACITY if is_old else 1.0),
        AboveThreshold(
            name="box", of=MAP, definition="$threshold_of", proportion="$threshold", absolute="$absolute",
            is_tinted=False,
        ),
    ]  # fmt: skip
    return Panel(
        explainer.title, layers, help=SIGNS, note=OLD_NOTE if is_old and attribution is not None else SIGNS_IN_SHORT
    )


def map_layer(
    explainer: Explainer, attribution: Attribution | None, *, is_live: bool = True, opacity: float = 1.0
) -> ScalarMap:
    """A pixel's map."""
    title = explainer.title.split()[0].lower()
    return pixel_map_layer(attribution, title, explainer.unit, is_live=is_live, opacity=opacity)
