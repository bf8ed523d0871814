"""Runs in processes of their own: real processes on a tiny data set, and what needs none."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from core.data.data_sets import find_pairs, read_pair
from core.errors import UserError
from core.io.cache import VARIABLE
from core.models import load_segmenter
from core.training import EpochRecord, TrainingSettings, train
from core.training.runs import (
    LIVE,
    Run,
    Status,
    find_run,
    previews,
    process,
    queue,
    read_previews,
    run_folder,
    runs,
    start,
)
from core.training.runs.preview_writer import _reduced
from core.training.runs.status import read_status, write_status
from core.training.runs.stored_settings import restored, stored

ROOT = Path(__file__).resolve().parents[2]
ENDLESS = 100_000
"""Epochs."""
PARENT = """
import sys
from core.training import TrainingSettings
from core.training.runs import start
from core.training.runs.stored_settings import restored
import json
run = start(restored(json.loads(sys.argv[1])), "orphan", sys.argv[2], device="cpu")
print(run.folder, flush=True)
input()
"""


@pytest.fixture(scope="module", autouse=True)
def _one_thread(one_thread):
    """As many as the processes have."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bars")
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for number in range(8):
        mask = np.zeros((32, 32), np.uint8)
        row = rng.integers(4, 20)
        mask[row : row + 8] = 255
        image = np.clip(60 + 0.5 * mask + rng.normal(0, 10, mask.shape), 0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / "images" / f"{number}.png")
        Image.fromarray(mask).save(folder / "labels" / f"{number}.png")
    return folder


def tiny(data: Path, **changes) -> TrainingSettings:
    settings = {"arguments": {"width": 4}, "crop": 32, "batch_size": 2, "epochs": 2, "patience": ENDLESS}
    return TrainingSettings(**{"images": data} | settings | changes, validation_fraction=0.25, test_fraction=0.25)


