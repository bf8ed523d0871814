"""The gallery's thumbnails."""

import io

import numpy as np
import pytest
from PIL import Image

from core.data.images import LoadedImage
from widgets.shared.thumbnails import make_thumbnail


@pytest.mark.parametrize(
    ("shape", "size"), [((100, 100), (84, 84)), ((100, 400), (112, 28)), ((40, 1200), (112, 4)), ((90, 30), (28, 84))]
)
def test_a_thumbnail_keeps_the_aspect(shape, size):
    thumbnail = make_thumbnail(LoadedImage(np.zeros((1, *shape), np.float32), "", ()))
    assert (thumbnail.width, thumbnail.height) == size
    assert Image.open(io.BytesIO(thumbnail.png)).size == (2 * size[0], 2 * size[1])


@pytest.mark.parametrize("side", [60, 256, 3000])
def test_a_thumbnail_shows_the_image(side):
    """The left half 0, the right half 1, one colour channel different: the same in the thumbnail."""
    values = np.zeros((3, side, side), np.float32)
    values[:, :, side // 2 :] = np.array([1, 0.6, 0.2], np.float32)[:, None, None]
    picture = np.asarray(Image.open(io.BytesIO(make_thumbnail(LoadedImage(values, "", ())).png)))
    assert (picture[:, :82] == 0).all()
    assert (picture[:, 86:] == [255, 153, 51]).all()
