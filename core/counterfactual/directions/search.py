"""The search for the leading directions, and how far the network is from what they foretell."""

import time
from collections.abc import Sequence

import numpy as np

from ...attribution.attribution import image_hash
from ...compute.progress import About, Progress
from ...errors import UserError
from ...segmenter import Image, Segmenter
from ...target import PREDICTED, Score, Space
from .block import JacobianBlock
from .result import LeadingDirections, step_size
from .singular_vectors import Singular, leading_singular_vectors

DEFAULT_COUNT = 4
MOST_DIRECTIONS = 32
DEFAULT_TOLERANCE = 1e-3
DEFAULT_PROBES = 16
GREY_LEVELS = (0.1, 1.0, 10.0)
"""Sizes of the steps at which the first order is held against the network: the largest change of an intensity."""
_BALANCED = 1e-4
_POOR = 0.01


def leading_directions(
    segmenter: Segmenter,
    image: Image,
    region: np.ndarray | tuple[int, int],
    class_index: int = 1,
    space: Space = "logit",
    against: int | None = None,
    count: int = DEFAULT_COUNT,
    *,
    labels: np.ndarray | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
    probes: int = DEFAULT_PROBES,
    grey_levels: Sequence[float] = GREY_LEVELS,
    seed: int = 0,
    progress: Progress | None = None,
) -> LeadingDirections:
    """The changes of an image that move the scores of a region most, to first order.

    The leading singular vectors of the Jacobian's rows of the region, without storing them: by products J·t (forward
    mode) and Jᵀ·w (reverse mode) only, see `leading_singular_vectors`. For a single pixel it is the gradient map,
    divided by its norm.

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1].
        region: Bool (H, W), or the (row, column) of one pixel.
        class_index: The class whose score is watched, or `PREDICTED` for the one predicted at each pixel.
        space: Score space of that class.
        against: The class whose score is subtracted; None for the class alone.
        count: Number of directions; a region of fewer pixels has fewer.
        labels: Int (H, W), the class at each pixel for `PREDICTED`; None takes the network's prediction.
        tolerance: Relative; the iterations end when ‖J·Jᵀ·u - σ²·u‖ ≤ tolerance · σ² for each left vector u.
        probes: Random products for the estimate of ‖J‖²; it is exact where the region has at most 32 pixels.
        grey_levels: See `first_order_errors`.
        seed: Seed of all that is drawn.
        progress: See `Progress`; counts passes.

    Raises:
        UserError: An empty region or one of another size, a count, a tolerance or steps that make no sense, a region
            whose scores nothing in the image moves; else as `JacobianBlock`.
    """
    started = time.perf_counter()
    batch = segmenter.as_batch(image, single=True).detach()
    mask = _checked_mask(region, (batch.shape[2], batch.shape[3]))
    if not 1 <= count <= MOST_DIRECTIONS:
        raise UserError(f"The number of directions lies between 1 and {MOST_DIRECTIONS}; {count} was given.")
    if not 0 < tolerance < 1 or probes < 2 or not grey_levels or min(grey_levels) <= 0:
        raise UserError("The tolerance lies between 0 and 1, there are at least 2 probes, and steps are above 0.")
    score = Score(class_index, space, against)
    if class_index != PREDICTED:
        labels = None
    elif labels is None:
        labels = segmenter.predict(image).labels
    block = JacobianBlock(segmenter, image, mask, score, labels)
    found = leading_singular_vectors(block, count, tolerance, probes, seed, progress)
    signs = _signs(found.left)
    found = found._replace(left=found.left * signs, right=found.right * signs)
    errors = first_order_errors(block, found, grey_levels, progress)
    left = np.zeros((len(found.values), *mask.shape), np.float32)
    left[:, mask] = found.left.T
    array = block.image
    return LeadingDirections(
        found.values,
        np.stack([block.as_image(one) for one in found.right.T]),
        left,
        found.residuals,
        found.squares,
        found.squares_error,
        errors,
        tuple(float(level) for level in grey_levels),
        mask,
        score,
        {"count": count, "tolerance": tolerance, "probes": probes, "seed": seed},
        block.products,
        time.perf_counter() - started,
        segmenter.name,
        segmenter.weights_hash,
        image_hash(array),
        (*segmenter.notes, *_notes(found, count, block.shape[0])),
    )


