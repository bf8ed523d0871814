"""The next error, and an image that cannot be shown, without a browser."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from core import Segmenter, load_segmenter, read_image
from core.data.images import read_mask
from widgets.shared import slow_work
from widgets.shared.next_error import _from, _Search, find_error
from widgets.shared.offered_images import images_in, sample_images


@pytest.fixture
def segmenter():
    """Its label is 1 where the image is brighter than a half."""
    convolution = torch.nn.Conv2d(1, 2, 1)
    with torch.no_grad():
        convolution.weight[:], convolution.bias[:] = (
            torch.tensor([0.0, 2.0]).reshape(2, 1, 1, 1),
            torch.tensor([1.0, 0]),
        )
    return Segmenter(convolution, in_channels=1, class_names=("background", "vessel"))


@pytest.fixture
def images(tmp_path):
    """Truths with errors of 9 and 4 pixels, none, no truth, and of 6 pixels, under an image that is black."""
    truths = {name: np.zeros((16, 16), np.uint8) for name in "abd"}
    truths["a"][1:4, 1:4] = truths["a"][8:10, 8:10] = truths["d"][5:7, 5:8] = 255
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for name in "abcd":
        Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / f"images/{name}.png")
    for name, truth in truths.items():
        Image.fromarray(truth).save(tmp_path / f"labels/{name}.png")
    return images_in(tmp_path)


def search(segmenter, images, start: int, number: int, shown: tuple[int, int] = (0, 0)):
    asked = _from(images[start].name, [image for image in images if image.truth])
    network = segmenter.weights_hash, str(segmenter.device)
    found = find_error(_Search(network, "dtype", number, shown, asked), segmenter)
    return None if found is None else (found.file_name, found.row, found.column, found.number, found.count)


def test_errors_follow_each_other_through_the_images_and_begin_again(segmenter, images):
    assert search(segmenter, images, 0, 0) == ("a.png", 2, 2, 1, 2)
    assert search(segmenter, images, 0, 1) == ("a.png", 8, 8, 2, 2)
    assert search(segmenter, images, 0, 2) == ("d.png", 5, 5, 1, 1)
    assert search(segmenter, images, 3, 1) == ("a.png", 2, 2, 1, 2)
    assert search(segmenter, images, 2, 0) == ("a.png", 2, 2, 1, 2), "from an image without a ground truth"
    assert search(segmenter, images, 0, 0, shown=(2, 2)) == ("a.png", 8, 8, 2, 2), "the first is on screen already"
    assert search(segmenter, images, 0, 1, shown=(2, 2)) == ("a.png", 8, 8, 2, 2)
    assert search(segmenter, images, 3, 0, shown=(5, 5)) == ("a.png", 2, 2, 1, 2)


def test_without_any_error_nothing_is_found(segmenter, images):
    assert search(segmenter, images[1:2], 0, 0) is None


def _page():
    import streamlit as st

    from widgets.shared.model_picker import pick_model
    from widgets.shared.pixel_state import restore_pixel
    from widgets.shared.sources import pick_image, predicted
    from widgets.shared.user_errors import show_user_errors

    with show_user_errors():
        with st.sidebar:
            segmenter = pick_model()
            image = pick_image(segmenter)
        row, column = restore_pixel(image, predicted(segmenter, image), segmenter.class_names)
        st.text(f"{image.name} {image.values.shape} {row} {column}")


@pytest.fixture
def open_page(monkeypatch):
    monkeypatch.setattr(slow_work, "PATIENCE", 120)

    def open_page(**query: str) -> AppTest:
        page = AppTest.from_function(_page, default_timeout=120)
        for name, value in query.items():
            page.query_params[name] = value
        page.run()
        assert not page.exception
        return page

    return open_page


def test_a_press_leads_to_a_wrong_pixel_and_says_what_it_is(open_page):
    page = open_page(image="vessels/phantom_13")
    sample = sample_images()["vessels/phantom_13"]
    labels = load_segmenter("vessmap", "cpu").predict(read_image(sample.path)).labels
    truth = read_mask(sample.truth)
    for number in (2, 3):  # the page has opened on the first
        page.button(key="next_error").click().run()
        name, *_, row, column = page.text[0].value.split()
        row, column = int(row), int(column)
        assert name == "phantom_13.tiff"
        (sentence,) = [caption.value for caption in page.caption if "in this image" in caption.value]
        kind = "False negative" if truth[row, column] else "False positive"
        assert labels[row, column] != truth[row, column]
        assert sentence.startswith(kind)
        assert f"at row {row}, column {column}; error {number} of " in sentence
    page.session_state["image"] = "vessels/phantom_01"
    page.run()
    assert not [caption for caption in page.caption if "in this image" in caption.value]


def test_an_image_without_a_ground_truth_has_no_next_error(open_page, tmp_path, monkeypatch):
    shutil.copy(sample_images()["vessels/phantom_13"].path, tmp_path / "mine.tiff")
    monkeypatch.setattr("sys.argv", ["app.py", "--images", str(tmp_path)])
    page = open_page()
    assert page.text[0].value.startswith("mine.tiff")
    assert page.button(key="next_error").disabled
    assert "no ground truth" in page.button(key="next_error").help
    assert not open_page(image="vessels/phantom_13").button(key="next_error").disabled


def test_a_mistyped_image_is_told_with_the_nearest_name(open_page):
    page = open_page(image="vessels/phantom_999")
    assert page.error[0].value.startswith(
        "There is no image “vessels/phantom_999” here; did you mean “vessels/phantom_"
    )
    assert page.text[0].value.startswith("phantom_00.tiff")


def test_the_conversion_stands_inside_the_error(open_page):
    page = open_page(image="formats/colour")
    assert "colour.png has 3 channels and the model vessmap takes 1; convert it" in page.error[0].value
    page.main.button(key="convert_here").click().run()
    assert not page.error
    assert page.text[0].value.startswith("colour.png (1, ")


def test_a_folder_that_is_not_there_is_told(open_page, monkeypatch):
    monkeypatch.setattr("sys.argv", ["app.py", "--images", "nowhere"])
    assert "There is no folder" in open_page().error[0].value
