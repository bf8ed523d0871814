"""What the rows of a Jacobian sum up to, estimated: maps over the output pixels with error bars."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..display.colours import FULL_COLOUR_PERCENTILE, colour_limit, magnitude_scale, png_bytes
from ..io.files import npy_bytes, write_atomically
from ..io.tables import json_bytes
from ..target import PREDICTED, Score
from .row_summaries import magnitude

COVERAGE = 0.95
"""Share of the pixels that the error bars hold for."""
CONFIDENCE = 0.95
"""Probability that they do."""
FEWEST_EXACT = 59
"""Rows that must be known exactly for such a certificate: 1 - 0.95⁵⁹ is 0.95."""


class Summary(NamedTuple):
    """What the entries of a row are summed up to; |J| at an input pixel is its magnitude over the channels.

    Attributes:
        title: Its name on screen.
        help: What it says.
        unit: Its unit; empty for that of a gradient.
        is_relative: Whether its error is a share of the value; else it is in the value's unit.
    """

    title: str
    help: str
    unit: str = ""
    is_relative: bool = True


SUMMARIES: Mapping[str, Summary] = {
    "sum": Summary("sum of the gradient", "Σ |J|: how much all input pixels together move the output pixel."),
    "norm": Summary("norm of the gradient", "√Σ |J|²: how far the image must change to change the output pixel."),
    "effective_pixels": Summary(
        "effective number of input pixels",
        "(Σ |J|)² / Σ |J|²: n where n input pixels influence the output pixel alike and the others do not.",
        "input pixels",
    ),
    "distance": Summary(
        "distance of the influence",
        "√(Σ d² |J|² / Σ |J|²), d the distance of an input pixel from the output pixel.",
        "pixels",
        is_relative=False,
    ),
}


@dataclass(frozen=True, eq=False)
class EstimatedMap:
    """An estimate for each output pixel, and the error that 95 % of them keep, see `error_of`.

    Attributes:
        values: Float32 (H, W); NaN where a row of zeros has no such summary.
        error: Half of the bar's width: a share of the value (0.1: the true value lies between values / 1.1 and
            values · 1.1), or a number in the value's unit where the summary's error is not relative. Infinite where
            the estimate failed.
        summary: What is estimated.
        unit: Unit of the values.
    """

    values: np.ndarray
    error: float
    summary: Summary
    unit: str

    @property
    def bars(self) -> tuple[np.ndarray, np.ndarray]:
        """The ends of the error bar of each pixel, (H, W) each."""
        if self.summary.is_relative:
            return self.values / (1 + self.error), self.values * (1 + self.error)
        return np.maximum(self.values - self.error, 0), self.values + self.error

    @property
    def error_in_words(self) -> str:
        """The error with its unit."""
        if not math.isfinite(self.error):
            return "error unknown"
        number, unit = (100 * self.error, "%") if self.summary.is_relative else (self.error, self.unit)
        return f"±{number:.2g}\N{NO-BREAK SPACE}{unit}"

    @property
    def title(self) -> str:
        """A title that says that it is an estimate, and how good a one."""
        return f"Estimated {self.summary.title} ({self.error_in_words})"


@dataclass(frozen=True, eq=False)
class RowEstimates:
    """Estimates of what each row of a Jacobian sums up to. No entry of the Jacobian is known but in the exact rows.

    Attributes:
        maps: The estimate of each of `SUMMARIES`.
        score: The score of each row's pixel.
        pixels: Int (N, 2), the pixels drawn at random whose rows were computed exactly.
        exact: The summaries of these rows, float64 (N,) each.
        passes: Passes that it took, those of the exact rows included.
        rows: Rows of the Jacobian; computing it takes a pass for each.
        wanted_error: The relative error asked for, of the sum and of the norm.
        seed: The seed of all that was drawn.
        seconds: How long it took.
        model: The network's name.
        notes: What was assumed or concluded about the network, one sentence each.
        weights_hash: `Segmenter.weights_hash`.
        image_hash: SHA-256 over the image's values.
    """

    maps: Mapping[str, EstimatedMap]
    score: Score
    pixels: np.ndarray
    exact: Mapping[str, np.ndarray]
    passes: int
    rows: int
    wanted_error: float
    seed: int
    seconds: float
    model: str
    notes: tuple[str, ...]
    weights_hash: str
    image_hash: str

    @property
    def reached(self) -> bool:
        """Whether the errors of the sum and of the norm are as small as wanted."""
        return max(self.maps["sum"].error, self.maps["norm"].error) <= self.wanted_error

    @property
    def note(self) -> str:
        """What it is and how far it may be trusted, in a sentence or two for the user."""
        wanted = "" if self.reached else f" The error of {100 * self.wanted_error:g} % that was wanted is not reached."
        return (
            f"An estimate from {self.passes:,} passes instead of {self.rows:,}. Each error holds for "
            f"{100 * COVERAGE:.0f} % of the pixels, with a confidence of {100 * CONFIDENCE:.0f} %, as measured at "
            f"{len(self.pixels)} drawn at random whose rows were computed exactly.{wanted}"
        )

    def manifest(self) -> dict[str, Any]:
        """All that is needed to make the estimate again, as plain values for JSON."""
        predicted = self.score.class_index == PREDICTED
        return {
            "schema_version": 1,
            "kind": "estimate",
            "note": self.note,
            "method": "products of the Jacobian with random images",
            "class_index": "predicted" if predicted else self.score.class_index,
            "space": self.score.space,
            "against": self.score.against,
            "estimates": {
                name: {"unit": found.unit, "error": found.error, "is_relative": found.summary.is_relative}
                for name, found in self.maps.items()
            },
            "coverage": COVERAGE,
            "confidence": CONFIDENCE,
            "wanted_error": self.wanted_error,
            "reached": self.reached,
            "passes": self.passes,
            "rows": self.rows,
            "exact_pixels": self.pixels.tolist(),
            "exact": {name: values.tolist() for name, values in self.exact.items()},
            "seed": self.seed,
            "model": self.model,
            "notes": list(self.notes),
            "weights_sha256": self.weights_hash,
            "image_sha256": self.image_hash,
            "seconds": round(self.seconds, 6),
            "libraries": {name: version(name) for name in ("torch", "numpy")},
        }

    def files(self) -> dict[str, bytes]:
        """What `save` writes, by file name: `estimated_<summary>.npy` and `.png` for each, and `manifest.json`."""
        files: dict[str, bytes] = {}
        for name, found in self.maps.items():
            limit = colour_limit(found.values, percentile=FULL_COLOUR_PERCENTILE)
            files[f"estimated_{name}.npy"] = npy_bytes(found.values)
            files[f"estimated_{name}.png"] = png_bytes(magnitude_scale(limit).rgb(np.nan_to_num(found.values)))
        return files | {"manifest.json": json_bytes(self.manifest())}

    def save(self, folder: str | Path) -> Path:
        """Write the maps, raw and as pictures, and the manifest into `folder`, each file whole or not at all."""
        folder = Path(folder)
        for name, content in self.files().items():
            write_atomically(folder / name, content)
        return folder


def summaries_of_rows(rows: np.ndarray, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Each of `SUMMARIES`, float64 (N,), of the rows (N, C, H, W) of the pixels (N, 2)."""
    magnitudes = magnitude(rows).astype(np.float64)
    height, width = magnitudes.shape[1:]
    by_row = (np.arange(height)[:, None] - pixels[:, 0, None, None]) ** 2
    squared_distances = by_row + (np.arange(width) - pixels[:, 1, None, None]) ** 2
    squares = np.square(magnitudes)
    return summaries_of(*(values.sum(axis=(1, 2)) for values in (magnitudes, squares, squared_distances * squares)))


