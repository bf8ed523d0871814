"""What is written is read back the same."""

import numpy as np
import pytest

from core.data.images import read_image, read_mask
from core.data.writing import mask_bytes, tiff_bytes


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_an_image_is_read_back_bit_for_bit(channels):
    image = np.random.default_rng(channels).random((channels, 20, 31), dtype=np.float32)
    assert np.array_equal(read_image(tiff_bytes(image)), image)


@pytest.mark.parametrize("classes", [2, 7, 700])
def test_a_mask_is_read_back_the_same(classes):
    mask = np.random.default_rng(classes).integers(0, classes, (20, 31))
    mask[0, 0] = classes - 1
    assert np.array_equal(read_mask(mask_bytes(mask)), mask)
