"""The layers of a network on the page of class activation maps: which to begin with, and the pickers."""

import difflib
from collections.abc import Collection, Sequence
from itertools import groupby

import streamlit as st

from core.attribution.cam import LayerAdvice, layer_advice
from core.models.layers import Layer
from core.segmenter import Segmenter
from widgets.shared.links import asked_for, link, settle_choice
from widgets.shared.results import results

MOST_AT_FIRST = 12
MOST_IN_ATLAS = 40


def layer_choices(segmenter: Segmenter, size: tuple[int, int]) -> LayerAdvice:
    """The layers for images of `size` (height, width), looked at once a model and size."""

    def find() -> LayerAdvice:
        with st.spinner("Looking at the layers…"):
            return layer_advice(segmenter, size)

    key = "layers", segmenter.weights_hash, str(segmenter.device), size
    return results().get_or_compute(key, find)


def main_layers(
    layers: Sequence[Layer], suggested: str, pointwise: Collection[str] = (), most: int = MOST_AT_FIRST
) -> list[str]:
    """The names of a few layers that show a network from its input to its output, the suggested one among them.

    Of the layers of one size that follow each other the suggested one, else the last of the outermost: a block rather
    than its parts.

    Args:
        layers: In the order in which they finish.
        suggested: Name of one of them.
        pointwise: Names that are left out, unless suggested.
        most: At most so many; of more, some are left out at equal distances.
    """
    useful = [layer for layer in layers if layer.name not in pointwise or layer.name == suggested]
    chosen = []
    for _, stage in groupby(useful, key=lambda layer: (layer.height, layer.width)):
        names = [layer.name for layer in stage]
        depth = min(name.count(".") for name in names)
        chosen.append(suggested if suggested in names else [name for name in names if name.count(".") == depth][-1])
    if len(chosen) <= most:
        return chosen
    steps, needed = (len(chosen) - 1) / (most - 1), chosen.index(suggested)
    places = [round(step * steps) for step in range(most)]
    places[min(range(most), key=lambda step: abs(places[step] - needed))] = needed
    return [chosen[place] for place in places]


def size_and_stride(layer: Layer) -> tuple[str, str]:
    """A layer's size and stride in words, e.g. "16×16" and "stride 16"."""
    assert layer.stride is not None  # noqa: S101 - layers of a single position are never offered
    vertical, horizontal = (f"{step:.3g}" for step in layer.stride)
    stride = vertical if vertical == horizontal else f"{vertical}×{horizontal}"
    return f"{layer.height}×{layer.width}", f"stride {stride}"


def pick_layer(choices: LayerAdvice, segmenter: Segmenter, label: str = "Layer") -> Layer:
    """The layer of the large map, kept in the URL; the suggested one at first, or where the URL names none there is."""
    asked = asked_for("layer")
    if asked and asked not in choices.layers:
        near = difflib.get_close_matches(asked, choices.layers, n=1, cutoff=0.3)
        st.warning(
            f'{segmenter.name} has no layer "{asked}" that gives a map'
            + (f'; did you mean "{near[0]}"? ' if near else ". ")
            + f"Here is the suggested one, {choices.suggested}."
        )
    settle_choice("layer", choices.layers, choices.suggested)
    name = st.selectbox(
        label, list(choices.layers), key="layer", format_func=lambda name: _described(choices, name),
        help=choices.reason,
    )  # fmt: skip
    link("layer", name, choices.suggested)
    return choices.layers[name]


def pick_atlas_layers(choices: LayerAdvice, shown: str) -> list[str]:
    """The layers of the atlas, kept in the URL; the one of the large map is always there."""
    default = main_layers(list(choices.layers.values()), choices.suggested, choices.pointwise)
    asked = st.session_state.get("layers", (asked_for("layers") or "").split(","))
    known = [name for name in asked if name in choices.layers]
    if "layers" not in st.session_state or known != asked:
        st.session_state["layers"] = known[:MOST_IN_ATLAS] or default
    chosen = st.multiselect(
        "Layers of the atlas", list(choices.layers), key="layers", max_selections=MOST_IN_ATLAS,
        format_func=lambda name: _described(choices, name),
        help="At first the last block of each resolution. All of them come from one forward and one backward pass.",
    )  # fmt: skip
    link("layers", ",".join(chosen), ",".join(default))
    return [name for name in choices.layers if name in chosen or name == shown]


def _described(choices: LayerAdvice, name: str) -> str:
    return " · ".join((name, *size_and_stride(choices.layers[name])))
