"""`smallest_change`: the smallest change of an image that flips the label of a pixel or of a region."""

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...compute.progress import AtMost, Progress
from ...errors import UserError
from ...segmenter import Image, Prediction, Segmenter
from ..edit import Edit, as_array
from .grey_levels import in_grey_levels
from .natural import SHAPES, Fill, Shape, natural_flip
from .projections import length
from .question import Question, question_about
from .result import MEASURES, Measure, SmallestChange
from .search import DEFAULT_STEPS, nearest_flip
from .slope import Slope
from .sparse import fewest_pixels

_OVERSHOOTS = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.05, 0.2)
"""How much further than the boundary the change goes, one after another, until the whole image shows the flip."""


def smallest_change(
    segmenter: Segmenter,
    image: Image,
    pixels: tuple[int, int] | np.ndarray,
    *,
    measure: Measure = "l2",
    to_class: int | None = None,
    from_class: int | None = None,
    share: float = 0.5,
    allowed: np.ndarray | None = None,
    eight_bit: bool = False,
    fill: Fill = "inpaint",
    shapes: tuple[Shape, ...] = SHAPES,
    steps: int = DEFAULT_STEPS,
    progress: Progress | None = None,
) -> SmallestChange:
    """The smallest change found that flips the label of a pixel or of a region, proven on the whole image.

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1]; never changed.
        pixels: (row, column) of a pixel, or a region, bool (H, W).
        measure: What is made small: the "l2" or "linf" norm of the change, the number of pixels "l0", or the area of a
            "natural" change, a disc, rectangle or set of superpixels that is filled.
        to_class: The class that the pixels are to get; None for any other.
        from_class: The class that they are to leave; None for the predicted one, of a region the one that most have.
        share: The share of the region's pixels of that class that is to flip.
        allowed: Bool (H, W), the pixels that may change; None for all. The others stay bit for bit.
        eight_bit: Whether changed values are to be whole levels of an 8-bit image.
        fill: What the pixels of a natural change become: in-painted from around, blurred, or a local mean.
        shapes: Shapes of a natural change that are tried.
        steps: Most steps of the search for each class, each a run of the network and a gradient.
        progress: See `core.compute.progress.Progress`; counts runs of the network against a bound.

    Raises:
        UserError: The image, the pixels or the classes do not fit; no pixel may change, or none that may can move the
            score; no change within [0, 1] was found.
    """
    started = time.perf_counter()
    values = as_array(image).copy()
    if measure not in MEASURES:
        raise UserError(f'What is made small is one of {", ".join(MEASURES)}; "{measure}" was given.')
    if steps < 1:
        raise UserError(f"The search takes at least one step; {steps} was given.")
    _check_range(values)
    prediction = segmenter.predict(values)
    question = question_about(prediction, pixels, to_class, from_class, share)
    _check_allowed(allowed, prediction.labels.shape)
    slope = Slope(segmenter, values, question, allowed)
    if progress is not None:
        report, most = progress, (3 if to_class is not None or len(prediction.probabilities) == 2 else 6) * steps
        slope.on_run = lambda: report(min(slope.runs, most), AtMost(most))
    _check_reach(slope)
    found = _found(slope, question, measure, steps, fill, shapes, eight_bit=eight_bit)
    proof = (
        None if found is None else _proven(segmenter, values, question, slope, found, measure if eight_bit else None)
    )
    if proof is None:
        where = "the allowed pixels" if allowed is not None else "the image"
        levels = " in whole grey levels" if eight_bit else ""
        raise UserError(
            f"No change of {where} within [0, 1]{levels} was found that flips this label, in {slope.runs} runs of the "
            "network; it may not be possible."
        )
    changed, after = proof
    change = changed.astype(np.float64) - values
    return SmallestChange(
        Edit.between(values, changed, [f"Smallest change that flips a label ({measure})"]), values, changed, question,
        measure, prediction.labels, after.labels, float(np.sqrt(np.square(change).sum())), float(np.abs(change).max()),
        int((change != 0).any(axis=0).sum()), time.perf_counter() - started, slope.runs, segmenter.weights_hash,
        {
            "pixels": int(question.mask.sum()), "share": share, "to_class": to_class, "eight_bit": eight_bit,
            "fill": fill if measure == "natural" else None,
            "steps": steps, "allowed": None if allowed is None else int(allowed.sum()),
            "row": None if isinstance(pixels, np.ndarray) else int(pixels[0]),
            "column": None if isinstance(pixels, np.ndarray) else int(pixels[1]),
        },
    )  # fmt: skip


