"""Networks and targets whose curves are known on paper."""

import numpy as np
import torch
from torch import Tensor, nn

from core.segmenter import Segmenter
from core.target import Target


class PixelIsLogit(nn.Module):
    """Logits (0, pixel), so that the score of all pixels of class 1 is the image's sum."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat((torch.zeros_like(images[:, :1]), images[:, :1]), dim=1)


class Constant(nn.Module):
    """Says the same of every image."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack((torch.zeros_like(images[:, 0]), torch.full_like(images[:, 0], 1.5)), dim=1)


class Squares(nn.Module):
    """Logits (0, mean of the 3×3 neighbourhood, squared): not linear, and moved by neighbours."""

    def forward(self, images: Tensor) -> Tensor:
        mean = nn.functional.avg_pool2d(images[:, :1], 3, 1, 1)
        return torch.cat((torch.zeros_like(mean), mean**2), dim=1)


def segmenter_of(module: nn.Module) -> Segmenter:
    return Segmenter(module, in_channels=1, size_multiple=1)


def whole(height: int, width: int) -> Target:
    """The sum of the logits of class 1 over all pixels."""
    return Target.region(np.ones((height, width), bool), 1, "logit")
