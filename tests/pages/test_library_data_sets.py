"""The data sets on the Library page without a browser: what it shows is what the library says."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.data.inspection import inspect_data_set
from core.display.words import percent
from widgets.library import data_sets
from widgets.library.data_sets import KEY
from widgets.shared import kept_files, trained_networks

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def kept(monkeypatch, tmp_path):
    monkeypatch.setenv(kept_files.VARIABLE, str(tmp_path / "files"))
    return tmp_path / "files"


def open_page() -> AppTest:
    page = AppTest.from_file(str(ROOT / "pages" / "library.py"), default_timeout=120)
    page.query_params["library_part"] = "Data sets"
    page.run()
    assert not page.exception
    return page


def zipped(entries: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, values in entries.items():
            picture = io.BytesIO()
            Image.fromarray(values.astype(np.uint8)).save(picture, "PNG")
            archive.writestr(name, picture.getvalue())
    return buffer.getvalue()


def bars(parts: tuple[str, ...] = ("",), count: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    entries = {}
    for part in parts:
        for number in range(count):
            mask = np.zeros((32, 32))
            mask[: 2 + 3 * number] = 255
            entries[f"{part}images/{number}.png"] = mask // 2 + rng.integers(0, 90, mask.shape)
            entries[f"{part}masks/{number}.png"] = mask
    return entries


def upload(page: AppTest, name: str, content: bytes) -> AppTest:
    page.file_uploader[0].upload(name, content, "application/zip").run()
    assert not page.exception
    return page


def words(page: AppTest) -> str:
    return " ".join(each.value for each in (*page.markdown, *page.caption, *page.error, *page.warning))


def tiles(page: AppTest) -> list[dict]:
    """What the grid sends to the browser."""
    protos = [element.proto for element in page.get("bidi_component")]
    (grid,) = [json.loads(proto.json) for proto in protos if proto.component_name == "data_set_grid"]
    return grid["items"]


def test_a_sample_is_looked_through_at_first_sight():
    page = open_page()
    report = inspect_data_set(ROOT / "sample_data" / "vessels")
    assert page.selectbox(key=KEY).value == "Sample vessels"
    assert f"{len(report.images)} images, 256 × 256 pixels" in words(page)
    assert [tile["label"] for tile in tiles(page)] == [image.name for image in report.images]
    assert "A sample: it cannot be renamed or deleted" in words(page)
    page.selectbox(key="library_order").select("class share").run()
    page.toggle(key="library_descending").set_value(True).run()
    shares = sorted(report.images, key=lambda image: -image.class_share(1))
    assert [tile["label"] for tile in tiles(page)] == [image.name for image in shares]
    assert tiles(page)[0]["note"] == percent(shares[0].class_share(1))


def test_an_archive_is_uploaded_looked_through_renamed_and_deleted(kept):
    page = upload(open_page(), "bars.zip", zipped(bars()))
    assert page.selectbox(key=KEY).value == "bars"
    assert "6 images, 32 × 32 pixels, 1 channel" in words(page)
    page.session_state["library_view"] = "Classes and intensities"
    page.run()
    assert not page.exception
    figures = page.get("plotly_chart")
    assert len(figures) == 2
    page.session_state["library_view"] = "Copies"
    page.run()
    assert "There are no copies in this data set" in words(page)
    (name,) = [each for each in page.text_input if each.key.startswith("library_name_")]
    name.set_value("stripes").run()
    page.button(key="library_rename").click().run()
    assert not page.exception
    assert page.selectbox(key=KEY).value == "stripes"
    page.button(key="library_delete").click().run()
    assert not page.exception
    assert page.selectbox(key=KEY).value == "Sample vessels"
    assert not list(kept.rglob("*.png"))


def test_copies_between_the_parts_are_shown_in_pairs():
    entries = bars(("train/", "val/"), 5)
    entries["val/images/0.png"] = entries["train/images/3.png"][::-1]
    page = upload(open_page(), "leaky.zip", zipped(entries))
    page.session_state["library_view"] = "Copies"
    page.run()
    assert not page.exception
    assert "1 pair of copies or near-copies between the parts" in words(page)
    (pair,) = tiles(page)
    assert pair["label"] == "training/3 · validation/0"
    assert [picture["name"] for picture in pair["pictures"]] == ["training/3", "validation/0"]


def test_what_is_wrong_is_told_and_the_rest_can_be_looked_through():
    entries = bars()
    del entries["masks/2.png"]
    entries["masks/3.png"] = np.zeros((16, 16))
    page = upload(open_page(), "faulty.zip", zipped(entries))
    told = " ".join(error.value for error in page.error)
    assert "2.png" in told
    assert "16" in told
    assert len(tiles(page)) == 6


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("../evil", zipped({"../evil.png": np.zeros((8, 8)), **bars()}), "no path inside a folder"),
        ("cut", zipped(bars())[:400], "is no ZIP file or is broken"),
        ("none", zipped({"a.png": np.zeros((8, 8))}), "holds no data set"),
    ],
)
def test_a_refused_archive_is_told_and_nothing_is_kept(kept, name, content, why):
    page = upload(open_page(), f"{name}.zip", content)
    assert why in " ".join(error.value for error in page.error)
    assert page.selectbox(key=KEY).value == "Sample vessels"
    assert not list(kept.rglob("*.png"))
    upload(page, "bars.zip", zipped(bars()))
    assert not page.error
    assert page.selectbox(key=KEY).value == "bars"


def test_training_offers_what_the_library_has(monkeypatch, tmp_path):
    monkeypatch.setattr(trained_networks, "DEFAULT_FOLDER", tmp_path)
    page = AppTest.from_file(str(ROOT / "pages" / "training.py"), default_timeout=120).run()
    page.session_state["train_source"] = "library"
    page.session_state["train_set"] = "Sample fundus"
    page.run()
    assert not page.exception
    assert page.selectbox(key="train_set").value == "Sample fundus"
    assert "3 channels" in " ".join(each.value for each in page.caption)


def test_a_folder_without_a_data_set_is_told_and_not_offered_to_the_other_pages(tmp_path):
    page = open_page()
    page.selectbox(key=KEY).select("A folder…").run()
    page.text_input(key=f"{KEY}_folder").set_value(str(tmp_path)).run()
    assert not page.exception
    assert str(tmp_path) in " ".join(error.value for error in page.error)
    assert "_opened_data_sets" not in page.session_state
    for name, values in bars().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(values.astype(np.uint8)).save(tmp_path / name)
    page.run()
    assert not page.error
    assert "6 images, 32 × 32 pixels" in words(page)
    assert list(page.session_state["_opened_data_sets"].values()) == [tmp_path]
    (tmp_path / "masks" / "2.png").unlink()
    page.run()
    assert "2.png" in " ".join(error.value for error in page.error)


def test_a_folder_with_the_name_of_an_upload_is_another_one(tmp_path):
    page = upload(open_page(), "bars.zip", zipped(bars()))
    (tmp_path / "bars").mkdir()
    page.selectbox(key=KEY).select("A folder…").run()
    page.text_input(key=f"{KEY}_folder").set_value(str(tmp_path / "bars")).run()
    assert page.error
    keys = {button.key for button in page.button}
    assert not keys & {"library_delete", "library_rename", "library_close", "leave_for_training"}
    for name, values in bars().items():
        (tmp_path / "bars" / name).parent.mkdir(exist_ok=True)
        Image.fromarray(values.astype(np.uint8)).save(tmp_path / "bars" / name)
    page.run()
    assert not page.error
    keys = {button.key for button in page.button}
    assert keys & {"library_delete", "library_close"} == {"library_close"}
    page.button(key="library_close").click().run()
    assert not page.exception
    assert page.session_state["_opened_data_sets"] == {}
    assert page.selectbox(key=KEY).value == "bars"


def test_a_set_that_a_run_trains_on_is_not_deleted(kept, monkeypatch):
    page = upload(open_page(), "bars.zip", zipped(bars()))
    (images,) = {path.parent for path in kept.rglob("images/*.png")}
    with monkeypatch.context() as training:
        training.setattr(data_sets, "data_in_use", lambda: [images.parent.resolve()])
        page.button(key="library_delete").click().run()
        assert "stop it first" in " ".join(each.value for each in (*page.error, *page.warning, *page.markdown))
    assert page.selectbox(key=KEY).value == "bars"
