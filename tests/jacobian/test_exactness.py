"""Every row from shared passes against torch.autograd.grad of its own score."""

import numpy as np
import pytest
import segmentation_models_pytorch
import torch

from core.jacobian import jacobian
from core.models import UNet, load_segmenter
from core.segmenter import Segmenter
from tests.jacobian.rows import dense_jacobian, largest_relative_error, lively, random_image, rows_alone


def smp_unet() -> Segmenter:
    torch.manual_seed(0)
    channels = (32, 16, 8, 4)
    module = segmentation_models_pytorch.Unet(
        "resnet18", encoder_depth=4, encoder_weights=None, in_channels=3, classes=3, decoder_channels=channels
    )
    return Segmenter(module, in_channels=3, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))


SEGMENTERS = {
    "vessel network, trained": lambda: load_segmenter("vessmap", "cpu"),
    "U-Net, depth 1": lambda: Segmenter(lively(UNet(1, 2, depth=1, width=4)), in_channels=1),
    "U-Net, depth 4": lambda: Segmenter(lively(UNet(1, 2, depth=4, width=2)), in_channels=1),
    "smp U-Net, ResNet-18": smp_unet,
}


@pytest.mark.parametrize(("name", "side"), list(zip(SEGMENTERS, (32, 48, 32, 32), strict=True)), ids=str)
def test_all_rows_of_a_small_image(name, side, tmp_path):
    segmenter = SEGMENTERS[name]()
    image = random_image(segmenter.in_channels, side, side)
    computed = jacobian(segmenter, image, out=tmp_path / "run.zarr")
    rows = np.stack([[computed.row(row, column) for column in range(side)] for row in range(side)])
    assert largest_relative_error(rows, dense_jacobian(segmenter, image)) <= 1e-5


@pytest.mark.parametrize(("name", "side"), list(zip(SEGMENTERS, (192, 192, 192, 160), strict=True)), ids=str)
def test_rows_of_a_large_image(name, side, tmp_path):
    """A random sample of 200 rows, the four corners among them; shared passes where there are such.

    The receptive field of the ResNet-18 spans 288 pixels: there a larger image would only take longer.
    """
    segmenter = SEGMENTERS[name]()
    image = random_image(segmenter.in_channels, side, side)
    number, last = 200, side - 1
    pixels = [(0, 0), (0, last), (last, 0), (last, last)]
    pixels += [(int(r), int(c)) for r, c in np.random.default_rng(0).integers(0, side, (number - 4, 2))]
    region = np.zeros((side, side), dtype=bool)
    region[tuple(np.transpose(pixels))] = True
    computed = jacobian(segmenter, image, out=tmp_path / "run.zarr", region=region)
    rows = np.stack([computed.row(*pixel) for pixel in pixels])
    assert largest_relative_error(rows, rows_alone(segmenter, image, pixels)) <= 1e-5


@pytest.mark.parametrize(("name", "size"), [("U-Net, depth 1", (47, 33)), ("U-Net, depth 4", (31, 39))])
def test_odd_sizes_and_borders(name, size, tmp_path):
    segmenter = SEGMENTERS[name]()
    image = random_image(1, *size, seed=1)
    computed = jacobian(segmenter, image, out=tmp_path / "run.zarr")
    rows = np.stack([[computed.row(row, column) for column in range(size[1])] for row in range(size[0])])
    assert largest_relative_error(rows, dense_jacobian(segmenter, image)) <= 1e-5


def test_odd_size_that_the_segmenter_pads(tmp_path):
    segmenter = load_segmenter("vessmap", "cpu")
    image = random_image(1, 70, 41, seed=2)
    region = np.zeros((70, 41), dtype=bool)
    region[::23, ::8] = region[-1, -1] = True
    # One pass at a time: the slope of a saturated probability doubles the rounding of a logit many times over, and the
    # rounding of a batch differs from that of one image.
    computed = jacobian(segmenter, image, out=tmp_path / "run.zarr", region=region, batch_size=1)
    pixels = [(int(row), int(column)) for row, column in np.argwhere(region)]
    rows = np.stack([computed.row(*pixel) for pixel in pixels])
    assert largest_relative_error(rows, rows_alone(segmenter, image, pixels)) <= 1e-5


def test_a_single_shared_pass_has_no_error_at_all(tmp_path):
    """Disjoint supports add nothing but zeros to each other's sums."""
    segmenter = Segmenter(lively(UNet(1, 2, depth=1, width=4)), in_channels=1)
    image = random_image(1, 64, 64)
    computed = jacobian(segmenter, image, out=tmp_path / "run.zarr", batch_size=1)
    assert computed.num_passes == 18**2
    pixels = [(int(r), int(c)) for r, c in np.random.default_rng(1).integers(0, 64, (60, 2))]
    rows = np.stack([computed.row(*pixel) for pixel in pixels])
    np.testing.assert_array_equal(rows, rows_alone(segmenter, image, pixels))


@pytest.mark.parametrize("space", ["logit", "log_odds"])
def test_other_classes_and_score_spaces(space, tmp_path):
    segmenter = Segmenter(lively(UNet(3, 4, depth=1, width=2)), in_channels=3)
    image = random_image(3, 24, 21)
    computed = jacobian(segmenter, image, 3, space, tmp_path / "run.zarr")
    rows = np.stack([[computed.row(row, column) for column in range(21)] for row in range(24)])
    assert largest_relative_error(rows, dense_jacobian(segmenter, image, 3, space)) <= 1e-5
