"""Small networks whose answers are known on paper, or whose outputs come in every form."""

from types import SimpleNamespace

import torch
from torch import Tensor, nn

from core.segmenter import Segmenter

IMAGE_1_TO_9 = torch.arange(1.0, 10.0).reshape(1, 3, 3)


class TinySeg(nn.Module):
    """Two hidden units, two classes; every number of it can be worked out by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.relu = nn.ReLU()
        self.head = nn.Conv2d(2, 1 + 1, 1, bias=False)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[0] = 1.0
            self.conv.weight[1, 0, 1, 1] = 2.0
            self.conv.bias.copy_(torch.tensor([-10.0, -6.0]))
            self.head.weight.copy_(torch.tensor([[1.0, -1.0], [-1.0, 2.0]]).reshape(2, 2, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.relu(self.conv(images)))


class OneChannel(nn.Module):
    """A sigmoid network: z = 3 · image - 1."""

    def forward(self, images: Tensor) -> Tensor:
        return 3 * images[:, :1] - 1


class Wrapped(nn.Module):
    """A small network of three classes whose result comes in the given form."""

    def __init__(self, form: str, channels: int = 3) -> None:
        super().__init__()
        self.form = form
        self.encode = nn.Conv2d(channels, 4, 3, padding=1)
        self.classify = nn.Conv2d(4, 3, 1)
        self.auxiliary = nn.Conv2d(4, 3, 1)

    def forward(self, images: Tensor) -> object:
        features = torch.tanh(self.encode(images))
        logits, other = self.classify(features), self.auxiliary(features)
        quarter = nn.functional.avg_pool2d(logits, 4)
        return {
            "tensor": logits,
            "dict": {"aux": other, "out": logits},
            "dict without out": {"main": logits, "aux": other},
            "tuple": (logits, other),
            "list": [logits, other],
            "object": SimpleNamespace(logits=quarter),
            "nothing": "logits",
            "vector": logits.mean(dim=(2, 3)),
        }[self.form]


class NeedsMultiple(nn.Module):
    """Refuses sizes that are no multiple of 8, as U-Net decoders do."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, 4, 8, stride=8)
        self.up = nn.ConvTranspose2d(4, classes, 8, stride=8)

    def forward(self, images: Tensor) -> Tensor:
        decoded = self.up(self.down(images))
        return decoded + images.expand_as(decoded)


class Dense(nn.Module):
    """One pixel reaches all: the logit is the pixel times its share of a softmax over the image."""

    def forward(self, images: Tensor) -> Tensor:
        first = images[:, :1]
        share = first.flatten(1).softmax(dim=1).view_as(first)
        return torch.cat((first, first * share * first[0].numel()), dim=1)


def dense_segmenter() -> Segmenter:
    """A factory, as users name theirs for the app."""
    return Segmenter(Dense(), in_channels=1, name="dense")