def summaries_of(total: np.ndarray, squares: np.ndarray, moments: np.ndarray) -> dict[str, np.ndarray]:
    """Each of `SUMMARIES` from Σ |J|, Σ |J|² and Σ d² |J|²; NaN where a row of zeros has none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "sum": total,
            "norm": np.sqrt(squares),
            "effective_pixels": np.square(total) / squares,
            "distance": np.sqrt(moments / squares),
        }


def error_of(estimated: np.ndarray, exact: np.ndarray, *, is_relative: bool) -> float:
    """The error that an estimate keeps at 95 % of the pixels at least, with a confidence of 95 %.

    A tolerance limit without assumptions about the network or the errors (Wilks, "Determination of sample sizes for
    setting tolerance limits", 1941): the k-th smallest error of the sample, with the least k such that fewer than k of
    n pixels keep the 95 % quantile with a probability of at least 95 %. Of 64 pixels it is the largest error.

    Args:
        estimated: At the n pixels of the sample, which were drawn at random; n is 59 at least.
        exact: The true values there.
        is_relative: Whether the error is a share of the value, alike for too small and too large.
    """
    from scipy.special import bdtr  # noqa: PLC0415 - slow to import

    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.abs(np.log(estimated / exact)) if is_relative else np.abs(estimated - exact)
    same = (estimated == exact) | (np.isnan(estimated) & np.isnan(exact))
    errors = np.where(same, 0, np.where(np.isnan(errors), np.inf, errors))
    number = len(errors)
    rank = int((bdtr(np.arange(number), number, COVERAGE) < CONFIDENCE).sum())  # counted from 0
    found = float(np.sort(errors)[rank])
    return math.expm1(found) if is_relative else found