def wait_for(is_so: Callable[[], object], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "It has not come so far."
        time.sleep(0.02)


@pytest.fixture
def root(tmp_path):
    """A folder of runs, none of which goes on after the test."""
    yield tmp_path / "runs"
    for run in runs(tmp_path / "runs"):
        run.stop(patience=0)
        wait_for(lambda run=run: run.status.state not in LIVE)


def made_run(root: Path, state: str = "running", **process) -> Run:
    """A run without a process of its own: by default the process is this one."""
    run = Run(root / "20260101-000000-aa")
    run.folder.mkdir(parents=True)
    stated = {"name": "net", "device": "cpu", "workers": 0, "directory": str(root), "settings": {"images": "data"}}
    (run.folder / "settings.json").write_text(json.dumps(stated))
    run.note_process(psutil.Process())
    (run.folder / "process.json").write_text(
        json.dumps(json.loads((run.folder / "process.json").read_text()) | process)
    )
    write_status(run.folder, Status(state, 1.0, epochs=10))
    return run


# Processes


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """Two runs to their end: the second was started by another process, which is killed; and the states seen."""
    root = tmp_path_factory.mktemp("runs")
    first = start(tiny(data), "net", root, device="cpu")
    settings = json.dumps(stored(tiny(data)))
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, settings, str(root)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    second = Run(Path(parent.stdout.readline().strip()))
    os.killpg(parent.pid, signal.SIGKILL)  # as where a terminal is closed: with all that belongs to it
    parent.communicate()
    seen = set()

    def has_ended() -> bool:
        states = second.status.state, first.status.state  # in this order, as the first one may end in between
        seen.add(states)
        return states[0] not in LIVE

    wait_for(has_ended)
    return first, second, seen


def test_a_run_goes_on_without_the_process_that_started_it_after_the_one_before(finished):
    first, second, seen = finished
    assert first.status.state == second.status.state == "finished"
    assert ("running", "running") not in seen
    assert second.status.started >= first.status.ended
    assert runs(first.folder.parent) == [second, first]
    assert find_run(first.folder.parent, first.folder.name) == first


def test_the_weights_are_those_of_training_without_a_process(finished, data, tmp_path):
    direct = train(tiny(data), tmp_path, "net", device="cpu", progress_bar=False)
    expected = load_file(direct.checkpoint)
    for run in finished[:2]:
        found = load_file(run.checkpoint)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        assert [row["validation_iou"] for row in run.metrics()] == [
            pytest.approx(record.validation_iou, rel=1e-5) for record in direct.records
        ]
        status = run.status
        assert (status.epoch, status.steps, status.best["epoch"]) == (2, 2, direct.best_epoch)
        assert status.learning_rate == pytest.approx(direct.records[-1].learning_rate)


def test_previews_are_the_predictions_of_the_weights(finished, data):
    run = finished[0]
    assert run.preview_epochs == [1, 2]
    segmenter = load_segmenter(run.checkpoint, "cpu")
    pairs = {pair.stem: pair for pair in find_pairs(data)}
    shown = read_previews(run.folder, int(run.status.best["epoch"]))
    assert len(shown) == 2  # a quarter of 8
    for found in shown:
        sample = read_pair(pairs[found.stem])
        expected = segmenter.predict(sample.image)
        np.testing.assert_array_equal(found.mask, sample.mask)
        np.testing.assert_array_equal(found.labels, expected.labels)
        np.testing.assert_allclose(found.image, sample.image, atol=1e-6)  # the files have 8 bits
        np.testing.assert_allclose(found.probability, expected.probabilities[1], atol=0.5 / 255 + 1e-5)


def test_a_killed_run_is_lost_and_resumed_and_a_stopped_one_keeps_its_best(data, root):
    run = start(tiny(data, epochs=ENDLESS), "net", root, device="cpu")
    waiting = start(tiny(data), "waiting", root, device="cpu")
    wait_for(lambda: run.status.epoch > 2)
    status = run.status
    assert status.state == "running"
    assert status.last["epoch"] == status.epoch
    assert status.seconds_left > 0
    assert waiting.status.state == "queued"
    for forbidden in (run.resume, run.delete, waiting.delete):
        with pytest.raises(UserError, match="is still"):
            forbidden()
    waiting.stop()
    wait_for(lambda: waiting.status.state == "stopped")
    assert waiting.checkpoint is None
    waiting.resume()
    assert (waiting.status.state, waiting.status.resumed, waiting.is_asked_to_stop) == ("queued", 1, False)
    waiting.stop()
    wait_for(lambda: waiting.status.state == "stopped")

    psutil.Process(json.loads((run.folder / "process.json").read_text())["pid"]).kill()
    wait_for(lambda: run.status.state == "lost")
    resumed, lost, rows = time.time(), run.status, run.metrics()
    run.resume()
    assert run.status.best == lost.best != {}  # its weights are there
    metrics = run.folder / "metrics.csv"
    wait_for(lambda: metrics.stat().st_mtime > resumed and run.status.steps)
    assert (run.status.state, run.status.resumed) == ("running", 1)
    assert run.status.epoch >= lost.epoch - 1 > 0
    assert run.metrics()[: lost.epoch - 1] == rows[: lost.epoch - 1]
    run.stop(patience=60)
    wait_for(lambda: run.status.state == "stopped")
    assert run.status.ended is not None  # it was not killed
    assert "test images" in (run.folder / "net.md").read_text()
    assert load_segmenter(run.checkpoint, "cpu").num_classes == 2
    assert run.status.best["validation_iou"] == pytest.approx(
        max(row["validation_iou"] for row in run.metrics()), rel=1e-5
    )
    run.delete()
    assert runs(root) == [waiting]


def test_bad_data_is_told_in_a_sentence(data, tmp_path, root):
    (tmp_path / "data").mkdir()
    for name in ("images", "labels"):
        (tmp_path / "data" / name).symlink_to(data / name)
    settings = tiny(tmp_path / "data", crop=64)
    run = start(settings, "net", root, device="cpu")
    wait_for(lambda: run.status.state not in LIVE)
    assert run.status.state == "failed"
    assert "is 32×32 pixels, smaller than the crop of 64" in run.status.reason
    assert run.settings == settings
    assert "UserError" in run.log()


# Without a process of its own


def test_another_process_with_the_same_number_is_not_taken_for_it(tmp_path):
    run = made_run(tmp_path)
    assert run.status.state == "running"
    run = made_run(tmp_path / "reused", created=psutil.Process().create_time() - 60)
    assert run.status.state == "lost"


def test_a_process_that_nobody_waits_for_has_ended(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    run = made_run(tmp_path)
    run.note_process(psutil.Process(ended.pid))
    wait_for(lambda: run.status.state == "lost", 10)
    assert psutil.Process(ended.pid).status() == psutil.STATUS_ZOMBIE
    ended.wait()


def test_what_does_not_stop_is_killed_with_its_children(tmp_path):
    code = "import subprocess as s, sys, time; s.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
    code += "; print(1, flush=True); time.sleep(600)"
    deaf = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    deaf.stdout.readline()
    family = psutil.Process(deaf.pid).children()
    assert len(family) == 1
    run = made_run(tmp_path)
    run.note_process(psutil.Process(deaf.pid))
    run.stop(patience=0.1)
    wait_for(lambda: run.status.state == "stopped", 10)
    psutil.wait_procs(family, timeout=10)
    assert not family[0].is_running() or family[0].status() == psutil.STATUS_ZOMBIE
    deaf.communicate()


def test_an_error_of_the_program_is_told_by_its_last_line(tmp_path, monkeypatch, capsys):
    run = made_run(tmp_path, "queued")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(process, "_train", lambda *_: {}["width"])
    process.work(run.folder)
    assert run.status.state == "failed"
    assert run.status.reason == f"KeyError: 'width'. The log has more: {run.folder / 'log.txt'}."
    assert "Traceback" in capsys.readouterr().err


def test_the_queue_keeps_the_order_and_passes_over_what_is_no_longer_live(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    for folder in (first, second, third, first):  # the first one was resumed
        queue.take_ticket(folder)
    live = {first, second, third}

    class WaitedError(Exception):
        pass

    def refuse() -> None:
        raise WaitedError

    def is_its_turn(folder: Path) -> bool:
        try:
            with queue.turn(folder, live.__contains__, refuse):
                return True
        except WaitedError:
            return False

    assert [is_its_turn(folder) for folder in (first, second, third)] == [False, True, False]
    with queue.turn(second, live.__contains__, refuse):
        live.remove(second)  # as far as its status tells; it still holds the lock
        assert not is_its_turn(third)
    assert [is_its_turn(folder) for folder in (first, third)] == [False, True]
    live.remove(third)
    assert is_its_turn(first)


def test_the_time_left(tmp_path, monkeypatch):
    clock = 100.0
    monkeypatch.setattr(process.time, "perf_counter", lambda: clock)
    run = made_run(tmp_path)
    progress = process.Progress(run)
    progress.begin_epochs(0, 5)
    assert run.status.seconds_left is None
    for _ in range(2):
        clock += 1
        progress.on_step(0.5)
    status = run.status
    assert (status.step, status.seconds_per_step, status.learning_rate) == (2, 1, 0.5)
    assert status.seconds_left == 10 * 5 - 2
    clock += 2
    for _ in range(2):
        progress.on_step(0.5)
    record = EpochRecord(1, 0.5, 0.0, 0.4, 0.7, 0.8, 0.5, seconds=6.0)
    progress.on_epoch(record)
    assert (run.status.epoch, run.status.step, run.status.steps, run.status.seconds_left) == (1, 0, 5, 9 * 6)
    progress.on_epoch(replace(record, epoch=2, validation_iou=0.6, seconds=8.0))
    assert (run.status.last["epoch"], run.status.best["epoch"], run.status.seconds_left) == (2, 1, 8 * 7)


def test_settings_come_back_equal(data, tmp_path):
    for settings in (
        tiny(data),
        tiny(data, images=(data, str(tmp_path)), crops_per_image=(1, 3), class_names=("background", "a ü")),
        tiny(data, images=[str(data)], crops_per_image=[2], arguments={"widths": (4, [8, 16]), "name": None}),
        tiny(data, images=data / "images", masks=str(data / "labels"), learning_rate=0.1 + 0.2, upright=True),
    ):
        assert restored(json.loads(json.dumps(stored(settings)))) == settings
    with pytest.raises(UserError, match=r"The setting arguments holds .*, which cannot be stored"):
        stored(tiny(data, arguments={"width": len}))
    with pytest.raises(UserError, match="another version, which knows speed"):
        restored(stored(tiny(data)) | {"speed": 3})


def test_what_cannot_be_a_run(data, tmp_path):
    for name in ("", "../net", "a/b", ".net", "n" * 81, "a\nb"):
        with pytest.raises(UserError, match="cannot be the name of a network"):
            start(tiny(data), name, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be kept in"):
        start(tiny(data), "net", tmp_path / "file" / "runs")
    for identifier in ("..", "", "20260101-000000-bb"):
        with pytest.raises(UserError, match="no longer there"):
            find_run(tmp_path, identifier)
    assert runs(tmp_path) == runs(tmp_path / "nowhere") == []


def test_a_process_that_cannot_be_started(data, tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(UserError, match="could not be started"):
        start(tiny(data), "net", tmp_path)
    (run,) = runs(tmp_path)
    assert run.status.state == "failed"
    run.delete()


def test_a_damaged_state_is_told(tmp_path):
    run = made_run(tmp_path)
    for content in ("", "[]", '{"state": "asleep", "queued": 1}', '{"state": "running"}'):
        (run.folder / "status.json").write_text(content)
        assert run.status.reason == "The state of this run cannot be read; delete the run."
    (run.folder / "status.json").unlink()
    assert read_status(run.folder).state == "failed"


@pytest.mark.parametrize("epochs", [1, 100, 101, 1234])
def test_the_number_of_previews_is_bounded_and_the_last_one_is_there(tmp_path, epochs):
    small = [np.zeros((2, 3), np.uint8)]
    for epoch in range(1, epochs + 1):
        previews.write_predictions(tmp_path, epoch, epochs, small, small)
    kept = previews.kept_epochs(tmp_path)
    assert kept[0] == 1
    assert kept[-1] == epochs
    assert len(kept) <= previews.KEPT_EPOCHS + 1
    assert len(set(np.diff(kept[:-1]))) <= 1
    previews.write_predictions(tmp_path, 1, epochs, small, small)
    assert previews.kept_epochs(tmp_path) == [1]  # training began again
    assert read_previews(tmp_path, 1) == []  # without images


def test_large_images_are_averaged_over_blocks():
    values = torch.rand(2, 1024, 512, generator=torch.Generator().manual_seed(0))
    expected = values.view(2, 256, 4, 128, 4).mean(dim=(2, 4))
    torch.testing.assert_close(_reduced(values, "area"), expected)


def test_reading_a_state_imports_no_torch(tmp_path):
    made_run(tmp_path)
    code = (
        f"import sys; from core.training.runs import runs, read_previews; run, = runs({str(tmp_path)!r}); "
        "run.status, run.name, run.checkpoint, run.metrics(), run.preview_epochs, read_previews(run.folder, 1); "
        "print(sorted({'torch', 'lightning', 'plotly', 'pandas'} & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
