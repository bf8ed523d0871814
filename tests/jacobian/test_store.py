"""Stopping, resuming, refusing, and what a bad disk does."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import UserError
from core.jacobian import Jacobian, disk_space, engine, jacobian
from core.jacobian.manifest import SCHEMA
from core.jacobian.store import JacobianStore
from core.models import UNet
from core.segmenter import Segmenter
from tests.jacobian.rows import lively, random_image
from tests.killing import run_and_kill

RESULTS = ("rows", "statistics", "histogram", "boxes", "centred")


def make_segmenter(seed: int = 0) -> Segmenter:
    return Segmenter(lively(UNet(1, 2, depth=1, width=3), seed), in_channels=1)


IMAGE = random_image(1, 40, 36)


def run(path: Path, **arguments) -> Jacobian:
    arguments = {"batch_size": 1} | arguments
    return jacobian(make_segmenter(), IMAGE, out=path, **arguments)


def assert_same_results(path: Path, other: Path) -> None:
    for name in RESULTS:
        np.testing.assert_array_equal(JacobianStore(path).read(name), JacobianStore(other).read(name))


def chunk_times(path: Path) -> dict[str, int]:
    return {str(file): file.stat().st_mtime_ns for name in RESULTS for file in (path / name).glob("c.*")}


def stop_after(passes: int):
    """Arguments that cancel a run after so many passes."""
    asked = iter(range(10**9))
    return {"cancel": lambda: next(asked) >= passes}


def test_a_cancelled_run_goes_on_where_it_was(tmp_path):
    part = run(tmp_path / "part.zarr", **stop_after(150))
    assert 0 < part.fraction < 1
    assert not part.complete
    known = part.threshold_map(0.05, source="histogram")
    assert 0 < np.isnan(known).mean() < 1
    np.testing.assert_array_equal(np.isnan(known), ~part.computed)
    assert np.isnan(part.column(20, 20)).any()
    written = chunk_times(tmp_path / "part.zarr")
    reports = []
    whole = run(tmp_path / "part.zarr", progress=reports.append)
    assert whole.complete
    assert chunk_times(tmp_path / "part.zarr").items() >= written.items()
    assert reports[0].passes > 150 - part.num_passes // 16
    assert reports[-1].fraction == 1
    run(tmp_path / "once.zarr")
    assert_same_results(tmp_path / "part.zarr", tmp_path / "once.zarr")


RUN_THAT_WAITS_TO_BE_KILLED = """
import signal, sys, torch
torch.set_num_threads(1)
from pathlib import Path
from tests.jacobian.test_store import finished_chunks, run
path = Path(sys.argv[1])
run(path, progress=lambda report: finished_chunks(path) < 4 or signal.pause())
"""


def finished_chunks(path: Path) -> int:
    return len(list(path.glob("statistics/c.*")))


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    """kill -9 in mid-run: nothing that was finished is computed again, and the result is that of one run."""
    path = tmp_path / "killed.zarr"
    run_and_kill(RUN_THAT_WAITS_TO_BE_KILLED, path, when=lambda: finished_chunks(path) >= 4)
    store = JacobianStore(path)
    finished = store.finished()
    assert 4 <= len(finished) < store.num_blocks
    rows = store.read("rows", slice(0, store.passes_of(3).stop))
    written = chunk_times(path)
    # The chunks of the block in progress may be there without their statistics; those are written anew.
    kept = {name: at for name, at in written.items() if f"{path}/statistics" in name}
    computed_blocks = []
    original = engine._compute_block

    def counting(runner, store, block, *rest):
        computed_blocks.append(block)
        return original(runner, store, block, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_compute_block", counting)
        whole = run(path)
    assert whole.complete
    assert set(computed_blocks) == set(range(store.num_blocks)) - finished
    assert chunk_times(path).items() >= kept.items()
    np.testing.assert_array_equal(JacobianStore(path).read("rows", slice(0, len(rows))), rows)
    run(tmp_path / "once.zarr")
    assert_same_results(path, tmp_path / "once.zarr")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"class_index": 0}, "class"),
        ({"space": "logit"}, "score space"),
        ({"stride": 2}, "stride"),
        ({"dtype": "uint8"}, "number type"),
        ({"keep_rows": False}, "summaries only"),
        ({"region": np.ones((40, 36), dtype=bool)}, "region"),
    ],
)
def test_a_store_refuses_another_target(arguments, word, tmp_path):
    run(tmp_path / "run.zarr", **stop_after(30))
    before = chunk_times(tmp_path / "run.zarr")
    with pytest.raises(UserError, match=f"another Jacobian .*{word}"):
        run(tmp_path / "run.zarr", **arguments)
    assert chunk_times(tmp_path / "run.zarr") == before


def test_a_store_refuses_another_model_and_another_image(tmp_path):
    path = tmp_path / "run.zarr"
    run(path, **stop_after(30))
    with pytest.raises(UserError, match=r"another Jacobian .*model"):
        jacobian(make_segmenter(seed=1), IMAGE, out=path)
    with pytest.raises(UserError, match=r"another Jacobian .*image"):
        jacobian(make_segmenter(), IMAGE[:, ::-1].copy(), out=path)
    with pytest.raises(UserError, match="other weights"):
        Jacobian(path, make_segmenter(seed=1))
    with pytest.raises(UserError, match="other weights"):
        engine.compute_missing(make_segmenter(seed=1), JacobianStore(path))


def test_what_is_no_store(tmp_path):
    with pytest.raises(UserError, match="no Jacobian at"):
        Jacobian(tmp_path / "nothing.zarr")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("not ours")
    for use in (lambda: Jacobian(tmp_path / "folder"), lambda: run(tmp_path / "folder")):
        with pytest.raises(UserError, match="not a whole Jacobian store"):
            use()
    assert (tmp_path / "folder" / "notes.txt").read_text() == "not ours"


@pytest.mark.parametrize("missing", ["zarr.json", "passes", "statistics", "rows", "image/zarr.json"])
def test_a_half_written_store_is_told(missing, tmp_path):
    path = tmp_path / "run.zarr"
    run(path, **stop_after(30))
    target = path / missing
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    with pytest.raises(UserError, match="not a whole Jacobian store"):
        Jacobian(path)


def test_a_truncated_manifest_and_one_of_a_later_version(tmp_path):
    path = tmp_path / "run.zarr"
    run(path, **stop_after(30))
    manifest = (path / "zarr.json").read_text()
    (path / "zarr.json").write_text(manifest[: len(manifest) // 2])
    with pytest.raises(UserError, match="not a whole Jacobian store"):
        Jacobian(path)
    later = json.loads(manifest)
    later["attributes"]["whypixel_jacobian"]["schema"] = SCHEMA + 1
    (path / "zarr.json").write_text(json.dumps(later))
    with pytest.raises(UserError, match="later version"):
        Jacobian(path)


def test_damaged_rows_are_computed_again(tmp_path):
    path = tmp_path / "run.zarr"
    run(path)
    expected = JacobianStore(path).read("rows")
    chunks = sorted((path / "rows").glob("c.*"))
    chunks[0].write_bytes(chunks[0].read_bytes()[:100])
    chunks[-1].unlink()
    assert not Jacobian(path).complete
    assert run(path).complete
    np.testing.assert_array_equal(JacobianStore(path).read("rows"), expected)


def test_a_damaged_summary_is_told(tmp_path):
    path = tmp_path / "run.zarr"
    computed = run(path)
    chunk = next((path / "histogram").glob("c.*"))
    chunk.write_bytes(chunk.read_bytes()[:10])
    with pytest.raises(UserError, match="damaged"):
        computed.threshold_map(source="histogram")


def test_a_failed_creation_leaves_nothing(tmp_path, monkeypatch):
    def fail(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("core.jacobian.opening.result_layouts", fail)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run.zarr")
    assert not any(tmp_path.iterdir())


def test_a_store_larger_than_the_disk_is_told_before(tmp_path, monkeypatch):
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 0, 10**6))
    with pytest.raises(UserError, match=r"needs up to .* and .* has 1.0 MB left"):
        run(tmp_path / "run.zarr")
    assert not any(tmp_path.iterdir())


def test_a_dense_network_too_large_for_the_disk_is_told_before_it_runs(tmp_path, monkeypatch):
    class Dense(torch.nn.Module):
        def forward(self, images):
            attention = images.flatten(2).softmax(dim=-1).view_as(images)
            return torch.cat((images, images * attention), dim=1)

    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 0, 10**9))
    segmenter = Segmenter(Dense(), in_channels=1)
    image = random_image(1, 160, 160)
    with pytest.raises(UserError, match=r"needs up to 2\.\d GB"):
        jacobian(segmenter, image, out=tmp_path / "run.zarr")
    assert not any(tmp_path.iterdir())


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2.5 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2500k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small file system can only be mounted as root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)  # noqa: S607


def test_a_disk_that_fills_up_in_mid_run(small_disk, tmp_path, monkeypatch):
    """What was finished is kept, and the run goes on when there is space again."""
    path = small_disk / "run.zarr"
    with pytest.raises(UserError, match="left; keep summaries only"):
        run(path)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(10**6))
    monkeypatch.setattr("core.jacobian.engine.check_free_disk", lambda *arguments: None)
    with pytest.raises(UserError, match=r"disk is full with .* start again"):
        run(path)
    finished = JacobianStore(path).finished()
    assert finished
    (small_disk / "ballast").unlink()
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)  # noqa: S607
    written = chunk_times(path)
    assert run(path).complete
    kept = [f"/c.{block}." for block in finished]
    assert all(
        chunk_times(path)[name] == at
        for name, at in written.items()
        if "statistics" in name and any(k in name for k in kept)
    )
    run(tmp_path / "once.zarr")
    assert_same_results(path, tmp_path / "once.zarr")
