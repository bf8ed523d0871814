"""Networks whose distant pixels are coupled by statistics over the image: exact rows from few passes."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from core.attribution import influence
from core.errors import UserError
from core.jacobian import Jacobian, array_layouts, choice, coupling, jacobian, preparation
from core.jacobian import store as stores
from core.jacobian.colouring import plan_passes
from core.jacobian.estimation import Estimator
from core.jacobian.factors import FactorRunner
from core.jacobian.preparation import COUPLED, DENSE
from core.jacobian.request import JacobianRequest
from core.jacobian.store import JacobianStore
from core.segmenter import Segmenter
from core.segmenter.image_statistics import FindStatistics, HoldStatistics
from core.target import Score
from tests.jacobian.coupled_networks import NORMS, CoupledUNet
from tests.jacobian.rows import dense_jacobian, largest_relative_error, lively, random_image, rows_alone
from tests.killing import run_and_kill
from tests.networks import TinySeg

KINDS = {
    "instance": ("instance", ""), "group": ("group", ""), "layer": ("layer", ""), "excite": ("none", "excite"),
    "pooled": ("none", "pooled"), "instance, excite": ("instance", "excite"), "group, pooled": ("group", "pooled"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def fewest_passes(monkeypatch):
    """The plan with the fewest passes, whatever this machine is fast at."""
    cheapest = choice.cheapest_plan
    monkeypatch.setattr(
        preparation, "cheapest_plan", lambda field, uncoupled, _, *given: cheapest(field, uncoupled, 1e9, *given)
    )


def network(kind: str, depth: int, width: int = 4, channels: int = 1) -> Segmenter:
    norm, end = KINDS[kind]
    module = lively(CoupledUNet(NORMS[norm], depth, width, end, channels)).double()  # so that rounding hides nothing
    return Segmenter(module, in_channels=channels)


def all_rows(computed: Jacobian) -> np.ndarray:
    height, width = computed.size
    return np.stack([[computed.row(row, column) for column in range(width)] for row in range(height)])


@pytest.mark.parametrize(
    ("kind", "depth"), [*((kind, 2) for kind in KINDS), ("instance", 3), ("group, pooled", 3), ("excite", 3)]
)
def test_all_rows_columns_and_summaries(kind, depth, tmp_path):
    segmenter, image = network(kind, depth), random_image(1, 48, 48)
    computed = jacobian(segmenter, image, out=tmp_path / "run.zarr")
    manifest = computed.manifest
    assert manifest.statistics > 0
    assert manifest.note == COUPLED.format(
        manifest.statistics, computed.num_passes - 2 * manifest.statistics, computed.num_passes, 48 * 48
    )
    assert computed.num_passes < 48 * 48 / 2
    expected = dense_jacobian(segmenter, image)
    assert largest_relative_error(all_rows(computed), expected) <= 1e-5
    largest = np.abs(expected).max()
    np.testing.assert_allclose(computed.column(20, 31)[0], expected[:, :, 0, 20, 31], atol=1e-6 * largest)
    assert computed.maximum() == pytest.approx(largest, rel=1e-5)
    magnitudes = np.abs(expected[:, :, 0])
    level = computed.threshold(0.1)
    counts = (magnitudes > level).sum(axis=(2, 3))
    near = (np.abs(magnitudes / level - 1) < 1e-4).any(axis=(2, 3))
    np.testing.assert_array_equal(computed.threshold_map(0.1)[~near], counts[~near])
    assert near.mean() < 0.1
    np.testing.assert_allclose(computed.statistic("sum"), magnitudes.sum(axis=(2, 3)), rtol=1e-4)
    assert computed.field.dense
    field, store = computed.effective_receptive_field(), JacobianStore(computed.path)
    assert field.mean.shape == (95, 95)
    blocks = store.plan.pass_of_pixel // computed.manifest.passes_per_block
    sampled = np.isin(blocks, [block for block in range(store.num_blocks) if store.is_sampled(block)])
    assert field.num_pixels == sampled.sum()
    assert field.mean.sum() == pytest.approx(magnitudes[sampled].sum(axis=(1, 2)).mean(), rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "depth", "channels", "stride"),
    [
        ("instance, excite", 4, 3, 4),
        ("instance", 3, 1, 4),
        ("group", 2, 1, 4),
        ("excite", 3, 1, 4),
        ("pooled", 2, 1, 4),
    ],
)
def test_200_rows_of_a_larger_image(kind, depth, channels, stride, tmp_path):
    segmenter, image = network(kind, depth, width=2, channels=channels), random_image(channels, 128, 128)
    computed = jacobian(segmenter, image, 1, "logit", tmp_path / "run.zarr", stride)
    assert computed.manifest.statistics > 0
    assert computed.num_passes < (128 // stride) ** 2 / 2
    sampled = np.random.default_rng(0).integers(0, 128 // stride, (200, 2))
    pixels = [(stride * int(row), stride * int(column)) for row, column in sampled]
    rows = np.stack([computed.row(*pixel) for pixel in pixels])
    assert all(computed.is_stored(*pixel) for pixel in pixels)
    assert largest_relative_error(rows, rows_alone(segmenter, image, pixels, space="logit")) <= 1e-5


@pytest.mark.parametrize("kind", ["instance, excite", "group, pooled"])
def test_all_rows_four_stages_deep(kind, monkeypatch, tmp_path):
    """Put together although a pass for each pixel would be fewer, as what is left is nearly as wide as the image."""

    def coupled_plan(_field, uncoupled, *_):
        return plan_passes(uncoupled.field, statistics=uncoupled.statistics), 0.0

    monkeypatch.setattr(preparation, "cheapest_plan", coupled_plan)
    segmenter, image = network(kind, 4, width=2), random_image(1, 48, 48)
    computed = jacobian(segmenter, image, out=tmp_path / "run.zarr")
    assert computed.manifest.statistics > 0
    assert largest_relative_error(all_rows(computed), dense_jacobian(segmenter, image)) <= 1e-5


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_rows_in_fewer_bits_keep_their_bound(dtype, tmp_path):
    segmenter, image = network("group", 2), random_image(1, 24, 24)
    computed = jacobian(segmenter, image, out=tmp_path / "run.zarr", dtype=dtype)
    expected = dense_jacobian(segmenter, image)
    for pixel in ((0, 0), (11, 13), (23, 5)):
        error = np.abs(computed.row(*pixel) - expected[pixel]).max()
        assert 0 < error <= computed.error_bound(*pixel) + 1e-6 * np.abs(expected[pixel]).max()


def test_a_stopped_run_goes_on_and_a_lost_part_is_computed_anew(tmp_path):
    segmenter, image = network("instance", 2), random_image(1, 40, 40)
    whole = jacobian(segmenter, image, out=tmp_path / "whole.zarr", batch_size=1)
    asked = iter(range(10**6))
    path = tmp_path / "part.zarr"
    stopped = jacobian(segmenter, image, out=path, batch_size=1, cancel=lambda: next(asked) >= 2)
    assert 0 < stopped.fraction < 1
    assert not stopped.computed.any(), "stopped among the factors"
    asked = iter(range(10**6))
    stopped = jacobian(segmenter, image, out=path, batch_size=1, cancel=lambda: next(asked) >= 60)
    assert 0 < stopped.computed.mean() < 1
    done = jacobian(segmenter, image, out=path, batch_size=1)
    assert done.complete
    np.testing.assert_array_equal(done.row(17, 20), whole.row(17, 20))
    next((path / "statistic_gradients").glob("c.*")).unlink()
    damaged = Jacobian(path, segmenter)
    assert "statistic_gradients" in damaged.damage
    with pytest.raises(UserError, match="statistic_gradients"):
        damaged.row(17, 20)
    again = jacobian(segmenter, image, out=path, batch_size=1)
    assert not again.damage
    np.testing.assert_allclose(again.row(17, 20), whole.row(17, 20), atol=1e-7)


FACTOR_BYTES = 2**16
"""Of a chunk, so that there are several."""
RUN_THAT_WAITS_TO_BE_KILLED = """
import signal, sys, torch
torch.set_num_threads(1)
from core.jacobian import array_layouts, jacobian
from tests.jacobian.rows import random_image
from tests.jacobian.test_coupling import FACTOR_BYTES, chunks, network
array_layouts._FACTOR_BYTES = FACTOR_BYTES
path, name, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
wait = lambda: chunks(path, name) >= number and signal.pause()
jacobian(network("instance", 2), random_image(1, 40, 40), out=path, batch_size=1, cancel=wait)
"""


def chunks(path: str | Path, name: str) -> int:
    return len(list((Path(path) / name).glob("c.*")))


def test_a_run_killed_among_the_factors_and_among_the_passes_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(array_layouts, "_FACTOR_BYTES", FACTOR_BYTES)
    segmenter, image, path = network("instance", 2), random_image(1, 40, 40), tmp_path / "killed.zarr"
    jacobian(segmenter, image, out=path, batch_size=1, cancel=lambda: True)  # which makes the plan
    for name, number in (("score_derivatives", 2), ("statistics", 3)):
        run_and_kill(
            RUN_THAT_WAITS_TO_BE_KILLED, path, name, number,
            when=lambda name=name, number=number: chunks(path, name) >= number,
        )  # fmt: skip
        killed = JacobianStore(path)
        assert bool(killed.missing_factors) == (name != "statistics")
        assert 0 < killed.passes_done < killed.num_passes
    computed = jacobian(segmenter, image, out=path, batch_size=1)
    assert computed.complete
    assert largest_relative_error(all_rows(computed), dense_jacobian(segmenter, image)) <= 1e-5


def test_factors_larger_than_the_memory_are_read_in_parts(tmp_path, monkeypatch):
    """The same rows, also from a run stopped among the factors and among the passes, with a bound on what is held."""
    segmenter, image = network("instance, excite", 2, channels=2), random_image(2, 24, 24)
    row_bytes = image.nbytes
    monkeypatch.setattr(coupling, "_SHARE_OF_FREE", 0.0)
    monkeypatch.setattr(coupling, "_ROW_BYTES", 48 * row_bytes)
    monkeypatch.setattr(stores, "PART_BYTES", 5 * coupling.factor_bytes(1, image.shape))
    monkeypatch.setattr(array_layouts, "_FACTOR_BYTES", 2 * row_bytes)
    largest = {"part": 0, "rows": 0, "parts": 0}
    read, rows = JacobianStore.read, coupling.Coupling.rows

    def noted_read(store, name, selection=...):
        values = read(store, name, selection)
        if name in array_layouts.FACTORS:
            largest["part"] = max(largest["part"], values.nbytes)
        return values

    def noted_rows(self, *pixels):
        values = rows(self, *pixels)
        largest["rows"], largest["parts"] = max(largest["rows"], values.nbytes), len(self.parts)
        return values

    monkeypatch.setattr(JacobianStore, "read", noted_read)
    monkeypatch.setattr(coupling.Coupling, "rows", noted_rows)
    path = tmp_path / "run.zarr"
    for stop in (3, 40):
        asked = iter(range(10**6))
        stopped = jacobian(
            segmenter, image, out=path, batch_size=1, cancel=lambda stop=stop, asked=asked: next(asked) >= stop
        )
        assert 0 < stopped.fraction < 1
    computed = jacobian(segmenter, image, out=path, batch_size=1)
    assert computed.complete
    expected = dense_jacobian(segmenter, image)
    for pixel in np.random.default_rng(0).integers(0, 24, (60, 2)):
        assert largest_relative_error(computed.row(*pixel)[None], expected[tuple(pixel)][None]) <= 1e-5
    np.testing.assert_allclose(
        computed.column(20, 11)[0], expected[:, :, 0, 20, 11], atol=1e-6 * np.abs(expected).max()
    )
    sums = np.sqrt((expected**2).sum(axis=2)).sum(axis=(2, 3))
    np.testing.assert_allclose(computed.statistic("sum"), sums, rtol=1e-4)
    assert largest["parts"] == -(-computed.manifest.statistics // 4) > 3
    assert 0 < largest["part"] <= 4 * row_bytes
    assert row_bytes < largest["rows"] <= 48 * row_bytes
    (path / "statistic_gradients" / "c.1.0.0.0").write_bytes(b"")
    with pytest.raises(UserError, match=r"statistic_gradients/c\.1\.0\.0\.0 is cut short"):
        Jacobian(path, segmenter).row(17, 20)


def test_reading_what_the_memory_cannot_hold_counts_against_the_plan(monkeypatch):
    shape, number = (1, 512, 512), 1000
    held = coupling.coupling_bytes(number, shape)
    assert coupling.seconds_of_reading(number, shape) == 0
    monkeypatch.setattr(coupling, "free_bytes", lambda _: 2 * 10**9)
    assert coupling.factor_bytes(number, shape) == 1000 * 2 * 512 * 512 * 4
    assert coupling.seconds_of_reading(number, shape) == pytest.approx(2.1e9 / 5e8 / 128, rel=0.01)
    assert coupling.coupling_bytes(number, shape) < held / 2


def test_wrong_factors_are_found_in_the_run(tmp_path, monkeypatch):
    """A row that is put together wrongly falls back to a pass for each pixel."""
    segmenter, image = network("instance", 2), random_image(1, 24, 24)
    write = JacobianStore.write_factors

    def halved(store, block, coupling):
        coupling.gradients[:] /= 2
        write(store, block, coupling)

    monkeypatch.setattr(JacobianStore, "write_factors", halved)
    computed = jacobian(segmenter, image, out=tmp_path / "run.zarr")
    assert (computed.manifest.statistics, computed.num_passes) == (0, 24 * 24)
    assert largest_relative_error(all_rows(computed), dense_jacobian(segmenter, image)) <= 1e-5


def test_the_cheapest_plan_is_chosen_for_each_stride(monkeypatch, tmp_path):
    segmenter = network("instance", 2)
    estimator = Estimator(segmenter, random_image(1, 48, 48), JacobianRequest(space="logit"))
    monkeypatch.undo()
    estimator._preparation.uncoupled.__dict__.update(seconds_per_statistic=1.0, seconds_per_row=0.0)
    estimator._preparation.__dict__.update(seconds_per_pass=1.0)
    all_pixels = estimator.estimate(JacobianRequest(space="logit"), tmp_path / "run.zarr")
    few = estimator.estimate(JacobianRequest(space="logit", stride=12), tmp_path / "run.zarr")
    assert (few.passes, few.note) == (16, DENSE)
    assert all_pixels.passes < 48 * 48 / 4
    assert "statistics over the image" in all_pixels.note
    halves = estimator.estimate(JacobianRequest(space="logit", stride=2), tmp_path / "run.zarr")
    for one in (all_pixels, halves):
        assert f"{one.passes:,} passes instead of {one.pixels:,}." in one.note
    assert all_pixels.seconds == pytest.approx(all_pixels.passes - estimator._preparation.uncoupled.statistics)


class Normalised(nn.Module):
    """One normalisation after a convolution, by any of torch's ways."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(1, 4, 3, padding=1), norm, nn.Conv2d(4, 2, 1)

    def forward(self, values):
        return self.last(torch.tanh(self.norm(self.first(values))))


