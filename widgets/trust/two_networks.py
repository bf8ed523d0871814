"""Two networks asked the same question of the same image: predictions, maps, and their difference on one scale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import streamlit as st

from core.attribution import Attribution
from core.attribution.attribution import image_hash
from core.attribution.registry import METHODS, explain, importance, quick_settings
from core.data.conversion import with_channels
from core.display.colours import intensity_rgb, labels_over, png_bytes
from core.display.figures import FRAME_HEIGHT, map_figure
from core.errors import UserError
from core.segmenter import Prediction, Segmenter
from core.target import PREDICTED, Space, Target
from core.trust.agreement import rank_correlation
from core.trust.faithfulness import score_at
from core.trust.randomisation import layers_from_the_top, randomised
from core.trust.similarity import top_overlap
from widgets.shared.cancellable import cancellable
from widgets.shared.plots import NO_BAR
from widgets.shared.results import results
from widgets.shared.score import SPACE_NAMES
from widgets.shared.sources import PickedImage, pick_model, predicted

UNTRAINED = "The same, untrained"
TOP = 0.1
_MAP_HEIGHT = 300
_LABEL_OPACITY = 0.5
_SHARES = "share"
_FULL_COLOUR_PERCENTILE = 99.8
_FAINT = 0.02


@dataclass(frozen=True, eq=False)
class Asked:
    """One of the two networks, and what it is asked.

    Attributes:
        segmenter: The network.
        values: (C, H, W), the image with the channels that it takes.
        prediction: Of it for the image.
        target: The scalar explained.
    """

    segmenter: Segmenter
    values: np.ndarray
    prediction: Prediction
    target: Target

    @property
    def name(self) -> str:
        """On screen."""
        return self.segmenter.name

    def in_words(self) -> str:
        """The class and the score."""
        called = "predicted class" if self.target.class_index == PREDICTED else self.class_name
        return f"{called}, {SPACE_NAMES[self.target.space].lower()}"

    @property
    def class_name(self) -> str:
        """Of the class explained."""
        return self.segmenter.class_names[self.target.class_index]


def two_networks_panel(
    segmenter: Segmenter,
    image: PickedImage,
    prediction: Prediction,
    target: Target,
    class_index: int,
    space: Space,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Choose the second network, and see both; it takes the settings of the first, but a layer of its own."""
    settings = quick_settings() if settings is None else settings
    slots = st.columns([2, 1.4, 1.8, 1.6], vertical_alignment="bottom")
    with slots[0]:
        other = pick_model("second_", "Second network", {UNTRAINED: lambda: _untrained(segmenter)})
    second_class = _pick_class(slots[1], segmenter, other, class_index)
    method = slots[2].selectbox(
        "Method", list(METHODS), key="second_method", bind="query-params", format_func=lambda name: METHODS[name].title
    )
    as_shares = slots[3].segmented_control(
        "Scale", ["raw", _SHARES], default="raw", required=True, key="second_scale", bind="query-params",
        format_func=lambda name: {"raw": "Values", _SHARES: "Shares"}[name],
        help="Values: both maps and their difference in their own unit, on one scale. Shares: each map is first "
        "divided by the sum of its magnitudes, so that a network with larger scores does not drown the other.",
    ) == _SHARES  # fmt: skip
    first = Asked(segmenter, image.values, prediction, target)
    second = _asked_too(other, image, target, second_class, space)
    maps = [_explained(first, image, method, settings, "first")]
    maps.append(_explained(second, image, method, {**settings, "layer": None}, "second"))
    if maps[0] is None or maps[1] is None:
        return
    _tell(first, second, maps[0], maps[1])
    _show_predictions(first, second, image)
    _show_maps(first, second, maps[0], maps[1], as_shares=as_shares)


def scaled(values: np.ndarray, *, as_shares: bool) -> np.ndarray:
    """A map as it is, or divided by the sum of its magnitudes; a map of zeros stays one."""
    total = float(np.abs(values).sum()) if as_shares else 1.0
    return values / (total or 1.0)


def common_limit(maps: Sequence[np.ndarray]) -> float:
    """Where the colours of several maps end: at a high percentile of the one that goes furthest, as few pixels do."""
    highest = max(float(np.percentile(np.abs(values), _FULL_COLOUR_PERCENTILE)) for values in maps)
    return highest or max(float(np.abs(values).max()) for values in maps) or 1.0


def same_class(first: Segmenter, second: Segmenter, class_index: int) -> int:
    """The class of the second network that is called as one of the first, else the same number, else the last."""
    name = first.class_names[class_index]
    if name in second.class_names:
        return second.class_names.index(name)
    return min(class_index, second.num_classes - 1)


def asked_of(target: Target, class_index: int, space: Space, labels: np.ndarray) -> Target:
    """The same pixels and score of another network, of its own class; the whole prediction becomes its own."""
    if target.labels is not None:
        return Target.prediction(labels, space, target.reduction, target.mask)
    if target.mask is not None:
        return Target.region(target.mask, class_index, space, target.reduction)
    return Target.pixel(int(target.row or 0), int(target.column or 0), class_index, space)


def _pick_class(slot: st.delta_generator.DeltaGenerator, first: Segmenter, second: Segmenter, class_index: int) -> int:
    if class_index == PREDICTED:
        return PREDICTED
    names = second.class_names
    return slot.selectbox(
        "Its class", range(len(names)), same_class(first, second, class_index), format_func=lambda index: names[index],
        key=f"second_class-{second.weights_hash[:12]}-{class_index}",
        help="Networks may know different classes; choose the one to compare with.",
    )  # fmt: skip


