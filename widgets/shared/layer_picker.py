"""The layer of class activation maps: which ones a network has, and the picker."""

import difflib

import streamlit as st

from core.attribution.cam import LayerAdvice, layer_advice
from core.models.layers import Layer
from core.segmenter import Segmenter
from widgets.shared.links import restore_choice, value_in_url, write_to_url
from widgets.shared.results import results


def layer_choices(segmenter: Segmenter, size: tuple[int, int]) -> LayerAdvice:
    """The layers for images of `size` (height, width), found once per model and size."""

    def find() -> LayerAdvice:
        with st.spinner("Looking at the layers…"):
            return layer_advice(segmenter, size)

    key = "layer advice", segmenter.weights_hash, str(segmenter.device), size
    return results().get_or_compute(key, find)


def pick_layer(choices: LayerAdvice, segmenter: Segmenter, label: str = "Layer") -> Layer:
    """The layer of the large map, kept in the URL; the suggested one at first, or for an unknown one in the URL."""
    requested = value_in_url("layer")
    if requested and requested not in choices.layers:
        near = difflib.get_close_matches(requested, choices.layers, n=1, cutoff=0.3)
        st.warning(
            f'{segmenter.name} has no layer "{requested}" that gives a map'
            + (f'; did you mean "{near[0]}"? ' if near else ". ")
            + f"Here is the suggested one, {choices.suggested}."
        )
    restore_choice("layer", choices.layers, choices.suggested)
    name = st.selectbox(
        label, list(choices.layers), key="layer", format_func=lambda name: layer_in_words(choices, name),
        help=choices.reason,
    )  # fmt: skip
    write_to_url("layer", name, choices.suggested)
    return choices.layers[name]


def size_and_stride(layer: Layer) -> tuple[str, str]:
    """A layer's size and stride in words, e.g. "16×16" and "stride 16"."""
    assert layer.stride is not None  # noqa: S101 - layers of a single position are never offered
    vertical, horizontal = (f"{step:.3g}" for step in layer.stride)
    stride = vertical if vertical == horizontal else f"{vertical}×{horizontal}"
    return f"{layer.height}×{layer.width}", f"stride {stride}"


def layer_in_words(choices: LayerAdvice, name: str) -> str:
    """A layer's name and size, short enough for a menu."""
    return f"{name} · {size_and_stride(choices.layers[name])[0]}"
