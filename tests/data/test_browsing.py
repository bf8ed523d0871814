"""Looking through a data set: what is listed, and in which order."""

import numpy as np
import pytest
from PIL import Image

from core.data.browsing import in_order, list_images, read_labels
from core.data.inspection import inspect_data_set
from core.errors import UserError

# Name, rows × columns, grey value, foreground pixels; every order differs from the others.
SOUND = (("2", (16, 16), 200, 4), ("10", (32, 32), 50, 512), ("b", (16, 32), 100, 128))


def write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)


def pair(folder, name, size, grey, foreground):
    image = np.full(size, grey)
    image[0, 0] = grey + 1  # constant images are warned of
    write(folder / "images" / f"{name}.png", image)
    mask = np.zeros(size)
    mask.flat[:foreground] = 255
    write(folder / "masks" / f"{name}.png", mask)


@pytest.fixture
def data(tmp_path):
    for one in SOUND:
        pair(tmp_path, *one)
    return tmp_path


def names(images):
    return [image.name for image in images]


def test_orders_are_those_of_the_pixels(data):
    listed = list_images(data)
    facts = inspect_data_set(data).images
    assert names(in_order(listed, facts, "name")) == ["2", "10", "b"], "numbers by their value"
    assert names(in_order(listed, facts, "name", descending=True)) == ["b", "10", "2"]
    assert names(in_order(listed, facts, "size")) == ["2", "b", "10"]
    assert names(in_order(listed, facts, "brightness")) == ["10", "b", "2"]
    assert names(in_order(listed, facts, "class share", class_index=1)) == ["2", "b", "10"]
    assert names(in_order(listed, facts, "class share", class_index=0)) == ["10", "b", "2"]
    assert names(in_order(listed, facts, "brightness", descending=True)) == ["2", "b", "10"]


def test_what_could_not_be_measured_comes_last_in_both_directions(data):
    write(data / "images" / "alone.png", np.ones((8, 8)))
    (data / "images" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    write(data / "masks" / "broken.png", np.ones((8, 8)))
    listed = list_images(data)
    facts = inspect_data_set(data).images
    for descending in (False, True):
        order = names(in_order(listed, facts, "brightness", descending=descending))
        assert order == [*(["2", "b", "10"] if descending else ["10", "b", "2"]), "alone", "broken"]
    alone = next(image for image in listed if image.name == "alone")
    with pytest.raises(UserError, match=r"alone has no mask; add it\."):
        read_labels(alone)


def test_parts_come_in_the_order_of_their_use_and_a_broken_one_hides_no_other(tmp_path):
    for part in ("val", "train"):
        pair(tmp_path / part, *SOUND[0])
        pair(tmp_path / part, *SOUND[1])
    (tmp_path / "test").mkdir()
    listed = list_images(tmp_path)
    assert names(listed) == ["training/2", "training/10", "validation/2", "validation/10"]
    assert names(in_order(listed, (), "part", descending=True)) == names(listed)[::-1]
    assert names(in_order(listed, (), "name"))[:2] == ["training/2", "validation/2"]
    with pytest.raises(UserError):
        list_images(tmp_path / "test")


def test_labels_are_read_as_the_masks_are_written(tmp_path):
    write(tmp_path / "images" / "a.png", np.arange(64).reshape(8, 8))
    classes = np.arange(64).reshape(8, 8) % 3
    colours = np.array([(0, 0, 0), (255, 0, 0), (0, 0, 255)])
    write(tmp_path / "masks" / "a.png", colours[classes])
    (tmp_path / "palette.json").write_text('{"ground": [0, 0, 0], "car": [255, 0, 0], "sky": [0, 0, 255]}')
    (image,) = list_images(tmp_path)
    np.testing.assert_array_equal(read_labels(image), classes)


def test_frequencies_count_pixels_and_images(data):
    pair(data, "empty", (16, 16), 30, 0)
    ground, foreground = inspect_data_set(data).class_frequencies()
    total = 256 + 1024 + 512 + 256
    assert foreground.share == pytest.approx((4 + 512 + 128) / total)
    assert ground.share == pytest.approx(1 - foreground.share)
    assert (ground.images, foreground.images) == (4, 3)
