"""The Jacobian page without a browser: what it shows is what the library says."""

import io
import json
import os
import shutil
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from core import Segmenter, Target, load_segmenter, read_image
from core.attribution import gradient
from core.attribution.attribution import image_hash
from core.display.footprint import footprint
from core.jacobian import Jacobian, JacobianRequest, Threshold, estimate, estimate_row_summaries, jacobian
from core.jacobian.archive import write_archive
from core.target import PREDICTED
from tests.networks import dense_segmenter
from tests.pages.viewer_data import numbers, value_of, viewers
from widgets.jacobian import job
from widgets.jacobian import run as run_module
from widgets.jacobian.controls import View, controls_of
from widgets.jacobian.example import EXAMPLE, example_of
from widgets.jacobian.panels import picture_panel
from widgets.jacobian.row import Rows
from widgets.shared import slow_work
from widgets.shared.results import ResultStore
from widgets.shared.sidebar import Selection
from widgets.shared.sources import PickedImage
from widgets.viewer.channel import Request
from widgets.viewer.settings import PROPORTIONS

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = read_image(ROOT / "sample_data" / "vessels" / "images" / "phantom_00.tiff")
NOT_SQUARE = ROOT / "sample_data" / "formats" / "images" / "not_square.tiff"


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter("vessmap", "cpu")


@pytest.fixture(scope="module")
def image():
    return read_image(NOT_SQUARE)[:, 50:82, 80:128]


