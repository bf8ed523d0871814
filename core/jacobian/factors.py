"""The two factors by which statistics over the image couple distant pixels.

With y = f(x, s(x)), where s are the statistics over the image, a row of the Jacobian is

    ∂y(p) / ∂x  =  ∂f(p) / ∂x  +  Σ over k of ∂f(p) / ∂s(k) · ds(k) / dx.

The first term is local, and its rows share passes. ∂f / ∂s(k), a map over the output pixels, takes one forward-mode
pass for each statistic with the others held; ds(k) / dx, an image, one backward pass through all that leads to it. It
is J = A + B (I - D)⁻¹ C with the inverse done by backpropagation: the total derivatives are (I - D)⁻¹ C.
"""

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..errors import explained_differentiation
from ..segmenter import Segmenter
from ..segmenter.differentiation import exact_arithmetic, forward_mode_lock
from ..segmenter.image_statistics import FindStatistics, HoldStatistics, Statistics
from ..target import Score
from .coupling import Factors
from .scores import scores_of_image


class FactorRunner:
    """Computes the factors for one image.

    Args:
        segmenter: The network.
        image: Float32 (C, H, W).
        score: The score at each pixel.
        labels: Int (H, W), the predicted class of each pixel, for the score of the class predicted there.
    """

    def __init__(self, segmenter: Segmenter, image: np.ndarray, score: Score, labels: np.ndarray) -> None:
        self._segmenter, self._score = segmenter, score
        self._labels = torch.from_numpy(labels.astype(np.int64)).to(segmenter.device)
        self._image = _on_device(segmenter, image).requires_grad_()
        self._found = _found(segmenter, self._image)
        self.statistics = self._found.detached()
        """The statistics of the image."""
        self._places = [(place, index) for place, value in self._found.values.items() for index in range(value.numel())]

    def __len__(self) -> int:
        return len(self._places)

    def factors(self, span: range) -> Factors:
        """The factors of some statistics."""
        return Factors(self._derivatives(span), self._gradients(span))

    def _gradients(self, span: range) -> np.ndarray:
        results = []
        with exact_arithmetic(self._segmenter.device), explained_differentiation():
            for place, index in self._places[span.start : span.stop]:
                statistic = self._found.values[place].reshape(-1)[index]
                (gradient,) = torch.autograd.grad(statistic, self._image, retain_graph=True, materialize_grads=True)
                results.append(gradient)
        return torch.stack(results).cpu().numpy()

    @torch.no_grad()
    def _derivatives(self, span: range) -> np.ndarray:
        image, results = self._image.detach(), []
        for place, index in self._places[span.start : span.stop]:
            value = self.statistics.values[place]
            direction = torch.zeros_like(value)
            direction.view(-1)[index] = 1
            with exact_arithmetic(self._segmenter.device), forward_mode_lock, forward_ad.dual_level():
                held = {**self.statistics.values, place: forward_ad.make_dual(value, direction)}
                with HoldStatistics(Statistics(held)):
                    scores = scores_of_image(self._segmenter, image, self._score, self._labels)
                tangent = forward_ad.unpack_dual(scores).tangent
            results.append(torch.zeros_like(image[0]) if tangent is None else tangent)
        return torch.stack(results).cpu().numpy()


def find_statistics(segmenter: Segmenter, image: np.ndarray) -> Statistics:
    """The statistics over an image float32 (C, H, W), in the order of their factors."""
    return _found(segmenter, _on_device(segmenter, image).requires_grad_()).detached()


def _found(segmenter: Segmenter, image: Tensor) -> Statistics:
    with torch.enable_grad(), exact_arithmetic(segmenter.device), segmenter.lock:
        segmenter.decide(image[None])
        segmenter.canvas(*image.shape[1:])  # which runs the network to find one, the first time
        with FindStatistics() as finding:
            segmenter.unchecked_logits(image[None])
    return finding.statistics


def _on_device(segmenter: Segmenter, image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(image, np.float32)).to(segmenter.device)
