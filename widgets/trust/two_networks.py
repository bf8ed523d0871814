"""Two networks and one image: their predictions, their maps, and the difference of these on one scale."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import streamlit as st

from core.attribution import Attribution
from core.attribution.attribution import image_hash
from core.attribution.registry import METHODS, explain, importance
from core.data.images import with_channels
from core.display.colours import colour_limit, signed_scale
from core.display.words import number
from core.errors import UserError
from core.segmenter import Prediction, Segmenter
from core.target import PREDICTED, Target
from core.trust.followed_scores import score_at
from core.trust.randomisation import layers_from_the_top, randomised
from core.trust.similarity import rank_correlation, top_overlap
from widgets.shared.model_picker import pick_model
from widgets.shared.prompt_picker import pick_prompt
from widgets.shared.results import results
from widgets.shared.sidebar import Selection, score_words
from widgets.shared.slow_work import compute_in_background
from widgets.shared.sources import PickedImage, predicted
from widgets.viewer.scene import Labels, Mask, Panel, Picture, ScalarMap
from widgets.viewer.viewer import viewer

UNTRAINED = "The same, untrained"
TOP = 0.1
FULL_COLOUR_PERCENTILE = 99.8
"""Where the colours of several maps end, in the map that goes furthest: few pixels go further."""
_LABEL_OPACITY = 0.5
_DIFFERENT = "#e4572e"
_SCALES = {"raw": "Values", "share": "Shares"}
_FAINT = 0.02
_WIDTHS = 250, 170, 220, 190
_NUMBER_WIDTH = 205
"""Widths of the inputs and the numbers in CSS pixels; they wrap where a page is narrow."""


@dataclass(frozen=True, eq=False)
class ExplainedNetwork:
    """One of the two networks, and what is explained of it.

    Attributes:
        segmenter: The network.
        values: (C, H, W), the image with the channels that it takes.
        prediction: Its prediction for the image.
        target: The scalar explained.
    """

    segmenter: Segmenter
    values: np.ndarray
    prediction: Prediction
    target: Target

    @cached_property
    def key(self) -> Hashable:
        """The same for the same network, image and target."""
        described = tuple(sorted(self.target.describe().items()))
        return self.segmenter.weights_hash, str(self.segmenter.device), image_hash(self.values), described

    @property
    def score(self) -> float:
        """The score explained."""
        return results().get_or_compute(("score", self.key), lambda: score_at(self.segmenter, self.values, self.target))

    def in_words(self) -> str:
        """The class and the score space."""
        return score_words(self.target.score, self.segmenter.class_names)


def two_networks_panel(
    segmenter: Segmenter, image: PickedImage, prediction: Prediction, target: Target, settings: Mapping[str, Any]
) -> None:
    """Choose the second network, and see both; it has the settings of the first, but a layer of its own."""
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    slots = [row.container(width=width) for width in _WIDTHS]
    with slots[0]:
        other = pick_model("second_", "Second network", {UNTRAINED: lambda: _untrained(segmenter)})
        other = pick_prompt(other, image, "second_")
    second_class = _pick_class(slots[1], segmenter, other, target.class_index)
    method = slots[2].selectbox(
        "Method", list(METHODS), key="second_method", bind="query-params", format_func=lambda name: METHODS[name].title
    )
    scale = slots[3].segmented_control(
        "Scale", list(_SCALES), default="raw", required=True, key="second_scale", bind="query-params",
        format_func=lambda name: _SCALES[name],
        help="Values: both maps and their difference in their own unit, on one scale. Shares: each map is first "
        "divided by the sum of its magnitudes, so that a network with larger scores does not drown the other.",
    )  # fmt: skip
    networks = (
        ExplainedNetwork(segmenter, image.values, prediction, target),
        _second_network(segmenter, other, image, target, second_class),
    )
    maps = [
        _explained(one, method, own, place)
        for one, own, place in zip(networks, (settings, {**settings, "layer": None}), ("first", "second"), strict=True)
    ]
    found = [one for one in maps if one is not None]
    if len(found) < len(maps):
        return
    same_classes = segmenter.class_names == other.class_names
    _show_numbers(networks, found, same_classes=same_classes)
    if not same_classes:
        st.info("The two networks know different classes, so their labels cannot be compared.")
    _show_pictures(networks, found, image, same_classes=same_classes, as_shares=scale == "share")


def scaled(values: np.ndarray, *, as_shares: bool) -> np.ndarray:
    """A map as it is, or divided by the sum of its magnitudes; a map of zeros stays one."""
    total = float(np.abs(values).sum()) if as_shares else 1.0
    return values / (total or 1.0)


def same_class(first: Segmenter, second: Segmenter, class_index: int) -> int:
    """The class of the second network with the name that it has in the first, else the same number, else the last."""
    name = first.class_names[class_index]
    if name in second.class_names:
        return second.class_names.index(name)
    return min(class_index, second.num_classes - 1)


def same_pixels(target: Target, class_index: int, labels: np.ndarray, against: int | None = None) -> Target:
    """The same pixels and score space for another network, with its own classes or its own predicted labels.

    Where its class is the one that would be subtracted, nothing is.
    """
    against = None if against == class_index else against
    if target.labels is not None:
        return Target.prediction(labels, target.space, target.reduction, target.mask, against)
    return replace(target, class_index=class_index, against=against)


def _pick_class(slot: st.delta_generator.DeltaGenerator, first: Segmenter, second: Segmenter, class_index: int) -> int:
    if class_index == PREDICTED:
        return PREDICTED
    names = second.class_names
    return slot.selectbox(
        "Its class", range(len(names)), same_class(first, second, class_index), format_func=lambda index: names[index],
        key=f"second_class-{second.weights_hash[:12]}-{class_index}",
        help="Networks may know different classes; choose the one to compare with.",
    )  # fmt: skip


def _second_network(
    first: Segmenter, segmenter: Segmenter, image: PickedImage, target: Target, class_index: int
) -> ExplainedNetwork:
    try:
        values = with_channels(image.values, segmenter.in_channels)
    except UserError as error:
        raise UserError(
            f"{segmenter.name} takes {segmenter.in_channels} channels and this image has {len(image.values)}; choose "
            "another second network."
        ) from error
    if len(values) != len(image.values):
        st.caption(
            f"The image is turned into {'grey' if len(values) == 1 else f'{len(values)} channels'} for "
            f"{segmenter.name}, which takes no other."
        )
    prediction = predicted(segmenter, replace(image, values=values))
    against = None if target.against is None else same_class(first, segmenter, target.against)
    return ExplainedNetwork(segmenter, values, prediction, same_pixels(target, class_index, prediction.labels, against))


def _explained(network: ExplainedNetwork, method: str, settings: Mapping[str, Any], place: str) -> Attribution | None:
    return compute_in_background(
        f"two-networks-{place}", ("two networks", network.key, method, tuple(sorted(settings.items()))),
        f"{METHODS[method].title} of {network.segmenter.name}",
        lambda progress: explain(network.segmenter, network.values, network.target, method, settings, progress),
    )  # fmt: skip


def _show_numbers(networks: Sequence[ExplainedNetwork], found: Sequence[Attribution], *, same_classes: bool) -> None:
    row = st.container(horizontal=True)
    slots = [row.container(width=_NUMBER_WIDTH) for _ in range(4)]
    for slot, one in zip(slots, networks, strict=False):
        slot.metric(
            f"Score, {one.segmenter.name}", number(one.score), help=f"{one.in_words()}, over the pixels explained."
        )
    first, second = map(importance, found)
    slots[2].metric(
        "Rankings agree", f"ρ {rank_correlation(first, second)[0]:.2f}",
        help="Spearman's rank correlation over all pixels of what is ranked on this page, for gradients the "
        f"magnitude: 1 is the same order, 0 none in common. The two maps share {top_overlap(first, second, TOP):.0%} "
        f"of their {TOP:.0%} most important pixels; chance gives {TOP:.0%}.",
    )  # fmt: skip
    agree = float((networks[0].prediction.labels == networks[1].prediction.labels).mean())
    slots[3].metric(
        "Same label", f"{agree:.1%}" if same_classes else "–",
        help="Share of the pixels to which both give the same class."
        + ("" if same_classes else " Not defined here: the two networks know different classes."),
    )  # fmt: skip


def _show_pictures(
    networks: Sequence[ExplainedNetwork],
    found: Sequence[Attribution],
    image: PickedImage,
    *,
    same_classes: bool,
    as_shares: bool,
) -> None:
    maps = [scaled(one.at_image_size(positive=one.layer is not None), as_shares=as_shares) for one in found]
    maps.append(maps[1] - maps[0])
    limit = colour_limit(*maps, percentile=FULL_COLOUR_PERCENTILE)
    faint = [
        one.segmenter.name
        for one, values in zip(networks, maps, strict=False)
        if 0 < float(np.abs(values).max()) < _FAINT * limit
    ]
    if faint:
        st.caption(f"The map of {faint[0]} is too weak to be seen on this scale; choose Shares.")
    names = [one.segmenter.name for one in networks]
    places, titles = ("first", "second", "difference"), [*names, f"{names[1]} less {names[0]}"]
    notes = [
        f"{one.in_words()}{f', {map_.layer}' if map_.layer else ''}" for one, map_ in zip(networks, found, strict=True)
    ]
    unit = "share of the map" if as_shares else found[0].unit
    panels = _prediction_panels(networks, image, same_classes=same_classes) + [
        Panel(
            title, [ScalarMap(name=name, values=values, scale=signed_scale(limit), unit=unit)], note=note, name=name,
            group="Maps, on one scale",
        )
        for name, title, note, values in zip(places, titles, [*notes, "difference"], maps, strict=True)
    ]  # fmt: skip
    height, width = maps[0].shape
    viewer("two-networks", panels, (height, width), Selection(networks[0].segmenter, image).picture_key, tools=())


def _prediction_panels(networks: Sequence[ExplainedNetwork], image: PickedImage, *, same_classes: bool) -> list[Panel]:
    base, group = Picture(image=image.values), "Predictions"
    panels = [
        Panel(
            one.segmenter.name,
            [
                base,
                Labels(
                    name=f"{place} prediction", title=f"prediction of {one.segmenter.name}",
                    labels=one.prediction.labels, class_names=one.segmenter.class_names, opacity=_LABEL_OPACITY,
                ),
            ],
            name=f"{place} prediction", group=group,
        )
        for place, one in zip(("first", "second"), networks, strict=True)
    ]  # fmt: skip
    if same_classes:
        differ = networks[0].prediction.labels != networks[1].prediction.labels
        layers = [base, Mask(name="differ", mask=differ, colour=_DIFFERENT, opacity=0.8)]
        panels.append(Panel("Labels that differ", layers, group=group))
    return panels


@st.cache_resource(
    max_entries=4,
    show_spinner="Drawing random weights…",
    hash_funcs={Segmenter: lambda segmenter: (segmenter.weights_hash, str(segmenter.device))},
)
def _untrained(segmenter: Segmenter) -> Segmenter:
    copy = randomised(segmenter, layers_from_the_top(segmenter, (64, 64)))
    copy.name = f"{segmenter.name}, untrained"
    return copy
