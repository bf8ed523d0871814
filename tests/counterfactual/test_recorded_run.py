"""A run that is repeated in parts gives what a whole run gives."""

import subprocess
import sys
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from core.counterfactual.local_operations import NotRecordableError
from core.counterfactual.recorded_run import RecordedRun, record

ROOT = Path(__file__).resolve().parents[2]
MEMORY = 2**28
SIZE = 48, 64


class _InPlace(nn.Module):
    """A residual block that writes to its own activations."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, image: Tensor) -> Tensor:
        kept = self.norm(self.first(image)).relu_()
        found = self.second(kept)
        found += F.avg_pool2d(F.pad(kept, (1, 1, 1, 1)), 3, stride=1)
        found.mul_(0.5)
        return F.relu(found, inplace=True)


class _Skip(nn.Module):
    """Down and up again, with the first activations beside the last."""

    def __init__(self, up: nn.Module, down: nn.Module, channels: int = 4) -> None:
        super().__init__()
        self.first, self.down, self.up = nn.Conv2d(2, 4, 3, padding=1), down, up
        self.last = nn.Conv2d(4 + channels, 3, 3, padding=2, dilation=2)

    def forward(self, image: Tensor) -> Tensor:
        first = F.silu(self.first(image))
        up = self.up(self.down(first))[..., : image.shape[2], : image.shape[3]]
        return self.last(torch.cat((first, up), dim=1)).softmax(dim=1)


def _strided(kernel: int, channels: int = 4, **options: int) -> nn.Module:
    return nn.ConvTranspose2d(4, channels, kernel, stride=2, **options)


def _enlarged(mode: str) -> nn.Module:
    return nn.Upsample(scale_factor=2, mode=mode)


NETWORKS = {
    "in place": _InPlace,
    "max pooling": lambda: _Skip(_enlarged("nearest"), nn.MaxPool2d(2)),
    "overlapping pooling": lambda: _Skip(_enlarged("bilinear"), nn.MaxPool2d(3, stride=2, padding=1)),
    "mean pooling": lambda: _Skip(_enlarged("bilinear"), nn.AvgPool2d(2)),
    "strides": lambda: _Skip(_strided(3, padding=1, output_padding=1), nn.Conv2d(4, 4, 5, 2, 2)),
    "groups": lambda: _Skip(_strided(4, 8, padding=1, groups=2), nn.Conv2d(4, 4, 3, 2, 1, groups=4), 8),
    "strides without overlap": lambda: _Skip(_strided(2), nn.Conv2d(4, 4, 2, stride=2)),
    "gaps": lambda: _Skip(_strided(1, output_padding=1), nn.Conv2d(4, 4, 1, stride=2)),
    "U-Net": lambda: smp.Unet("resnet18", 3, None, decoder_channels=(16, 8, 8), in_channels=2, classes=3),
}  # fmt: skip


def _network(name: str) -> nn.Module:
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network


def _recorded(name: str, size: tuple[int, int] = SIZE) -> RecordedRun:
    _, run = record(_network(name), torch.rand(1, 2, *size), MEMORY)
    assert run is not None
    return run


def _whole(run: RecordedRun) -> Tensor:
    with torch.no_grad():
        return run.network(run.images)


@st.composite
def boxes(draw):
    """A box that may lie at a border, and may be a single pixel or the whole image."""
    sides = []
    for length in SIZE:
        start = draw(st.integers(0, length - 1))
        sides.append(slice(start, draw(st.integers(start + 1, length))))
    return tuple(sides)


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=15, deadline=None)
@given(changes=st.lists(boxes(), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_any_changes_one_after_another_give_what_a_whole_run_gives(name, changes, seed):
    run, random = _recorded(name), torch.Generator().manual_seed(seed)
    for box in changes:
        before = run.output.clone()
        values = torch.rand(2, *(part.stop - part.start for part in box), generator=random)
        changed = run.renew(values, box)
        whole = _whole(run)
        assert torch.equal(run.images[0][(..., *box)], values)
        torch.testing.assert_close(run.output, whole, rtol=0, atol=1e-5)
        outside = torch.ones(SIZE, dtype=bool)
        if changed is not None:
            outside[changed] = False
        assert torch.equal(run.output[..., outside], before[..., outside])
        assert run.difference() <= 1e-5 * max(1, 1 / float(whole.abs().max()))


@pytest.mark.parametrize("name", ["in place", "U-Net", "strides"])
def test_a_small_change_computes_little_again(name):
    run = _recorded(name, (256, 256))
    run.renew(torch.rand(2, 4, 4), (slice(100, 104), slice(60, 64)))
    assert 0 < run.share < 0.15


def test_what_no_label_sees_changes_nothing():
    _, run = record(nn.Conv2d(1, 2, 1, stride=4), torch.zeros(1, 1, 16, 16), MEMORY)
    before = run.output.clone()
    assert run.renew(torch.ones(1, 2, 2), (slice(1, 3), slice(1, 3))) is None
    assert torch.equal(run.output, before)
    assert run.renew(torch.ones(1, 2, 2), (slice(3, 5), slice(4, 6))) == (slice(1, 2), slice(1, 2))


class _Reads(nn.Module):
    """A network that does something else with the image, too."""

    def __init__(self, does) -> None:
        super().__init__()
        self.does, self.first = does, nn.Conv2d(2, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.does(self.first(image), image)


def _writes_to_a_part(found: Tensor, image: Tensor) -> Tensor:
    found[:, 0] *= 2
    return found


@pytest.mark.parametrize(
    "does",
    [
        lambda found, image: found + image.mean(),
        lambda found, image: F.instance_norm(found),
        lambda found, image: found.flatten(2).softmax(-1).reshape(found.shape),
        lambda found, image: F.interpolate(
            F.interpolate(found, scale_factor=0.5), size=image.shape[2:], mode="bicubic"
        ),
        lambda found, image: found.flip(-1),
        lambda found, image: found.cumsum(-1),
        _writes_to_a_part,
        lambda found, image: found + image.mul_(0.5)[:, :1],
        lambda found, image: found.detach().add_(1) + found,
    ],
)
def test_what_is_not_local_is_not_recorded_and_the_output_is_right(does):
    network, image = _Reads(does).eval(), torch.rand(1, 2, 16, 16)
    output, run = record(network, image, MEMORY)
    assert run is None
    with torch.no_grad():
        assert torch.equal(output, network(image.clone()))


@pytest.mark.parametrize(
    "does",
    [
        lambda found, image: F.interpolate(found[..., ::1], size=(31, 31)),
        lambda found, image: F.interpolate(found, scale_factor=2, mode="bilinear", align_corners=True),
        lambda found, image: found.softmax(dim=2),
        lambda found, image: found[..., ::2],
        lambda found, image: F.max_pool2d(found, 3, 2, ceil_mode=True),
        lambda found, image: F.max_unpool2d(*F.max_pool2d(found, 2, return_indices=True), 2),
        lambda found, image: F.batch_norm(found, torch.zeros(3), torch.ones(3), training=True),
        lambda found, image: found * 2 if image[0, 0, 0, 0] == 0 else found * 3 + 1,
    ],
)
def test_what_cannot_be_repeated_in_parts_is_told_and_never_wrong(does):
    network = _Reads(does).eval()
    output, run = record(network, torch.zeros(1, 2, 16, 16), MEMORY)
    with torch.no_grad():
        torch.testing.assert_close(output, network(torch.zeros(1, 2, 16, 16)))
    if run is not None:
        with pytest.raises(NotRecordableError):
            run.renew(torch.ones(2, 4, 4), (slice(0, 4), slice(0, 4)))


def test_a_network_that_is_too_large_is_run_and_not_recorded():
    network, image = _network("U-Net"), torch.rand(1, 2, *SIZE)
    output, run = record(network, image, 10_000)
    assert run is None
    with torch.no_grad():
        assert torch.equal(output, network(image))
    assert record(network, image, MEMORY)[1] is not None


def test_weights_that_are_views_of_others_are_no_hindrance():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.rand(3, 18))

        def forward(self, image: Tensor) -> Tensor:
            return F.conv2d(image, self.weight.view(3, 2, 3, 3).transpose(2, 3), padding=1)

    _, run = record(Tied().eval(), torch.rand(1, 2, 20, 20), MEMORY)
    run.renew(torch.rand(2, 3, 3), (slice(4, 7), slice(9, 12)))
    assert run.difference() < 1e-6


def test_recording_does_not_import_the_compiler():
    code = (
        "import sys, torch; from core.counterfactual.recorded_run import record; "
        "_, run = record(torch.nn.Conv2d(1, 1, 3), torch.rand(1, 1, 9, 9), 10**6); "
        "run.renew(torch.rand(1, 1, 1), (slice(0, 1), slice(0, 1))); print('torch._dynamo' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False"]


def test_the_difference_sees_a_wrong_output():
    run = _recorded("in place")
    assert run.difference() == 0
    run.output[0, 0, 3, 3] += 1
    assert run.difference() > 0.01
