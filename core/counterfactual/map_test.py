"""Put a map to the test: remove what it calls important, beside the same area at random and nearest to the target."""

import time
from typing import Any

import numpy as np
import torch

from ..attribution import Attribution
from ..attribution.attribution import image_hash
from ..attribution.registry import METHODS, importance
from ..compute.progress import Progress
from ..errors import UserError
from ..segmenter import Image, Segmenter
from ..target import Target
from ..trust import PerturbedRuns, RemovalSettings
from ..trust.benchmark.interval import t_interval
from ..trust.imputation import imputed
from .map_areas import SHAPES, Shape, distances, first_pixels, random_areas
from .map_outcome import FILLS, Area, Fill, MapTest

DEFAULT_SHARE = 0.05
DEFAULT_DRAWS = 20


def map_test(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    attribution: Attribution | np.ndarray,
    share: float = DEFAULT_SHARE,
    fill: Fill = "blur",
    draws: int = DEFAULT_DRAWS,
    shape: Shape = "pixels",
    seed: int = 0,
    progress: Progress | None = None,
    *,
    context_only: bool = False,
) -> MapTest:
    """How far the score falls when the top of a map is removed, beside random areas and the nearest pixels.

    All areas have the same number of pixels. Scattered pixels are another kind of change than the patches that most
    maps mark, and a network may mind one of them more: `shape` says which kind the random areas are.

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1].
        target: The scalar followed.
        attribution: The map, or the importance (H, W) of each pixel, see `core.attribution.registry.importance`.
        share: Share of the pixels that are removed, above 0 and below 1; rounded to at least one pixel.
        fill: What they become: "blur", "mean", "zero" (see `make_baseline`), or "inpaint", a mean of their neighbours
            (see `core.trust.imputation.imputed`).
        draws: Number of random areas, at least 2.
        shape: Random areas are scattered "pixels", "patches" of 8×8 (the last one cut), or the map's own area "moved"
            by random shifts, in at one border what goes out at the other.
        seed: Seed of the random areas and of the order of equal pixels.
        progress: See `Progress`; counts images.
        context_only: The target's own pixels stay; `share` is then that of all others.

    Raises:
        UserError: A share, number of draws, fill or shape that makes no sense, a map of another image or of another
            size, or one that is not finite; an image or a target that does not fit the network, or one without pixels.
    """
    started = time.perf_counter()
    if not 0 < share < 1:
        raise UserError(f"The share of the pixels that are removed lies above 0 and below 1; {share:g} was given.")
    if draws < 2:
        raise UserError(f"A mean with an interval needs at least 2 draws; {draws} were given.")
    for kind, given, known in (("fill", fill, FILLS), ("shape of the random areas", shape, SHAPES)):
        if given not in known:
            raise UserError(f'The {kind} is one of {", ".join(known)}; "{given}" was given.')
    settings = RemovalSettings(fill="mean" if fill == "inpaint" else fill, context_only=context_only, seed=seed)
    runs = PerturbedRuns(segmenter, image, target, settings, progress, draws + 3)
    values, title, made = _importance(attribution, image, runs.size)
    pixels, eligible = target.pixels(runs.size), runs.eligible
    number_eligible = int(eligible.sum())
    count = max(1, min(round(share * number_eligible), number_eligible - 1))
    random = np.random.default_rng(seed)
    top = first_pixels(-values, count, eligible, random)
    nearest = first_pixels(distances(pixels), count, eligible, random)
    areas = np.stack([top, nearest, *random_areas(shape, top, draws, eligible, random)])
    falls = (
        runs.unchanged["score"][0]
        - runs.run(lambda start, stop: _without(runs, areas[start:stop], fill), len(areas))["score"]
    )
    named: dict[Area, np.ndarray] = {"map": top, "random": areas[2], "nearest": nearest}
    marked = int((values[top] > 0).sum())
    return MapTest(
        title,
        float(runs.unchanged["score"][0]),
        float(falls[0]),
        float(falls[1]),
        falls[2:],
        t_interval(falls[2:], range(draws)),
        named,
        {name: _without(runs, area[None], fill)[0].cpu().numpy() for name, area in named.items()},
        count,
        marked,
        shape,
        target,
        {
            "share": share,
            "fill": fill,
            "draws": draws,
            "shape": shape,
            "context_only": context_only,
            "seed": seed,
            **made,
        },
        time.perf_counter() - started,
        segmenter.name,
        segmenter.weights_hash,
        image_hash(runs.image),
        _notes(title, count, marked, only_target=bool(pixels[nearest].all()) and count > 1),
    )


def _importance(
    attribution: Attribution | np.ndarray, image: Image, size: tuple[int, int]
) -> tuple[np.ndarray, str, dict]:
    """Importance float64 (H, W), the map's title, and how it was made."""
    made: dict[str, Any] = {}
    if isinstance(attribution, Attribution):
        if attribution.image_hash != image_hash(image):
            raise UserError("The map explains another image; make it for this one, or give its image.")
        values, title = importance(attribution), METHODS[attribution.method].title
        made = {"method": attribution.method, "method_parameters": attribution.parameters}
    else:
        values, title = np.asarray(attribution), "the map"
    if values.shape != size:
        raise UserError(f"The map is {values.shape}, the image {size}; they must be of one size.")
    if not np.isfinite(values).all():
        raise UserError("The map has values that are not finite, so its pixels have no order.")
    return values.astype(np.float64), title, made


def _without(runs: PerturbedRuns, areas: np.ndarray, fill: Fill) -> torch.Tensor:
    """Images (B, C, H, W) without areas (B, H, W)."""
    gone = torch.from_numpy(areas).to(runs.image.device)
    if fill == "inpaint":
        return imputed(runs.image, gone, torch.zeros_like(runs.image[None]))
    return torch.where(gone[:, None], runs.fill, runs.image)


def _notes(title: str, count: int, marked: int, *, only_target: bool) -> tuple[str, ...]:
    notes = []
    if marked < count:
        notes.append(
            f"{title[0].upper()}{title[1:]} gives an importance above 0 to {marked:,} of the {count:,} pixels removed; "
            "the others follow in the order of their values, equal ones as chance has it"
        )
    if only_target:
        notes.append(
            "The nearest pixels are all pixels of the target itself, which is the hardest control there is; context "
            "only asks about its surroundings"
        )
    return tuple(notes)
