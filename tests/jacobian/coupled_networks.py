"""Small networks whose pixels are coupled by statistics over the image."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Norm = Callable[[int], nn.Module]
NORMS: dict[str, Norm] = {
    "instance": lambda channels: nn.InstanceNorm2d(channels, affine=True),
    "group": lambda channels: nn.GroupNorm(2, channels),
    "layer": lambda channels: nn.GroupNorm(1, channels),
    "none": lambda channels: nn.Identity(),
}


class SqueezeAndExcite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(channels, channels // 2, 1), nn.Conv2d(channels // 2, channels, 1)

    def forward(self, values: Tensor) -> Tensor:
        pooled = values.mean((2, 3), keepdim=True)
        return values * torch.sigmoid(self.second(F.relu(self.first(pooled))))


class PooledBranch(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1), nn.Tanh())
        self.project = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, values: Tensor) -> Tensor:
        pooled = F.interpolate(self.pool(values), size=values.shape[-2:], mode="bilinear", align_corners=False)
        return self.project(torch.cat((values, pooled), dim=1))


class CoupledUNet(nn.Module):
    """A U-Net of `depth` stages with a normalisation, and at its end squeeze-and-excite or a pooled branch."""

    def __init__(self, norm: Norm, depth: int, width: int, end: str, channels: int) -> None:
        super().__init__()
        widths = [width * 2**stage for stage in range(depth)]
        self.down = nn.ModuleList(
            self._block(before, after, norm) for before, after in zip([channels, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(wide, wide // 2, 2, 2) for wide in widths[:0:-1])
        self.merge = nn.ModuleList(self._block(wide, wide // 2, norm) for wide in widths[:0:-1])
        ends: dict[str, Callable[[], nn.Module]] = {
            "": nn.Identity,
            "excite": lambda: SqueezeAndExcite(width),
            "pooled": lambda: PooledBranch(width),
        }
        self.end, self.head = ends[end](), nn.Conv2d(width, 2, 1)

    @staticmethod
    def _block(before: int, after: int, norm: Norm) -> nn.Module:
        return nn.Sequential(nn.Conv2d(before, after, 3, padding=1), norm(after), nn.LeakyReLU(0.1))

    def forward(self, values: Tensor) -> Tensor:
        skips = []
        for stage, block in enumerate(self.down):
            values = block(F.max_pool2d(values, 2) if stage else values)
            skips.append(values)
        for up, merge, skip in zip(self.up, self.merge, skips[-2::-1], strict=True):
            values = merge(torch.cat((up(values), skip), dim=1))
        return self.head(self.end(values))
