"""Put a map to the test: remove what it calls important, beside the same area at random and nearest to the target."""

import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from ..attribution import Attribution
from ..attribution.attribution import image_hash
from ..attribution.baselines import TITLES as FILL_TITLES
from ..attribution.registry import METHODS, importance
from ..compute.progress import Progress
from ..display.colours import intensity_rgb, png_bytes
from ..display.words import number
from ..errors import UserError
from ..io.files import npy_bytes, write_atomically
from ..io.tables import json_bytes
from ..segmenter import Image, Segmenter
from ..target import Target
from ..trust import PerturbedRuns, RemovalSettings
from ..trust.benchmark.interval import Interval, t_interval
from ..trust.imputation import imputed
from .map_areas import SHAPES, Shape, distances, first_pixels, random_areas

SCHEMA_VERSION = 1
Fill = Literal["blur", "mean", "zero", "inpaint"]
FILLS: dict[Fill, str] = {
    "blur": FILL_TITLES["blur"],
    "mean": FILL_TITLES["mean"],
    "zero": FILL_TITLES["zero"],
    "inpaint": "Made up from their neighbours",
}
"""What pixels become, on screen."""
Area = Literal["map", "random", "nearest"]
AREAS: tuple[Area, ...] = get_args(Area)
DEFAULT_SHARE = 0.05
DEFAULT_DRAWS = 20
_ALIKE = 0.05
"""Falls that differ by no more than this share of the larger are called alike."""