def first_order_errors(
    block: JacobianBlock, found: Singular, grey_levels: Sequence[float], progress: Progress | None = None
) -> np.ndarray:
    """How far the network's scores are from what the directions foretell, a share, float64 (k, levels).

    max over ± of ‖f(x ± ε·v) - f(x) ∓ ε·σ·u‖ / (ε·σ), with ε such that the intensity that changes most changes by so
    many of 255 grey levels. The image is not cut off at 0 and 1 here, which would be another change.
    """
    errors = np.empty((len(found.values), len(grey_levels)))
    start, total = block.scores_at(np.zeros(block.shape[1])), 2 * errors.size
    for row, (left, value, right) in enumerate(zip(found.left.T, found.values, found.right.T, strict=True)):
        for column, level in enumerate(grey_levels):
            size = step_size(right, level)
            off = [
                np.linalg.norm(block.scores_at(sign * size * right) - start - sign * size * value * left)
                for sign in (1, -1)
            ]
            errors[row, column] = max(off) / (size * value)
            if progress is not None:
                done = block.products + 2 * (row * len(grey_levels) + column + 1)
                progress(done, About(block.products + total))
    return errors


def labels_along(
    segmenter: Segmenter,
    image: Image,
    found: LeadingDirections,
    grey_levels: Sequence[float],
    progress: Progress | None = None,
) -> np.ndarray:
    """The labels predicted after steps along each direction, int64 (k, levels, H, W); see `stepped`.

    Raises:
        UserError: Another image than that of the directions.
    """
    labels = np.empty((len(found), len(grey_levels), *found.mask.shape), np.int64)
    for index in range(len(found)):
        for place, level in enumerate(grey_levels):
            labels[index, place] = segmenter.predict(found.stepped(image, index, level)).labels
            if progress is not None:
                progress(index * len(grey_levels) + place + 1, len(found) * len(grey_levels))
    return labels


def _checked_mask(region: np.ndarray | tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    if isinstance(region, tuple):
        row, column = region
        if not (0 <= row < size[0] and 0 <= column < size[1]):
            raise UserError(
                f"The pixel ({row}, {column}) lies outside the image of {size[0]} rows and {size[1]} columns."
            )
        mask = np.zeros(size, bool)
        mask[row, column] = True
        return mask
    mask = np.asarray(region)
    if mask.shape != size or mask.dtype != bool:
        raise UserError(f"The region is a mask of booleans of the image's size, {size[0]}×{size[1]} pixels.")
    if not mask.any():
        raise UserError("The region has no pixel, so nothing can move its scores; choose some pixels.")
    return mask.copy()


def _signs(left: np.ndarray) -> np.ndarray:
    """±1 for each column, such that its sum is not negative; where that is 0, its largest entry is positive."""
    sums, sizes = left.sum(axis=0), np.abs(left).sum(axis=0)
    largest = left[np.abs(left).argmax(axis=0), np.arange(left.shape[1])]
    return np.where(np.abs(sums) > _BALANCED * sizes, np.sign(sums), np.sign(largest))


def _notes(found: Singular, count: int, pixels: int) -> list[str]:
    number, notes = len(found.values), []
    if number < count:
        why = f"the region has {pixels} pixel{'s' * (pixels != 1)}"
        if number < min(count, pixels):
            why = "no other direction moves its scores, or none converged"
        notes.append(f"{number} direction{'s' * (number != 1)} instead of {count}: {why}")
    if found.residuals.max() > _POOR:
        notes.append(f"the directions are rough: J·v is off by up to {100 * found.residuals.max():.1g} % of σ·u")
    return notes
