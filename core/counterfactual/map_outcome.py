"""`MapTest`: what the test of a map found."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ..attribution.baselines import TITLES as FILL_TITLES
from ..display.colours import intensity_rgb, png_bytes
from ..display.words import number
from ..io.files import npy_bytes, write_atomically
from ..io.tables import json_bytes
from ..target import Target
from ..trust.benchmark.interval import Interval
from .map_areas import Shape

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


def _compared(ours: float, other: float) -> int:
    if abs(ours - other) <= _ALIKE * max(abs(ours), abs(other)):
        return 0
    return 1 if ours > other else -1


def _falls(by: float) -> str:
    return f"{'falls' if by >= 0 else 'rises'} by {number(abs(by), 3)}"
