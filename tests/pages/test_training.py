"""The Training page without a browser: what it asks the library for, and what it shows of runs on disk."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.models import CheckpointInfo, CustomResNet, save_checkpoint
from core.training import TrainingSettings
from core.training.runs import Run, Status
from core.training.runs.previews import write_images, write_predictions
from core.training.runs.status import write_status
from core.training.runs.stored_settings import stored
from widgets.shared import kept_files, trained_networks
from widgets.training import new_run, run_list

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def folder_of_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(trained_networks, "DEFAULT_FOLDER", tmp_path)
    return tmp_path / "training"


@pytest.fixture
def started(monkeypatch):
    """What the page starts, instead of a process."""
    found: list[tuple[TrainingSettings, str]] = []

    def start(settings, name, root):
        found.append((settings, name))
        return Run(root / "20260101-000000-started")

    monkeypatch.setattr(new_run, "start", start)
    return found


def open_page() -> AppTest:
    page = AppTest.from_file(str(ROOT / "pages" / "training.py"), default_timeout=120).run()
    assert not page.exception
    return page


def write_pairs(folder: Path, count: int = 12, size: int = 40) -> Path:
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        mask = np.uint8(rng.random((size, size)) > 0.7) * 255
        Image.fromarray(mask).save(folder / "labels" / f"{number}.png")
        noise = rng.integers(0, 90, mask.shape, np.uint8)
        Image.fromarray(mask // 2 + noise).save(folder / "images" / f"{number}.png")
    return folder


def choose_folder(page: AppTest, folder: Path) -> AppTest:
    page.session_state["train_source"] = "folder"
    page.run()
    return page.text_input(key="train_folder").set_value(str(folder)).run()


def made_run(root: Path, state: str, folder: str = "20260101-000000-aa", name: str = "bars", **status) -> Run:
    run = Run(root / folder)
    run.folder.mkdir(parents=True)
    settings = stored(TrainingSettings(images=str(ROOT / "sample_data" / "vessels"), epochs=4))
    stated = {"name": name, "device": "cpu", "workers": 0, "directory": str(root), "settings": settings}
    (run.folder / "settings.json").write_text(json.dumps(stated))
    run.log_file.write_text("It began.")
    run.note_process(psutil.Process())
    write_status(run.folder, replace(Status(state, 1.0, started=2.0, epochs=4), **status))
    return run


def add_results(run: Run, epochs: int = 2) -> None:
    columns = "epoch,train_loss,penalty,validation_loss,validation_iou,validation_dice,learning_rate,seconds"
    rows = [f"{epoch},{1 / epoch},0,{1.1 / epoch},{0.2 * epoch},{0.3 * epoch},0.01,3" for epoch in range(1, epochs + 1)]
    (run.folder / "metrics.csv").write_text("\n".join([columns, *rows]))
    info = CheckpointInfo("custom_resnet", {"in_channels": 1, "num_classes": 2, "width": 2}, mean=(0.5,))
    save_checkpoint(run.folder / f"{run.name}.safetensors", CustomResNet(width=2), info)
    picture = np.full((1, 8, 9), 128, np.uint8)
    write_images(run.folder, ["left", "right"], [picture] * 2, [picture[0] // 128] * 2)
    for epoch in range(1, epochs + 1):
        write_predictions(run.folder, epoch, 4, [picture[0] // 128] * 2, [picture[0]] * 2)


def words(page: AppTest) -> str:
    return " ".join(each.value for each in (*page.markdown, *page.caption, *page.info))


def test_first_sight_says_what_is_in_the_samples_and_what_it_would_take(started):
    page = open_page()
    assert "16 images, 256 × 256 pixels, 1 channel, uint8" in words(page)
    assert "About **" in words(page)
    assert "Here you will see the runs" in words(page)
    page.selectbox(key="train_architecture").set_value("unet").run()
    page.number_input(key="train_unet_width").set_value(4)
    page.number_input(key="train_epochs").set_value(7)
    page.selectbox(key="train_loss").set_value("focal")
    page.number_input(key="train_elastic").set_value(1.5)
    page.toggle(key="train_upright").set_value(True)
    page.text_input(key="train_name").set_value("mine").run()
    page.button(key="train_start").click().run()
    assert not page.exception
    expected = TrainingSettings(
        images=str(ROOT / "sample_data" / "vessels"), epochs=7, loss="focal", architecture="unet",
        arguments={"width": 4, "depth": 3}, elastic=1.5, upright=True, keep_every=1,
    )  # fmt: skip
    assert started == [(expected, "mine")]


def test_everything_that_is_wrong_with_a_folder_is_listed_before_anything_starts(started, tmp_path):
    page = open_page()
    page = choose_folder(page, tmp_path / "nowhere")
    assert "There is no folder" in page.error[0].value
    assert page.button(key="train_start").disabled
    page.number_input(key="train_crop").set_value(32).run()
    folder = write_pairs(tmp_path / "pairs")
    page = choose_folder(page, folder)
    assert not page.error
    assert "12 images, 40 × 40 pixels" in words(page)
    (folder / "labels" / "3.png").unlink()
    (folder / "images" / "5.png").write_bytes((folder / "images" / "5.png").read_bytes()[:200])
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "labels" / "7.png")
    page.run()
    (told,) = [error.value for error in page.error]
    assert all(name in told for name in ("3.png", "5.png", "7.png"))
    assert page.button(key="train_start").disabled
    assert not started


def test_classes_are_named_by_the_user_or_by_their_numbers(started, tmp_path):
    page = open_page()
    page.number_input(key="train_crop").set_value(32)
    page = choose_folder(page, write_pairs(tmp_path / "two"))
    page.button(key="train_start").click().run()
    many = write_pairs(tmp_path / "many")
    for file in (many / "labels").iterdir():
        Image.fromarray(np.uint8(np.arange(1600).reshape(40, 40) % 4)).save(file)
    page = choose_folder(page, many)
    assert not page.error
    page.button(key="train_start").click().run()
    page.text_input(key="train_classes").set_value("sky, sea , land, ship").run()
    page.button(key="train_start").click().run()
    page.text_input(key="train_classes").set_value("sky, sea").run()
    assert "holds the class 3, but only 2 classes are named" in page.error[0].value
    assert [settings.class_names for settings, _ in started] == [
        ("background", "foreground"), ("class 0", "class 1", "class 2", "class 3"), ("sky", "sea", "land", "ship"),
    ]  # fmt: skip


def test_what_cannot_be_trained_with_is_told_in_a_sentence(tmp_path):
    page = choose_folder(open_page(), write_pairs(tmp_path / "pairs"))
    assert "smaller than the crop of 128" in page.error[0].value
    page.number_input(key="train_crop").set_value(32).run()
    assert not page.error
    assert "About **" in words(page)


@pytest.mark.parametrize(
    ("state", "buttons"),
    [
        ("running", {"train_stop"}),
        ("queued", {"train_stop"}),
        ("finished", {"train_delete"}),
        ("stopped", {"train_resume", "train_delete"}),
        ("failed", {"train_resume", "train_delete"}),
        ("lost", {"train_resume", "train_delete"}),
    ],
)
def test_a_run_offers_what_its_state_allows(folder_of_runs, state, buttons):
    run = made_run(folder_of_runs, state, reason="The loss is no longer finite." if state == "failed" else "")
    add_results(run)
    page = open_page()
    found = {button.key for button in page.button} & {"train_stop", "train_resume", "train_delete"}
    assert found == buttons
    assert [error.value for error in page.error] == (["The loss is no longer finite."] if state == "failed" else [])
    assert page.select_slider(key="train_epoch").value == 2
    assert "It began." in page.code[0].value


def test_the_epoch_of_the_predictions_follows_the_run_until_one_is_chosen(folder_of_runs):
    run = made_run(folder_of_runs, "stopped")
    add_results(run, epochs=3)
    page = open_page()
    assert page.select_slider(key="train_epoch").value == 3
    add_results(run, epochs=4)
    page.run()
    assert page.select_slider(key="train_epoch").value == 4
    page.select_slider(key="train_epoch").set_value(2).run()
    page.run()
    assert page.select_slider(key="train_epoch").value == 2


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"name": "x"}', '{"name": "x", "settings": 3}'])
def test_a_damaged_run_harms_no_page(folder_of_runs, content):
    made_run(folder_of_runs, "finished")
    other = made_run(folder_of_runs, "finished", "20260102-000000-bb", "other")
    add_results(other)
    if content is None:
        (other.folder / "settings.json").unlink()
    else:
        (other.folder / "settings.json").write_text(content)
    assert trained_networks.trained_networks() == {}
    assert "bars" in words(open_page())


def test_deleting_asks_and_deletes(folder_of_runs):
    run = made_run(folder_of_runs, "finished")
    page = open_page()
    page.button(key="train_delete").click().run()
    assert not page.exception
    assert not run.folder.exists()
    assert "Here you will see the runs" in words(page)


def test_networks_of_runs_that_have_ended_are_in_the_pickers_by_names_of_their_own(folder_of_runs):
    for place, (state, folder) in enumerate(
        (("finished", "aa"), ("stopped", "bb"), ("running", "cc"), ("failed", "dd"))
    ):
        run = made_run(folder_of_runs, state, f"2026010{place + 1}-000000-{folder}")
        if state != "failed":
            add_results(run)
    assert list(trained_networks.trained_networks()) == ["bars (20260102-000000)", "bars (20260101-000000)"]
    page = AppTest.from_file(str(ROOT / "main.py"), default_timeout=120)
    page.query_params["model"] = "bars (20260102-000000)"
    page.run()
    assert not page.exception
    assert page.selectbox(key="model").value == "bars (20260102-000000)"
    shutil.rmtree(folder_of_runs / "20260102-000000-bb")
    page.run()
    assert not page.exception
    assert page.selectbox(key="model").value == "vessmap"


@pytest.mark.parametrize("is_shared", [False, True])
def test_runs_on_what_another_browser_uploaded_are_seen_by_nobody_else(
    folder_of_runs, monkeypatch, tmp_path, is_shared
):
    monkeypatch.setenv(kept_files.VARIABLE, str(tmp_path / "files"))
    monkeypatch.setenv(kept_files.SHARED_VARIABLE, "1" if is_shared else "0")
    theirs = kept_files.sets_folder_of("another browser") / "0123" / "content"
    for day, images in ((1, theirs), (2, ROOT / "sample_data" / "vessels")):
        run = made_run(folder_of_runs, "finished", f"2026010{day}-000000-aa")
        add_results(run)
        stated = json.loads((run.folder / "settings.json").read_text())
        stated["settings"]["images"] = str(images)
        (run.folder / "settings.json").write_text(json.dumps(stated))
    found = ["bars (20260102-000000)", "bars (20260101-000000)"][: 2 if is_shared else 1]
    assert list(trained_networks.trained_networks()) == found
    page = open_page()
    table = next(each.value for each in page.dataframe if "State" in each.value)
    assert len(table) == len(found)


def test_two_runs_started_in_the_same_second_are_both_in_the_pickers(folder_of_runs):
    for name in ("aa", "bb"):
        add_results(made_run(folder_of_runs, "finished", f"20260101-000000-{name}"))
    found = trained_networks.trained_networks()
    assert {path.parent.name for path in found.values()} == {"20260101-000000-aa", "20260101-000000-bb"}


def test_several_runs_are_compared_by_curves_settings_and_the_same_images(folder_of_runs, monkeypatch):
    first, second = (made_run(folder_of_runs, "finished", f"2026010{day}-000000-aa") for day in (1, 2))
    for run in (first, second):
        add_results(run)
    monkeypatch.setattr(run_list, "pick_runs", lambda found: found)
    page = open_page()
    assert "Nothing: all settings are the same." in words(page)
    stated = json.loads((second.folder / "settings.json").read_text())
    stated["settings"] |= {"learning_rate": 0.5, "class_names": ["ground", "bar"]}
    (second.folder / "settings.json").write_text(json.dumps(stated))
    page.run()
    assert not page.exception
    (table,) = [each.value for each in page.dataframe if "Setting" in each.value]
    assert set(table["Setting"]) == {"learning rate", "class names"}
    assert list(table.columns) == ["Setting", "bars (20260102-000000)", "bars (20260101-000000)"]
    assert len(page.get("image")) == 2 * 3  # two images: the ground truth, and two predictions
    picture = np.full((1, 8, 9), 7, np.uint8)  # another image of the same name
    write_images(second.folder, ["left", "other"], [picture] * 2, [picture[0] // 7] * 2)
    page.run()
    assert "These runs have no validation image in common." in words(page)
