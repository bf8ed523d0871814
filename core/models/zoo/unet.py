"""The plain U-Net."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ranges import MOST_WIDTH, check_channels_and_classes, check_whole_number
from .architecture import Architecture, Shapes, register

MOST_DEPTH = 8
"""Poolings. The paper has four; an image needs 2^depth rows and columns, 256 for eight."""


class UNet(nn.Module):
    """Contracting path, expanding path, features concatenated across (Ronneberger, Fischer & Brox 2015).

    As in the paper but for two things: convolutions are padded, so the logits have the image's size, and each is
    followed by batch normalisation. Any size is taken: where pooling dropped an odd row or column, the upsampled
    features are padded with zeros at the bottom and the right before they are concatenated.

    Args:
        in_channels: Channels of the image.
        num_classes: Channels of the logits.
        depth: Number of poolings, 1 to 8; the total stride is 2^depth.
        width: Channels at full resolution, 1 to 4096; level i has width · 2^i.

    Raises:
        UserError: A size that is out of its range, before anything is built.
    """

    def __init__(self, in_channels: int = 1, num_classes: int = 2, depth: int = 4, width: int = 64) -> None:
        super().__init__()
        check_channels_and_classes(in_channels, num_classes)
        check_whole_number("depth", depth, 1, MOST_DEPTH)
        check_whole_number("width", width, 1, MOST_WIDTH)
        channels = [width * 2**level for level in range(depth + 1)]
        self.encoder = nn.ModuleList(
            _double_convolution(before, after)
            for before, after in zip([in_channels, *channels[:-1]], channels, strict=True)
        )
        self.upsample = nn.ModuleList(
            nn.ConvTranspose2d(2 * narrow, narrow, 2, stride=2) for narrow in reversed(channels[:-1])
        )
        self.decoder = nn.ModuleList(_double_convolution(2 * narrow, narrow) for narrow in reversed(channels[:-1]))
        self.final = nn.Conv2d(width, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> logits (B, num_classes, H, W); H and W are at least 2^depth."""
        features = self.encoder[0](images)
        skipped = []
        for block in self.encoder[1:]:
            skipped.append(features)
            features = block(F.max_pool2d(features, 2))
        for upsample, block in zip(self.upsample, self.decoder, strict=True):
            across, upsampled = skipped.pop(), upsample(features)
            missing = across.shape[-2] - upsampled.shape[-2], across.shape[-1] - upsampled.shape[-1]
            features = block(torch.cat((across, F.pad(upsampled, (0, missing[1], 0, missing[0]))), dim=1))
        return self.final(features)


def _double_convolution(in_channels: int, out_channels: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        convolution = nn.Conv2d(channels, out_channels, 3, padding=1, bias=False)
        parts += [convolution, nn.BatchNorm2d(out_channels), nn.ReLU()]
    return nn.Sequential(*parts)


def _arguments(shapes: Shapes) -> dict[str, Any] | None:
    first, last = shapes.get("encoder.0.0.weight", ()), shapes.get("final.weight", ())
    depth = sum(f"upsample.{level}.weight" in shapes for level in range(16))
    if depth == 0 or len(first) != 4 or len(last) != 4:
        return None
    return {"in_channels": first[1], "num_classes": last[0], "depth": depth, "width": first[0]}


register("unet", Architecture(UNet, lambda _: 1, channels_last=True), _arguments)
