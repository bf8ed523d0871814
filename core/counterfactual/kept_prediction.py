"""The prediction for an image that is edited: only what an edit can reach is computed again."""

import time

import numpy as np
import torch
from torch import Tensor

from ..receptive_field.known import distrust, known_field, known_windows
from ..receptive_field.windows import Box, Windows
from ..segmenter import Image, Segmenter
from ..segmenter.differentiation import exact_arithmetic

AGREEMENT = 1e-5
"""Share of the largest logit by which what is computed again may differ from a run of the whole image."""


class KeptPrediction:
    """The logits of one image, renewed where the image changes.

    The first renewal of a part is compared with a run of the whole image, on the user's own image; where the two differ
    the whole image is run from then on.

    Attributes:
        segmenter: The network.
        logits: (K, H, W), those of the image as it is now.
        original: (K, H, W), those of the image as it was at first.
        is_exact: Whether the logits are those of a run of the whole image.
        seconds: What a run of the whole image takes, the latest one.
    """

    def __init__(self, segmenter: Segmenter, image: Image) -> None:
        """Runs the network once.

        Raises:
            UserError: The image does not fit the network, or its logits are not finite.
        """
        self.segmenter = segmenter
        batch = segmenter.as_batch(image, single=True).detach()
        segmenter.decide(batch)
        self.size = batch.shape[2], batch.shape[3]
        known_field(segmenter, self.size)
        self._is_compared = False
        self.seconds = 0.0
        self.original = self._whole(batch[0].cpu().numpy())
        self.logits = self.original.clone()
        self.is_exact = True

    @property
    def whole_runs(self) -> str:
        """Why the whole image runs at each change; empty where only a part does."""
        known = known_windows(self.segmenter, self.size)
        if known is None:
            return "the receptive field is not known yet"
        if known.field.dense:
            return "every pixel reaches every label in this network"
        if known.windows is None:
            return "the receptive field is as large as the image, or parts do not give the labels of the whole"
        return ""

    @torch.no_grad()
    def renew(self, image: np.ndarray, box: Box) -> Box:
        """Run the network again where pixels of the box can reach.

        Args:
            image: Float32 (C, H, W), equal to what was seen last outside of the box.
            box: Rows and columns of the changed pixels.

        Returns:
            Rows and columns of the renewed logits.

        Raises:
            UserError: The new logits are not finite.
        """
        known = known_windows(self.segmenter, self.size)
        windows = None if known is None else known.windows
        part = None if windows is None else self._part(windows, image, box)
        if part is None:
            self.renew_all(image)
            return _everything(self.size)
        outputs, logits = part
        if self._is_compared:
            self.logits[(..., *outputs)] = logits
            self.is_exact = False
            return outputs
        self.renew_all(image)
        difference = (self.logits[(..., *outputs)] - logits).abs().max()
        if difference > AGREEMENT * self.logits.abs().max():
            distrust(self.segmenter, self.size)
        self._is_compared = True
        return _everything(self.size)

    @torch.no_grad()
    def renew_all(self, image: np.ndarray) -> float:
        """Run the whole image; the largest difference to the logits that were kept."""
        logits = self._whole(image)
        difference = float((logits - self.logits).abs().max())
        self.logits = logits
        self.is_exact = True
        return difference

    def restore(self) -> None:
        """Back to the logits of the image as it was at first, bit for bit."""
        self.logits = self.original.clone()
        self.is_exact = True

    def _part(self, windows: Windows, image: np.ndarray, box: Box) -> tuple[Box, Tensor] | None:
        outputs = windows.reached_by(box)
        if outputs is None or (crop := windows.crop(outputs)) is None:
            return None
        with exact_arithmetic(self.segmenter.device):
            area = torch.from_numpy(np.ascontiguousarray(image[(..., *crop.area)]))[None].to(self.segmenter.device)
            return outputs, self.segmenter.finite(crop.logits(self.segmenter, area))[0]

    @torch.no_grad()
    def _whole(self, image: np.ndarray) -> Tensor:
        started = time.perf_counter()
        with exact_arithmetic(self.segmenter.device):
            batch = torch.from_numpy(np.ascontiguousarray(image))[None].to(self.segmenter.device)
            logits = self.segmenter.finite(self.segmenter.unchecked_logits(batch))[0].clone()
        self.seconds = time.perf_counter() - started
        return logits


def _everything(size: tuple[int, int]) -> Box:
    return slice(0, size[0]), slice(0, size[1])
