"""What the catalogue says of one network, and random weights under which every layer matters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from core.segmenter import Segmenter
from tests.conformance.reference import Read, logits_of, normalised

NORMALISED = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.25)}
SIZES = ((64, 64), (61, 53), (64, 96))
"""Square, odd and oblong."""
_NORMS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm, _InstanceNorm)
_MOST_SPREAD = 1.5
_CALIBRATION_IMAGES = 12


@dataclass(frozen=True)
class Network:
    """A stranger's network, built small and with random weights.

    Attributes:
        build: Makes the module with the library's own initial weights.
        libraries: What must be installed for it and is not needed to run the library itself.
        in_channels: Channels of the image.
        options: Of `Segmenter`, beside the channels.
        sizes: Heights and widths of the images.
        space: The score space compared.
        class_index: The class compared.
        read: How the reference reads logits (B, K, h, w) from what the module returned.
    """

    build: Callable[[], nn.Module]
    libraries: tuple[str, ...] = ()
    in_channels: int = 3
    options: Mapping[str, Any] = field(default_factory=lambda: NORMALISED)
    sizes: tuple[tuple[int, int], ...] = SIZES
    space: str = "probability"
    class_index: int = 1
    read: Read = logits_of

    def make(self) -> nn.Module:
        """The module in eval mode, the same weights every time."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = self.build()
            height, width = self.sizes[0]
            images = torch.rand(_CALIBRATION_IMAGES, self.in_channels, height, width)
            return calibrated(module, normalised(images, self.options), self.read)

    def segmenter(self, module: nn.Module) -> Segmenter:
        """The module in the library's own wrapping."""
        return Segmenter(module, in_channels=self.in_channels, **self.options)


def calibrated(module: nn.Module, images: Tensor, read: Read) -> nn.Module:
    """Scales and shifts drawn for every normalisation, statistics measured on the images, logits of a moderate size.

    Initial weights hide mistakes: a scale of 1, a shift of 0 and statistics of 0 and 1 make a batch normalisation the
    identity, and a scale of 0 cuts a residual branch off. Measured statistics keep the features of a deep network in
    the range where about half of its units are active; moderate logits keep probabilities from saturating.
    """
    module.eval()
    for part in module.modules():
        if isinstance(part, _NORMS):
            _draw_affine(part)
        if isinstance(part, _BatchNorm):
            part.train()
            part.momentum = 1.0
    with torch.no_grad():
        module(images)
        module.eval()
        _shrink_logits(module, images, read)
    return module.requires_grad_(requires_grad=False)


def _draw_affine(norm: nn.Module) -> None:
    if getattr(norm, "weight", None) is not None:
        norm.weight.data = 0.5 + torch.rand_like(norm.weight)
    if getattr(norm, "bias", None) is not None:
        norm.bias.data = 0.3 * torch.randn_like(norm.bias)


def _shrink_logits(module: nn.Module, images: Tensor, read: Read) -> None:
    """Scale the layer that ran last, so that the logits have a standard deviation of at most `_MOST_SPREAD`."""
    ran: list[nn.Module] = []
    layers = [part for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(lambda layer, *_: ran.append(layer)) for layer in layers]
    spread = float(read(module(images)).std())
    for hook in hooks:
        hook.remove()
    for parameter in ran[-1].parameters():
        parameter.mul_(min(1.0, _MOST_SPREAD / spread))
