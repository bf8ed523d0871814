"""Uploads that are kept, without a browser."""

import hashlib
import io
import json

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.data.images import load_image
from core.models import CheckpointInfo, CustomResNet, save_checkpoint
from widgets.shared import kept_files, uploader, uploads


def _page():
    import streamlit as st

    from widgets.shared.model_picker import pick_model
    from widgets.shared.offered_images import in_groups, offered_images
    from widgets.shared.sources import pick_image
    from widgets.shared.user_errors import show_user_errors

    with show_user_errors():
        segmenter = pick_model()
        groups = in_groups(offered_images().values(), segmenter).values()
        st.session_state["offered names"] = [image.name for images in groups for image in images]
        image = pick_image(segmenter)
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
    return page.session_state["offered names"]


def test_an_upload_is_shown_above_the_samples_and_stays():
    page = upload(open_page(), ("cells.png", png(51)))
    assert shown(page) == "cells.png 0.200000 None"
    assert options(page)[:2] == ["cells.png", "vessels/phantom_00"]
    page.session_state["image"] = "vessels/phantom_01"
    page.run()
    assert shown(page).startswith("phantom_01.tiff")
    page.session_state["image"] = "cells.png"
    page.run()
    assert shown(page) == "cells.png 0.200000 None"


def test_a_choice_stays_where_the_browser_still_sends_the_former_one():
    page = upload(open_page(), ("cells.png", png(51)))
    page.text_input(key="image").set_value("vessels/phantom_01").run()
    assert shown(page) == "cells.png 0.200000 None"


def test_several_files_are_all_kept_and_the_first_is_shown():
    page = upload(open_page(), ("a.png", png(51)), ("b.png", png(102)))
    assert shown(page) == "a.png 0.200000 None"
    assert options(page)[:2] == ["a.png", "b.png"]


def test_the_oldest_is_dropped_and_a_sentence_says_so(monkeypatch):
    monkeypatch.setitem(kept_files.MAX_FILES, "image", 2)
    page = upload(upload(open_page(), ("0.png", png(0))), ("1.png", png(1)))
    assert not page.error
    upload(page, ("2.png", png(2)))
    assert [error.value for error in page.error] == ["Removed to make room: 0.png."]
    assert options(page)[:3] == ["2.png", "1.png", "vessels/phantom_00"]


def test_of_three_files_at_once_two_are_kept_and_a_sentence_says_so(monkeypatch):
    monkeypatch.setitem(kept_files.MAX_FILES, "image", 2)
    page = upload(open_page(), *((f"{number}.png", png(number)) for number in range(3)))
    assert page.error[0].value == "Only the first 2 of 3 files were kept."
    assert options(page)[:3] == ["0.png", "1.png", "vessels/phantom_00"]
    assert page.text[0].value.startswith("0.png")


def test_the_sum_of_the_files_is_bounded(monkeypatch):
    first, second, third = png(1), png(2), png(3, (200, 300))
    monkeypatch.setattr(kept_files, "MAX_BYTES", len(first) + len(second))
    page = upload(upload(open_page(), ("1.png", first)), ("2.png", second))
    assert options(page)[:2] == ["2.png", "1.png"]
    upload(page, ("3.png", third))
    assert len(third) > len(second)
    assert page.error[0].value == "Removed to make room: 1.png, 2.png."
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
    page.session_state["image"] = "vessels/phantom_01"
    page.run()
    assert shown(page).startswith("phantom_01.tiff")


def test_a_name_that_looks_like_formatting_is_told_as_it_is():
    page = upload(open_page(), ("a $x$ *b* ~c~.png", b"no image"))
    assert page.error[0].value == r"a \$x\$ \*b\* \~c\~.png is not a PNG, JPEG or TIFF image, whatever its name says."


@pytest.mark.parametrize("details", ["{}", '{"shape": null}', '{"shape": [1, 2]}', '{"shape": ["a", 2, 3]}'])
def test_an_image_that_the_index_says_nothing_about_can_be_removed(tmp_path, monkeypatch, details):
    monkeypatch.setattr(uploader, "folder_of", lambda _: tmp_path / "browser")
    page = upload(open_page(), ("a.png", png(51)))
    index = tmp_path / "browser" / "index.json"
    (entry,) = json.loads(index.read_bytes())
    index.write_text(json.dumps([entry | {"details": json.loads(details)}]))
    page.run()
    assert not page.exception
    assert options(page)[0] == "vessels/phantom_00"
    page.button(key="remove_image_a.png").click().run()
    assert json.loads(index.read_bytes()) == []


def test_other_channels_leave_the_other_images_selectable():
    page = upload(upload(open_page(), ("good.png", png(51))), ("colour.png", png(9, (16, 24, 3))))
    assert "colour.png has 3 channels and the model vessmap takes 1" in page.error[0].value
    page.session_state["image"] = "good.png"
    page.run()
    assert shown(page) == "good.png 0.200000 None"


def test_the_ground_truth_stays_with_its_image_until_it_is_removed():
    page = upload(open_page(), ("a.png", png(51)))
    upload(page, ("mask.png", png(255)), label="Ground truth (optional)")
    assert shown(page) == f"a.png 0.200000 {16 * 24}"
    upload(page, ("b.png", png(102)))
    assert shown(page) == "b.png 0.400000 None"
    page.session_state["image"] = "a.png"
    page.run()
    assert shown(page) == f"a.png 0.200000 {16 * 24}"
    page.button(key="remove_truth").click().run()
    assert shown(page) == "a.png 0.200000 None"


