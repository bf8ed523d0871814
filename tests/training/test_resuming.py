"""A run that was killed and taken up again has the weights of an unbroken one."""

import csv
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.errors import UserError
from core.training import TrainingSettings, train
from core.training.fitting import epoch_checkpoint, last_checkpoint
from core.training.processes import Share, SharedBatches
from core.training.resuming import STATE_FILE, can_resume
from core.training.training_data import gather
from tests.killing import run_and_kill
from tests.training.test_training import small, write_data_set

RUN_THAT_WAITS_TO_BE_KILLED = """
import signal, sys, torch
torch.set_num_threads(1)
from tests.training.test_resuming import run, settings
run(settings(sys.argv[1], sys.argv[2]), sys.argv[3], on_epoch=lambda record: record.epoch == 3 and signal.pause())
"""


def settings(images: str | Path, schedule: str, **changes) -> TrainingSettings:
    given = {"epochs": 5, "loss": "dice_cross_entropy", "elastic": 1.0, "noise": 0.05, "keep_every": 2}
    return small(images=images, schedule=schedule, patience=3, **{**given, **changes})


def run(asked: TrainingSettings, out: str | Path, **arguments):
    return train(asked, out, "bars", device="cpu", progress_bar=False, **arguments)


@pytest.fixture(scope="module", autouse=True)
def _one_thread(one_thread):
    """As in the process that is killed."""


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    return write_data_set(tmp_path_factory.mktemp("bars"))


def weights(file: Path) -> dict[str, torch.Tensor]:
    return load_file(file)


@pytest.mark.parametrize("schedule", ["one_cycle", "reduce_on_plateau"])
def test_a_killed_run_goes_on_to_the_same_weights(bars, schedule, tmp_path):
    asked = settings(bars, schedule)
    unbroken = run(asked, tmp_path / "unbroken")
    out = tmp_path / "killed"
    metrics = out / "metrics.csv"
    run_and_kill(
        RUN_THAT_WAITS_TO_BE_KILLED, bars, schedule, out,
        when=lambda: metrics.is_file() and len(metrics.read_text().splitlines()) >= 4,
    )  # fmt: skip
    assert can_resume(out)
    resumed = run(asked, out, resume=True)
    assert not can_resume(out)
    assert len(resumed.records) == len(unbroken.records) == 5
    assert resumed.best_epoch == unbroken.best_epoch
    for file in (resumed.checkpoint, last_checkpoint(resumed.checkpoint), epoch_checkpoint(resumed.checkpoint, 4)):
        expected = weights(tmp_path / "unbroken" / file.relative_to(out))
        for name, values in weights(file).items():
            assert torch.equal(values, expected[name]), (file.name, name)
    assert sorted(path.name for path in (out / "epochs").iterdir()) == [
        "bars_0001.safetensors",
        "bars_0002.safetensors",
        "bars_0004.safetensors",
    ]
    rows = [list(csv.DictReader(each.open())) for each in (unbroken.metrics, resumed.metrics)]
    for row in rows[0] + rows[1]:
        row.pop("seconds")
    assert rows[0] == rows[1]


def test_processes_that_read_images_draw_the_same_after_a_stop(bars, tmp_path):
    asked = settings(bars, "one_cycle", epochs=3)

    def stop(record) -> None:
        if record.epoch == 2:
            raise KeyboardInterrupt

    unbroken = run(asked, tmp_path / "unbroken", workers=1)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(asked, tmp_path / "stopped", workers=1, on_epoch=stop)
    resumed = run(asked, tmp_path / "stopped", workers=1, resume=True)
    expected = weights(last_checkpoint(unbroken.checkpoint))
    for name, values in weights(last_checkpoint(resumed.checkpoint)).items():
        assert torch.equal(values, expected[name]), name


def test_crops_of_one_process_among_several_follow_from_the_epoch_alone(bars):
    asked = settings(bars, "one_cycle", devices=2)
    crops = gather(asked).training_crops(asked)
    done = iter([0, 0, 0, 1, 1, 1])  # asked for the order, the draws here and those of the reading process

    def epoch(batches: SharedBatches) -> list[torch.Tensor]:
        return [images for images, _ in batches]

    unbroken = SharedBatches(crops, Share(len(crops), asked, lambda: next(done)), 4, workers=1)
    first, second = epoch(unbroken), epoch(unbroken)
    resumed = epoch(SharedBatches(crops, Share(len(crops), asked, lambda: 1), 4, workers=1))
    assert all(map(torch.equal, second, resumed))
    assert not all(map(torch.equal, first, resumed))


def test_what_cannot_be_resumed_is_said(bars, tmp_path):
    with pytest.raises(UserError, match="no run to resume"):
        run(settings(bars, "one_cycle"), tmp_path, resume=True)

    def interrupt(record) -> None:
        if record.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(settings(bars, "one_cycle"), tmp_path, on_epoch=interrupt)
    assert can_resume(tmp_path)
    with pytest.raises(UserError, match="made with other learning rate, loss; resume it"):
        run(settings(bars, "one_cycle", learning_rate=0.02, loss="focal"), tmp_path, resume=True)
    other = write_data_set(tmp_path / "other", count=11)
    with pytest.raises(UserError, match="training images"):
        run(settings(other, "one_cycle"), tmp_path, resume=True)
    state = tmp_path / STATE_FILE
    state.write_bytes(state.read_bytes()[:-1000])
    with pytest.raises(UserError, match="is damaged"):
        run(settings(bars, "one_cycle"), tmp_path, resume=True)
