"""Random small networks: a stem, some layers drawn from all kinds that networks are made of, and a head."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 4


class Lambda(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, features: Tensor) -> Tensor:
        return self.function(features)


class LayerNormOverChannels(nn.LayerNorm):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features.movedim(1, -1)).movedim(-1, 1)


class SqueezeAndExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Conv2d(WIDTH, WIDTH, 1)

    def forward(self, features: Tensor) -> Tensor:
        return features * torch.sigmoid(self.gate(features.mean(dim=(2, 3), keepdim=True)))


class Choice(nn.Module):
    """One of two branches at every pixel, by what a feature, or its local mean, says there."""

    def __init__(self, *, pooled: bool) -> None:
        super().__init__()
        self.pooled = pooled
        self.wide = nn.Conv2d(WIDTH, WIDTH, 5, padding=2)
        self.narrow = nn.Conv2d(WIDTH, WIDTH, 1)

    def forward(self, features: Tensor) -> Tensor:
        decides = features[:, :1]
        if self.pooled:
            decides = F.avg_pool2d(decides, 3, stride=1, padding=1)
        return torch.where(decides > 0.6, self.wide(features), self.narrow(features))


class LearnedOffsets(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.offsets = nn.Conv2d(WIDTH, 2, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        identity = torch.eye(2, 3).expand(len(features), 2, 3)
        grid = F.affine_grid(identity, list(features.shape), align_corners=False)
        grid = grid + 0.2 * torch.tanh(self.offsets(features)).movedim(1, -1)
        return F.grid_sample(features, grid, align_corners=False, padding_mode="border")


class Residual(nn.Module):
    """The layers, and around them a skip connection, resized where they change the resolution."""

    def __init__(self, layers: nn.Module, *, concatenates: bool) -> None:
        super().__init__()
        self.layers = layers
        self.merge = nn.Conv2d(2 * WIDTH, WIDTH, 1) if concatenates else None

    def forward(self, features: Tensor) -> Tensor:
        inner = self.layers(features)
        if inner.shape != features.shape:
            inner = F.interpolate(inner, features.shape[-2:], mode="nearest")
        return features + inner if self.merge is None else self.merge(torch.cat((features, inner), dim=1))


def _shuffled(features: Tensor) -> Tensor:
    return features[:, [2, 0, 3, 1]]


KEEPING: dict[str, Callable[[], nn.Module]] = {
    "convolution 3": lambda: nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
    "convolution 1x5": lambda: nn.Conv2d(WIDTH, WIDTH, (1, 5), padding=(0, 2)),
    "convolution, reflecting": lambda: nn.Conv2d(WIDTH, WIDTH, 3, padding=1, padding_mode="reflect"),
    "dilated": lambda: nn.Conv2d(WIDTH, WIDTH, 3, padding=2, dilation=2),
    "grouped": lambda: nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=2),
    "max pool, stride 1": lambda: nn.MaxPool2d(3, stride=1, padding=1),
    "average pool, stride 1": lambda: nn.AvgPool2d(3, stride=1, padding=1),
    "batch norm": lambda: nn.BatchNorm2d(WIDTH),
    "batch norm without statistics": lambda: nn.BatchNorm2d(WIDTH, track_running_stats=False),
    "instance norm": lambda: nn.InstanceNorm2d(WIDTH, affine=True),
    "group norm": lambda: nn.GroupNorm(2, WIDTH),
    "layer norm over channels": lambda: LayerNormOverChannels(WIDTH),
    "ReLU": nn.ReLU,
    # What works in place may only follow a layer that does not need its own result to go backward.
    "batch norm, ReLU in place": lambda: nn.Sequential(nn.BatchNorm2d(WIDTH), nn.ReLU(inplace=True)),
    "convolution, leaky ReLU in place": lambda: nn.Sequential(
        nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.LeakyReLU(0.1, inplace=True)
    ),
    "GELU": nn.GELU,
    "roll": lambda: Lambda(lambda features: features.roll((2, -1), dims=(2, 3))),
    "flip": lambda: Lambda(lambda features: features.flip(3)),
    "channel shuffle": lambda: Lambda(_shuffled),
    "squeeze and excite": SqueezeAndExcite,
    "choice by a feature": lambda: Choice(pooled=False),
    "choice by a pooled feature": lambda: Choice(pooled=True),
    "learned offsets": LearnedOffsets,
}
SHRINKING: dict[str, Callable[[], nn.Module]] = {
    "strided": lambda: nn.Conv2d(WIDTH, WIDTH, 3, padding=1, stride=2),
    "max pool": lambda: nn.MaxPool2d(2, ceil_mode=True),
    "average pool": lambda: nn.AvgPool2d(2),
}
GROWING: dict[str, Callable[[], nn.Module]] = {
    "transposed": lambda: nn.ConvTranspose2d(WIDTH, WIDTH, 2, stride=2),
    "transposed, overlapping": lambda: nn.ConvTranspose2d(WIDTH, WIDTH, 3, stride=2, padding=1, output_padding=1),
    "nearest": lambda: nn.Upsample(scale_factor=2, mode="nearest"),
    "bilinear": lambda: nn.Upsample(scale_factor=2, mode="bilinear"),
    "bilinear, corners aligned": lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
}
LAYERS = KEEPING | SHRINKING | GROWING


@dataclass(frozen=True)
class Sentence:
    """A network as hypothesis shows it: layers by name, a tuple within for a skip connection around its layers."""

    layers: tuple
    channels: int
    size: tuple[int, int]
    seed: int

    def network(self) -> nn.Module:
        """The module, its weights drawn from the seed."""
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            stem = nn.Conv2d(self.channels, WIDTH, 3, padding=1)
            module = nn.Sequential(stem, *map(_layer, self.layers), nn.Conv2d(WIDTH, 2, 1))
            for part in module.modules():
                _draw(part)
        return module.eval().requires_grad_(requires_grad=False)

    def image(self) -> np.ndarray:
        """Noise (C, H, W) with a bright square, so that a choice by brightness goes either way."""
        image = np.random.default_rng(self.seed).random((self.channels, *self.size), dtype=np.float32)
        image[:, 2:6, 3:7] = 0.85 + 0.15 * image[:, 2:6, 3:7]
        return image


def sentences() -> st.SearchStrategy[Sentence]:
    """Networks of up to about ten layers for images of 9 to 16 pixels a side."""
    keeping = st.lists(st.sampled_from(sorted(KEEPING)), max_size=2).map(tuple)
    hourglass = st.builds(
        lambda shrink, inner, grow: (shrink, *inner, grow),
        st.sampled_from(sorted(SHRINKING)),
        keeping,
        st.sampled_from(sorted(GROWING)),
    )
    block = st.one_of(keeping, hourglass)
    residual = st.builds(lambda layers, kind: ((kind, *layers),), block, st.sampled_from(("add", "concatenate")))
    lowered = st.sampled_from(sorted(SHRINKING)).map(lambda name: (name,))  # logits of a lower resolution
    blocks = st.lists(st.one_of(block, residual, lowered), min_size=1, max_size=4)
    layers = blocks.map(lambda parts: sum(parts, ())).filter(lambda names: sum(n in SHRINKING for n in names) <= 2)
    side = st.integers(9, 16)
    return st.builds(Sentence, layers, st.integers(1, 2), st.tuples(side, side), st.integers(0, 2**16))


def _layer(word: str | tuple) -> nn.Module:
    if isinstance(word, str):
        return LAYERS[word]()
    kind, *inner = word
    return Residual(nn.Sequential(*map(_layer, inner)), concatenates=kind == "concatenate")


def _draw(part: nn.Module) -> None:
    """Weights that keep features of the size 1, and statistics and scales that do something."""
    if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
        part.weight.data = torch.randn_like(part.weight) * (2 / part.weight[0].numel()) ** 0.5
        part.bias.data = 0.2 * torch.randn_like(part.bias)
    if isinstance(part, nn.BatchNorm2d | nn.InstanceNorm2d | nn.GroupNorm | nn.LayerNorm):
        part.weight.data = 0.5 + torch.rand_like(part.weight)
        part.bias.data = 0.3 * torch.randn_like(part.bias)
    if isinstance(part, nn.BatchNorm2d) and part.running_var is not None:
        part.running_mean = 0.3 * torch.randn_like(part.running_mean)
        part.running_var = 0.5 + torch.rand_like(part.running_var)
