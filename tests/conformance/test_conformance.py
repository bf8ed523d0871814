"""Strangers' networks: every number the library gives of them against the same number worked out by hand.

`make conformance` takes all of the catalogue. `make test` takes one network from each library and two others, which
change with the day; CONFORMANCE_DAY=325 takes those of day 325.
"""

import numpy as np
import pytest
import torch

from core.attribution import gradient, influence
from core.counterfactual.kept_prediction import AGREEMENT, KeptPrediction
from core.jacobian import jacobian
from core.segmenter import Segmenter
from core.target import Target
from tests.conformance.catalogue import NETWORKS, rotation
from tests.conformance.reference import reference_rows
from tests.jacobian.rows import largest_relative_error, random_image

_TOLERANCE = 1e-5
"""Relative to the largest entry of a row."""
_COLUMN_TOLERANCE = 3e-5
"""Forward mode adds up in another order than backward mode; 1.6e-5 was the most that was seen."""
_ROUNDED_COLUMNS = {"transformers-mobilenet-v2": 5e-4}
"""Where float32 itself is the limit: at 67×67 float64 gives -0.0271321 in both modes, float32 -0.0271226 forward and
-0.0271296 in reverse, of a row whose largest entry is 0.0298."""
_NEIGHBOURS = ((0, 0), (0, 1), (1, 0), (1, 1))


def _cases() -> list:
    chosen = rotation()
    return [
        pytest.param(
            (name, size), id=f"{name}-{size[0]}x{size[1]}", marks=() if name in chosen else pytest.mark.conformance
        )
        for name, network in NETWORKS.items()
        for size in network.sizes
    ]


class Case:
    """One network and one image, and the true rows of some pixels: two corners, a border and the middle."""

    def __init__(self, name: str, size: tuple[int, int]) -> None:
        self.name, self.network = name, NETWORKS[name]
        for library in self.network.libraries:
            pytest.importorskip(library)
        module = self.network.make()
        self.image = random_image(self.network.in_channels, *size, seed=1)
        height, width = size
        self.pixels = [(0, 0), (height - 1, width // 3), (height // 2, width // 2)]
        # Each with its neighbours, as pixels that share a pass or a batch are where mistakes show.
        corners = [(0, 0), (height - 2, width // 3), (height // 2, width // 2)]
        self.neighbours = [(row + down, column + right) for row, column in corners for down, right in _NEIGHBOURS]
        arguments = (self.network.class_index, self.network.space, self.network.read)
        rows = reference_rows(module, self.image, self.network.options, self.neighbours, *arguments)
        self.rows = dict(zip(self.neighbours, rows, strict=True))
        self.segmenter: Segmenter = self.network.segmenter(module)

    def true_rows(self, pixels: list[tuple[int, int]]) -> np.ndarray:
        return np.stack([self.rows[pixel] for pixel in pixels])


@pytest.fixture(scope="module", params=_cases())
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*request.param)


def test_gradients_are_rows_worked_out_by_hand(case):
    found = [
        gradient(case.segmenter, case.image, Target.pixel(*pixel, case.network.class_index, case.network.space)).values
        for pixel in case.pixels
    ]
    assert largest_relative_error(np.stack(found), case.true_rows(case.pixels)) <= _TOLERANCE


def test_rows_of_a_batched_jacobian(case, tmp_path, record_property):
    region = np.zeros(case.image.shape[1:], dtype=bool)
    region[tuple(np.transpose(case.neighbours))] = True
    computed = jacobian(
        case.segmenter,
        case.image,
        case.network.class_index,
        case.network.space,
        tmp_path / "run.zarr",
        region=region,
        batch_size=4,
    )
    # A network with an operation that takes one gradient at a time falls back to single passes; a report shows which.
    record_property("batch_size", computed.manifest.batch_size)
    found = np.stack([computed.row(*pixel) for pixel in case.neighbours])
    assert largest_relative_error(found, case.true_rows(case.neighbours)) <= _TOLERANCE


def test_influence_is_a_column_of_these_rows(case):
    """At the input pixel that matters most to the middle one, and at one that matters to the corner."""
    tolerance = _ROUNDED_COLUMNS.get(case.name, _COLUMN_TOLERANCE)
    for output_pixel in (case.pixels[-1], case.pixels[0]):
        row = np.abs(case.rows[output_pixel].sum(axis=0))
        input_pixel = [int(index) for index in np.unravel_index(row.argmax(), row.shape)]
        column = influence(case.segmenter, case.image, *input_pixel, case.network.class_index, case.network.space)
        for pixel in case.neighbours:
            true_row = case.rows[pixel]
            error = abs(column.values[(0, *pixel)] - true_row[(slice(None), *input_pixel)].sum())
            assert error <= tolerance * np.abs(true_row).max(), (input_pixel, pixel)


def test_logits_that_are_kept_while_the_image_is_edited(case):
    kept, image, random = KeptPrediction(case.segmenter, case.image), case.image.copy(), np.random.default_rng(2)
    for row, column in case.pixels:
        box = tuple(slice(max(place - 2, 0), place + 3) for place in (row, column))
        image[(..., *box)] = random.random(image[(..., *box)].shape)
        box = tuple(slice(*part.indices(length)[:2]) for part, length in zip(box, image.shape[1:], strict=True))
        kept.renew(image, box)
        with torch.no_grad():
            whole = case.segmenter.logits(image)[0]
        # Each way is compared once with a run that repeats nothing, to 1e-5; later changes may round a little more.
        assert (kept.logits - whole).abs().max() <= 3 * AGREEMENT * whole.abs().max()
    kept.check(image)
    assert torch.equal(kept.logits, whole)
