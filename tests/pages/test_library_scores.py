"""The scores on the Library page without a browser: what it shows is what the library says."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core import load_segmenter
from core.data.data_sets import find_pairs, read_pair
from core.models import CheckpointInfo, CustomResNet, save_checkpoint
from core.scoring.data_set_scores import score_data_set
from tests.pages.test_training import add_results, made_run
from tests.pages.viewer_data import viewers
from widgets.shared import trained_networks

ROOT = Path(__file__).resolve().parents[2]


def open_scores(**address: str) -> AppTest:
    page = AppTest.from_file(str(ROOT / "pages" / "library.py"), default_timeout=120)
    page.query_params["library_part"] = "Scores"
    page.query_params.update(address)
    page.run()
    assert not page.exception
    return page


@pytest.fixture(scope="module")
def scores():
    return score_data_set(load_segmenter("vessmap", "cpu"), find_pairs(ROOT / "sample_data" / "vessels"))


def test_the_samples_are_scored_at_first_sight_and_open_on_the_worst(scores):
    page = open_scores()
    mean, low, high = scores.mean_iou()
    tiles = {metric.label: metric.value for metric in page.metric}
    assert tiles["Mean IoU"] == f"{mean:.3f}"
    assert any(f"95 % interval {low:.3f} to {high:.3f}" in caption.value for caption in page.caption)
    worst = scores.images[scores.worst_first()[0]]
    assert page.selectbox("library_image").value == worst.stem
    (shown,) = viewers(page)
    counts = worst.counts.confusion
    chips = [text for text, _ in shown["words"]["chips"]]
    assert chips == [
        f"found {counts[1, 1]:,} px", f"false positive {counts[0, 1]:,} px", f"false negative {counts[1, 0]:,} px",
    ]  # fmt: skip
    # It opens on a pixel that is wrong.
    row, column = shown["pixel"]
    mask = read_pair(worst.pair).mask
    labels = load_segmenter("vessmap", "cpu").predict(read_pair(worst.pair).image).labels
    assert mask[row, column] != labels[row, column]


def test_another_image_another_network_and_its_own_samples(scores):
    page = open_scores()
    best = scores.images[scores.worst_first()[-1]].stem
    page.selectbox("library_image").select(best).run()
    assert f"found {scores.images[scores.worst_first()[-1]].counts.confusion[1, 1]:,} px" in str(viewers(page))
    page.selectbox("model").select("scenes").run()
    assert not page.exception
    assert not page.error
    assert page.selectbox("library_data_set").value == "Sample scenes"
    assert page.selectbox("library_class").value in load_segmenter("scenes", "cpu").class_names


def test_a_folder_and_what_cannot_be_scored_in_it(tmp_path):
    page = open_scores()
    page.selectbox("library_data_set").select("A folder…").run()
    assert "Name a folder" in page.info[0].value
    page.text_input("library_data_set_folder").input(str(tmp_path / "nowhere")).run()
    assert "There is no folder" in page.error[0].value
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    rng = np.random.default_rng(0)
    for number in range(2):
        Image.fromarray(rng.integers(0, 90, (64, 64), np.uint8)).save(tmp_path / "images" / f"{number}.png")
        Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "labels" / f"{number}.png")
    page.text_input("library_data_set_folder").input(str(tmp_path)).run()
    assert not page.error
    assert len(viewers(page)) == 1
    Image.fromarray(np.zeros((32, 64), np.uint8)).save(tmp_path / "labels" / "1.png")
    page.run()
    assert "both must be of one size" in page.error[0].value


def test_images_of_one_name_in_two_parts_are_told_apart(tmp_path):
    for part in ("train", "val"):
        for folder in ("images", "masks"):
            (tmp_path / part / folder).mkdir(parents=True)
        for stem, grey in (("1", 90), ("2", 200)):
            mask = np.zeros((64, 64), np.uint8)
            mask[20:30] = 255
            Image.fromarray(mask // 255 * np.uint8(grey)).save(tmp_path / part / "images" / f"{stem}.png")
            Image.fromarray(mask).save(tmp_path / part / "masks" / f"{stem}.png")
    page = open_scores()
    page.selectbox("library_data_set").select("A folder…").run()
    page.text_input("library_data_set_folder").set_value(str(tmp_path)).run()
    assert not page.exception
    offered = {option.partition(",")[0] for option in page.selectbox("library_image").options}
    assert offered == {"train/1", "train/2", "val/1", "val/2"}


def test_the_parts_of_a_networks_own_training_are_offered(tmp_path, monkeypatch):
    monkeypatch.setattr(trained_networks, "DEFAULT_FOLDER", tmp_path)
    run = made_run(tmp_path / "training", "finished")
    add_results(run)
    stems = [pair.stem for pair in find_pairs(ROOT / "sample_data" / "vessels")]
    parts = {"training": stems[:10], "validation": stems[10:13], "test": stems[13:]}
    info = CheckpointInfo(
        "custom_resnet", {"in_channels": 1, "num_classes": 2, "width": 2}, mean=(0.5,), training={"stems": parts}
    )
    save_checkpoint(run.folder / f"{run.name}.safetensors", CustomResNet(width=2), info)
    page = open_scores(model="bars (20260101-000000)")
    assert page.session_state["library_set_part"] == "test"
    assert {option.partition(",")[0] for option in page.selectbox("library_image").options} == set(parts["test"])
    page.session_state["library_set_part"] = "all"
    page.run()
    assert len(page.selectbox("library_image").options) == len(stems)
    assert "trained on some of these images" in " ".join(caption.value for caption in page.caption)
