import os
import pickle
import signal
import time

from distributed import Client, LocalCluster
from torch import nn

from core.compute.cluster import WorkerNetwork, run_on_workers
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
