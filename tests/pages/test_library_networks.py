"""The networks on the Library page without a browser."""

import json
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from core import load_segmenter
from core.models import CheckpointInfo, CustomResNet, layers, save_checkpoint
from core.models.facts import read_header
from tests.pages.test_training import add_results, made_run
from widgets.library.networks import Entry, row_of
from widgets.shared import kept_files, trained_networks
from widgets.shared.kept_files import KeptFiles, folder_of
from widgets.shared.layer_picker import layer_choices

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def folder_of_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(trained_networks, "DEFAULT_FOLDER", tmp_path)
    monkeypatch.setenv(kept_files.VARIABLE, str(tmp_path / "files"))
    return tmp_path / "training"


def checkpoint(folder: Path, name: str = "mine.safetensors") -> bytes:
    info = CheckpointInfo(
        "custom_resnet", {"in_channels": 1, "num_classes": 2, "width": 2}, ("ground", "bar"), mean=(0.5,),
        scores={"validation": {"images": 3, "mean_iou": 0.75, "mean_dice": 0.8}},
    )  # fmt: skip
    return save_checkpoint(folder / name, CustomResNet(width=2), info).read_bytes()


def open_page(**address: str) -> AppTest:
    page = AppTest.from_file(str(ROOT / "pages" / "library.py"), default_timeout=120)
    page.query_params.update(address)
    page.run()
    assert not page.exception
    return page


def table(page: AppTest) -> dict[str, dict[str, object]]:
    return {row["Network"]: row for row in page.dataframe[0].value.to_dict("records")}


def words(page: AppTest) -> str:
    return " ".join(each.value for each in (*page.markdown, *page.caption, *page.subheader))


def test_shipped_networks_with_their_cards():
    segmenter = load_segmenter("fundus", "cpu")
    layer_choices(segmenter, (256, 256))  # as the CAM page does: what it keeps is not what the card shows
    page = open_page(model="fundus")
    assert {name: row["From"] for name, row in table(page).items()} == dict.fromkeys(
        ("fundus", "scenes", "vessmap"), "Shipped"
    )
    shown = words(page)
    assert f"{sum(each.numel() for each in segmenter.module.parameters()):,}" in shown
    assert segmenter.weights_hash in shown
    assert "receptive field" in shown
    kinds = next(each.value for each in page.dataframe if "Layer" in each.value.columns)
    assert list(kinds["Layer"]) == [each.name for each in layers(segmenter, (256, 256))]
    assert "Only this browser sees what you upload" in shown
    with pytest.raises(KeyError):  # what is shipped is neither renamed nor deleted
        page.button(key="library_delete")


def test_heads_are_read_without_the_weights_and_damage_is_a_row(tmp_path):
    content = checkpoint(tmp_path)
    header = read_header(tmp_path / "mine.safetensors")
    assert header.numbers == sum(each.numel() for each in CustomResNet(width=2).state_dict().values())
    assert header.info is not None
    assert header.info.class_names == ("ground", "bar")
    row = row_of(Entry("mine", "Uploaded by you", tmp_path / "mine.safetensors"))
    assert (row["Validation IoU"], row["Classes"], row["Architecture"]) == (0.75, "ground, bar", "custom_resnet")
    (tmp_path / "half.safetensors").write_bytes(content[: len(content) // 2])
    assert row_of(Entry("half", "Uploaded by you", tmp_path / "half.safetensors"))["Architecture"] == "cannot be read"
    torch.save(CustomResNet(width=2).state_dict(), tmp_path / "plain.pth")
    assert row_of(Entry("plain", "Uploaded by you", tmp_path / "plain.pth"))["Architecture"] is None
    assert row_of(Entry("net.py:make", "Your own code", None))["Size"] is None


def test_an_upload_is_renamed_and_deleted(tmp_path):
    page = open_page()
    page.selectbox(key="model").select("Upload…").run()
    page.file_uploader[0].upload("mine.safetensors", checkpoint(tmp_path), "application/octet-stream").run()
    assert not page.exception
    assert page.selectbox(key="model").value == "mine.safetensors"
    assert table(page)["mine.safetensors"]["From"] == "Uploaded by you"
    page.text_input(key="library_name_mine.safetensors").set_value("vessels of mice").run()
    page.button(key="library_rename").click().run()
    assert not page.exception
    assert page.selectbox(key="model").value == "vessels of mice"
    assert "ground, bar" in str(table(page)["vessels of mice"])
    page.text_input(key="library_name_vessels of mice").set_value("vessmap").run()
    page.button(key="library_rename").click().run()
    assert "Another network is called vessmap already" in " ".join(
        each.value for each in (*page.error, *page.warning, *page.markdown)
    )
    page.text_input(key="library_name_vessels of mice").set_value("\u202e").run()
    page.button(key="library_rename").click().run()
    assert "needs a name of 1 to" in " ".join(each.value for each in (*page.error, *page.warning, *page.markdown))
    page.button(key="library_delete").click().run()
    assert not page.exception
    assert page.selectbox(key="model").value == "vessmap"
    assert "vessels of mice" not in table(page)


def test_a_run_is_renamed_and_deleted(folder_of_runs):
    run = made_run(folder_of_runs, "finished")
    add_results(run)
    name = "bars (20260101-000000)"
    page = open_page(model=name)
    page.text_input(key=f"library_name_{name}").set_value("cells").run()
    page.button(key="library_rename").click().run()
    assert not page.exception
    assert page.selectbox(key="model").value == "cells (20260101-000000)"
    assert json.loads((run.folder / "settings.json").read_text())["name"] == "bars"  # its files keep their names
    page.button(key="library_delete").click().run()
    assert not page.exception
    assert not run.folder.exists()
    assert "cells (20260101-000000)" not in table(page)


@pytest.mark.parametrize("is_shared", [False, True])
def test_others_see_uploads_only_where_the_server_says_so(tmp_path, monkeypatch, is_shared):
    monkeypatch.setenv(kept_files.SHARED_VARIABLE, "1" if is_shared else "0")
    KeptFiles(folder_of("one browser")).keep("network", "mine.safetensors", checkpoint(tmp_path))
    theirs = KeptFiles(folder_of("another browser"))
    assert list(theirs.files("network")) == (["mine.safetensors"] if is_shared else [])
    page = open_page()
    assert ("Everyone who uses this server sees" in words(page)) == is_shared
    assert (table(page).get("mine.safetensors", {}).get("From") == "Uploaded") == is_shared
    if is_shared:  # what another one renames or deletes is no longer there, and no page breaks
        page.selectbox(key="model").select("mine.safetensors").run()
        theirs.rename("network", "mine.safetensors", "ours")
        page.run()
        assert not page.exception
        assert page.selectbox(key="model").value != "mine.safetensors"
