"""Explanation along training: the gradient maps of a few pixels after every epoch whose weights are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from scipy.spatial.distance import cosine

from ..attribution import gradient
from ..compute.progress import Progress
from ..display.footprint import magnitude_of
from ..errors import UserError
from ..scoring.opening_pixel import opening_pixel
from ..segmenter import Segmenter
from ..segmenter.differentiation import exact_arithmetic
from ..target import PREDICTED, Score, Target
from .own_network import load_weights
from .saved_epochs import SavedEpoch, version_of
from .settings import TrainingSettings

MOST_PIXELS = 4
SETTLED = 0.9
"""Cosine similarity with the last map from which on a pixel counts as looking where it looks in the end."""
_MOST_BYTES = 256 * 2**20


@dataclass(frozen=True, eq=False)
class MapsAlong:
    """The gradient maps of P pixels after E epochs.

    Attributes:
        epochs: The epochs, in their order.
        targets: What is explained of each pixel, the same in all epochs.
        values: float32 (E, P, C, H, W), signed, in `unit`.
        scores: float64 (E, P), the score of each target.
        unit: Score per unit of image intensity.
        left_out: Which epochs are missing and why, a sentence each.
    """

    epochs: tuple[SavedEpoch, ...]
    targets: tuple[Target, ...]
    values: NDArray[np.float32]
    scores: NDArray[np.float64]
    unit: str
    left_out: tuple[str, ...] = ()

    @property
    def numbers(self) -> list[int]:
        """The epochs, counted from 1."""
        return [saved.epoch for saved in self.epochs]

    @property
    def pixels(self) -> list[tuple[int, int]]:
        """Row and column of each pixel."""
        return [(int(target.row or 0), int(target.column or 0)) for target in self.targets]

    def similarity(self, pixel: int) -> NDArray[np.float64]:
        """Cosine similarity, in [0, 1], of the magnitudes √Σ_c values² of each epoch with those of the last one.

        It compares where the maps are large, whatever their size and sign; NaN where one of the two is 0 everywhere.
        """
        magnitudes = [magnitude_of(values[pixel]).ravel().astype(np.float64) for values in self.values]
        last = magnitudes[-1]
        return np.array([1 - cosine(each, last) if each.any() and last.any() else np.nan for each in magnitudes])

    def settled_since(self, pixel: int, least: float = SETTLED) -> int | None:
        """The first epoch from which on the similarity is never below `least`.

        None where the last map is 0 everywhere, or where only the last epoch itself is that similar.
        """
        differs = ~(self.similarity(pixel) >= least)
        if differs[-1] or (len(differs) > 1 and differs[-2]) or len(differs) == 1:
            return None
        first = 0 if not differs.any() else int(np.flatnonzero(differs)[-1]) + 1
        return self.epochs[first].epoch

    def answer(self, pixel: int) -> str:
        """When the network began to look where it looks in the end, as a sentence."""
        similarity = self.similarity(pixel)
        if not self.values[-1, pixel].any():
            return "Its last gradient map is 0 everywhere, so there is nothing to compare with."
        if len(self.epochs) == 1:
            return f"Only the weights of epoch {self.numbers[0]} are there, so there is nothing to compare yet."
        since = self.settled_since(pixel)
        if since is None:
            before = f"epoch {self.numbers[-2]}, the saved one before"
            return (
                f"It looked elsewhere until late: the map of {before}, has a cosine similarity of only "
                f"{similarity[-2]:.2f} with the last one."
                if np.isfinite(similarity[-2])
                else f"It looked nowhere until late: the map of {before}, is 0 everywhere."
            )
        if since == self.numbers[0]:
            return f"It has looked where it looks now since epoch {since}, the first that is saved."
        former = next(before for before, after in pairwise(self.numbers) if after == since)
        return f"Since epoch {since} it looks where it looks now; in epoch {former} it did not yet."


def gradient_maps_along(
    settings: TrainingSettings,
    epochs: Sequence[SavedEpoch],
    image: NDArray[np.float32],
    pixels: Sequence[tuple[int, int]],
    score: Score,
    *,
    device: str | torch.device = "auto",
    progress: Progress | None = None,
    known: MapsAlong | None = None,
) -> MapsAlong:
    """The gradient maps of pixels after each epoch, as `core.attribution.gradient` computes them, and the scores.

    The network is built once and takes the weights of one epoch after the other.

    Args:
        settings: Settings of the run.
        epochs: Those of `saved_epochs`. Where all maps would take more than 256 MiB, some are left out evenly; the
            first and the last stay.
        image: (C, H, W) in [0, 1].
        pixels: Row and column of at most four pixels.
        score: Score explained; `PREDICTED` is the class predicted after the last epoch.
        device: As for `load_segmenter`.
        progress: Called after each map.
        known: Maps of the same run and image, taken over where epoch, pixel and score are the same.

    Raises:
        UserError: No epoch that can be read, no pixel or more than four, or a pixel, image or score that does not fit.
    """
    if not 1 <= len(pixels) <= MOST_PIXELS:
        raise UserError(f"Choose one to {MOST_PIXELS} pixels; {len(pixels)} were given.")
    chosen = _evenly(epochs, max(2, _MOST_BYTES // (len(pixels) * image.nbytes)))
    left_out = [] if len(chosen) == len(epochs) else [
        f"Of {len(epochs)} saved epochs {len(chosen)} are shown, so that their maps fit into memory."
    ]  # fmt: skip
    network = _Network(settings, device)
    targets: tuple[Target, ...] = ()
    found: list[tuple[SavedEpoch, list[_Map]]] = []
    for done, saved in enumerate(reversed(chosen)):  # the last epoch first: it says which class is explained
        try:
            segmenter = network.with_weights_of(saved)
        except _UnreadableError as error:
            left_out.append(str(error))
            continue
        targets = targets or _targets(segmenter, image, pixels, score)
        maps = []
        for index, target in enumerate(targets):
            maps.append(_known_map(known, saved, target) or _map(segmenter, image, target))
            if progress is not None:
                progress(done * len(targets) + index + 1, len(chosen) * len(targets))
        found.insert(0, (saved, maps))
    if not found:
        raise UserError("No weights of this run can be read; train it anew, with some epochs kept.")
    return MapsAlong(
        tuple(saved for saved, _ in found),
        targets,
        np.stack([[values for values, _ in maps] for _, maps in found]),
        np.array([[value for _, value in maps] for _, maps in found]),
        score.gradient_unit if len({target.score.unit for target in targets}) > 1 else targets[0].unit,
        tuple(left_out),
    )


def first_pixel(
    settings: TrainingSettings,
    saved: SavedEpoch,
    image: NDArray[np.float32],
    truth: NDArray[np.int64] | None = None,
    *,
    device: str | torch.device = "auto",
) -> tuple[int, int]:
    """The pixel to begin with: the `opening_pixel` of the prediction after an epoch.

    Raises:
        UserError: The epoch's weights cannot be read, or the image does not fit.
    """
    try:
        segmenter = _Network(settings, device).with_weights_of(saved)
    except _UnreadableError as error:
        raise UserError(str(error)) from error
    found = opening_pixel(segmenter.predict(image), segmenter.class_names, truth)
    return found.row, found.column


_Map = tuple[NDArray[np.float32], float]
"""A gradient map and the score."""


class _UnreadableError(Exception):
    """The weights of an epoch cannot be used; the message says which and why."""


class _Network:
    """The network of a run, built once, with the weights of one epoch after the other."""

    def __init__(self, settings: TrainingSettings, device: str | torch.device) -> None:
        self._settings, self._device = settings, device
        self._segmenter: Segmenter | None = None

    def with_weights_of(self, saved: SavedEpoch) -> Segmenter:
        """The segmenter with the weights of an epoch."""
        file, begin = saved.checkpoint, f"Epoch {saved.epoch} was left out:"
        try:
            weights = load_file(file)
            is_same = version_of(file) == saved.version
        except (SafetensorError, OSError) as error:
            raise _UnreadableError(f"{begin} {file.name} cannot be read.") from error
        if not is_same:
            raise _UnreadableError(f"{begin} {file.name} was written anew meanwhile.")
        if not all(bool(torch.isfinite(values).all()) for values in weights.values()):
            raise _UnreadableError(f"{begin} {file.name} holds weights that are not finite.")
        if self._segmenter is None:
            self._segmenter = load_weights(self._settings, file, self._device)
        try:
            self._segmenter.module.load_state_dict(weights)
        except RuntimeError as error:
            raise _UnreadableError(f"{begin} {file.name} does not fit the network.") from error
        return self._segmenter


def _evenly(epochs: Sequence[SavedEpoch], most: int) -> list[SavedEpoch]:
    """At most so many epochs, evenly spread, the first and the last among them."""
    places = np.unique(np.linspace(0, len(epochs) - 1, min(most, len(epochs))).round().astype(int))
    return [epochs[place] for place in places]


def _targets(
    segmenter: Segmenter, image: NDArray[np.float32], pixels: Sequence[tuple[int, int]], score: Score
) -> tuple[Target, ...]:
    labels = segmenter.predict(image).labels if score.class_index == PREDICTED else None
    return tuple(score.at(row, column, labels) for row, column in pixels)


def _known_map(known: MapsAlong | None, saved: SavedEpoch, target: Target) -> _Map | None:
    """The map where it has been computed before."""
    if known is None or saved not in known.epochs:
        return None
    wanted = target.row, target.column, target.score
    for index, other in enumerate(known.targets):
        if (other.row, other.column, other.score) == wanted:
            place = known.epochs.index(saved)
            return known.values[place, index], float(known.scores[place, index])
    return None


def _map(segmenter: Segmenter, image: NDArray[np.float32], target: Target) -> _Map:
    # On the whole image: the windows that a network is known to need are those of other weights.
    values = gradient(segmenter, image, target, window=False).values
    with torch.no_grad(), exact_arithmetic(segmenter.device):
        return values, float(target(segmenter.logits(segmenter.as_batch(image, single=True))))
