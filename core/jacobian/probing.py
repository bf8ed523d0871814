"""Estimating what each row of a Jacobian sums up to, from its products with random images.

Where every pixel reaches every other and no statistics uncouple them, as with attention, rows cannot share backward
passes: in a pass for many rows each is buried under the far ends of the others. But a product J·v with an image v, one
forward-mode pass, says something of all rows at once. Over random v,

- with signs, the mean of (J·v)² is Σ |J|² (Hutchinson, "A stochastic estimator of the trace of the influence matrix",
  1990); with signs times coordinates, it is Σ |J|² times the coordinates' squares;
- with values of the isotropic Cauchy distribution, J·v is Cauchy distributed with the scale Σ |J| (Indyk, "Stable
  distributions, pseudorandom generators, embeddings and data stream computation", 2006), and the mean of log |J·v| is
  log Σ |J| (Li, Hastie & Church, "Nonlinear estimators and tail bounds for dimension reduction in l1", 2007).

So the number of passes follows from the error wanted, whatever the network and the size of the image. The errors are
not taken from this theory but measured, at pixels drawn at random whose rows are computed by backward passes.
"""

import math
import time

import numpy as np
import torch

from ..attribution.influence import jacobian_vector_product
from ..compute.memory import ShrinkingBatches, fitting_batch_size
from ..compute.progress import Progress
from ..errors import UserError
from ..segmenter import Image, Segmenter, prediction_of
from ..segmenter.differentiation import exact_arithmetic
from ..target import Score, Space
from .passes import PassRunner
from .request import checked_image, hash_of
from .row_estimates import (
    FEWEST_EXACT,
    SUMMARIES,
    EstimatedMap,
    RowEstimates,
    error_of,
    summaries_of,
    summaries_of_rows,
)
from .scores import scores_of_images

_HEAVY = 5
"""Cauchy probes in a round. With 5 of them beside one of signs, the errors of the sum and of the norm are alike."""
_PROBES = _HEAVY + 3
"""All probes of a round: also one of signs, alone, times its rows and times its columns."""
_FEWEST_ROUNDS = 16
_ROUNDS = 3.8
"""Rounds for an error of 1 in the logarithm at 64 pixels. The standard deviation of one round is 0.70 for the sum,
π / (2 √5), and at most 0.71 for the norm, 1 / √2; the largest of 64 errors is below 2.75 of them as a rule."""
_SHARE = 16
_LARGEST_BATCH = 64


