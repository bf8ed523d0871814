"""Uploads that are kept in the session, and the strip's thumbnails, without a browser."""

import io

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.data.images import LoadedImage
from widgets.shared import uploads
from widgets.shared.image_strip import make_thumbnail


def _page():
    import streamlit as st

    from widgets.shared.image_strip import image_strip
    from widgets.shared.model_picker import pick_model
    from widgets.shared.sources import pick_image
    from widgets.shared.user_errors import show_user_errors

    with show_user_errors():
        segmenter = pick_model()
        try:
            image = pick_image(segmenter)
        finally:
            image_strip(segmenter)
        st.text(f"{image.name} {image.values.mean():.6f} {None if image.truth is None else image.truth.sum()}")


def open_page(**query: str) -> AppTest:
    page = AppTest.from_function(_page, default_timeout=120)
    for name, value in query.items():
        page.query_params[name] = value
    return page.run()


def png(value: int, shape: tuple[int, ...] = (16, 24)) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full(shape, value, np.uint8)).save(file, "PNG")
    return file.getvalue()


def upload(page: AppTest, *files: tuple[str, bytes], label: str = "Image file") -> AppTest:
    uploader = next(found for found in page.file_uploader if found.label == label)
    uploader.set_value([(name, content, "image/png") for name, content in files])
    page.run()
    assert not page.exception
    return page


def shown(page: AppTest) -> str:
    assert not page.error, page.error[0].value
    return page.text[0].value


def options(page: AppTest) -> list[str]:
    return page.selectbox(key="image").options


def test_an_upload_is_shown_above_the_samples_and_stays():
    page = upload(open_page(), ("cells.png", png(51)))
    assert shown(page) == "cells.png 0.200000 None"
    assert options(page)[:2] == ["cells.png", "vessels/phantom_00"]
    page.selectbox(key="image").set_value("vessels/phantom_01").run()
    assert shown(page).startswith("phantom_01.tiff")
    page.selectbox(key="image").set_value("cells.png").run()
    assert shown(page) == "cells.png 0.200000 None"


def test_several_files_are_all_kept_and_the_first_is_shown():
    page = upload(open_page(), ("a.png", png(51)), ("b.png", png(102)))
    assert shown(page) == "a.png 0.200000 None"
    assert options(page)[:2] == ["a.png", "b.png"]


def test_the_oldest_of_seven_is_dropped():
    page = open_page()
    for number in range(7):
        upload(page, (f"{number}.png", png(number)))
    assert options(page)[:7] == ["6.png", "5.png", "4.png", "3.png", "2.png", "1.png", "vessels/phantom_00"]


def test_of_seven_files_at_once_six_are_kept_and_a_sentence_says_so():
    page = upload(open_page(), *((f"{number}.png", png(number)) for number in range(7)))
    assert page.error[0].value == "Only the first 6 of 7 files were kept."
    assert options(page)[:7] == ["0.png", "1.png", "2.png", "3.png", "4.png", "5.png", "vessels/phantom_00"]
    assert page.text[0].value.startswith("0.png")


def test_the_sum_of_the_files_is_bounded(monkeypatch):
    first, second, third = png(1), png(2), png(3, (200, 300))
    monkeypatch.setattr(uploads, "MAX_BYTES", len(first) + len(second))
    page = upload(upload(open_page(), ("1.png", first)), ("2.png", second))
    assert options(page)[:2] == ["2.png", "1.png"]
    upload(page, ("3.png", third))
    assert len(third) > len(second)
    assert options(page)[0] == "3.png"
    assert "1.png" not in options(page)


def test_two_files_of_one_name_are_told_apart_and_the_same_file_is_kept_once():
    page = upload(upload(open_page(), ("a.png", png(51))), ("a.png", png(102)))
    assert shown(page) == "a (2).png 0.400000 None"
    upload(page, ("a.png", png(51)))
    assert shown(page) == "a.png 0.200000 None"
    assert options(page)[:3] == ["a.png", "a (2).png", "vessels/phantom_00"]


@pytest.mark.parametrize("content", [b"", b"text", png(51, (64, 64))[:-30]])
def test_a_broken_file_leaves_the_image_that_was_shown(content):
    page = upload(upload(open_page(), ("good.png", png(51))), ("broken.png", content))
    assert "broken.png" in page.error[0].value
    assert page.text[0].value == "good.png 0.200000 None"
    assert "broken.png" not in options(page)
    page.run()
    assert len(page.error) == 1, "still there when the page runs again by itself"
    page.selectbox(key="image").set_value("vessels/phantom_01").run()
    assert shown(page).startswith("phantom_01.tiff")


def test_other_channels_leave_the_other_images_selectable():
    page = upload(upload(open_page(), ("good.png", png(51))), ("colour.png", png(9, (16, 24, 3))))
    assert "colour.png has 3 channels and the model vessmap takes 1" in page.error[0].value
    page.selectbox(key="image").set_value("good.png").run()
    assert shown(page) == "good.png 0.200000 None"


def test_the_ground_truth_stays_with_its_image_until_it_is_removed():
    page = upload(open_page(), ("a.png", png(51)))
    upload(page, ("mask.png", png(255)), label="Ground truth (optional)")
    assert shown(page) == f"a.png 0.200000 {16 * 24}"
    upload(page, ("b.png", png(102)))
    assert shown(page) == "b.png 0.400000 None"
    page.selectbox(key="image").set_value("a.png").run()
    assert shown(page) == f"a.png 0.200000 {16 * 24}"
    page.button(key="remove_truth").click().run()
    assert shown(page) == "a.png 0.200000 None"


def test_a_ground_truth_of_another_size_is_refused_in_one_sentence():
    page = upload(open_page(), ("a.png", png(51)))
    upload(page, ("mask.png", png(255, (16, 16))), label="Ground truth (optional)")
    assert "The ground truth is 16×16 pixels, the image 16×24" in page.error[0].value
    assert page.text[0].value == "a.png 0.200000 None"


def test_a_link_to_an_upload_asks_for_the_file_and_shows_a_sample():
    page = open_page(image="cells.png")
    assert page.error[0].value == "cells.png is not here; upload the file again."
    assert page.text[0].value.startswith("phantom_00.tiff")
    upload(page, ("cells.png", png(51)))
    assert shown(page) == "cells.png 0.200000 None"


def test_a_thumbnail_picked_in_the_strip_is_shown():
    page = open_page()
    page.session_state["image"] = "vessels/phantom_03"
    page.run()
    assert shown(page).startswith("phantom_03.tiff")


@pytest.mark.parametrize(
    ("shape", "size"), [((100, 100), (60, 60)), ((100, 400), (120, 30)), ((40, 1200), (120, 4)), ((90, 30), (20, 60))]
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
    assert (picture[:, :58] == 0).all()
    assert (picture[:, 62:] == [255, 153, 51]).all()
