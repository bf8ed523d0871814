"""The maps of one pixel set: the atlas of several layers and methods from one pass, and those that take longer."""

import dataclasses
import time
from collections.abc import Callable, Hashable, Sequence

import streamlit as st

from core.attribution import Attribution
from core.attribution.cam import LayerAdvice, Pooling, cam_atlas, cam_warnings, gradient_methods
from core.attribution.registry import METHODS, explain
from core.display.words import duration
from core.models.layers import Layer
from core.segmenter import Prediction
from widgets.cams.grid import cam_grid
from widgets.cams.maps import MapView, atlas_sprite
from widgets.shared.layer_picker import size_and_stride
from widgets.shared.pixel_set_picker import Question
from widgets.shared.results import results
from widgets.shared.sidebar import Selection
from widgets.shared.slow_work import compute_in_background, start_button
from widgets.shared.sources import seconds_per_image


@dataclasses.dataclass(frozen=True, eq=False)
class Atlas:
    """Maps of several layers and methods.

    Attributes:
        maps: By layer and method.
        seconds: Time that all of them took together.
        key: The same for the same maps.
    """

    maps: dict[tuple[str, str], Attribution]
    seconds: float
    key: Hashable


def atlas_of(selection: Selection, question: Question, layers: Sequence[str], window: int, pooling: Pooling) -> Atlas:
    """Every map from one pass."""
    key = "cam atlas", *selection.key, question.key, tuple(layers), gradient_methods(), window, pooling

    def compute() -> Atlas:
        started = time.perf_counter()
        maps = cam_atlas(
            selection.segmenter, selection.image.values, question.target, layers, window=window, pooling=pooling
        )
        return Atlas(maps, time.perf_counter() - started, key)

    return results().get_or_compute(key, compute)


def perturbation_map(
    selection: Selection, question: Question, layer: Layer, method: str, place: str
) -> Attribution | None:
    """A map that is not of the atlas, computed on demand; None, with its cost or progress shown, until then."""
    title, segmenter, image = METHODS[method].title, selection.segmenter, selection.image
    settings = {"layer": layer.name}
    key = "cam", *selection.key, question.key, layer.name, method

    def describe() -> None:
        _, height, width = image.values.shape
        own = METHODS[method].settings_from(settings)
        passes = METHODS[method].passes(own, segmenter, (height, width))
        images = f"{passes:,} {'image' if passes == 1 else 'images'}"
        seconds = duration(passes * seconds_per_image(segmenter, image))
        st.info(
            f"{title} runs {images} through the network for {layer.name}: about {seconds}.",
            icon=":material/hourglass_top:",
        )

    if not start_button(key, f"Compute {title}", describe=describe, type="primary", key=f"run-{method}"):
        return None
    return compute_in_background(
        place, key, f"{title}, passes of the network",
        lambda progress: explain(segmenter, image.values, question.target, method, settings, progress),
    )  # fmt: skip


def draw_atlas(
    choices: LayerAdvice,
    atlas: Atlas,
    layer: Layer,
    method: str,
    view: MapView,
    prediction: Prediction,
    pick: Callable[[str, str], None],
) -> None:
    """The grid of thumbnails; `pick` is called with the layer and the method of the one that is pressed."""
    maps, methods = atlas.maps, list(gradient_methods())
    layers = list(dict.fromkeys(name for name, _ in maps))
    st.markdown(
        f"**Atlas**: press a map to see it large. All {len(maps)} come from one forward and one backward pass, "
        f"in {atlas.seconds:.2g} s.",
        help="Layers from the input to the output, each with its size. A mark warns that a map means little.",
    )
    key = "atlas sprite", atlas.key, view.positive, view.scale, view.proportion
    sprite = results().get_or_compute(key, lambda: atlas_sprite(maps, layers, methods, view))
    warnings = results().get_or_compute(
        ("atlas warnings", atlas.key),
        lambda: {
            (methods.index(by), layers.index(at)): " ".join(sentences)
            for (at, by), one in maps.items()
            if (sentences := cam_warnings(one, prediction, choices.pointwise))
        },
    )
    height, width = prediction.labels.shape
    cam_grid(
        sprite,
        [(name, size_and_stride(choices.layers[name])[0]) for name in layers],
        [METHODS[name].title for name in methods],
        (methods.index(method) if method in methods else -1, layers.index(layer.name)),
        warnings,
        width / height,
        lambda row, column: pick(layers[column], methods[row]),
        key="atlas",
    )