def estimate_row_summaries(
    segmenter: Segmenter,
    image: Image,
    class_index: int = 1,
    space: Space = "probability",
    error: float = 0.2,
    *,
    most_passes: int | None = None,
    exact_rows: int = 64,
    against: int | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> RowEstimates:
    """Estimates, with error bars, of what each row of the Jacobian of a score map sums up to.

    For networks whose whole Jacobian takes a pass for each pixel. See `SUMMARIES` for what is estimated.

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1].
        class_index: As in `JacobianRequest`.
        space: As in `JacobianRequest`.
        error: The relative error wanted for the sum and the norm, kept by 95 % of the pixels.
        most_passes: Passes at most, those of the exact rows included; None for a sixteenth of the pixels (in small
            images 192). Where they do not reach the error, the result says so.
        exact_rows: Pixels drawn at random whose rows are computed exactly, at least 59; the errors are measured there.
        against: As in `JacobianRequest`.
        seed: Seed of what is drawn.
        batch_size: Passes at once; None takes as many as fit.
        progress: Called with passes done and in all.

    Raises:
        UserError: Arguments that do not fit the network or the image, too few passes, more than the exact Jacobian
            takes, or a network with an operation that no forward mode goes through.
    """
    started = time.perf_counter()
    score = Score(class_index, space, against)
    values = checked_image(segmenter, image, score)
    _, height, width = values.shape
    total = passes_of_estimate(height * width, error, most_passes, exact_rows)
    rounds = (total - exact_rows) // _PROBES
    if seed < 0:
        raise UserError(f"A seed is a whole number from 0 on; {seed} was given.")
    with torch.no_grad(), segmenter.lock:
        labels = prediction_of(segmenter.logits(values[None])[0]).labels
    size = batch_size or fitting_batch_size(segmenter, values, _LARGEST_BATCH)
    prober = _Prober(segmenter, values, score, labels, size)
    sums = ProbeSums((height, width))
    at_once = max(1, size // _PROBES)
    for first in range(0, rounds, at_once):
        group = range(first, min(first + at_once, rounds))
        products = prober(np.concatenate([probes(seed, index, values.shape) for index in group]))
        for of_round in np.split(products, len(group)):
            sums.add(of_round)
        if progress is not None:
            progress(_PROBES * group.stop, total)
    flat = np.random.default_rng([seed, 0, 1]).choice(height * width, exact_rows, replace=False)
    pixels = np.stack(np.unravel_index(flat, (height, width)), axis=1)
    exact = _exact_summaries(PassRunner(segmenter, values, score, size, labels), (height, width), pixels)
    if progress is not None:
        progress(total, total)
    return RowEstimates(
        maps=_with_errors(sums.summaries(), pixels, exact, score),
        score=score,
        pixels=pixels,
        exact=exact,
        passes=total,
        rows=height * width,
        wanted_error=error,
        seed=seed,
        seconds=time.perf_counter() - started,
        model=segmenter.name,
        notes=segmenter.notes,
        weights_hash=segmenter.weights_hash,
        image_hash=hash_of(values),
    )


def passes_of_estimate(rows: int, error: float, most_passes: int | None = None, exact_rows: int = 64) -> int:
    """Passes that an estimate takes for a Jacobian of so many rows; arguments as in `estimate_row_summaries`.

    Raises:
        UserError: As there.
    """
    if not 0 < error <= 1:
        raise UserError(f"The error wanted is a share between 0 and 1, such as 0.2; {error:g} was given.")
    if exact_rows < FEWEST_EXACT:
        raise UserError(f"Errors are measured at {FEWEST_EXACT} exact rows at least; {exact_rows} were asked for.")
    fewest = _PROBES * _FEWEST_ROUNDS + exact_rows
    most = max(rows // _SHARE, fewest) if most_passes is None else most_passes
    if most < fewest:
        raise UserError(f"An estimate with {exact_rows} exact rows takes {fewest:,} passes at least; allow that many.")
    rounds = max(_FEWEST_ROUNDS, min(math.ceil(_ROUNDS / math.log1p(error) ** 2), (most - exact_rows) // _PROBES))
    passes = _PROBES * rounds + exact_rows
    if passes >= rows:
        raise UserError(
            f"Such an estimate takes {passes:,} passes and the exact Jacobian no more than {rows:,}; compute that "
            "instead."
        )
    return passes


def probes(seed: int, index: int, shape: tuple[int, ...]) -> np.ndarray:
    """The random images of one round, float32 (8, C, H, W): five Cauchy, then signs, alone and times coordinates."""
    generator = np.random.default_rng([seed, index, 0])
    channels, height, width = shape
    heavy = generator.standard_normal((_HEAVY, channels, height, width))
    heavy /= np.abs(generator.standard_normal((_HEAVY, 1, height, width)))
    signs = generator.choice(np.array([-1.0, 1.0]), shape)
    rows, columns = _coordinates((height, width))
    return np.concatenate((heavy, np.stack((signs, signs * rows, signs * columns)))).astype(np.float32)


class ProbeSums:
    """What is added up of the products of all rounds, for an image of `size` (height, width)."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._rounds = 0
        self._logs, self._squares, self._moments = (np.zeros(size) for _ in range(3))
        self._rows, self._columns = _coordinates(size)

    def add(self, products: np.ndarray) -> None:
        """Add the products (8, H, W) with the `probes` of a round."""
        heavy, (plain, by_row, by_column) = products[:_HEAVY].astype(np.float64), products[_HEAVY:].astype(np.float64)
        self._rounds += 1
        with np.errstate(divide="ignore"):
            self._logs += np.log(np.abs(heavy)).sum(axis=0)
        self._squares += plain**2
        # Coordinates relative to each output pixel: Σ (r(q) - r(p)) v(q) J(p, q), and the same for columns.
        self._moments += (by_row - self._rows * plain) ** 2 + (by_column - self._columns * plain) ** 2

    def summaries(self) -> dict[str, np.ndarray]:
        """The estimates so far, float64 (H, W) each."""
        total = np.exp(self._logs / (_HEAVY * self._rounds))
        return summaries_of(total, self._squares / self._rounds, self._moments / self._rounds)


class _Prober:
    """Products of the Jacobian of one image with other images."""

    def __init__(
        self, segmenter: Segmenter, image: np.ndarray, score: Score, labels: np.ndarray, batch_size: int
    ) -> None:
        self._segmenter, self._score = segmenter, score
        self._image = torch.from_numpy(image).to(segmenter.device)
        self._labels = torch.from_numpy(labels.astype(np.int64)).to(segmenter.device)
        self._batches = ShrinkingBatches(batch_size, "a single forward-mode pass")

    def __call__(self, tangents: np.ndarray) -> np.ndarray:
        """Float32 (M, H, W) for tangents (M, C, H, W)."""
        run = self._batches.run_each(len(tangents), lambda start, stop: self._products(tangents[start:stop]))
        products = np.concatenate([found for _, _, found in run])
        if not np.isfinite(products).all():
            raise UserError(
                f"The derivatives of {self._segmenter.name} are not finite at this image, so nothing can be estimated."
            )
        return products

    def _products(self, tangents: np.ndarray) -> np.ndarray:
        segmenter = self._segmenter
        point = self._image.expand(len(tangents), *self._image.shape).contiguous()
        with exact_arithmetic(segmenter.device):
            products = jacobian_vector_product(
                segmenter,
                lambda images: scores_of_images(segmenter, images, self._score, self._labels),
                point,
                torch.from_numpy(tangents).to(segmenter.device),
            )
        return products.detach().cpu().numpy()


def _coordinates(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows (H, 1) and columns (1, W) from the middle."""
    rows, columns = (np.arange(length) - (length - 1) / 2 for length in size)
    return rows[:, None], columns[None]


def _exact_summaries(runner: PassRunner, size: tuple[int, int], pixels: np.ndarray) -> dict[str, np.ndarray]:
    parts = []
    for start in range(0, len(pixels), _PROBES):
        part = pixels[start : start + _PROBES]
        outputs = np.zeros((len(part), *size), np.float32)
        outputs[np.arange(len(part)), part[:, 0], part[:, 1]] = 1
        parts.append(summaries_of_rows(runner(outputs), part))
    return {name: np.concatenate([part[name] for part in parts]) for name in SUMMARIES}


def _with_errors(
    estimates: dict[str, np.ndarray], pixels: np.ndarray, exact: dict[str, np.ndarray], score: Score
) -> dict[str, EstimatedMap]:
    rows, columns = pixels.T
    return {
        name: EstimatedMap(
            values.astype(np.float32),
            error_of(values[rows, columns], exact[name], is_relative=SUMMARIES[name].is_relative),
            SUMMARIES[name],
            SUMMARIES[name].unit or score.gradient_unit,
        )
        for name, values in estimates.items()
    }
