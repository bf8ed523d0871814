"""The block of a Jacobian that belongs to a region's scores, as products with vectors: it is never stored."""

import numpy as np
import torch
from torch import Tensor

from ...attribution.influence import jacobian_vector_product
from ...attribution.windowed import image_parts, tried_on_window, trusted_windows
from ...errors import explained_differentiation
from ...receptive_field.windows import Box, Crop, everything
from ...segmenter import Image, Segmenter
from ...segmenter.differentiation import exact_arithmetic
from ...target import PREDICTED, Score, Target, class_scores, scores_of_labels


class JacobianBlock:
    """J = ∂(scores of a region's pixels) / ∂image, m × n: m pixels in the order of the rows, n intensities.

    Where the network's windows are known (see `learn_field`), the network runs on the window that the region needs, and
    n counts the intensities that can reach the region; the values are the same.

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1].
        mask: Bool (H, W), the region, with at least one pixel.
        score: The score at each pixel.
        labels: Int (H, W), the class of each pixel, for the score of the class predicted there; None for others.

    Raises:
        UserError: The image, the region or the class does not fit the network, or its logits are not finite.
    """

    def __init__(
        self, segmenter: Segmenter, image: Image, mask: np.ndarray, score: Score, labels: np.ndarray | None = None
    ) -> None:
        self._segmenter, self._score = segmenter, score
        images, self.size = image_parts(segmenter, image)
        target = _target(mask, score, labels)
        segmenter.findings(self.size)
        target.check(segmenter.num_classes, self.size)
        windows, box = trusted_windows(segmenter, images, self.size, target), target.box
        crop = None if windows is None or box is None else windows.crop(box)
        self._whole = images(everything(self.size))
        if crop is None or tried_on_window(segmenter, self.size, lambda: self._begin(mask, labels, crop, box)) is None:
            self._begin(mask, labels)
        self.products = 0
        """Products so far: passes backward, and forward-mode passes."""

    def _begin(
        self, mask: np.ndarray, labels: np.ndarray | None, crop: Crop | None = None, box: Box | None = None
    ) -> bool:
        """Run the network once, on a crop or on the whole image, and keep its graph for all products."""
        whole = everything(self.size)
        self._crop = crop
        self._area: Box = whole if crop is None else crop.area
        self.inputs: Box = whole if crop is None else crop.inputs
        """Rows and columns of the image that hold the n intensities."""
        self._within: Box = whole if crop is None else crop.inputs_in_area
        read = whole if box is None else box
        device = self._segmenter.device
        self._places = torch.from_numpy(np.flatnonzero(mask[read])).to(device)
        self._labels = (
            None if labels is None else torch.from_numpy(np.ascontiguousarray(labels[read])).long().to(device)
        )
        self._batch = self._whole[(..., *self._area)].detach().clone().requires_grad_()
        with torch.enable_grad(), exact_arithmetic(device):
            self._scores = self._scores_of(self._batch)[0]
        return True

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers m and n."""
        height, width = (one.stop - one.start for one in self.inputs)
        return len(self._places), self._batch.shape[1] * height * width

    @property
    def image(self) -> np.ndarray:
        """The image, float32 (C, H, W)."""
        return self._whole[0].cpu().numpy()

    def pull(self, weights: np.ndarray) -> np.ndarray:
        """Jᵀ·w of weights (m,), float64 (n,): one backward pass."""
        self.products += 1
        if not self._scores.requires_grad:
            return np.zeros(self.shape[1])
        cotangent = torch.from_numpy(np.asarray(weights, np.float32).reshape(-1)).to(self._scores)
        with exact_arithmetic(self._segmenter.device), explained_differentiation():
            (found,) = torch.autograd.grad(
                self._scores, self._batch, cotangent, retain_graph=True, allow_unused=True, materialize_grads=True
            )
        return found[0][(..., *self._within)].flatten().double().cpu().numpy()

    def push(self, change: np.ndarray) -> np.ndarray:
        """J·t of a change t (n,), float64 (m,): one forward-mode pass, or two backward ones where there is no rule."""
        self.products += 1
        tangent = torch.zeros_like(self._batch)
        tangent[(..., *self._within)] = torch.from_numpy(
            np.asarray(change, np.float32).reshape(1, -1, *(one.stop - one.start for one in self.inputs))
        ).to(tangent)
        with exact_arithmetic(self._segmenter.device):
            found = jacobian_vector_product(self._segmenter, self._scores_of, self._batch.detach(), tangent)
        return found[0].detach().double().cpu().numpy()

    @torch.no_grad()
    def scores_at(self, change: np.ndarray) -> np.ndarray:
        """The scores (m,), float64, of the image with a change (n,) added."""
        changed = self._batch.detach().clone()
        changed[(..., *self._within)] += torch.from_numpy(
            np.asarray(change, np.float32).reshape(1, -1, *(one.stop - one.start for one in self.inputs))
        ).to(changed)
        with exact_arithmetic(self._segmenter.device):
            return self._scores_of(changed)[0].double().cpu().numpy()

    def as_image(self, values: np.ndarray) -> np.ndarray:
        """Values (n,) where they lie in the image, float32 (C, H, W); 0 elsewhere."""
        channels = self._batch.shape[1]
        whole = np.zeros((channels, *self.size), np.float32)
        part = whole[(..., *self.inputs)]
        part[...] = values.reshape(part.shape)
        return whole

    def _scores_of(self, images: Tensor) -> Tensor:
        """Scores (B, m) of images (B, C, …) of the area."""
        segmenter, score = self._segmenter, self._score
        logits = segmenter.unchecked_logits(images) if self._crop is None else self._crop.logits(segmenter, images)
        logits = segmenter.finite(logits)
        if self._labels is None:
            scores = class_scores(logits, score.class_index, score.space, score.against)
        else:
            scores = scores_of_labels(logits, self._labels, score.space, score.against)
        return scores.flatten(1)[:, self._places]


def _target(mask: np.ndarray, score: Score, labels: np.ndarray | None) -> Target:
    """The sum of the scores, by which the window is chosen and checked."""
    if score.class_index == PREDICTED and labels is not None:
        return Target.prediction(labels, score.space, "sum", mask, score.against)
    return Target.region(mask, score.class_index, score.space, "sum", score.against)