@pytest.mark.parametrize(
    ("norm", "number"),
    [
        (nn.InstanceNorm2d(4), 8), (nn.InstanceNorm2d(4, affine=True), 8), (nn.GroupNorm(2, 4), 4),
        (nn.GroupNorm(2, 4, affine=False), 4), (nn.LayerNorm((4, 12, 12)), 2),
        (nn.BatchNorm2d(4, track_running_stats=False), 8), (nn.BatchNorm2d(4), 0),
        (nn.InstanceNorm2d(4, track_running_stats=True), 0), (nn.Identity(), 0),
    ],
    ids=str,
)  # fmt: skip
def test_torchs_normalisations(norm, number):
    module = lively(Normalised(norm)).eval()
    image = torch.from_numpy(random_image(1, 1, 12, 12)).requires_grad_()
    with FindStatistics() as finding:
        found = module(image)
    torch.testing.assert_close(found, module(image), rtol=1e-5, atol=1e-6)
    assert len(finding.statistics) == number
    other = torch.from_numpy(random_image(1, 1, 12, 12, seed=1))
    with HoldStatistics(finding.statistics.detached()):
        held = module(torch.cat((other[..., :6, :], image[..., 6:, :]), dim=2).detach())
    # What lies beyond the reach of the change is as it was.
    torch.testing.assert_close(held[..., 7:, :], found[..., 7:, :].detach(), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(held[..., :6, :], found[..., :6, :])


def test_networks_without_such_a_coupling_are_as_before(tmp_path):
    segmenter, image = Segmenter(TinySeg(), in_channels=1), random_image(1, 20, 20)
    computed = jacobian(segmenter, image, out=tmp_path / "run.zarr")
    assert computed.manifest.statistics == 0
    assert not (tmp_path / "run.zarr" / "score_derivatives").exists()
    shutil.rmtree(tmp_path / "run.zarr")


def test_factors_and_influence_maps_at_once_are_those_alone():
    segmenter, image = network("instance", 2), random_image(1, 24, 24)
    labels = segmenter.predict(image).labels
    runner = FactorRunner(segmenter, image, Score(), labels)
    alone = runner.factors(range(len(runner))), influence(segmenter, image, 5, 7).values
    with ThreadPoolExecutor(2) as pool:
        for _ in range(5):
            factors = pool.submit(runner.factors, range(len(runner)))
            column = pool.submit(influence, segmenter, image, 5, 7)
            np.testing.assert_array_equal(factors.result().derivatives, alone[0].derivatives)
            np.testing.assert_array_equal(column.result().values, alone[1])
