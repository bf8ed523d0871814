"""The fragility map: distances in closed form, and a run that is stopped goes on as if it had not been."""

import json

import numpy as np
import pytest
import torch
from filelock import FileLock

from core.counterfactual.fragility import NOT_DONE, fragility_map, open_fragility_map
from core.errors import UserError
from core.segmenter import Segmenter
from tests.killing import run_and_kill

SIZE = 24, 20


def _segmenter(seed: int = 0) -> Segmenter:
    torch.manual_seed(seed)
    return Segmenter(torch.nn.Conv2d(1, 2, 5, padding=2), in_channels=1)


def _image() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.35, 0.65, (1, *SIZE)).astype(np.float32)


@pytest.mark.parametrize("measure", ["l2", "linf"])
def test_for_a_linear_network_it_is_the_distance_to_the_hyperplane(measure):
    segmenter, image = _segmenter(), _image()
    found = fragility_map(segmenter, image, every=4, measure=measure)
    assert found.distances.shape == (6, 5)
    assert found.done == 1
    weights = segmenter.module.weight.detach()
    slope = float((weights[0] - weights[1]).norm() if measure == "l2" else (weights[0] - weights[1]).abs().sum())
    logits = segmenter.logits(image)[0].detach()
    margin = (logits[0] - logits[1]).abs().numpy()
    inner = 0
    for row in range(6):
        for column in range(5):
            r, c = found.pixel(row, column)
            if 2 <= r < SIZE[0] - 2 and 2 <= c < SIZE[1] - 2 and margin[r, c] < 0.3 * slope:  # no border, no bound
                assert found.distances[row, column] == pytest.approx(margin[r, c] / slope, rel=1e-3)
                inner += 1
    assert inner > 5


class _StoppedError(Exception):
    pass


def test_a_run_that_is_stopped_goes_on_and_ends_with_the_same_values(tmp_path):
    segmenter, image = _segmenter(), _image()
    whole = fragility_map(segmenter, image, every=5)

    def stop(done: int, _total: int) -> None:
        if done >= 7:
            raise _StoppedError

    with pytest.raises(_StoppedError):
        fragility_map(segmenter, image, every=5, out=tmp_path, progress=stop)
    half = open_fragility_map(tmp_path)
    assert 0 < half.done < 1
    assert (half.distances[-1] == NOT_DONE).all()
    pixels: list[int] = []
    again = fragility_map(segmenter, image, every=5, out=tmp_path, progress=lambda done, _: pixels.append(done))
    assert np.array_equal(again.distances, whole.distances, equal_nan=True)
    assert min(pixels) >= 4  # the first row was kept
    assert np.array_equal(open_fragility_map(tmp_path).distances, whole.distances, equal_nan=True)
    assert json.loads((tmp_path / "manifest.json").read_text())["done"] == 1


_RUN = """
import sys
from core.counterfactual.fragility import fragility_map
from tests.counterfactual.test_fragility import _image, _segmenter
fragility_map(_segmenter(), _image(), every=2, out=sys.argv[1])
"""


def test_a_run_that_is_killed_goes_on_and_ends_with_the_same_values(tmp_path):
    def has_rows() -> bool:
        try:
            return open_fragility_map(tmp_path).done > 0.3
        except UserError:
            return False

    run_and_kill(_RUN, tmp_path, when=has_rows)
    assert open_fragility_map(tmp_path).done < 1
    whole = fragility_map(_segmenter(), _image(), every=2)
    again = fragility_map(_segmenter(), _image(), every=2, out=tmp_path)
    np.testing.assert_allclose(again.distances, whole.distances, rtol=1e-6)


def test_where_no_flip_is_possible_there_is_none():
    segmenter = _segmenter()
    with torch.no_grad():
        segmenter.module.bias[:] = torch.tensor([1e4, 0.0])
    found = fragility_map(segmenter, _image(), every=10, measure="linf")
    assert np.isnan(found.distances).all()
    assert not len(found.found)
    assert found.manifest()["median"] is None


def test_wrong_use_is_told_in_one_sentence(tmp_path):
    segmenter, image = _segmenter(), _image()
    for arguments, sentence in [
        ({"every": 0}, "Every n-th pixel"),
        ({"every": 99}, "Every n-th pixel"),
        ({"measure": "l0"}, "measured by"),
        ({"steps": 0}, "at least one step"),
    ]:
        with pytest.raises(UserError, match=sentence):
            fragility_map(segmenter, image, **arguments)
    fragility_map(segmenter, image, every=10, out=tmp_path / "run")
    with pytest.raises(UserError, match="of another network"):
        fragility_map(_segmenter(1), image, every=10, out=tmp_path / "run")
    (tmp_path / "run" / "distances.npy").write_bytes(b"cut")
    with pytest.raises(UserError, match="damaged"):
        fragility_map(segmenter, image, every=10, out=tmp_path / "run")
    with pytest.raises(UserError, match="no fragility map"):
        open_fragility_map(tmp_path)
    (tmp_path / "busy").mkdir()
    with FileLock(tmp_path / "busy" / "lock"), pytest.raises(UserError, match="Another run"):
        fragility_map(segmenter, image, every=10, out=tmp_path / "busy")
