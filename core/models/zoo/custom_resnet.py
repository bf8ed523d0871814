"""The residual encoder-decoder that segments blood vessels (VessMAP)."""

from typing import Any

import torch
from torch import Tensor, nn

from ..ranges import MOST_WIDTH, check_channels_and_classes, check_whole_number
from .architecture import Architecture, Shapes, register


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside a 3×3 skip convolution, both branches with stride 2."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 2) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.skip = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, ⌈H/2⌉, ⌈W/2⌉)."""
        inner = torch.relu(self.bn1(self.conv1(features)))
        return torch.relu(self.bn2(self.conv2(inner)) + self.skip(features))


class CustomResNet(nn.Module):
    """Encoder of four residual blocks, decoder of four transposed convolutions, features added across.

    Parameter names are those of the original vessel network, so its checkpoints load as they are. The total stride is
    16: height and width must be multiples of 16 (`Segmenter` pads other sizes).

    Args:
        in_channels: Channels of the image.
        num_classes: Channels of the logits.
        width: Channels after the first convolution; the deepest block has 16 times as many. The original has 64,
            and 4096 are the most.
        dropout: Probability that a deepest feature is dropped in training.

    Raises:
        UserError: A size that is out of its range, before anything is built.
    """

    def __init__(self, in_channels: int = 1, num_classes: int = 2, width: int = 64, dropout: float = 0.5) -> None:
        super().__init__()
        check_channels_and_classes(in_channels, num_classes)
        check_whole_number("width", width, 1, MOST_WIDTH)
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.resblock1 = ResidualBlock(width, 2 * width)
        self.resblock2 = ResidualBlock(2 * width, 4 * width)
        self.resblock3 = ResidualBlock(4 * width, 8 * width)
        self.resblock4 = ResidualBlock(8 * width, 16 * width)
        self.dropout = nn.Dropout(dropout)
        self.upconv1 = _double(16 * width, 8 * width)
        self.upconv2 = _double(8 * width, 4 * width)
        self.upconv3 = _double(4 * width, 2 * width)
        self.upconv4 = _double(2 * width, width)
        self.final = nn.Conv2d(width, num_classes, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> logits (B, num_classes, H, W); H and W are multiples of 16."""
        full = torch.relu(self.bn1(self.conv1(images)))
        half = self.resblock1(full)
        quarter = self.resblock2(half)
        eighth = self.resblock3(quarter)
        deepest = self.dropout(self.resblock4(eighth))
        decoded = self.upconv1(deepest) + eighth
        decoded = self.upconv2(decoded) + quarter
        decoded = self.upconv3(decoded) + half
        decoded = self.upconv4(decoded) + full
        return self.final(decoded)


def _double(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1)


def _arguments(shapes: Shapes) -> dict[str, Any] | None:
    first, last = shapes.get("conv1.weight", ()), shapes.get("final.weight", ())
    blocks = all(f"resblock{i}.skip.0.weight" in shapes and f"upconv{i}.weight" in shapes for i in range(1, 5))
    if not blocks or len(first) != 4 or len(last) != 4:
        return None
    return {"in_channels": first[1], "num_classes": last[0], "width": first[0]}


register("custom_resnet", Architecture(CustomResNet, lambda _: 16, channels_last=True), _arguments)
