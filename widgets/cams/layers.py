"""The layers of the atlas: which to begin with, and the picker."""

from collections.abc import Collection, Sequence
from itertools import groupby

import streamlit as st

from core.attribution.cam import LayerAdvice
from core.models.layers import Layer
from widgets.shared.layer_picker import layer_in_words
from widgets.shared.links import value_in_url, write_to_url

MOST_AT_FIRST = 12
MOST_IN_ATLAS = 40


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
        most: Most names; where there are more, those kept are spread evenly.
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


def pick_atlas_layers(choices: LayerAdvice, shown: Collection[str]) -> list[str]:
    """The layers of the atlas, kept in the URL; those of the large maps are always there."""
    default = main_layers(list(choices.layers.values()), choices.suggested, choices.pointwise)
    requested = st.session_state.get("layers", (value_in_url("layers") or "").split(","))
    known = [name for name in requested if name in choices.layers]
    if "layers" not in st.session_state or known != requested:
        st.session_state["layers"] = known[:MOST_IN_ATLAS] or default
    chosen = st.multiselect(
        "Layers of the atlas", list(choices.layers), key="layers", max_selections=MOST_IN_ATLAS,
        format_func=lambda name: layer_in_words(choices, name),
        help="At first the last block of each resolution. All of them come from one forward and one backward pass.",
    )  # fmt: skip
    write_to_url("layers", ",".join(chosen), ",".join(default))
    return [name for name in choices.layers if name in chosen or name in shown]