@dataclass(frozen=True, eq=False)
class MapTest:
    """How far the score falls without what a map calls important, and without two controls of as many pixels.

    Attributes:
        title: Name of the map.
        start: The score of the image as it is.
        map_fall: Score of the image minus its score without the map's top pixels.
        nearest_fall: The same without the pixels nearest to the target's.
        random_falls: Float64 (draws,), the same without areas drawn at random.
        random_fall: Their mean with its 95 % interval.
        areas: Bool (H, W) by name: the map's area, the first of the random ones and the nearest.
        images: Float32 (C, H, W) by name: the image without each of these areas.
        pixels: Number of pixels of every area.
        marked: Number of pixels in the map's area whose importance is above 0.
        shape: What the random areas are made of.
        target: The scalar followed.
        parameters: Share, fill, draws and seed, and how the map was made.
        seconds: Wall time.
        model_name: The network's name.
        weights_hash: `Segmenter.weights_hash`.
        image_hash: SHA-256 of the image.
        notes: What to know about the areas, one sentence each.
    """

    title: str
    start: float
    map_fall: float
    nearest_fall: float
    random_falls: np.ndarray
    random_fall: Interval
    areas: dict[Area, np.ndarray]
    images: dict[Area, np.ndarray]
    pixels: int
    marked: int
    shape: Shape
    target: Target
    parameters: dict[str, Any]
    seconds: float
    model_name: str
    weights_hash: str
    image_hash: str
    notes: tuple[str, ...] = ()

    @property
    def overlap(self) -> float:
        """Share of the map's area that is among the nearest pixels, too."""
        return float((self.areas["map"] & self.areas["nearest"]).sum() / self.pixels)

    @property
    def against_nearest(self) -> int:
        """1 where the score falls further without the map's area than without the nearest, -1 where less, 0 alike."""
        return _compared(self.map_fall, self.nearest_fall)

    @property
    def against_random(self) -> int:
        """1 where it falls further than without any of the random areas, -1 where not even as far as their mean."""
        if self.map_fall > self.random_falls.max():
            return 1
        return -1 if self.map_fall <= self.random_fall.mean else 0

    @property
    def knows_more(self) -> bool:
        """Whether the map beats both controls."""
        return self.against_nearest > 0 and self.against_random > 0

    @property
    def sentence(self) -> str:
        """The three falls in words, and what they say of the map."""
        unit, mean = self.target.score_unit, self.random_fall
        sign = 1 if mean.mean >= 0 else -1
        ends = sorted((sign * mean.low, sign * mean.high))
        return (
            f"Without what {self.title} calls most important the {unit} {_falls(self.map_fall)}; without "
            f"{_SHAPES_IN_SENTENCE[self.shape]} it {_falls(mean.mean)} on average (95 % interval {number(ends[0], 3)} "
            f"to {number(ends[1], 3)}); without the pixels nearest to the target it {_falls(self.nearest_fall)}: "
            f"{self.verdict}."
        )

    @property
    def verdict(self) -> str:
        """What the falls say of the map, in a clause."""
        if self.against_random < 0:
            return "the map finds no more than chance does"
        if self.against_random == 0:
            draws = f"{self._as_good} of {len(self.random_falls)} draws"
            return f"the map finds more than chance does on average, but {draws} did as well"
        if self.against_nearest > 0:
            return "the map knows more than the distance to the target"
        if self.against_nearest == 0:
            return "the map knows about as much as the distance to the target, and no more"
        return "the map knows less than the distance to the target"

    @property
    def _as_good(self) -> int:
        return int((self.random_falls >= self.map_fall).sum())

    def manifest(self) -> dict[str, Any]:
        """All that is needed to make the test again, and its numbers, as plain values for JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "map test",
            "map": self.title,
            "parameters": self.parameters,
            "target": self.target.describe(),
            "unit": self.target.score_unit,
            "pixels": self.pixels,
            "pixels_marked": self.marked,
            "random_areas": self.shape,
            "score": self.start,
            "fall": {
                "map": self.map_fall,
                "nearest": self.nearest_fall,
                "random": self.random_falls.tolist(),
                "random_mean": self.random_fall.mean,
                "random_interval": [self.random_fall.low, self.random_fall.high],
            },
            "overlap_of_map_and_nearest": self.overlap,
            "sentence": self.sentence,
            "notes": list(self.notes),
            "model": self.model_name,
            "weights_sha256": self.weights_hash,
            "image_sha256": self.image_hash,
            "seconds": round(self.seconds, 6),
            "libraries": {name: version(name) for name in ("torch", "numpy")},
        }

    def files(self) -> dict[str, bytes]:
        """What `save` writes, by file name: the three areas, the image without each, and the manifest."""
        files: dict[str, bytes] = {}
        for name in AREAS:
            files[f"{name}_area.npy"] = npy_bytes(self.areas[name])
            files[f"{name}_removed.png"] = png_bytes(intensity_rgb(self.images[name]))
        return files | {"manifest.json": json_bytes(self.manifest())}

    def save(self, folder: str | Path) -> Path:
        """Write the areas, the pictures and the manifest into `folder`, each file whole or not at all."""
        folder = Path(folder)
        for name, content in self.files().items():
            write_atomically(folder / name, content)
        return folder


_SHAPES_IN_SENTENCE: dict[Shape, str] = {
    "pixels": "as many pixels at random",
    "patches": "as many pixels in random patches",
    "moved": "the same area moved elsewhere",
}


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
) -> MapTest:
    """How far the score falls when the top of a map is removed, beside random areas and the nearest pixels.

    All areas have the same number of pixels. Scattered pixels are another kind of change than the patches that most
    maps mark, and a network may mind one of them more: `shape` says which kind the random areas are.

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1].
        target: The scalar followed.
        attribution: The map, or the importance (H, W) of each pixel, see `core.attribution.registry.importance`.
        share: Share of the image's pixels that are removed, above 0 and below 1; rounded to at least one pixel.
        fill: What they become: "blur", "mean", "zero" (see `make_baseline`), or "inpaint", a mean of their neighbours
            (see `core.trust.imputation.imputed`).
        draws: Number of random areas, at least 2.
        shape: Random areas are scattered "pixels", "patches" of 8×8 (the last one cut), or the map's own area "moved"
            by random shifts, in at one border what goes out at the other.
        seed: Seed of the random areas and of the order of equal pixels.
        progress: See `Progress`; counts images.

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
    settings = RemovalSettings(fill="mean" if fill == "inpaint" else fill, seed=seed)
    runs = PerturbedRuns(segmenter, image, target, settings, progress, draws + 3)
    values, title, made = _importance(attribution, image, runs.size)
    count = min(max(1, round(share * values.size)), values.size - 1)
    random = np.random.default_rng(seed)
    top = first_pixels(-values, count, random)
    nearest = first_pixels(distances(target, runs.size), count, random)
    areas = np.stack([top, nearest, *random_areas(shape, top, draws, random)])
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
        {"share": share, "fill": fill, "draws": draws, "shape": shape, "seed": seed, **made},
        time.perf_counter() - started,
        segmenter.name,
        segmenter.weights_hash,
        image_hash(runs.image),
        _notes(title, count, marked),
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


def _compared(ours: float, other: float) -> int:
    if abs(ours - other) <= _ALIKE * max(abs(ours), abs(other)):
        return 0
    return 1 if ours > other else -1


def _falls(by: float) -> str:
    return f"{'falls' if by >= 0 else 'rises'} by {number(abs(by), 3)}"


def _notes(title: str, count: int, marked: int) -> tuple[str, ...]:
    if marked == count:
        return ()
    note = (
        f"{title[0].upper()}{title[1:]} gives an importance above 0 to {marked:,} of the {count:,} pixels removed; the "
        "others follow in the order of their values, equal ones as chance has it"
    )
    return (note,)