@pytest.fixture(scope="module")
def store(segmenter, image, tmp_path_factory):
    return jacobian(segmenter, image, out=tmp_path_factory.mktemp("stores") / "small.zarr", stride=8)


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.round(image[0] * 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def open_page(image: np.ndarray, **query: str) -> AppTest:
    page = AppTest.from_file(str(ROOT / "pages" / "jacobian.py"), default_timeout=120)
    for name, value in ({"image": "vessels/phantom_01"} | query).items():  # not the example, which would take the pixel
        page.query_params[name] = value
    page.run()
    uploader(page, "Image file").set_value(("small.png", png(image), "image/png"))
    return page.run()


def look_at(page: AppTest, row: int, column: int) -> AppTest:
    """Choose a pixel, as a click does."""
    page.session_state["row"], page.session_state["column"] = row, column
    return page.run()


def uploader(page: AppTest, label: str):
    return next(found for found in page.file_uploader if found.label == label)


def markdown(page: AppTest) -> str:
    assert not page.exception
    assert not page.error
    return " ".join(element.value for element in page.markdown)


def set_controls(page: AppTest, **values: object) -> AppTest:
    """Set controls of the viewer, as the browser does when the hand is lifted."""
    page.session_state["_viewer_settings"] = page.session_state["_viewer_settings"] | values
    return page.run()


def told_on(page: AppTest) -> str:
    return " ".join(told.value for told in (*page.markdown, *page.caption))


def wait(page: AppTest, text: str, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while text not in told_on(page) and not page.error:
        assert time.monotonic() < deadline, told_on(page)
        time.sleep(0.3)
        page.run()


def check_row(page: AppTest, attribution, threshold: float) -> None:
    found = numbers(page)
    remaining = footprint(attribution.magnitude(), threshold=threshold)
    assert value_of(found["Maximum"]) == pytest.approx(attribution.magnitude().max(), rel=1e-3)
    assert value_of(found["Threshold"]) == pytest.approx(threshold, rel=1e-3)
    assert found["Pixels above"] == f"{remaining.count:,}"
    assert found["Box area"] == (f"{remaining.box.area:,} px" if remaining.box else "0 px")
    assert found["Box filled"] == (f"{100 * remaining.fulfilment:.1f} %" if remaining.box else "none")


def check_maximum(page: AppTest, store: Jacobian, pixel: tuple[int, int] = (8, 8)) -> None:
    assert value_of(numbers(page)["Maximum"]) == pytest.approx(np.abs(store.row(*pixel)).max(), rel=1e-3)


def test_former_links_keep_what_they_say(store, image):
    page = open_page(
        image, origin="Open a store", definition="Of max J", picture="Fulfilment", panel="Vessels", measure="Fulfilment"
    )
    page.text_input(key="store_path").set_value(str(store.path)).run()
    settings = viewers(page)[0]["settings"]
    assert (settings["definition"], settings["picture"]) == ("original", "fulfilment")
    assert page.session_state["measure"] == "fulfilment"
    assert open_page(image, storage="Rows, 8 bit").selectbox(key="storage").value == "uint8"


def test_arrival_shows_the_estimate_and_starts_nothing(segmenter, image, tmp_path):
    page = open_page(image)
    page.text_input(key="folder").set_value(str(tmp_path)).run()
    wait(page, "4th:")
    expected = estimate(segmenter, image, JacobianRequest(stride=8), tmp_path / "x.zarr")
    told = next(element for element in page.markdown if "at most" in element.value)
    assert f"**{expected.disk_bytes / 1e3:.1f} kB**" in told.value
    assert f"Saved in `{tmp_path}`" in told.proto.help
    assert (
        f"{expected.passes:,} passes for 24 pixels, {expected.speedup:.1f}\N{NO-BREAK SPACE}× fewer" in told.proto.help
    )
    assert [button.label for button in page.button if button.key in ("run", "example")] == [
        "Run", "Open the example"
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == []
    assert not any(button.key == "estimate-rows" for button in page.button), "its pixels share passes at other sizes"


def test_before_a_run_a_click_shows_a_row_and_an_empty_panel_says_what_will_be_there(segmenter, image, tmp_path):
    page = look_at(open_page(image), 9, 30)
    page.text_input(key="folder").set_value(str(tmp_path)).run()
    expected = gradient(segmenter, image, Target.pixel(9, 30, space="logit"))
    check_row(page, expected, 0.01 * expected.magnitude().max())
    (shown,) = viewers(page)
    assert (shown["pixel"], shown["name"]) == ([9, 30], "small.png")
    assert shown["live"]
    wait(page, "4th:")
    cost = estimate(segmenter, image, JacobianRequest(stride=8), tmp_path / "x.zarr")
    *_, empty = viewers(page)[0]["panels"]
    assert (empty["title"], empty["layers"]) == ("Threshold map", [])
    assert "how many input pixels influence each output pixel.\nPress Run: about" in empty["empty"]
    assert f"at most {cost.disk_bytes / 1e3:.1f} kB" in empty["empty"]


def test_a_run_gives_the_rows_and_the_counts_of_the_library(segmenter, image, store, tmp_path):
    pixel = tuple(map(int, np.unravel_index(np.nanargmax(store.statistic("maximum")), image.shape[1:])))
    page = look_at(open_page(image), *pixel)
    page.text_input(key="folder").set_value(str(tmp_path)).run()
    page.button(key="run").click().run()
    wait(page, "Complete: all")
    (path,) = tmp_path.iterdir()
    (complete,) = [told for told in page.markdown if "Complete: all" in told.value]
    assert str(path) in complete.proto.help
    result = Jacobian(path)
    attribution = gradient(segmenter, image, Target.pixel(*pixel, space="logit"))
    threshold = result.threshold(Threshold(0.01, source="histogram"))
    check_row(page, attribution, threshold)
    assert numbers(page)["Gradient map"] == "read from the disk"
    assert "(1\N{NO-BREAK SPACE}% of the largest value in all pixels' maps)" in viewers(page)[0]["words"]["sentence"]
    counts = result.threshold_map(0.01, source="histogram")
    assert numbers(page)["Pixels above"] == f"{int(counts[pixel]):,}"
    assert counts[pixel] > 0

    set_controls(page, threshold=0.1)
    check_row(page, attribution, result.threshold(Threshold(0.1, source="histogram")))
    set_controls(page, exact=True)
    check_row(page, attribution, result.threshold(Threshold(0.1, source="rows")))

    again = look_at(open_page(image), 3, 5)
    again.text_input(key="folder").set_value(str(tmp_path)).run()
    assert "Complete: all" in told_on(again), "a finished store is opened at once"
    check_row(again, gradient(segmenter, image, Target.pixel(3, 5, space="logit")), threshold)
    assert numbers(again)["Gradient map"] == "computed just now"


def test_a_run_that_ends_while_the_page_is_drawn_is_seen_to_end(image, monkeypatch, tmp_path):
    def found_after_the_end(run: job.Run, found: job.Job | None) -> Jacobian | None:
        while found is not None and found.state in job.ACTIVE:
            time.sleep(0.01)
        return so_far(run, found)

    so_far = run_module._so_far
    monkeypatch.setattr(run_module, "_so_far", found_after_the_end)
    page = open_page(image)
    page.text_input(key="folder").set_value(str(tmp_path)).run()
    page.button(key="run").click().run()
    assert "Complete: all" in told_on(page)


@pytest.mark.parametrize(
    ("definition", "source"), [("absolute", "histogram"), ("original", "histogram"), ("absolute", "rows")]
)
def test_the_browser_has_the_threshold_of_every_step_of_the_slider(store, image, definition, source):
    page = open_page(image, origin="Open saved", definition=definition, exact=str(source == "rows").lower())
    page.text_input(key="store_path").set_value(str(store.path)).run()
    layers = [layer for panel in viewers(page)[0]["panels"] for layer in panel["layers"] if layer["kind"] == "above"]
    assert [layer["name"] for layer in layers] == ["box", "above"]
    for layer in layers:
        assert [proportion for proportion, _ in layer["thresholds"]] == list(PROPORTIONS)
        for proportion, threshold in layer["thresholds"]:
            assert threshold == store.threshold(Threshold(proportion, definition, source))


def test_only_the_map_that_is_shown_is_sent(store, image):
    page = open_page(image, origin="Open saved", picture="fulfilment")
    page.text_input(key="store_path").set_value(str(store.path)).run()

    def sent() -> dict[str, bool]:
        layers = viewers(page)[0]["panels"][0]["layers"]
        return {layer["name"]: layer["array"] is not None for layer in layers if layer["kind"] == "map"}

    assert sent() == {"threshold": False, "area": False, "fulfilment": True}
    set_controls(page, picture="area")
    assert sent() == {"threshold": False, "area": True, "fulfilment": False}


def test_the_example_opens_at_once_and_is_what_the_network_says(segmenter):
    page = AppTest.from_file(str(ROOT / "pages" / "jacobian.py"), default_timeout=120)
    page.query_params["row"], page.query_params["column"] = "96", "132"
    page.run()
    assert "a finished example" in told_on(page)
    assert "leave_example" not in [button.key for button in page.button]
    assert "Counts still change" not in told_on(page)
    assert page.button(key="run").label == "Run"
    example = example_of(segmenter, PickedImage(SAMPLE, None, "phantom_00.tiff", (), image_hash(SAMPLE)))
    assert example.complete
    row = gradient(segmenter, SAMPLE, Target.pixel(96, 132, 1, example.manifest.space))
    threshold = example.threshold(Threshold(0.01, source="histogram"))
    check_row(page, row, threshold)
    assert example.threshold_map(0.01)[96, 132] == pytest.approx((row.magnitude() > threshold).sum(), abs=1)
    assert sum(file.stat().st_size for file in EXAMPLE.rglob("*")) < 3_000_000


def test_the_example_says_what_was_changed_for_it_and_leads_back():
    page = AppTest.from_file(str(ROOT / "pages" / "jacobian.py"), default_timeout=120)
    for name, value in {"model": "scenes", "image": "scenes/scene_03", "row": "40", "column": "50"}.items():
        page.query_params[name] = value
    page.run()
    assert viewers(page)[0]["name"] == "scene_03.png"
    page.selectbox(key="class").set_value("car").run()
    page.button(key="example").click().run()
    assert (page.selectbox(key="model").value, page.text_input(key="image").value) == ("vessmap", "vessels/phantom_00")
    assert viewers(page)[0]["name"] == "phantom_00.tiff"
    back = page.button(key="leave_example")
    assert back.label == "Back to scenes/scene_03, scenes"
    assert back.help == "Model and image were changed for the example."
    back.click().run()
    assert (page.selectbox(key="model").value, page.text_input(key="image").value) == ("scenes", "scenes/scene_03")
    assert page.selectbox(key="class").value == "car"
    (shown,) = viewers(page)
    assert (shown["name"], shown["pixel"]) == ("scene_03.png", [40, 50])


def test_the_number_of_the_pixel_looked_at_is_the_only_one_and_comes_first():
    page = AppTest.from_file(str(ROOT / "pages" / "jacobian.py"), default_timeout=120)
    page.query_params["row"], page.query_params["column"], page.query_params["panel"] = "125", "192", "Boxes"
    page.run()

    def titles(viewer: dict) -> list[str]:
        layers = [layer for panel in viewer["panels"] for layer in panel["layers"]]
        return [layer["title"] for layer in layers if layer["kind"] == "map" and layer["read"]]

    main, boxes = viewers(page)
    assert titles(main) == ["gradient"], (
        "the maps hold the number of the nearest computed pixel, of which there are few"
    )
    assert titles(boxes) == ["at the nearest computed pixel"] * 3
    for picture, first in (("threshold", "Pixels above"), ("area", "Box area"), ("fulfilment", "Box filled")):
        set_controls(page, picture=picture)
        assert next(iter(numbers(page))) == first


def test_counts_are_coloured_on_a_logarithmic_scale_with_the_predictions_outline():
    page = AppTest.from_file(str(ROOT / "pages" / "jacobian.py"), default_timeout=120).run()
    counts = Jacobian(EXAMPLE).threshold_map(0.01)

    def layer(name: str) -> dict:
        return next(layer for layer in viewers(page)[0]["panels"][0]["layers"] if layer["name"] == name)

    assert viewers(page)[0]["settings"]["log"]
    assert layer("threshold")["log"] == "$log"
    ends = layer("threshold")["ends"]["values"]
    assert ends["true"] == np.nanmax(counts)
    assert ends["false"] == pytest.approx(np.nanpercentile(counts, 99), rel=0.01)
    assert layer("outline")["shown"] == [
        {"setting": "outline", "in": []}, {"setting": "picture", "in": ["threshold", "area", "fulfilment"]}
    ]  # fmt: skip
    set_controls(page, scaled=True)
    assert not layer("threshold")["log"], "a map between 0 and 1 holds no counts"
    assert not layer("fulfilment")["log"]
    by_name = {control.name: control for control in controls_of(has_rows=True, has_truth=True, has_large_range=False)}
    assert not by_name["log"].default


def test_rows_under_the_pointer_are_read_where_stored_and_computed_elsewhere(segmenter, image, store):
    picked = PickedImage(image, None, "small.png", (), image_hash(image))
    prediction = segmenter.predict(image)
    view = View("threshold", Threshold(0.01, source="histogram"), scaled=False, within=False)
    opened = Jacobian(store.path, segmenter)
    respond = Rows(Selection(segmenter, picked, opened.manifest.score), prediction, opened, view).live().respond
    batch = torch.tensor(image[None]).requires_grad_()
    normalised = (batch - torch.tensor(segmenter.mean)) / torch.tensor(segmenter.std)
    probabilities = segmenter.module(normalised).softmax(dim=1)[0, 1]
    for pixel, told in (((8, 16), "read from the disk"), ((9, 16), "computed just now")):
        answer = respond(Request(*pixel, {"threshold": 0.1}))
        (expected,) = torch.autograd.grad(probabilities[pixel], batch, retain_graph=True)
        largest = float(expected.abs().max())
        found = answer.maps["map"].on(image.shape[1:])
        np.testing.assert_allclose(found, expected[0].numpy(), atol=1e-5 * largest)
        found = {number.name: number.value for number in answer.words.numbers}
        assert found["Gradient map"] == told
        above = int((expected.abs() > store.threshold(Threshold(0.1, source="histogram"))).sum())
        assert found["Pixels above"] == f"{above:,}"
    assert store.row(8, 16).max() > 0


@pytest.mark.parametrize("panel", ["Boxes", "Vessels", "Files and downloads"])
def test_every_panel_of_an_opened_store_draws(store, image, panel):
    page = open_page(image, origin="Open saved", panel=panel, row="8", column="8")
    page.text_input(key="store_path").set_value(str(store.path)).run()
    check_maximum(page, store)
    assert "It is of small.png" in told_on(page)
    if panel == "Vessels":
        assert any("Spearman" in markdown.value for markdown in page.markdown)
    if panel == "Files and downloads":
        assert any(str(store.path) in markdown.value for markdown in page.markdown)


def test_a_point_of_a_chart_is_clicked_once_and_again(store, image):
    page = open_page(image, origin="Open saved", panel="Vessels", row="8", column="8")
    page.text_input(key="store_path").set_value(str(store.path)).run()
    key = next(key for key in page.session_state["_chart_clicks"] if key.startswith("vessels-width"))
    vessels = np.argwhere((store.labels == 1) & store.computed)

    def click(curve: int) -> list[int]:
        value = json.dumps([{"x": 0, "y": 0, "curveNumber": curve, "pointNumber": 1, "pointIndex": 1}])
        page.session_state[key] = value
        page.run()
        return viewers(page)[0]["pixel"]

    def move(row: int, column: int) -> None:
        page.session_state["row"], page.session_state["column"] = row, column
        page.run()

    expected = vessels[1].tolist()
    assert click(curve=0) == expected
    move(3, 5)
    assert click(curve=0) == [3, 5], "an old click that comes back must not fire again"
    assert click(curve=2) == expected, "but the same point can be clicked again: its chart has moved up by two curves"
    move(3, 5)
    assert click(curve=3) == [3, 5], "a point of the line through the medians is no pixel"


def test_a_store_of_another_image_brings_its_own(store, image):
    page = open_page(image[:, :, ::-1], origin="Open saved", row="8", column="8")
    page.text_input(key="store_path").set_value(str(store.path)).run()
    check_maximum(page, store)
    assert "its own" in told_on(page)
    assert viewers(page)[0]["recipe"] is None, "no file holds this image, least of all the one picked"


def test_the_store_written_last_for_this_image_is_opened_first(segmenter, store, image, tmp_path):
    paths = [shutil.copytree(store.path, tmp_path / name) for name in ("b.zarr", "a.zarr")]
    for path, seconds in zip(paths, (2e9, 1e9), strict=True):
        os.utime(path / "histogram", (seconds, seconds))
    jacobian(segmenter, image[:, :, ::-1], out=tmp_path / "of_another_image.zarr", stride=8)
    network = Segmenter(torch.nn.Conv2d(1, 2, 3, padding=1), in_channels=1)
    jacobian(network, image, out=tmp_path / "of_another_network.zarr", stride=8)
    (tmp_path / "empty.zarr").mkdir()
    page = open_page(image, origin="Open saved")
    page.text_input(key="folder").set_value(str(tmp_path)).run()

    def opened() -> str:
        assert not page.error
        chosen = page.selectbox(key="store").value
        assert page.query_params["store"] in (chosen, [chosen])
        return chosen

    assert opened() == "b.zarr"
    page.selectbox(key="store").set_value("a.zarr").run()
    assert opened() == "a.zarr"
    page.run()
    assert opened() == "a.zarr", "what is chosen stays"
    page.session_state["origin"] = "compute"
    page.run()
    page.session_state["origin"] = "open"
    page.run()
    assert opened() == "b.zarr"
    for path in paths:
        shutil.rmtree(path)
    page.run()
    assert opened() == "of_another_image.zarr"


def test_where_each_pixels_own_class_is_explained_all_classes_are_outlined(tmp_path):
    scenes = load_segmenter("scenes", "cpu")
    image = read_image(ROOT / "sample_data" / "scenes" / "test" / "images" / "scene_00.png")[:, :96, :96]
    picked = PickedImage(image, None, "scene.png", (), image_hash(image))
    view = View("threshold", Threshold(0.01, source="histogram"), scaled=False, within=False)

    def outlined(class_index: int) -> np.ndarray:
        request = JacobianRequest(class_index, stride=32, keep_rows=False)
        found = jacobian(scenes, image, out=tmp_path / f"{class_index}.zarr", **asdict(request))
        panel = picture_panel(Selection(scenes, picked, found.manifest.score), found, view)
        return next(layer.mask for layer in panel.layers if layer.name == "outline")

    labels = scenes.predict(image).labels
    assert len(np.unique(labels)) > 2
    np.testing.assert_array_equal(outlined(PREDICTED), labels)
    some = int(labels.max())
    np.testing.assert_array_equal(outlined(some), labels == some)


def test_a_damaged_store_is_shown_with_a_warning(store, image, tmp_path):
    path = shutil.copytree(store.path, tmp_path / "damaged.zarr")
    (path / "histogram" / "c.1.0.0").unlink()
    page = open_page(image, origin="Open saved", row="8", column="8")
    page.text_input(key="store_path").set_value(str(path)).run()
    check_maximum(page, store)
    assert [warning.value for warning in page.warning] == [Jacobian(path).damage]
    assert "histogram of block 1" in page.warning[0].value


def test_a_store_of_another_model_is_refused_in_one_sentence(image, tmp_path):
    other = Segmenter(torch.nn.Conv2d(1, 2, 3, padding=1), in_channels=1)
    path = jacobian(other, image, out=tmp_path / "other.zarr", stride=8).path
    page = open_page(image, origin="Open saved")
    page.text_input(key="store_path").set_value(str(path)).run()
    assert not page.exception
    assert "is the Jacobian of other weights" in page.error[0].value


@pytest.mark.parametrize("path", ["/nowhere/x.zarr", str(NOT_SQUARE), str(ROOT / "core")])
def test_a_path_without_a_store_gets_one_sentence(image, path):
    page = open_page(image, origin="Open saved")
    page.text_input(key="store_path").set_value(path).run()
    assert not page.exception
    assert len(page.error) == 1


def test_an_archive_is_imported_and_an_evil_one_is_not(store, image, tmp_path):
    folder = tmp_path / "stores"
    page = open_page(image, origin="Open saved", row="8", column="8")
    page.text_input(key="folder").set_value(str(folder)).run()
    buffer = io.BytesIO()
    write_archive(store.path, buffer)
    uploader(page, "Import (.zip)").set_value(("store.zip", buffer.getvalue(), "application/zip"))
    page.run()
    check_maximum(page, store)
    (imported,) = folder.iterdir()
    assert imported.name.startswith("imported_")

    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        archive.writestr("../evil.zarr/zarr.json", "{}")
    uploader(page, "Import (.zip)").set_value(("store.zip", buffer.getvalue(), "application/zip"))
    page.run()
    assert "leads out of its folder" in page.error[0].value
    assert [entry.name for entry in tmp_path.iterdir()] == ["stores"]


@pytest.fixture
def tab(monkeypatch):
    """The requests of a browser tab, outside of any page."""
    claims: dict[str, Any] = {}
    for module in (job, slow_work):
        monkeypatch.setattr(module, "tab_claims", lambda: claims)
    store = ResultStore(16, lambda _: 1, max_workers=1, grace=0)
    monkeypatch.setattr(job, "jobs", lambda: store)
    return claims


def run_of(network: torch.nn.Module, image: np.ndarray, folder: Path, stride: int = 1) -> job.Run:
    picked = PickedImage(image, None, "small.png", (), image_hash(image))
    return job.Run(Segmenter(network, in_channels=1), picked, JacobianRequest(1, "logit", stride), folder)


def states(run: job.Run, until: str) -> Iterator[str]:
    deadline = time.monotonic() + 300
    while (state := job.find(run).state) != until:
        assert time.monotonic() < deadline, state
        yield state
        time.sleep(0.01)


def test_a_cancelled_job_keeps_what_is_done_and_goes_on_from_there(image, tmp_path, tab):
    torch.manual_seed(0)
    run = run_of(torch.nn.Conv2d(1, 2, 17, padding=8), image, tmp_path)
    job.start(run)
    for _ in states(run, until="running"):
        pass
    first = job.find(run)
    first.cancel()
    for state in states(run, until="cancelled"):
        assert state == "cancelling"
    done = Jacobian(run.path).fraction
    assert 0 < done < 1
    job.start(run)
    assert job.find(run).claim is not first.claim
    for _ in states(run, until="finished"):
        pass
    result = job.find(run).jacobian
    assert result.complete
    expected = gradient(run.segmenter, image, Target.pixel(11, 13, 1, "logit")).values
    np.testing.assert_allclose(result.row(11, 13), expected, atol=1e-6)


def test_a_reloaded_tab_takes_part_in_a_run_and_a_closed_one_stops_it(image, tmp_path, tab, monkeypatch):
    torch.manual_seed(0)
    run, is_open = run_of(torch.nn.Conv2d(1, 2, 17, padding=8), image, tmp_path), threading.Event()
    is_open.set()
    monkeypatch.setattr(slow_work, "tab_is_open", lambda: is_open.is_set)
    job.start(run)
    for _ in states(run, until="running"):
        pass
    closed = dict(tab)
    tab.clear()
    assert job.find(run).claim.computation is next(iter(closed.values())).computation, "a reloaded page takes part"
    is_open.clear()
    for _ in states(run, until="cancelled"):
        pass
    assert 0 < Jacobian(run.path).fraction < 1


def test_a_run_into_a_folder_that_cannot_be_made_fails_with_a_sentence(image, tmp_path, tab):
    (tmp_path / "file").write_text("")
    run = run_of(torch.nn.Conv2d(1, 2, 3, padding=1), image, tmp_path / "file" / "stores", stride=8)
    job.start(run)
    for _ in states(run, until="failed"):
        pass
    assert "choose another folder" in str(job.find(run).error)


def test_a_dense_network_and_a_disk_too_small_are_told_before_anything_starts(image, monkeypatch, tmp_path):
    monkeypatch.setattr("core.jacobian.estimation.free_disk_bytes", lambda out: 1_000_000)
    monkeypatch.setattr(sys, "argv", ["app.py", "--model", "tests.networks:dense_segmenter"])
    page = open_page(image, model="tests.networks:dense_segmenter", stride="Every pixel")
    page.text_input(key="folder").set_value(str(tmp_path)).run()
    deadline = time.monotonic() + 300
    while not page.warning:
        assert time.monotonic() < deadline
        time.sleep(0.3)
        page.run()
    assert any(f"{image[0].size:,} passes" in element.proto.help for element in page.markdown)
    told = " ".join(element.value for element in (*page.info, *page.caption, *page.markdown, *page.warning))
    assert "dense path, one pass per pixel" in told
    assert "would not fit on the disk" in told
    assert page.button(key="run").disabled
    assert list(tmp_path.iterdir()) == []


def test_a_dense_network_is_offered_an_estimate_and_shown_it_as_one(image, monkeypatch, tmp_path):
    downloads, button = {}, st.download_button

    def record(label: str, data: Any, name: str, *others: Any, **options: Any) -> bool:
        downloads[name] = data
        return button(label, data, name, *others, **options)

    monkeypatch.setattr(st, "download_button", record)
    monkeypatch.setattr(sys, "argv", ["app.py", "--model", "tests.networks:dense_segmenter"])
    page = open_page(image, model="tests.networks:dense_segmenter", estimate_error="30")
    page.text_input(key="folder").set_value(str(tmp_path)).run()
    wait(page, "4th:")
    page.run()
    assert "**512 passes** instead of 1,536" in markdown(page)
    page.button(key="estimate-rows").click().run()
    expected = estimate_row_summaries(dense_segmenter(), image, 1, "logit", 0.3, most_passes=768)
    wait(page, expected.note)
    shown, _ = viewers(page)
    for panel, found in zip(shown["panels"], expected.maps.values(), strict=True):
        assert panel["title"].startswith(f"Estimated {found.summary.title} (±")
        layer = panel["layers"][-1]
        assert layer["unit"] == f"{found.unit}, estimated"
        assert layer["scale"]["high"] == pytest.approx(np.nanpercentile(found.values, 99.5), rel=1e-2)
    assert list(tmp_path.iterdir()) == []

    with zipfile.ZipFile(io.BytesIO(downloads["small_estimates.zip"]())) as archive:
        names = {Path(name).name for name in archive.namelist()}
        assert {Path(name).parent.name for name in archive.namelist()} == {"small_estimates"}
        for name, found in expected.maps.items():
            np.testing.assert_array_equal(np.load(archive.open(f"small_estimates/estimated_{name}.npy")), found.values)
        told = json.loads(archive.read("small_estimates/manifest.json"))
    assert names == {"manifest.json"} | {f"estimated_{name}.{end}" for name in expected.maps for end in ("npy", "png")}
    assert (told["kind"], told["wanted_error"], told["image_sha256"]) == ("estimate", 0.3, image_hash(image))
    assert told["exact_pixels"] == expected.pixels.tolist()

    error = page.selectbox(key="estimate_error")
    for chosen, in_url, passes in (("10", "10", 768), ("20", None, 768), ("30", "30", None)):
        error.set_value(chosen).run()
        assert page.query_params.get("estimate_error") == in_url
        assert passes is None or f"**{passes} passes**" in markdown(page)
    assert expected.note in told_on(page), "what is computed is kept"


def test_two_sessions_that_want_the_same_share_one_run(image, tmp_path):
    pages = [open_page(image, stride="Every 4th") for _ in range(2)]
    for page in pages:
        page.text_input(key="folder").set_value(str(tmp_path)).run()
    for page in pages:
        buttons = [button for button in page.button if button.key == "run"]
        if buttons:
            buttons[0].click().run()
    for page in pages:
        wait(page, "Complete: all")
    (path,) = tmp_path.iterdir()
    assert Jacobian(path).complete
    assert numbers(pages[0])["Maximum"] == numbers(pages[1])["Maximum"]
