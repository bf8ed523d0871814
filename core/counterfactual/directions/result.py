"""`LeadingDirections`: the changes of an image that move the scores of a region most, and what they amount to."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ...attribution.attribution import image_hash
from ...display.colours import FULL_COLOUR_PERCENTILE, colour_limit, png_bytes, signed_scale
from ...errors import UserError
from ...io.files import npy_bytes, write_atomically
from ...io.tables import json_bytes
from ...segmenter import Image
from ...target import PREDICTED, Score

SCHEMA_VERSION = 1
_FULL_SCALE = 255
_ALL = 0.995


@dataclass(frozen=True, eq=False)
class LeadingDirections:
    """The leading singular vectors of J = ∂(scores of a region's pixels) / ∂image, the largest first.

    A small change ε·right[i] of the image changes the scores of the region by ε·values[i]·left[i].

    Attributes:
        values: Float64 (k,), the singular values in score per unit of intensity: the Euclidean norm of the change of
            all scores of the region, per Euclidean norm of the change of all intensities.
        right: Float32 (k, C, H, W), changes of the image of norm 1.
        left: Float32 (k, H, W), what they do to the scores, of norm 1; 0 outside the region. The sum is not negative.
        residuals: Float64 (k,), ‖J·right - value·left‖ / value.
        squares: ‖J‖², the sum of all squared singular values.
        squares_error: Standard error of `squares`; 0 where it is exact.
        errors: Float64 (k, levels), how far the network is from the first order, see `first_order_errors`.
        grey_levels: The steps of `errors`.
        mask: Bool (H, W), the region.
        score: The score at each of its pixels.
        parameters: Count asked for, tolerance, probes and seed.
        products: Passes that it took.
        seconds: Wall time.
        model_name: The network's name.
        weights_hash: `Segmenter.weights_hash`.
        image_hash: SHA-256 of the image.
        notes: What was found about the network and the region, one sentence each.
    """

    values: np.ndarray
    right: np.ndarray
    left: np.ndarray
    residuals: np.ndarray
    squares: float
    squares_error: float
    errors: np.ndarray
    grey_levels: tuple[float, ...]
    mask: np.ndarray
    score: Score
    parameters: dict[str, Any]
    products: int
    seconds: float
    model_name: str
    weights_hash: str
    image_hash: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    @property
    def shares(self) -> np.ndarray:
        """Share of ‖J‖² of each direction, float64 (k,): σ² / ‖J‖².

        Of the expected squared change of the scores by a small random change of the image it is the part that comes
        through this direction.
        """
        return np.square(self.values) / self.squares

    @property
    def share_error(self) -> float:
        """Standard error of the sum of `shares`; 0 where it is exact."""
        return float(self.shares.sum() * self.squares_error / self.squares)

    @property
    def advantages(self) -> np.ndarray:
        """How many times as far as a random change of the same norm each direction moves the scores, float64 (k,).

        σ · √n / ‖J‖ for n intensities: a random change of norm 1 moves the scores by ‖J‖ / √n, in the root mean square.
        """
        return self.values * np.sqrt(self.right[0].size / self.squares)

    def change(self, index: int, grey_levels: float) -> np.ndarray:
        """A step along a direction, float32 (C, H, W), whose largest change of an intensity is so many grey levels."""
        return np.float32(step_size(self.right[index], grey_levels)) * self.right[index]

    def stepped(self, image: Image, index: int, grey_levels: float) -> np.ndarray:
        """The image after such a step, float32 (C, H, W), kept in [0, 1].

        Raises:
            UserError: Another image.
        """
        array = np.asarray(image, np.float32).reshape(self.right[index].shape) if _fits(image, self.right) else None
        if array is None or image_hash(array) != self.image_hash:
            raise UserError("The directions are those of another image; compute them for this one.")
        return np.clip(array + self.change(index, grey_levels), 0, 1)

    @property
    def verdict(self) -> str:
        """What the directions amount to, in a few sentences."""
        shares, pixels = self.shares, int(self.mask.sum())
        scores = "the score of this pixel" if pixels == 1 else f"the scores of these {pixels:,} pixels"
        exactly = f" (estimated, ±\N{NO-BREAK SPACE}{_percent(self.share_error)})" if self.squares_error else ""
        more = f", the first {len(self)} together {_percent(shares.sum())}" if len(self) > 1 else ""
        off = [f"{_percent(error)} at {level:g}" for error, level in zip(self.errors[0], self.grey_levels, strict=True)]
        return (
            f"The first direction makes up {_percent(shares[0])} of what a small random change of the image does to "
            f"{scores}, as squared change{more}{exactly}. A step along the first direction moves "
            f"{'it' if pixels == 1 else 'them'} {self.advantages[0]:,.0f} times as far as a random step of the same "
            f"norm. Its first-order forecast is off by {', '.join(off)} grey "
            f"level{'s' * (self.grey_levels[-1] != 1)}, counted where the step is largest."
        )

    def manifest(self) -> dict[str, Any]:
        """All that is needed to make the directions again, and their numbers, as plain values for JSON."""
        is_predicted = self.score.class_index == PREDICTED
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "leading directions",
            "class_index": "predicted" if is_predicted else self.score.class_index,
            "space": self.score.space,
            "against": self.score.against,
            "pixels": int(self.mask.sum()),
            "parameters": self.parameters,
            "singular_values": self.values.tolist(),
            "unit": self.score.gradient_unit,
            "residuals": self.residuals.tolist(),
            "squared_norm": self.squares,
            "squared_norm_standard_error": self.squares_error,
            "shares": self.shares.tolist(),
            "first_order_errors": self.errors.tolist(),
            "grey_levels": list(self.grey_levels),
            "verdict": self.verdict,
            "notes": list(self.notes),
            "products": self.products,
            "model": self.model_name,
            "weights_sha256": self.weights_hash,
            "image_sha256": self.image_hash,
            "seconds": round(self.seconds, 6),
            "libraries": {name: version(name) for name in ("torch", "numpy", "scipy")},
        }

    def files(self) -> dict[str, bytes]:
        """What `save` writes, by file name: the arrays, a picture of each vector, and the manifest."""
        arrays = {"right": self.right, "left": self.left, "singular_values": self.values, "mask": self.mask}
        files = {f"{name}.npy": npy_bytes(values) for name, values in arrays.items()}
        for index in range(len(self)):
            for side, values in (("right", self.right[index].sum(axis=0)), ("left", self.left[index])):
                limit = colour_limit(values[values != 0], percentile=FULL_COLOUR_PERCENTILE)
                files[f"{side}_{index + 1}.png"] = png_bytes(signed_scale(limit).rgb(values))
        return files | {"manifest.json": json_bytes(self.manifest())}

    def save(self, folder: str | Path) -> Path:
        """Write the vectors, raw and as pictures, and the manifest into `folder`, each file whole or not at all."""
        folder = Path(folder)
        for name, content in self.files().items():
            write_atomically(folder / name, content)
        return folder


def step_size(direction: np.ndarray, grey_levels: float) -> float:
    """The ε of a step ε·direction whose largest change of an intensity is so many of 255 grey levels."""
    return float(grey_levels / _FULL_SCALE / np.abs(direction).max())


def _fits(image: Image, right: np.ndarray) -> bool:
    shape = tuple(image.shape)
    return shape[-3:] == right.shape[1:] and len(shape) <= 4


def _percent(share: float) -> str:
    return f"{100 * share:.2g}\N{NO-BREAK SPACE}%" if share < _ALL else f"{100 * share:.0f}\N{NO-BREAK SPACE}%"
