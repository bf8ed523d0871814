"""Random small networks: the whole Jacobian against one backward pass for each row of the raw module.

`make test` draws the same few every time, `make conformance` many others as well.
"""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, event, given, reject, settings
from hypothesis import strategies as st

from core.errors import UserError
from core.jacobian import Jacobian, jacobian
from core.segmenter import Segmenter
from tests.conformance.grammar import Sentence, sentences
from tests.conformance.reference import reference_rows

_TOLERANCE = 1e-5
_SPACES = ("probability", "logit")
_PROPORTIONS = (0.0, 0.013, 0.1, 0.5)
_COMMON = settings(
    suppress_health_check=(HealthCheck.too_slow,),
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),  # to explain a failure takes minutes
)


@settings(_COMMON, max_examples=25, derandomize=True)
@given(sentences(), st.sampled_from(_SPACES), st.sampled_from((1, 4)))
def test_a_few_networks(sentence, space, batch_size):
    check(sentence, space, batch_size)


@pytest.mark.conformance
@pytest.mark.timeout(3600)
@settings(_COMMON, max_examples=500, print_blob=True)
@given(sentences(), st.sampled_from(_SPACES), st.sampled_from((1, 4)))
def test_many_networks(sentence, space, batch_size):
    check(sentence, space, batch_size)


def check(sentence: Sentence, space: str, batch_size: int) -> None:
    """Rows, columns and threshold maps equal brute force, or the network is refused, which must be rare."""
    network, image = sentence.network(), sentence.image()
    pixels = list(np.ndindex(sentence.size))
    truth = reference_rows(network, image, {}, pixels, 1, space).reshape(*sentence.size, *image.shape)
    segmenter = Segmenter(network, in_channels=sentence.channels)
    with tempfile.TemporaryDirectory() as folder:
        try:
            computed = jacobian(segmenter, image, 1, space, Path(folder) / "run.zarr", batch_size=batch_size)
        except UserError:
            reject()  # hypothesis fails where too many are
        event("dense" if computed.manifest.dense else "shared passes")
        event(f"batch of {computed.manifest.batch_size}")
        check_rows_and_columns(computed, truth)
        check_threshold_maps(computed, truth)


def check_rows_and_columns(computed: Jacobian, truth: np.ndarray) -> None:
    """Each entry up to rounding of the largest of its row."""
    height, width = computed.size
    rounding = _TOLERANCE * np.abs(truth).max(axis=(2, 3, 4))
    rows = np.stack([computed.row(*pixel) for pixel in np.ndindex(height, width)]).reshape(truth.shape)
    wrong = (np.abs(rows - truth) > rounding[..., None, None, None]).any(axis=(2, 3, 4))
    assert not wrong.any(), f"{wrong.sum()} of {wrong.size} rows, such as {np.argwhere(wrong)[0]}"
    for row, column in ((0, 0), (height // 2, width // 2), (height - 1, width // 3)):
        expected = np.moveaxis(truth[..., row, column], -1, 0)
        assert (np.abs(computed.column(row, column) - expected) <= rounding).all(), (row, column)


def check_threshold_maps(computed: Jacobian, truth: np.ndarray) -> None:
    """Counts may differ by the entries that lie within rounding of the threshold."""
    magnitudes = np.sqrt(np.square(truth, dtype=np.float64).sum(axis=2))
    largest = magnitudes.max(axis=(2, 3), keepdims=True)
    for proportion in _PROPORTIONS:
        threshold = proportion * largest.max()
        rounding = _TOLERANCE * (largest + threshold)
        fewest = (magnitudes > threshold + rounding).sum(axis=(2, 3))
        most = (magnitudes > threshold - rounding).sum(axis=(2, 3))
        counts = computed.threshold_map(proportion)
        assert ((fewest <= counts) & (counts <= most)).all(), proportion