def _asked_too(segmenter: Segmenter, image: PickedImage, target: Target, class_index: int, space: Space) -> Asked:
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
    return Asked(segmenter, values, prediction, asked_of(target, class_index, space, prediction.labels))


def _explained(
    asked: Asked, image: PickedImage, method: str, settings: Mapping[str, Any], place: str
) -> Attribution | None:
    segmenter, described = asked.segmenter, tuple(sorted(asked.target.describe().items()))
    asking = "two networks", segmenter.weights_hash, str(segmenter.device), image.hash, described, method
    key = *asking, tuple(sorted(settings.items()))
    return cancellable(
        f"two-networks-{place}", key, f"{METHODS[method].title} of {asked.name}",
        lambda progress: explain(segmenter, asked.values, asked.target, method, settings, progress),
    )  # fmt: skip


def _tell(first: Asked, second: Asked, one: Attribution, other: Attribution) -> None:
    maps = importance(one), importance(other)
    agree = float((first.prediction.labels == second.prediction.labels).mean())
    slots = st.columns(4)
    slots[0].metric(
        f"Score, {first.name}", f"{_score(first):.4g}", help=f"{first.in_words()}, over the pixels explained."
    )
    slots[1].metric(
        f"Score, {second.name}", f"{_score(second):.4g}", help=f"{second.in_words()}, over the pixels explained."
    )
    slots[2].metric(
        "Rankings agree", f"ρ {rank_correlation(*maps)[0]:.2f}",
        help="Spearman's rank correlation over all pixels of what is ranked on this page, for gradients the "
        "magnitude: 1 is the same order, 0 none in common. "
        f"Of their most important {TOP:.0%} of the pixels, {top_overlap(*maps, TOP):.0%} are the same; chance gives "
        f"{TOP:.0%}.",
    )  # fmt: skip
    same_names = first.segmenter.class_names == second.segmenter.class_names
    slots[3].metric(
        "Same label", f"{agree:.1%}" if same_names else "–",
        help="Share of the pixels to which both give the same class."
        + ("" if same_names else " Not defined here: the two networks know different classes."),
    )  # fmt: skip


def _score(asked: Asked) -> float:
    key = (
        "score",
        asked.segmenter.weights_hash,
        tuple(sorted(asked.target.describe().items())),
        image_hash(asked.values),
    )
    return results().get_or_compute(key, lambda: score_at(asked.segmenter, asked.values, asked.target))


def _show_predictions(first: Asked, second: Asked, image: PickedImage) -> None:
    base = intensity_rgb(image.values)
    differ = first.prediction.labels != second.prediction.labels
    same_names = first.segmenter.class_names == second.segmenter.class_names
    columns = st.columns(3, gap="small")
    for column, asked in zip(columns, (first, second), strict=False):
        column.markdown(f"**{asked.name}** predicts")
        column.image(png_bytes(labels_over(base, asked.prediction.labels, _LABEL_OPACITY)), width="stretch")
    columns[2].markdown("**Labels that differ**")
    if same_names:
        columns[2].image(png_bytes(labels_over(base // 2, differ.astype(np.int64) * 5, 0.9)), width="stretch")
    else:
        columns[2].info("The two networks know different classes, so their labels cannot be compared.")


def _show_maps(first: Asked, second: Asked, one: Attribution, other: Attribution, *, as_shares: bool) -> None:
    is_layer = one.layer is not None
    maps = [scaled(attribution.at_image_size(positive=is_layer), as_shares=as_shares) for attribution in (one, other)]
    difference = maps[1] - maps[0]
    limit = common_limit([*maps, difference])
    unit = "share of the map" if as_shares else one.unit
    height, width = difference.shape
    frame = int(np.clip(_MAP_HEIGHT * height / width, 150, _MAP_HEIGHT)) + FRAME_HEIGHT
    layers = [f", {found.layer}" if is_layer else "" for found in (one, other)]
    titles = [
        f"**{asked.name}**: {asked.in_words()}{layer}" for asked, layer in zip((first, second), layers, strict=True)
    ]
    titles.append(f"**Difference**: {second.name} less {first.name}")
    faint = [
        asked.name
        for asked, values in zip((first, second), maps, strict=True)
        if 0 < float(np.abs(values).max()) < _FAINT * limit
    ]
    if faint:
        st.caption(f"The map of {faint[0]} is too weak to be seen on this scale; choose Shares.")
    columns = st.columns(3, gap="small")
    for index, (column, values, title) in enumerate(zip(columns, (*maps, difference), titles, strict=True)):
        column.markdown(title)
        column.plotly_chart(
            map_figure(values, unit, limit, f"two-networks-{values.shape}"), height=frame, theme=None, config=NO_BAR,
            key=f"two-networks-{index}",
        )  # fmt: skip


@st.cache_resource(max_entries=4, show_spinner="Drawing random weights…")
def _random_copy(weights_hash: str, device: str, _segmenter: Segmenter) -> Segmenter:  # noqa: ARG001 - the key
    copy = randomised(_segmenter, layers_from_the_top(_segmenter, (64, 64)))
    copy.name = f"{_segmenter.name}, untrained"
    return copy


def _untrained(segmenter: Segmenter) -> Segmenter:
    return _random_copy(segmenter.weights_hash, str(segmenter.device), segmenter)
