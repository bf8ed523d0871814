import base64
import io

import numpy as np
from PIL import Image

from core.display.colours import magnitude_scale, signed_scale
from core.display.figures import add_box, add_crosshair, map_figure, picture_figure, zoom_to
from core.display.footprint import BoundingBox


def test_picture_is_sent_as_the_png_it_is():
    picture = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    figure = picture_figure(picture, "image")
    content = base64.b64decode(figure.data[0].source.removeprefix("data:image/png;base64,"))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), picture)
    assert figure.layout.xaxis.range == (-0.5, 8.5)
    assert figure.layout.yaxis.range == (5.5, -0.5)
    assert figure.layout.uirevision == "image"


def test_map_sends_the_box_of_its_values_in_place():
    values = np.zeros((20, 30), np.float32)
    values[4, 7], values[9, 11] = 1.0, -2.0
    heat = map_figure(values, "logit per unit intensity", signed_scale(2.0), "image").data[0]
    assert (heat.y0, heat.x0) == (4, 7)
    np.testing.assert_array_equal(heat.z, values[4:10, 7:12])
    assert (heat.zmin, heat.zmax) == (-2.0, 2.0)
    assert heat.colorbar.title.text == "logit per unit intensity"


def test_map_of_zeros_is_drawn():
    assert map_figure(np.zeros((5, 5)), "unit", signed_scale(1.0), "image").data[0].z.shape == (1, 1)


def test_map_over_an_image_is_sent_whole():
    values = np.zeros((4, 6))
    values[1, 2] = np.nan
    figure = map_figure(values, "unit", magnitude_scale(3.0), "image", np.full((2, 4, 6), 0.2), 0.7)
    heat = figure.data[0]
    assert heat.z.shape == (4, 6)
    assert np.isnan(heat.z[1, 2])
    assert (heat.zmin, heat.zmax, heat.opacity) == (0, 3, 0.7)
    content = base64.b64decode(figure.layout.images[0].source.removeprefix("data:image/png;base64,"))
    assert (np.asarray(Image.open(io.BytesIO(content))) == 51).all()


def test_marks_lie_where_they_should():
    figure = picture_figure(np.zeros((50, 50, 3), np.uint8), "image")
    add_crosshair(figure, 10, 20, (50, 50))
    pixel = figure.layout.shapes[-1]
    assert (pixel.x0, pixel.x1, pixel.y0, pixel.y1) == (19.5, 20.5, 9.5, 10.5)
    box = BoundingBox(top=3, left=5, bottom=8, right=9)
    add_box(figure, box)
    frame = figure.layout.shapes[-1]
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (4.5, 9.5, 2.5, 8.5)
    zoom_to(figure, box, margin=1)
    assert figure.layout.xaxis.range == (3.5, 10.5)
    assert figure.layout.yaxis.range == (9.5, 1.5)
    assert len(add_box(figure, None).layout.shapes) == len(figure.layout.shapes)
