"""Explanation along training on the Training page: the maps, pixels and epochs that it hands to its viewer."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from streamlit.testing.v1 import AppTest

from core.attribution import gradient
from core.data.data_sets import read_pair
from core.models import load_segmenter
from core.target import Target
from core.training import train
from core.training.runs import Run, Status
from core.training.runs.status import write_status
from core.training.runs.stored_settings import stored
from core.training.saved_epochs import epoch_checkpoint, saved_epochs, validation_images
from tests.pages.test_training import ROOT, words
from tests.pages.viewer_data import viewers
from tests.training.test_training import small, write_data_set
from widgets.shared import trained_networks


@pytest.fixture(scope="module")
def trained(tmp_path_factory, one_thread):
    """A run of four epochs, of which 1, 2 and 4 are kept."""
    data = write_data_set(tmp_path_factory.mktemp("bars"))
    settings = small(images=str(data), epochs=4, keep_every=2, patience=10)
    folder = tmp_path_factory.mktemp("along") / "20260101-000000-aa"
    run = Run(folder)
    folder.mkdir()
    train(settings, folder, "bars", device="cpu", progress_bar=False)
    stated = {"name": "bars", "device": "cpu", "workers": 0, "directory": str(folder), "settings": stored(settings)}
    (folder / "settings.json").write_text(json.dumps(stated))
    run.log_file.write_text("It began.")
    run.note_process(psutil.Process())
    write_status(folder, Status("finished", 1.0, started=2.0, epochs=4, epoch=4))
    return SimpleNamespace(folder=folder, settings=settings, data=data)


@pytest.fixture
def run(monkeypatch, tmp_path, trained):
    """A copy of the run, to be harmed, in the folder that the page looks into."""
    monkeypatch.setattr(trained_networks, "DEFAULT_FOLDER", tmp_path)
    shutil.copytree(trained.folder, tmp_path / "training" / trained.folder.name)
    return Run(tmp_path / "training" / trained.folder.name)


def open_panel() -> AppTest:
    page = AppTest.from_file(str(ROOT / "pages" / "training.py"), default_timeout=120).run()
    page.session_state["train_along"] = True
    page.run()
    assert not page.exception
    return page


def epochs_shown(data: dict) -> list[float]:
    (slider,) = [control for control in data["controls"] if control["name"] == "along_epoch"]
    return slider["values"]


def test_nothing_is_computed_before_the_panel_is_opened(run):
    page = AppTest.from_file(str(ROOT / "pages" / "training.py"), default_timeout=120).run()
    assert viewers(page) == []


def test_the_panel_opens_on_a_pixel_with_its_map_at_every_saved_epoch(run):
    (data,) = viewers(open_panel())
    assert epochs_shown(data) == [1, 2, 4]
    assert data["settings"]["along_epoch"] == 4
    image, first = data["panels"]
    assert image["name"] == "Image"
    assert len(data["pins"]) == 1
    shown = {layer["name"]: layer["shown"] for layer in first["layers"]}
    assert shown["own 0 2"] == [
        {"setting": "along_epoch", "in": [2]}, {"setting": "along_colours", "in": ["own"]},
    ]  # fmt: skip
    assert len(shown) == 3 * 2


def test_pinned_pixels_are_explained_by_the_maps_of_their_checkpoints(run, trained, monkeypatch):
    pixels = [(3, 4), (20, 30)]
    page = AppTest.from_file(str(ROOT / "pages" / "training.py"), default_timeout=120)
    page.query_params["pins"] = ";".join(f"{row},{column}" for row, column in pixels)
    page.run()
    page.session_state["train_along"] = True
    page.run()
    assert not page.error
    (data,) = viewers(page)
    assert [(pin["row"], pin["column"]) for pin in data["pins"]] == pixels
    saved = saved_epochs(run.folder / "bars.safetensors")
    pair = next(iter(validation_images(trained.settings, saved.validation).values()))
    image = read_pair(pair).image
    segmenter = load_segmenter(saved.epochs[0].checkpoint, "cpu")
    for index, (row, column) in enumerate(pixels):
        expected = gradient(segmenter, image, Target.pixel(row, column, 1, "logit")).signed_map()
        (layer,) = [each for each in data["panels"][1 + index]["layers"] if each["name"] == f"own {index} 1"]
        limit = np.percentile(np.abs(expected[expected != 0]), 99.5)
        assert layer["scale"]["high"] == pytest.approx(limit, rel=1e-5)
        score = float(segmenter.logits(image)[0, 1, row, column])
        numbers = {name: value for name, value, _ in data["pins"][index]["numbers"]}
        assert float(numbers["First score"].replace("−", "-")) == pytest.approx(score, rel=1e-3)
    for row, column in pixels:
        assert f"row {row}, column {column}" in words(page)
    assert len(page.get("plotly_chart")) >= 2


def test_at_most_four_pixels_are_pinned_the_last_ones(run):
    page = AppTest.from_file(str(ROOT / "pages" / "training.py"), default_timeout=120)
    page.query_params["pins"] = "1,1;2,2;3,3;4,4;5,5;99,1"
    page.run()
    page.session_state["train_along"] = True
    page.run()
    (data,) = viewers(page)
    assert [pin["row"] for pin in data["pins"]] == [2, 3, 4, 5]
    assert len(data["panels"]) == 5


def test_more_epochs_come_while_the_run_is_live(run):
    late = epoch_checkpoint(run.folder / "bars.safetensors", 2)
    content = late.read_bytes()
    late.unlink()
    page = open_panel()
    assert epochs_shown(viewers(page)[0]) == [1, 4]
    late.write_bytes(content)
    page.run()
    assert epochs_shown(viewers(page)[0]) == [1, 2, 4]


def test_what_is_missing_is_said(run, trained, monkeypatch):
    damaged = epoch_checkpoint(run.folder / "bars.safetensors", 2)
    damaged.write_bytes(damaged.read_bytes()[:-10])
    page = open_panel()
    assert "bars_0002.safetensors was left out" in words(page).replace("\\", "")
    assert epochs_shown(viewers(page)[0]) == [1, 4]
    shutil.rmtree(run.folder / "epochs")
    page.run()
    assert "Only the weights of epoch 4" in words(page)
    stated = json.loads((run.folder / "settings.json").read_text())
    stated["settings"]["images"] = str(run.folder / "gone")
    (run.folder / "settings.json").write_text(json.dumps(stated))
    page = open_panel()
    assert "There is no folder" in page.error[0].value
    assert viewers(page) == []
    for file in run.folder.glob("*.safetensors"):
        file.unlink()
    page.run()
    assert not page.exception
    assert "begin with the first epoch" in words(page)
    shutil.rmtree(run.folder)
    page.run()
    assert not page.exception


def test_a_run_that_keeps_none_says_how_to_keep_some(run):
    stated = json.loads((run.folder / "settings.json").read_text())
    stated["settings"]["keep_every"] = 0
    (run.folder / "settings.json").write_text(json.dumps(stated))
    assert "A new run keeps about twelve" in words(open_panel())


def test_the_films_are_offered(run):
    page = open_panel()
    found = {button.proto.label for button in page.get("download_button")}
    assert {"Film (WebP)", "Film (GIF)"} <= found
