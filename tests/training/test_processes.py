"""Training on several devices, here as processes on the CPU."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from core.errors import UserError
from core.training.processes import device_of_process

NETWORK = """
from torch import nn

def network(in_channels, num_classes):
    return nn.Sequential(nn.Conv2d(in_channels, 4, 1), nn.Tanh(), nn.Conv2d(4, num_classes, 1))
"""
EPOCHS = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Images that no flip or turn changes, each of another brightness, so that crops as large as they are known."""
    folder = tmp_path_factory.mktemp("devices")
    (folder / "own.py").write_text(NETWORK)
    for name in ("images", "labels"):
        (folder / "data" / name).mkdir(parents=True)
    away = np.abs(np.arange(16) - 7.5)
    inside = np.maximum(away[:, None], away) < 4
    for number in range(12):
        image = (20 * number + 30 * inside).astype(np.uint8)
        Image.fromarray(image).save(folder / "data" / "images" / f"{number}.png")
        Image.fromarray(255 * inside.astype(np.uint8)).save(folder / "data" / "labels" / f"{number}.png")
    return folder


def train(folder: Path, out: str, devices: int, *more: str) -> subprocess.Popen:
    """A run that takes all training images in each of its steps, as many on each device."""
    command = [
        sys.executable, "-m", "core", "train", "--images", str(folder / "data"), "--out", str(folder / out),
        "--architecture", f"{folder / 'own.py'}:network", "--crop", "16", "--jitter", "0", "--epochs", str(EPOCHS),
        "--validation", "0.17", "--test", "0.17", "--batch-size", str(8 // devices), "--devices", str(devices),
        "--device", "cpu", "--patience", str(EPOCHS), *more,
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment.pop("LOCAL_RANK", None)
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def last_weights(folder: Path, out: str) -> dict[str, torch.Tensor]:
    return load_file(folder / out / "model_last.safetensors")


def rows(folder: Path, out: str) -> list[dict[str, str]]:
    path = folder / out / "metrics.csv"
    return list(csv.DictReader(path.read_text().splitlines())) if path.is_file() else []


def test_two_processes_take_the_steps_of_one_with_the_batches_of_both(folder):
    # One step per epoch takes all images, in whatever order: the mean of two halves' gradients is that of the whole.
    runs = [train(folder, "one", 1), train(folder, "two", 2)]
    for process in runs:
        finish(process)
    one, two = last_weights(folder, "one"), last_weights(folder, "two")
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=1e-4, atol=1e-5)
    assert len(rows(folder, "two")) == EPOCHS
    for mine, theirs in zip(rows(folder, "two"), rows(folder, "one"), strict=True):
        assert float(mine["train_loss"]) == pytest.approx(float(theirs["train_loss"]), rel=1e-4)
        assert float(mine["validation_iou"]) == pytest.approx(float(theirs["validation_iou"]), abs=1e-3)


def test_a_run_of_two_processes_that_is_killed_goes_on_to_the_same_weights(folder):
    jitter = ("--jitter", "0.3")  # so that the processes' own draws count
    process = train(folder, "killed", 2, *jitter)
    while len(rows(folder, "killed")) < 3 and process.poll() is None:
        time.sleep(0.02)
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    assert len(family) > 1
    process.send_signal(signal.SIGKILL)
    process.communicate()
    psutil.wait_procs(family[1:], timeout=60)
    assert not [each for each in family[1:] if each.is_running()]  # the others do not wait for it for ever
    done = len(rows(folder, "killed"))
    assert 3 <= done < EPOCHS
    finish(train(folder, "killed", 2, *jitter, "--resume"))
    finish(train(folder, "unbroken", 2, *jitter))
    resumed, unbroken = last_weights(folder, "killed"), last_weights(folder, "unbroken")
    assert all(torch.equal(resumed[name], weight) for name, weight in unbroken.items())
    assert len(rows(folder, "killed")) == EPOCHS


def test_more_gpus_than_there_are():
    assert device_of_process(torch.device("cpu"), 4) == torch.device("cpu")
    count = torch.cuda.device_count()
    with pytest.raises(UserError, match=f"There are {count} GPUs, not {count + 2}"):
        device_of_process(torch.device("cuda"), count + 2)
