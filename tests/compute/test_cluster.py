import importlib
import os
import pickle
import signal
import threading
import time
from contextlib import closing

import numpy as np
import pytest
from distributed import Client, LocalCluster
from torch import nn

from core.compute.cluster import WorkerNetwork, run_on_workers
from core.errors import UserError
from core.models import load_segmenter
from core.segmenter import Segmenter


def test_what_is_shipped_is_all_of_the_segmenter():
    segmenter = Segmenter(
        nn.Conv2d(2, 3, 3, padding=1),
        class_names=("a", "b", "c"),
        in_channels=2,
        mean=(0.1, 0.2),
        std=(0.5, 0.25),
        output=0,
        size_multiple=4,
        name="mine",
        notes=["normalisation not stated"],
    )
    unpacked = pickle.loads(pickle.dumps(WorkerNetwork(segmenter, len))).segmenter  # noqa: S301 - our own
    for attribute in (
        "class_names", "in_channels", "mean", "std", "asked", "size_multiple", "name", "notes", "weights_hash"
    ):  # fmt: skip
        assert getattr(unpacked, attribute) == getattr(segmenter, attribute)


def process_and_classes(network: WorkerNetwork, number: int) -> tuple[int, int, int]:
    time.sleep(0.3)  # the worker is killed before it has done them all
    return number, os.getpid(), network.segmenter.num_classes


def test_the_network_survives_the_death_of_every_worker():
    """The only worker is killed after its first result; what it held is made again on the one that takes its place."""
    segmenter = Segmenter(nn.Conv2d(1, 3, 3, padding=1), in_channels=1)
    results = []
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        tasks = {number: (number,) for number in range(5)}
        for key, result in run_on_workers(client, segmenter, process_and_classes, tasks):
            results.append(result())
            assert results[-1][0] == key
            if len(results) == 1:
                os.kill(results[0][1], signal.SIGKILL)
    assert sorted(number for number, _, _ in results) == list(range(5))
    assert {classes for _, _, classes in results} == {3}
    assert len({process for _, process, _ in results}) == 2


NETS = """
import blocks
from torch import nn
from whypixel import Segmenter

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = blocks.Block()

    def forward(self, images):
        return blocks.SCALE * self.block(images)

def make():
    return Segmenter(Net(), in_channels=1)
"""
BLOCKS = """
from torch import nn

SCALE = 2

class Block(nn.Conv2d):
    def __init__(self):
        super().__init__(1, 3, 1)
"""


def probabilities(network: WorkerNetwork, image: np.ndarray) -> np.ndarray:
    return network.segmenter.predict(image).probabilities


def test_a_network_that_is_named_by_file_is_sent_with_its_code(tmp_path, cluster):
    """No worker can import the file, nor what it imports from beside it; a worker passes it on to the other too."""
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "blocks.py").write_text(BLOCKS)
    segmenter = load_segmenter(f"{tmp_path}/nets.py:make", "cpu")
    (tmp_path / "nets.py").unlink()
    (tmp_path / "blocks.py").unlink()
    images = {number: (np.full((1, 4, 5), number / 8, np.float32),) for number in range(8)}
    address = cluster.scheduler_address
    results = {key: result() for key, result in run_on_workers(address, segmenter, probabilities, images)}
    for number, (image,) in images.items():
        np.testing.assert_allclose(results[number], segmenter.predict(image).probabilities, atol=1e-6)


def import_what_only_this_process_has(_network: WorkerNetwork) -> None:
    importlib.import_module("only_here")


def test_a_module_that_workers_lack_is_named_in_one_sentence(cluster):
    segmenter = Segmenter(nn.Conv2d(1, 2, 1), in_channels=1)
    tasks = run_on_workers(cluster.scheduler_address, segmenter, import_what_only_this_process_has, {0: ()})
    with closing(tasks), pytest.raises(UserError, match="A Dask worker cannot import only_here; install it there"):
        [result() for _, result in tasks]


def test_a_network_that_cannot_be_sent_is_refused_in_one_sentence():
    module = nn.Conv2d(1, 2, 1)
    module.lock = threading.Lock()
    with pytest.raises(
        UserError, match=r"Conv2d cannot be sent to Dask workers .*; .* name it package.module:function"
    ):
        next(run_on_workers("tcp://127.0.0.1:1", Segmenter(module, in_channels=1, name="Conv2d"), len, {}))
