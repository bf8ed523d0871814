import base64
import io

import numpy as np
from PIL import Image

from core.display.figures import mark_pixel, picture_figure


def test_picture_is_sent_as_the_png_it_is():
    picture = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    figure = picture_figure(picture, "image")
    content = base64.b64decode(figure.data[0].source.removeprefix("data:image/png;base64,"))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), picture)
    assert figure.layout.xaxis.range == (-0.5, 8.5)
    assert figure.layout.yaxis.range == (5.5, -0.5)
    assert figure.layout.uirevision == "image"


def test_the_frame_lies_around_the_pixel():
    figure = mark_pixel(picture_figure(np.zeros((50, 50, 3), np.uint8), "image"), 10, 20)
    for frame in figure.layout.shapes:
        assert (frame.x0, frame.x1, frame.y0, frame.y1) == (19.5, 20.5, 9.5, 10.5)
