"""Explanation along training in a real browser: the slider's first and last maps are those of the checkpoints."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from core.attribution import gradient
from core.data.data_sets import read_pair
from core.models import load_segmenter
from core.target import Target
from core.training import TrainingSettings
from core.training.runs import Run, start
from core.training.saved_epochs import saved_epochs, validation_images
from tests.browser.app import eventually, running_app, wait_for_rest
from tests.browser.layout import pale_texts_of
from tests.browser.test_layout import faults_by_width
from tests.browser.viewer import Viewer
from tests.training.test_runs import wait_for

SAMPLES = Path(__file__).resolve().parents[2] / "sample_data" / "vessels"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Two epochs on the samples, both kept."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    settings = TrainingSettings(images=str(SAMPLES), epochs=2, keep_every=1, arguments={"width": 4}, crop=64)
    run = start(settings, "small", tmp_path / "training", device="cpu")
    wait_for(lambda: run.status.state in ("finished", "failed"))
    assert run.status.state == "finished"
    return run


def shown_map(viewer: Viewer, panel: str, size: tuple[int, int]) -> np.ndarray:
    """The map that is painted in a panel."""
    names = viewer.run(
        "viewer.scene.panels.find(panel => panel.name === argument).layers.filter(layer => viewer.isShown(layer))"
        ".map(layer => layer.name)",
        panel,
    )
    assert len(names) == 1
    return viewer.values(names[0], size)


def move_slider(page: Page, viewer: Viewer, key: str, epoch: int) -> None:
    viewer.root.get_by_role("slider", name="Epoch").press(key)

    def moved() -> None:
        assert viewer.run("viewer.settings.along_epoch") == epoch

    eventually(page, moved)
    wait_for_rest(page)


def expected_map(run: Run, image: np.ndarray, epoch: int, pixel: tuple[int, int]) -> np.ndarray:
    (file,) = [
        saved.checkpoint
        for saved in saved_epochs(run.folder / f"{run.name}.safetensors").epochs
        if saved.epoch == epoch
    ]
    return gradient(load_segmenter(file, "cpu"), image, Target.pixel(*pixel, 1, "logit")).signed_map()


def test_the_slider_shows_the_maps_of_the_checkpoints(page, run, tmp_path):
    with running_app(WHYPIXEL_RUNS=str(tmp_path), OMP_NUM_THREADS="1") as address:
        page.goto(f"{address}/training")
        page.get_by_text("Explanation along training").click()
        viewer = Viewer(page).wait(live=False)
        saved = saved_epochs(run.folder / "small.safetensors")
        image = read_pair(next(iter(validation_images(run.settings, saved.validation).values()))).image
        size = image.shape[1], image.shape[2]
        (first,) = viewer.run("viewer.scene.pins.map(pin => [pin.row, pin.column])")

        second = (120, 40)
        viewer.canvas.scroll_into_view_if_needed()
        wait_for_rest(page)
        page.mouse.click(*viewer.aim(*second))

        def pinned() -> None:
            assert viewer.run("viewer.scene.panels.map(panel => panel.name)") == ["Image", "map 0", "map 1"]

        eventually(page, pinned)
        viewer.wait(live=False)
        pixels = [tuple(first), viewer.run("[viewer.scene.pins[1].row, viewer.scene.pins[1].column]")]

        def check(epoch: int) -> None:
            for index, pixel in enumerate(pixels):
                found = shown_map(viewer, f"map {index}", size)
                expected = expected_map(run, image, epoch, tuple(pixel))
                assert np.abs(expected).max() > 0
                np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)

        check(2)
        move_slider(page, viewer, "ArrowLeft", 1)
        check(1)
        move_slider(page, viewer, "ArrowRight", 2)
        check(2)

        point = page.locator(".st-key-train_along_chart_0 .scatterlayer .point").first
        point.scroll_into_view_if_needed()
        wait_for_rest(page)
        box = point.bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

        def chosen() -> None:
            assert viewer.run("viewer.settings.along_epoch") == 1

        eventually(page, chosen)
        check(1)

        with page.expect_download() as download:
            page.get_by_role("button", name="Film (WebP)").click()
        with Image.open(io.BytesIO(Path(download.value.path()).read_bytes())) as film:
            assert film.n_frames == 2
        assert download.value.suggested_filename == "small_phantom_00_along_training.webp"

        assert faults_by_width(page) == {}
        assert pale_texts_of(page) == []
        expect(viewer.root.get_by_role("listitem")).to_have_count(2)