def test_a_mask_among_the_images_is_offered_as_the_ground_truth_of_its_image():
    def noise(seed: int, shape: tuple[int, int] = (16, 24)) -> bytes:
        file = io.BytesIO()
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8)).save(file, "PNG")
        return file.getvalue()

    def offers() -> list[str]:
        return [button.label for button in page.button if button.key == "use_as_truth"]

    page = upload(open_page(), ("cells.png", noise(0)))
    upload(page, ("other.png", noise(1)))
    upload(page, ("small_mask.png", png(255, (8, 8))))
    assert not offers(), "no image has its size"
    upload(page, ("cells_mask.png", png(255)))
    assert offers() == [r"Use as the ground truth of cells\.png"]
    page.button(key="use_as_truth").click().run()
    assert shown(page).split()[::2] == ["cells.png", str(16 * 24)]
    assert "cells_mask.png" not in options(page)
    assert not offers()


def test_an_image_is_decoded_once_whatever_it_is_called(monkeypatch):
    decoded = []
    monkeypatch.setattr(uploads, "load_image", lambda *given: decoded.append(given) or load_image(*given))
    page = upload(upload(open_page(), ("a.png", png(53))), ("a.png", png(54)))
    assert shown(page).startswith("a (2).png")
    page.session_state["image"] = "a.png"
    page.run()
    assert shown(page).startswith("a.png")
    assert len(decoded) == 2


def test_your_files_are_listed_and_removed():
    page = open_page()
    assert not [button for button in page.button if button.label == "Remove"]
    upload(page, ("a.png", png(51)))
    upload(page, ("mask_of_a.png", png(255)), label="Ground truth (optional)")
    upload(page, ("b_*.png", png(102)))
    listed = [entry.value for entry in page.markdown if ":small[" in entry.value]
    assert listed == [
        "**b\\_\\*\\.png**  \n:small[Image, 1 KB]",
        "**a\\.png**  \n:small[Image, 1 KB]",
        "**mask\\_of\\_a\\.png**  \n:small[Ground truth of a\\.png, 1 KB]",
    ]
    page.button(key="remove_image_b_*.png").click().run()
    assert shown(page).startswith("phantom_00.tiff"), "what is shown gives way to another image"
    assert options(page)[:2] == ["a.png", "vessels/phantom_00"]
    page.button(key="remove_truth_a.png").click().run()
    page.session_state["image"] = "a.png"
    page.run()
    assert shown(page) == "a.png 0.200000 None"
    page.button(key="remove_image_a.png").click().run()
    assert shown(page).startswith("phantom_00.tiff")
    assert not [button for button in page.button if button.label == "Remove"]


def test_two_tabs_of_a_browser_share_their_files(tmp_path, monkeypatch):
    monkeypatch.setattr(uploader, "browser_token", lambda: "one browser")
    monkeypatch.setenv("WHYPIXEL_FILES", str(tmp_path))
    first, second = open_page(), open_page()
    upload(first, ("a.png", png(51)))
    second.run()
    assert options(second)[:2] == ["a.png", "vessels/phantom_00"]
    assert open_page(image="a.png").text[0].value == "a.png 0.200000 None", "as after a reload"
    second.button(key="remove_image_a.png").click().run()
    assert shown(first.run()).startswith("phantom_00.tiff")
    monkeypatch.setattr(uploader, "browser_token", lambda: "another browser")
    upload(first, ("b.png", png(51)))
    monkeypatch.setattr(uploader, "browser_token", lambda: "one browser")
    assert options(second.run())[0] == "vessels/phantom_00"


@pytest.mark.parametrize("lost", ["index", "content"])
def test_what_is_lost_on_the_disk_is_forgotten_with_a_sentence(tmp_path, monkeypatch, lost):
    monkeypatch.setenv("WHYPIXEL_FILES", str(tmp_path))
    page = upload(open_page(), ("a.png", png(57)))
    (folder,) = tmp_path.iterdir()
    if lost == "index":
        (folder / "index.json").write_bytes(b"{")
    else:
        (folder / hashlib.sha256(png(57)).hexdigest()).unlink()
    page.run()
    sentences = {
        "index": "The list of your files was damaged; upload them again.",
        "content": "a.png is no longer here; upload again.",
    }
    assert [error.value for error in page.error] == [sentences[lost]]
    assert page.text[0].value.startswith("phantom_00.tiff")


def test_a_checkpoint_dropped_on_the_page_becomes_the_model(tmp_path):
    info = CheckpointInfo("custom_resnet", {"in_channels": 1, "num_classes": 2, "width": 2}, mean=(0.5,))
    path = save_checkpoint(tmp_path / "mine.safetensors", CustomResNet(width=2), info)
    page = upload(open_page(), ("mine.safetensors", path.read_bytes()), ("a.png", png(51)), ("code.pth", b"no weights"))
    assert page.selectbox(key="model").value == "mine.safetensors"
    assert page.text[0].value == "a.png 0.200000 None"
    (error,) = page.error
    assert error.value.startswith("code.pth ")


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


def test_an_image_picked_in_the_gallery_is_shown():
    page = open_page()
    page.session_state["image"] = "vessels/phantom_03"
    page.run()
    assert shown(page).startswith("phantom_03.tiff")
