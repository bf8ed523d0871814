import os
import pickle
import signal
from pathlib import Path

import numpy as np
import pytest
from distributed import Client

from core.compute.cluster import WorkerNetwork
from core.errors import UserError
from core.jacobian.many_images import jacobians
from core.jacobian.store import JacobianStore
from core.models import UNet
from core.segmenter import Segmenter
from tests.jacobian.rows import lively, random_image

RESULTS = ("rows", "statistics", "histogram", "boxes", "centred")


def make_segmenter() -> Segmenter:
    return Segmenter(lively(UNet(1, 2, depth=1, width=2)), in_channels=1, class_names=("ground", "vessel"))


def make_images(folder: Path) -> dict[str | Path, np.ndarray]:
    return {folder / f"{seed}.zarr": random_image(1, 24, 20, seed=seed) for seed in range(2)}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    jacobians(make_segmenter(), make_images(folder), batch_size=1)
    return folder


def assert_same_stores(folder: Path, reference: Path) -> None:
    for path in make_images(reference):
        for name in RESULTS:
            expected = JacobianStore(path).read(name)
            np.testing.assert_array_equal(JacobianStore(folder / Path(path).name).read(name), expected)


def test_two_workers_give_the_store_of_one_process(cluster, reference, tmp_path):
    reports = []
    computed = jacobians(
        make_segmenter(),
        make_images(tmp_path),
        batch_size=1,
        scheduler=cluster.scheduler_address,
        progress=lambda path, progress: reports.append((path, progress.fraction)),
    )
    assert all(jacobian.complete for jacobian in computed)
    assert {path.name for path, fraction in reports if fraction == 1} == {"0.zarr", "1.zarr"}
    assert_same_stores(tmp_path, reference)


def test_a_worker_that_is_killed_costs_no_results(cluster, reference, tmp_path):
    """One of two worker processes is killed half-way; the stores are those of an undisturbed run."""
    killed = []

    def kill_half_way(path, progress):
        if not killed and progress.fraction >= 0.5:
            process = next(iter(cluster.workers.values())).process.process.pid
            os.kill(process, signal.SIGKILL)
            killed.append(process)

    with Client(cluster) as client:
        computed = jacobians(
            make_segmenter(), make_images(tmp_path), batch_size=1, scheduler=client, progress=kill_half_way
        )
    assert killed
    assert all(jacobian.complete for jacobian in computed)
    assert_same_stores(tmp_path, reference)


def test_a_cancelled_run_can_be_finished_in_process(cluster, reference, tmp_path):
    reports = []
    part = jacobians(
        make_segmenter(),
        make_images(tmp_path),
        batch_size=1,
        scheduler=cluster.scheduler_address,
        progress=lambda path, progress: reports.append(progress),
        cancel=lambda: len(reports) >= 3,
    )
    assert not all(jacobian.complete for jacobian in part)
    assert all(jacobian.complete for jacobian in jacobians(make_segmenter(), make_images(tmp_path), batch_size=1))
    for path in make_images(reference):
        found, expected = (JacobianStore(folder / Path(path).name).read("rows") for folder in (tmp_path, reference))
        np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


def test_a_scheduler_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="No Dask scheduler answers at tcp"):
        jacobians(make_segmenter(), {}, scheduler="tcp://127.0.0.1:9")


def test_a_shipped_segmenter_is_the_same_one():
    segmenter = make_segmenter()
    unpacked = pickle.loads(pickle.dumps(WorkerNetwork(segmenter, len))).segmenter  # noqa: S301 - our own
    assert unpacked.weights_hash == segmenter.weights_hash
    assert unpacked.class_names == segmenter.class_names
