"""What `python -m core ig` does with one image."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..attribution import Attribution
from ..attribution.baselines import BaselineKind
from ..attribution.integrated_gradients import integrated_gradients
from ..attribution.quadrature import Rule
from ..attribution.statistics import statistics
from ..compute.batches import Advance, defined, json_bytes
from ..data.data_sets import ImagePair, read_pair
from ..data.images import Scaling
from ..display.colours import blend, intensity_rgb, png_bytes, sequential_rgb
from ..errors import UserError
from ..io.files import write_atomically
from ..pixel_sets import predicted_class
from ..segmenter import Segmenter
from ..target import Space, Target
from .options import read_for

Region = Literal["image", "class"]

_OPACITY = 0.85
_FULL_COLOUR_PERCENTILE = 99.5
"""Of the magnitudes, what the overlay shows as the largest: a few pixels are far above all others."""


@dataclass(frozen=True)
class TargetChoice:
    """Which scalar of an image is explained: the same choice applies to any image."""

    class_index: int | None
    region: Region
    row: int | None
    column: int | None
    space: Space

    def __post_init__(self) -> None:
        if (self.row is None) != (self.column is None):
            raise UserError("A pixel has a row and a column; give both --row and --column.")
        if self.region == "class" and self.class_index is None:
            raise UserError("The region of a class needs to know which; name it with --class.")
        if self.region == "class" and self.row is not None:
            raise UserError("Give either a pixel or the region of a class.")

    def target(self, segmenter: Segmenter, image: np.ndarray) -> Target:
        """For an image (C, H, W); the network predicts it only where the target depends on that."""
        if self.class_index is not None and self.row is not None and self.column is not None:
            return Target.pixel(self.row, self.column, self.class_index, self.space)
        if self.class_index is not None and self.region == "image":
            return Target.region(np.ones(image.shape[1:], dtype=bool), self.class_index, self.space)
        labels = segmenter.predict(image).labels
        if self.row is not None and self.column is not None:
            inside = 0 <= self.row < labels.shape[0] and 0 <= self.column < labels.shape[1]
            return Target.pixel(self.row, self.column, int(labels[self.row, self.column]) if inside else 0, self.space)
        if self.class_index is None:
            return Target.prediction(labels, self.space)
        return Target.region(predicted_class(labels, self.class_index), self.class_index, self.space)


@dataclass(frozen=True, eq=False)
class ImageExplanation:
    """What is done with every image; plain values, so that it can go to Dask workers."""

    out: Path
    choice: TargetChoice
    baseline: BaselineKind | Path
    sigma: float
    draws: int
    n_steps: int | Literal["auto"]
    rule: Rule
    tolerance: float
    max_steps: int
    seed: int
    scaling: Scaling
    grey: bool
    pairs: Mapping[Path, ImagePair]

    def __call__(self, segmenter: Segmenter, path: Path, progress: Advance | None) -> dict[str, Any]:
        """Explain one image, write its files, and give its row of the table."""
        image, _ = read_for(segmenter, path, self.scaling, grey=self.grey)
        truth = read_pair(self.pairs[path.absolute()]).mask if path.absolute() in self.pairs else None
        baseline = self.baseline
        attribution = integrated_gradients(
            segmenter,
            image,
            self.choice.target(segmenter, image),
            baseline if isinstance(baseline, str) else read_for(segmenter, baseline, self.scaling, grey=self.grey)[0],
            self.n_steps,
            self.rule,
            seed=self.seed,
            sigma=self.sigma,
            draws=self.draws,
            tolerance=self.tolerance,
            max_steps=self.max_steps,
            progress=progress,
        )
        found = statistics(attribution, truth)
        numbers: dict[str, Any] = {
            "image": path.name,
            **found.as_dict(),
            "score_difference": attribution.score_difference,
            "convergence_delta": attribution.convergence_delta,
            "convergence_percent": attribution.convergence_percent,
            "map_error_percent": attribution.map_error_percent,
            "seconds": attribution.seconds,
            **attribution.measured,
        }
        reading = {"predicted": found.predicted.in_words()}
        if found.truth is not None:
            reading["truth"] = found.truth.in_words()
        folder = self.out / path.stem
        write_atomically(folder / "overlay.png", png_bytes(_overlay(image, attribution)))
        plain = {name: defined(value) for name, value in numbers.items()}
        write_atomically(folder / "statistics.json", json_bytes(plain | {"how_to_read": reading}))
        attribution.save(folder)
        return numbers

    def describe(self, segmenter: Segmenter) -> dict[str, Any]:
        """The settings as plain values."""
        automatic = {"tolerance": self.tolerance, "max_steps": self.max_steps}
        return {
            "model": segmenter.name,
            "weights_sha256": segmenter.weights_hash,
            "target": asdict(self.choice),
            "baseline": str(self.baseline),
            "sigma": self.sigma,
            "draws": self.draws,
            "seed": self.seed,
            "steps": self.n_steps,
            **(automatic if self.n_steps == "auto" else {"rule": self.rule}),
            "scaling": self.scaling,
            "grey": self.grey,
        }


def _overlay(image: np.ndarray, attribution: Attribution) -> np.ndarray:
    magnitude = attribution.magnitude()
    limit = float(np.percentile(magnitude, _FULL_COLOUR_PERCENTILE)) or float(magnitude.max()) or 1.0
    shown = np.minimum(magnitude / limit, 1)
    return blend(intensity_rgb(image), sequential_rgb(shown, 1.0), _OPACITY * shown)
