import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from core import Segmenter, Target, UserError
from core.attribution import gradient, influence
from core.target import SPACES
from tests.networks import IMAGE_1_TO_9, NeedsMultiple, OneChannel, TinySeg, Wrapped


def test_tiny_seg_column_by_hand():
    """Pixel (1, 1) moves every logit of class 1 whose unit 0 is active by -1, and its own by 2 · 2 more."""
    found = influence(Segmenter(TinySeg(), in_channels=1), IMAGE_1_TO_9, 1, 1, 1, "logit")
    assert found.values[0].tolist() == [[-1, -1, -1], [-1, 3, -1], [-1, -1, -1]]


@pytest.mark.parametrize("space", SPACES)
def test_column_equals_the_matching_entries_of_the_rows(space):
    torch.manual_seed(0)
    segmenter = Segmenter(NeedsMultiple(3), in_channels=1)
    image = torch.rand(1, 10, 9)
    column = influence(segmenter, image, 4, 6, 2, space).values[0]
    rows = np.array(
        [
            [gradient(segmenter, image, Target.pixel(r, c, 2, space)).values[0, 4, 6] for c in range(9)]
            for r in range(10)
        ]
    )
    np.testing.assert_allclose(column, rows, rtol=1e-5, atol=1e-7)


def test_channels_add_up():
    torch.manual_seed(0)
    segmenter = Segmenter(Wrapped("dict"))
    image = torch.rand(3, 12, 12)
    together = influence(segmenter, image, 5, 5, 1, "logit").values
    apart = [influence(segmenter, image, 5, 5, 1, "logit", channel=channel).values for channel in range(3)]
    np.testing.assert_allclose(together, np.sum(apart, axis=0), rtol=1e-5, atol=1e-6)


class FusedAttention(nn.Module):
    """Its attention may have no forward-mode rule."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Conv2d(1, 8, 1)
        self.classify = nn.Conv2d(8, 2, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.project(images).flatten(2).transpose(1, 2)[:, None]
        mixed = nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)[:, 0]
        return self.classify(mixed.transpose(1, 2).reshape(1, 8, *images.shape[-2:]))


def test_attention_column_equals_the_rows():
    torch.manual_seed(0)
    segmenter = Segmenter(FusedAttention(), in_channels=1)
    image = torch.rand(1, 6, 5)
    column = influence(segmenter, image, 2, 3, 1, "logit").values[0]
    rows = np.array(
        [
            [gradient(segmenter, image, Target.pixel(r, c, 1, "logit")).values[0, 2, 3] for c in range(5)]
            for r in range(6)
        ]
    )
    np.testing.assert_allclose(column, rows, rtol=1e-4, atol=1e-6)


def test_two_reverse_passes_give_the_same_as_forward_mode():
    from core.attribution.influence import _by_two_reverse_passes

    torch.manual_seed(0)
    segmenter = Segmenter(Wrapped("tensor"))
    segmenter.findings()
    batch, tangent = torch.rand(1, 3, 8, 8), torch.randn(1, 3, 8, 8)
    forward = torch.func.jvp(segmenter.unchecked_logits, (batch,), (tangent,))[1]
    torch.testing.assert_close(_by_two_reverse_passes(segmenter.unchecked_logits, batch, tangent), forward)


def test_score_that_does_not_depend_on_the_image_has_a_zero_column():
    assert not influence(Segmenter(OneChannel(), in_channels=1), torch.rand(1, 8, 8), 3, 3, 0, "logit").values.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((9, 0), "lies outside"), ((0, 0, 5), "no class 5"), ((0, 0, 1, "logit", 1), "no channel 1; the image has 1")],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        influence(Segmenter(TinySeg(), in_channels=1), torch.rand(1, 8, 8), *arguments)


class MultiHead(torch.nn.Module):
    """Attention as torch's own layers call it: without weights, it is fused."""

    def __init__(self) -> None:
        super().__init__()
        self.project = torch.nn.Conv2d(1, 8, 1)
        self.attend = torch.nn.MultiheadAttention(8, 2, batch_first=True)
        self.classify = torch.nn.Conv2d(8, 2, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.project(images)
        tokens = features.flatten(2).transpose(1, 2)
        attended, _ = self.attend(tokens, tokens, tokens, need_weights=False)
        return self.classify(attended.transpose(1, 2).reshape(features.shape))


class Vanishing(torch.autograd.Function):
    """Its rule for forward mode gives zero, as that of an operation from outside torch may."""

    @staticmethod
    def forward(values):
        return 3 * values

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, gradient):
        return 3 * gradient

    @staticmethod
    def jvp(ctx, tangent):
        return torch.zeros_like(tangent)


class Lossy(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat((images, Vanishing.apply(images.flip(3))), dim=1)


@pytest.mark.parametrize("network", [MultiHead, Lossy])
def test_columns_are_those_of_all_rows_whatever_the_operations_know(network):
    torch.manual_seed(0)
    segmenter, image = Segmenter(network(), in_channels=1), torch.rand(1, 6, 5)
    rows = np.array(
        [
            [gradient(segmenter, image, Target.pixel(r, c, 1, "logit")).values[0, 2, 3] for c in range(5)]
            for r in range(6)
        ]
    )
    for _ in range(2):  # found out, and known
        column = influence(segmenter, image, 2, 3, 1, "logit").values[0]
        np.testing.assert_allclose(column, rows, atol=1e-5 * np.abs(rows).max())


def test_a_deformable_convolution_gives_no_column_of_zeros():
    class Deformable(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.offsets = torch.nn.Conv2d(1, 18, 3, padding=1)
            self.deform = torchvision.ops.DeformConv2d(1, 2, 3, padding=1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.deform(images, self.offsets(images))

    with pytest.raises(UserError, match="has no forward-mode derivative"):
        influence(Segmenter(Deformable(), in_channels=1), torch.rand(1, 9, 8), 4, 4, 1, "logit")
