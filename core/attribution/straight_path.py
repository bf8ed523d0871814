"""The straight path from a baseline to the image, and what a network says and how it slopes along it."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..compute.memory import ShrinkingBatches
from ..segmenter import Segmenter
from ..target import Target
from .gradient import input_gradient


class StraightPath:
    """Images baseline + α · (image - baseline), of which only one batch is held at a time.

    Args:
        segmenter: The network.
        image: (1, C, H, W) on the segmenter's device.
        baseline: Likewise.
        target: The scalar explained.
        batches: The size of a batch; it shrinks when memory runs out.
    """

    def __init__(
        self, segmenter: Segmenter, image: Tensor, baseline: Tensor, target: Target, batches: ShrinkingBatches
    ) -> None:
        self._segmenter = segmenter
        self._baseline = baseline
        self._target = target
        self._batches = batches
        self.difference = (image - baseline)[0]
        """image - baseline, float32 (C, H, W)."""

    @property
    def batch_size(self) -> int:
        """Images in a batch."""
        return self._batches.size

    @torch.no_grad()
    def scores(self, alphas: np.ndarray) -> np.ndarray:
        """Scores of the target at some α, float64 (n,)."""

        def work(start: int, stop: int) -> np.ndarray:
            return self._target(self._segmenter.logits(self._images(alphas[start:stop]))).double().cpu().numpy()

        return np.concatenate([scores for _, _, scores in self._batches.run_each(len(alphas), work)])

    def gradients(self, alphas: np.ndarray) -> Iterator[tuple[int, Tensor]]:
        """∂target / ∂image at some α, in batches: the number of the first and gradients (b, C, H, W)."""

        def work(start: int, stop: int) -> Tensor:
            images = self._images(alphas[start:stop]).requires_grad_()
            return input_gradient(self._target(self._segmenter.logits(images)).sum(), images)

        return ((start, gradients) for start, _, gradients in self._batches.run_each(len(alphas), work))

    def _images(self, alphas: np.ndarray) -> Tensor:
        factors = torch.tensor(alphas, dtype=torch.float32, device=self._baseline.device)
        return self._baseline + factors.view(-1, 1, 1, 1) * self.difference
