"""Class activation maps for display: where their colours end, the map that is shown large, differences of two."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.attribution import Attribution
from core.attribution.registry import METHODS
from core.display.colours import colour_limit

SCALES = {"own": "Own", "method": "Per method", "all": "Shared"}
KINDS = ("positive", "signed")
"""A map after ReLU, as the papers show it, or with its sign."""
FAINT = 0.02
"""A map whose largest magnitude is a smaller share of the end of the colours cannot be seen."""
Place = tuple[str, str]
"""Layer and method."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """The map that is shown large.

    Attributes:
        title: Its name.
        help: Its explanation.
        unit: Unit of its values.
        maps: Float32 (H, W) at the image's size, by kind.
        ends: Where its colours end, by kind and by scale, one of `SCALES`.
        is_difference: Whether it has both signs even where its parts are positive.
    """

    title: str
    help: str
    unit: str
    maps: dict[str, np.ndarray]
    ends: dict[str, dict[str, float]]
    is_difference: bool = False


def draw(shown: Attribution, subtracted: Attribution | None, peaks: Mapping[Place, Mapping[str, float]]) -> Drawn:
    """A map at the image's size, or its difference to that of another method, beside an atlas with these `peaks`."""
    title = METHODS[shown.method].title
    if subtracted is None:
        maps = {kind: shown.at_image_size(positive=kind == "positive") for kind in KINDS}
        return Drawn(f"{title} at {shown.layer}", "Over the image.", shown.unit, maps, ends_by_scale(shown, peaks))
    maps = {kind: normalised_difference(shown, subtracted, positive=kind == "positive") for kind in KINDS}
    return Drawn(
        f"{title} − {METHODS[subtracted.method].title}",
        f"At {shown.layer}. Each map is divided by its own largest magnitude, then subtracted: red where the first is "
        "stronger, blue where the second is.",
        "difference of the shares of each maximum",
        maps,
        {kind: dict.fromkeys(SCALES, 1.0) for kind in KINDS},
        is_difference=True,
    )


def peaks_of(attribution: Attribution) -> dict[str, float]:
    """The largest magnitude of the raw map at the layer's size, by kind; 0 for a map of zeros."""
    values = attribution.signed_map()
    return {"positive": max(0.0, float(values.max(initial=0))), "signed": float(np.abs(values).max(initial=0))}


def ends_by_scale(attribution: Attribution, peaks: Mapping[Place, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Where the colours of a map end, by kind and by scale, beside an atlas with the `peaks` of its maps.

    Returns:
        The largest magnitude of the map, of the maps by its method, and of all maps; 1 where they are zeros.
    """
    own = peaks_of(attribution)

    def end(kind: str, scale: str) -> float:
        others = [
            other[kind]
            for (_, method), other in peaks.items()
            if scale == "all" or (scale == "method" and method == attribution.method)
        ]
        return max(own[kind], *others) if others else own[kind]

    return {kind: {scale: end(kind, scale) or 1.0 for scale in SCALES} for kind in KINDS}


def is_faint(ends: Mapping[str, float], scale: str, limit: float = 1.0) -> bool:
    """Whether a map with these `ends` by scale cannot be seen on `scale`, whose colours end at `limit` of its end."""
    return ends["own"] < FAINT * limit * ends[scale]


def normalised_difference(first: Attribution, second: Attribution, *, positive: bool) -> np.ndarray:
    """First / max|first| - second / max|second|, of the maps at the image's size, in [-2, 2]; a map of zeros stays."""
    maps = [attribution.at_image_size(positive=positive) for attribution in (first, second)]
    first_map, second_map = (values / colour_limit(values) for values in maps)
    return first_map - second_map


def share_inside(attribution: Attribution, mask: np.ndarray) -> float:
    """The share of the positive map, at the image's size, that lies in `mask` (H, W); NaN for a map of zeros."""
    values = attribution.at_image_size(positive=True)
    total = float(values.sum(dtype=np.float64))
    return float(values[mask].sum(dtype=np.float64)) / total if total else float("nan")