def _found(
    slope: Slope,
    question: Question,
    measure: Measure,
    steps: int,
    fill: Fill,
    shapes: tuple[Shape, ...],
    *,
    eight_bit: bool,
) -> Tensor | None:
    if measure == "natural":
        row, column = (round(places.mean()) for places in np.nonzero(question.mask))
        centre = row - slope.area[0].start, column - slope.area[1].start
        return natural_flip(slope, centre, fill, shapes, eight_bit=eight_bit)
    return fewest_pixels(slope) if measure == "l0" else nearest_flip(slope, measure, steps)


def distances(
    segmenter: Segmenter,
    image: Image,
    pixels: Sequence[tuple[int, int]],
    measure: Measure = "l2",
    steps: int = DEFAULT_STEPS,
    progress: Progress | None = None,
) -> np.ndarray:
    """The size of the smallest change found that flips each pixel (row, column), float64 (n,); NaN where none was.

    The flips are proven on the part of the image that can move the pixel, not on the whole image. Further arguments and
    errors as in `smallest_change`.
    """
    values = as_array(image)
    if measure not in ("l2", "linf"):
        raise UserError(f'Distances are measured by "l2" or "linf"; "{measure}" was given.')
    _check_range(values)
    prediction = segmenter.predict(values)
    found = np.full(len(pixels), np.nan)
    for index, pixel in enumerate(pixels):
        slope = Slope(segmenter, values, question_about(prediction, pixel))
        if progress is not None:
            report, done = progress, index
            slope.on_run = lambda report=report, done=done: report(done, len(pixels))  # type: ignore[misc]
        flipped = nearest_flip(slope, measure, steps, rivals=0)
        if flipped is not None:
            found[index] = length((flipped - slope.start).double(), measure)
    if progress is not None:
        progress(len(pixels), len(pixels))
    return found


def _check_range(values: np.ndarray) -> None:
    if values.min() < 0 or values.max() > 1:
        raise UserError("The image holds intensities outside of [0, 1], where no change could stay; scale it first.")


def _check_allowed(allowed: np.ndarray | None, size: tuple[int, ...]) -> None:
    if allowed is None:
        return
    if allowed.shape != size:
        raise UserError(f"The allowed pixels are of {allowed.shape}, the image of {size}; they must be of one size.")
    if not allowed.any():
        raise UserError("No pixel of the image may change; allow some.")


def _check_reach(slope: Slope) -> None:
    _, _, gradient = slope.slope(slope.start)
    if not bool(gradient.any()):
        raise UserError(
            "None of the pixels that may change moves this score: they lie outside of what the network sees from "
            "there, or its gradient is 0; allow others."
        )


def _proven(
    segmenter: Segmenter, image: np.ndarray, question: Question, slope: Slope, found: Tensor, levels_of: Measure | None
) -> tuple[np.ndarray, Prediction] | None:
    """The whole changed image and its prediction, which shows the flip; None where it does not.

    With `levels_of` a measure, changed values become whole grey levels that keep that small.
    """
    proof: list[tuple[np.ndarray, Prediction]] = []

    def proves(part: Tensor) -> bool:
        changed = image.copy()
        changed[(..., *slope.area)] = part[0].cpu().numpy()
        prediction = segmenter.predict(changed)
        slope.runs += 1
        if question.flipped(prediction.labels):
            proof.append((changed, prediction))
        return bool(proof)

    if levels_of is not None and levels_of != "natural":  # a natural change has them already
        in_grey_levels(slope, found, proves, keeps_largest=levels_of == "linf")
    else:
        for further in _OVERSHOOTS if levels_of is None else (0.0,):
            moved = slope.start + (1 + further) * (found - slope.start)
            if proves(torch.where(found == slope.start, slope.start, moved.clamp(min=slope.low, max=slope.high))):
                break
    return proof[0] if proof else None
