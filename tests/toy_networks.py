"""Small networks whose receptive field depends on what the image shows: where they look is decided by the image."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import DeformConv2d

from tests.jacobian.rows import lively

SIZE = (29, 24)


def image_with_bright_area(side: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Noise (1, H, W), and in it a square of `side` pixels of noise between 0.85 and 1."""
    image = np.random.default_rng(0).random((1, *size), dtype=np.float32)
    square = (slice(None), slice(8, 8 + side), slice(5, 5 + side))
    image[square] = 0.85 + 0.15 * image[square]
    return image


class WhereBright(nn.Module):
    """A convolution of 7×7 where the mean of 3×3 pixels exceeds 0.8, one of 1×1 elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.big = nn.Conv2d(1, 2, 7, padding=3)
        self.small = nn.Conv2d(1, 2, 1)

    def is_bright(self, images: Tensor) -> Tensor:
        return F.avg_pool2d(images, 3, stride=1, padding=1) > 0.8

    def forward(self, images: Tensor) -> Tensor:
        return torch.where(self.is_bright(images), torch.tanh(self.big(images)), torch.tanh(self.small(images)))


class LearnedOffsets(nn.Module):
    """Each output pixel reads the image where a convolution of the image tells it to look, up to some pixels away."""

    def __init__(self) -> None:
        super().__init__()
        self.offsets = nn.Conv2d(1, 2, 3, padding=1)
        self.encode = nn.Conv2d(1, 4, 3, padding=1)
        self.classify = nn.Conv2d(4, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        identity = torch.eye(2, 3).expand(len(images), 2, 3)
        grid = F.affine_grid(identity, [len(images), 1, height, width], align_corners=False)
        grid = grid + 0.3 * torch.tanh(self.offsets(images)).movedim(1, -1)
        features = F.grid_sample(torch.tanh(self.encode(images)), grid, align_corners=False, padding_mode="border")
        return self.classify(features)


class Deformable(nn.Module):
    """torchvision's deformable convolution, its offsets from a convolution of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.offsets = nn.Conv2d(1, 2 * 3 * 3, 3, padding=1)
        self.deform = DeformConv2d(1, 4, 3, padding=1)
        self.classify = nn.Conv2d(4, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        offsets = 4 * torch.tanh(self.offsets(images))
        return self.classify(torch.tanh(self.deform(images, offsets)))


def toy(network: type[nn.Module]) -> nn.Module:
    """The network with weights that keep its units alive, the same every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return lively(network()).eval().requires_grad_(requires_grad=False)
