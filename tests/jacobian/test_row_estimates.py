"""Estimates of what rows sum up to, against exact Jacobians and against sums over all signs."""

import itertools
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from core.errors import UserError
from core.jacobian import SUMMARIES, RowEstimates, estimate_row_summaries
from core.jacobian.probing import ProbeSums, probes
from core.jacobian.row_estimates import error_of, summaries_of_rows
from core.segmenter import Segmenter
from core.target import PREDICTED
from tests.jacobian.rows import dense_jacobian, random_image
from tests.networks import Dense

SIZE = 18, 22
HELD_OUT = 200
FEWEST_COVERED = 180
"""Of 200 held-out rows. Of bars that hold for 95 %, fewer do so with a probability of 0.1 % by the binomial."""


class Attention(nn.Module):
    """Every pixel attends to every other, through torch's fused kernel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.embed, self.mix = nn.Conv2d(channels, 12, 3, padding=1), nn.Conv2d(12, 36, 1)
        self.head = nn.Conv2d(12, 2, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        features = torch.tanh(self.embed(images))
        query, key, value = self.mix(features).flatten(2).transpose(1, 2).chunk(3, dim=2)
        attended = F.scaled_dot_product_attention(4 * query, 4 * key, value).transpose(1, 2)
        return self.head(features + 3 * attended.reshape(features.shape))


class MixedReach(Attention):
    """Attention where the image is bright and almost nothing but a local convolution where it is dark."""

    def forward(self, images: Tensor) -> Tensor:
        gate = torch.sigmoid(12 * (F.avg_pool2d(images[:, :1], 5, 1, 2) - 0.5))
        return gate * super().forward(images) + self.head(torch.tanh(self.embed(images)))


def _segmenter(name: str) -> Segmenter:
    torch.manual_seed(5)
    modules = {"softmax": Dense, "attention": lambda: Attention(3), "mixed reach": lambda: MixedReach(1)}
    return Segmenter(modules[name](), in_channels=3 if name == "attention" else 1, activation="none", name=name)


def _estimates(segmenter: Segmenter, image: np.ndarray, error: float = 0.4, **options) -> RowEstimates:
    return estimate_row_summaries(segmenter, image, error=error, most_passes=500, seed=2, **options)


def _exact(segmenter: Segmenter, image: np.ndarray) -> dict[str, np.ndarray]:
    rows = dense_jacobian(segmenter, image).reshape(-1, *image.shape)
    return summaries_of_rows(rows, np.argwhere(np.ones(SIZE, bool)))


@pytest.mark.parametrize("name", ["softmax", "attention", "mixed reach"])
def test_error_bars_hold_for_held_out_rows(name):
    segmenter = _segmenter(name)
    image = random_image(segmenter.in_channels, *SIZE, seed=3)
    exact = _exact(segmenter, image)
    found = _estimates(segmenter, image)
    is_sample = np.zeros(SIZE, bool)
    is_sample[tuple(found.pixels.T)] = True
    held_out = np.random.default_rng(7).choice(np.flatnonzero(~is_sample), HELD_OUT, replace=False)
    for key, estimated in found.maps.items():
        low, high = (end.ravel()[held_out] for end in estimated.bars)
        covered = (low <= exact[key][held_out]) & (exact[key][held_out] <= high)
        assert covered.sum() >= FEWEST_COVERED, (key, covered.sum())
        np.testing.assert_allclose(found.exact[key], exact[key].reshape(SIZE)[tuple(found.pixels.T)], rtol=1e-3)
    # The true error is not far below the bars either: they are no excuse.
    assert found.reached
    assert found.maps["sum"].error < 0.4
    assert found.passes < found.rows


matrices = st.lists(st.floats(-3, 3, width=32), min_size=36, max_size=36)


@given(matrices)
def test_squares_are_unbiased_over_all_signs(entries):
    """The mean over all 64 signs of 2×3 pixels is the sum itself, for rows and for their distances."""
    size = 2, 3
    jacobian = np.array(entries).reshape(6, 6)
    rows, columns = (axis.ravel() for axis in np.mgrid[:2, :3])
    sums = ProbeSums(size)
    for signs in itertools.product((-1, 1), repeat=6):
        images = np.stack([np.array(signs) * weight for weight in (1, rows - 0.5, columns - 1)])
        products = (images @ jacobian.T).reshape(3, *size)
        sums.add(np.concatenate((np.ones((5, *size)), products)))
    expected = summaries_of_rows(jacobian.reshape(6, 1, *size).astype(np.float32), np.stack((rows, columns), axis=1))
    found = sums.summaries()
    for name in ("norm", "distance"):
        has_value = expected["norm"] > 1e-3
        np.testing.assert_allclose(found[name].ravel()[has_value], expected[name][has_value], rtol=1e-3, atol=1e-3)


def test_sum_is_unbiased_over_many_probes():
    """The log of the sum over pixels of magnitudes over three channels, within four standard errors."""
    shape, rounds = (3, 4, 5), 2000
    jacobian = np.random.default_rng(0).normal(size=(20, 3 * 20)) * np.geomspace(0.1, 10, 20)[:, None]
    sums = ProbeSums(shape[1:])
    for index in range(rounds):
        sums.add((probes(1, index, shape).reshape(8, -1) @ jacobian.T).reshape(8, *shape[1:]))
    expected = np.sqrt((jacobian.reshape(20, 3, 20) ** 2).sum(axis=1)).sum(axis=1)
    standard_error = np.pi / 2 / np.sqrt(5 * rounds)
    deviation = np.log(sums.summaries()["sum"].ravel() / expected) / standard_error
    assert np.abs(deviation).max() < 4
    assert 0.4 < deviation.std() < 2


def test_error_holds_for_95_per_cent_of_pixels_with_a_confidence_of_95_per_cent():
    """Whatever their distribution: of uniform ones, the error is the share that it covers; undefined ones count too."""
    generator = np.random.default_rng(0)
    for number in (59, 64, 128):
        zeros = np.zeros(number)
        covered = [error_of(generator.random(number), zeros, is_relative=False) for _ in range(2000)]
        assert 0.94 < np.mean(np.array(covered) >= 0.95) < 0.98
    exact = np.array([0.0, np.nan, *np.ones(62)])
    assert error_of(exact, exact, is_relative=True) == 0
    assert error_of(np.array([1.0, np.nan, *np.ones(62)]), exact, is_relative=True) == np.inf
    assert error_of(np.full(64, 2.0), np.ones(64), is_relative=True) == pytest.approx(1)
    assert error_of(np.full(64, 0.5), np.ones(64), is_relative=True) == pytest.approx(1)


def test_same_whatever_the_batches_and_another_with_another_seed(tmp_path):
    segmenter, image = _segmenter("attention"), random_image(3, *SIZE)
    first = _estimates(segmenter, image, error=0.6, batch_size=1)
    again = _estimates(segmenter, image, error=0.6, batch_size=19)
    other = estimate_row_summaries(segmenter, image, error=0.6, most_passes=500, seed=3)
    assert (first.pixels == again.pixels).all()
    for name in SUMMARIES:  # the log of a product that happens to be near 0 is rounded more
        np.testing.assert_allclose(first.maps[name].values, again.maps[name].values, rtol=1e-2)
        assert np.abs(first.maps[name].values - other.maps[name].values).max() > 1e-3 * first.maps[name].values.max()
    again.save(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["kind"] == "estimate"
    assert manifest["passes"] == again.passes == 8 * 18 + 64
    assert manifest["exact_pixels"] == again.pixels.tolist()
    saved = np.load(tmp_path / "estimated_sum.npy")
    np.testing.assert_array_equal(saved, again.maps["sum"].values)
    assert again.maps["sum"].title.startswith("Estimated sum of the gradient (±")


def test_error_that_is_not_reached_is_said():
    segmenter, image = _segmenter("softmax"), random_image(1, *SIZE)
    found = estimate_row_summaries(segmenter, image, error=0.02)
    assert found.passes == 16 * 8 + 64
    assert not found.reached
    assert "is not reached" in found.note


def test_score_of_the_predicted_class_and_dead_rows():
    """The logit of class 0 of `Dense` is the pixel itself; a probability that is cut off has rows of zeros."""
    segmenter, image = _segmenter("softmax"), random_image(1, *SIZE)
    found = estimate_row_summaries(segmenter, image, 0, "logit", most_passes=192)
    np.testing.assert_allclose(found.maps["sum"].values.mean(), 1, rtol=0.05)
    np.testing.assert_allclose(found.maps["norm"].values, 1, rtol=1e-5)
    np.testing.assert_allclose(found.maps["distance"].values, 0, atol=1e-4)
    labels = segmenter.predict(image).labels
    predicted = estimate_row_summaries(segmenter, image, PREDICTED, "logit", most_passes=192)
    np.testing.assert_allclose(predicted.maps["norm"].values[labels == 0], 1, rtol=1e-5)

    class Cut(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            kept = images[..., :12]
            return torch.cat((torch.zeros_like(images), F.pad(kept * kept.mean((2, 3), keepdim=True), (0, 10))), dim=1)

    dead = estimate_row_summaries(Segmenter(Cut(), in_channels=1, activation="none"), image, most_passes=192)
    assert (dead.maps["sum"].values[:, 12:] == 0).all()
    assert np.isnan(dead.maps["distance"].values[:, 12:]).all()
    assert np.isfinite([each.error for each in dead.maps.values()]).all()


def test_progress_stops_it_and_counts_to_the_end():
    segmenter, image = _segmenter("softmax"), random_image(1, *SIZE)
    reports = []
    found = estimate_row_summaries(segmenter, image, most_passes=192, progress=lambda *done: reports.append(done))
    assert reports[-1] == (found.passes, found.passes)
    assert reports == sorted(reports)

    class CancelledError(Exception):
        pass

    def cancel(done: int, _: int) -> None:
        if done >= 16:
            raise CancelledError

    with pytest.raises(CancelledError):
        estimate_row_summaries(segmenter, image, most_passes=192, batch_size=1, progress=cancel)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"error": 0}, "between 0 and 1"),
        ({"exact_rows": 58}, "59 exact rows at least"),
        ({"most_passes": 100}, "192 passes at least"),
        ({"error": 0.1, "most_passes": 5000}, "compute that instead"),
        ({"seed": -1}, "whole number from 0"),
        ({"class_index": 7}, "no class 7"),
    ],
)
def test_wrong_arguments(options, sentence):
    with pytest.raises(UserError, match=sentence):
        estimate_row_summaries(_segmenter("softmax"), random_image(1, *SIZE), **options)
