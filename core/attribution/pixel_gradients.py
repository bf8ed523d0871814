"""`PixelGradients`: rows and columns of one image's Jacobian, one after another, as a pointer asks for them."""

import threading
from collections.abc import Iterator
from functools import cached_property, lru_cache
from itertools import islice

import numpy as np
from torch import Tensor

from ..segmenter import Image, Segmenter
from ..target import Score, Target
from .influence import moved_outputs
from .smoothgrad import Samples, intensity_range, noise_draws, smoothed_gradient
from .windowed import MapWindow, image_parts, target_gradient

_KEPT_BYTES = 2**26
"""Memory for the noise of one image size."""


class PixelGradients:
    """Gradients of single pixels of one image, without the cost of anything that does not depend on the pixel.

    The image is checked once, and nothing is hashed. Where the receptive field is known (see `learn_field`, which may
    run meanwhile), a row costs what its window costs, whatever the size of the image. Threads may share one.

    Args:
        segmenter: The network, whose weights must not change meanwhile.
        image: (C, H, W) in [0, 1]; it must not change meanwhile.
        score: The score that is explained.
        labels: Int (H, W), the predicted class of each pixel, for a score of the class predicted there.

    Raises:
        UserError: The image or the score does not fit the network; methods raise it for a pixel outside the image and
            for logits that are not finite.
    """

    def __init__(self, segmenter: Segmenter, image: Image, score: Score, labels: np.ndarray | None = None) -> None:
        self._segmenter = segmenter
        self._images, self.size = image_parts(segmenter, image)
        self._score, self._labels = score, labels
        score.check(segmenter.num_classes)

    def row(self, row: int, column: int) -> MapWindow:
        """∂score(row, column) / ∂image: values (C, h, w) and where they begin; 0 elsewhere. See `gradient`."""
        return target_gradient(self._segmenter, self._images, self.size, self._target(row, column))

    def column(self, row: int, column: int) -> MapWindow:
        """∂score(q) / ∂image(row, column): values (h, w) over outputs q and where they begin; see `influence`."""
        return moved_outputs(self._segmenter, self._images, self.size, self._target(row, column))

    def smooth_row(
        self, row: int, column: int, samples: int, seed: int = 0, noise: float = 0.1, internal_batch_size: int = 4
    ) -> MapWindow:
        """The mean of `row` over noisy copies of the image, as in `smoothgrad` with the same settings."""
        drawn = _kept_noise((self._segmenter.in_channels, *self.size), seed).draws()
        copies = Samples(self._images, noise * self._intensity_range, samples, internal_batch_size)
        return smoothed_gradient(self._segmenter, copies, drawn, self.size, self._target(row, column))

    def _target(self, row: int, column: int) -> Target:
        return self._score.at(row, column, self._labels)

    @cached_property
    def _intensity_range(self) -> float:
        return intensity_range(self._images, self.size)


class _KeptNoise:
    """The first draws of `noise_draws`, kept; images of one size share them."""

    def __init__(self, shape: tuple[int, int, int], seed: int) -> None:
        self._shape, self._seed = shape, seed
        self._most = max(1, _KEPT_BYTES // (4 * shape[0] * shape[1] * shape[2]))
        self._generated = noise_draws(shape, seed)
        self._kept: list[Tensor] = []
        self._lock = threading.Lock()

    def draws(self) -> Iterator[Tensor]:
        for index in range(self._most):
            with self._lock:
                if index == len(self._kept):
                    self._kept.append(next(self._generated))
            yield self._kept[index]
        yield from islice(noise_draws(self._shape, self._seed), self._most, None)


@lru_cache(maxsize=2)
def _kept_noise(shape: tuple[int, int, int], seed: int) -> _KeptNoise:
    return _KeptNoise(shape, seed)
