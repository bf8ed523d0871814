"""Networks of all the kinds that windows must be right for, or refuse."""

import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.models import CustomResNet, UNet
from core.segmenter import Segmenter
from tests.jacobian.rows import lively
from tests.networks import NeedsMultiple


class Resizing(nn.Module):
    """A quarter of the resolution, and back to the image's by resizing."""

    def __init__(self, *, align_corners: bool) -> None:
        super().__init__()
        self.encode = nn.Conv2d(1, 4, 3, padding=1)
        self.classify = nn.Conv2d(4, 2, 3, padding=1)
        self.align_corners = align_corners

    def forward(self, images: Tensor) -> Tensor:
        features = self.classify(F.avg_pool2d(torch.tanh(self.encode(images)), 4))
        return F.interpolate(features, images.shape[-2:], mode="bilinear", align_corners=self.align_corners)


class Unpadded(nn.Sequential):
    """Its result leaves out a border."""

    def __init__(self) -> None:
        decode = (nn.Upsample(scale_factor=2), nn.Conv2d(4, 2, 3))
        super().__init__(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.Tanh(), nn.Conv2d(4, 4, 3), *decode)


class Positioned(nn.Module):
    """A convolution, and a multiplier that depends on the position in the image."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Conv2d(1, 2, 5, padding=2)

    def forward(self, images: Tensor) -> Tensor:
        position = torch.linspace(0.5, 1.5, images.shape[-1], dtype=images.dtype)
        return torch.tanh(self.encode(images)) * position


def smp_segmenter(network: type[nn.Module], **arguments: object) -> Segmenter:
    module = network("resnet18", encoder_depth=3, encoder_weights=None, in_channels=3, classes=3, **arguments)
    return Segmenter(lively(module), in_channels=3, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))


def _grey(module: nn.Module) -> Segmenter:
    return Segmenter(lively(module), in_channels=1)


def _conv(kernel: int = 3, inputs: int = 4, outputs: int = 4, **arguments: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, **arguments)


WITH_WINDOWS = {
    "CustomResNet": (lambda: _grey(CustomResNet(width=2)), (208, 176)),
    "CustomResNet, padded": (lambda: _grey(CustomResNet(width=2)), (203, 171)),
    "U-Net, depth 1": (lambda: _grey(UNet(1, 2, depth=1, width=4)), (64, 80)),
    "U-Net, depth 2, odd": (lambda: _grey(UNet(1, 3, depth=2, width=2)), (95, 83)),
    "smp U-Net": (lambda: smp_segmenter(smp.Unet, decoder_channels=(16, 8, 4)), (192, 224)),
    "smp Linknet": (lambda: smp_segmenter(smp.Linknet), (184, 192)),
    "dilated": (
        lambda: _grey(nn.Sequential(_conv(inputs=1, padding=4, dilation=4), nn.ReLU(), _conv(outputs=2, padding=1))),
        (61, 47),
    ),
    "transposed": (
        lambda: _grey(
            nn.Sequential(
                *(_conv(inputs=1, padding=1, stride=2), nn.ReLU(), _conv(padding=1, stride=2), nn.ReLU()),
                nn.ConvTranspose2d(4, 4, 2, stride=2),
                nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1, output_padding=1),
            )
        ),
        (64, 72),
    ),
    "stride three": (
        lambda: _grey(nn.Sequential(_conv(inputs=1, padding=1, stride=3), nn.ConvTranspose2d(4, 2, 3, stride=3))),
        (63, 72),
    ),
    "padded to a multiple": (lambda: _grey(NeedsMultiple()), (61, 47)),
    "without padding": (lambda: _grey(Unpadded()), (61, 47)),
    "resized by a whole number": (lambda: _grey(Resizing(align_corners=False)), (64, 48)),
    "low-resolution logits": (
        lambda: _grey(nn.Sequential(_conv(inputs=1, padding=1, stride=2), nn.ReLU(), _conv(outputs=2, padding=1))),
        (64, 72),
    ),
}
"""Networks and image sizes at which windows are right and smaller than the image."""

WITHOUT_WINDOWS = {
    "aligned corners": (lambda: _grey(Resizing(align_corners=True)), (64, 48)),
    "resized by a fraction": (lambda: _grey(Resizing(align_corners=False)), (61, 47)),
    "position": (lambda: _grey(Positioned()), (64, 96)),
    "larger field than the image": (lambda: _grey(CustomResNet(width=1)), (64, 48)),
    "dense": (lambda: _grey(nn.Sequential(_conv(inputs=1, outputs=2, padding=1), nn.InstanceNorm2d(2))), (40, 48)),
}
"""Networks and image sizes at which they are not."""
