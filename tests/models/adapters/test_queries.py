"""Networks of transformers that answer with queries and masks, given to `Segmenter` as they are."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from core import Segmenter, Target, UserError
from core.attribution import gradient, influence
from core.jacobian import jacobian, receptive_field
from core.segmenter.queries import set_task
from tests.jacobian.rows import largest_relative_error, random_image

transformers = pytest.importorskip("transformers")
from tests.models.adapters.query_networks import (  # noqa: E402 - needs transformers
    BUILDERS,
    NUM_CLASSES,
    TASK,
    answer_of_the_library,
    lively,
    log_scores_by_hand,
    options_of,
)

_MEAN, _STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
_SIZES = [(name, size) for name in BUILDERS for size in ((64, 64), (67, 61)) if name != "eomt" or size == (64, 64)]
"""EoMT takes images of just its own size."""
_PIXELS = ((0, 0), (63, 21), (32, 33))
_ROUNDING = 1e-6
"""Of the largest entry of a row."""


def _segmenter(name: str) -> tuple[Segmenter, torch.nn.Module]:
    module = lively(name)
    raw = lively(name)
    if name == "oneformer":
        set_task(module, TASK)
    return Segmenter(module, mean=_MEAN, std=_STD), raw


def _normalised(image: torch.Tensor) -> torch.Tensor:
    return (image[None] - torch.tensor(_MEAN)[:, None, None]) / torch.tensor(_STD)[:, None, None]


@pytest.mark.parametrize(("name", "size"), _SIZES)
def test_labels_and_scores_are_the_librarys_own(name, size):
    segmenter, raw = _segmenter(name)
    image = random_image(3, *size, seed=1)
    with torch.no_grad():
        result = raw(_normalised(torch.from_numpy(image)), **options_of(name))
        logits = segmenter.logits(image)[0]
    labels, scores = answer_of_the_library(name, result, size)
    assert (segmenter.predict(image).labels == labels.numpy()).mean() >= 0.999
    assert logits.shape == (NUM_CLASSES, *size)
    torch.testing.assert_close(logits.exp(), scores, rtol=1e-5, atol=1e-8)
    assert segmenter.notes[0].startswith("it answers with queries")
    assert segmenter.findings().independent


@pytest.mark.parametrize("name", BUILDERS)
def test_a_gradient_is_a_row_worked_out_by_hand(name):
    """In float64, as random weights this deep leave few digits of float32."""
    segmenter, raw = _segmenter(name)
    segmenter.module.double(), raw.double()
    image = random_image(3, 64, 64, seed=1)
    leaf = torch.from_numpy(image).requires_grad_()
    scores = log_scores_by_hand(name, raw(_normalised(leaf).double(), **options_of(name)), (64, 64))
    for pixel in _PIXELS:
        found = gradient(segmenter, image, Target.pixel(*pixel, 1, "logit")).values
        row = torch.autograd.grad(scores[(1, *pixel)], leaf, retain_graph=True)[0].numpy()
        assert np.abs(row).max() > 0
        assert largest_relative_error(found[None], row[None]) <= _ROUNDING


@pytest.mark.parametrize("name", ["maskformer", "mask2former"])
def test_rows_of_a_batched_jacobian_and_a_column(name, tmp_path):
    """The second one samples its features where they say (deformable attention)."""
    segmenter, _ = _segmenter(name)
    image = random_image(3, 64, 64, seed=1)
    assert receptive_field(segmenter, (64, 64)) == "dense"
    region = np.zeros((64, 64), bool)
    region[tuple(np.transpose(_PIXELS))] = True
    computed = jacobian(segmenter, image, 1, "logit", tmp_path / "run.zarr", region=region, batch_size=3)
    rows = np.stack([gradient(segmenter, image, Target.pixel(*pixel, 1, "logit")).values for pixel in _PIXELS])
    found = np.stack([computed.row(*pixel) for pixel in _PIXELS])
    assert largest_relative_error(found, rows) <= 1e-5
    column = influence(segmenter, image, 30, 30, 1, "logit").values
    for pixel, row in zip(_PIXELS, rows, strict=True):
        assert abs(column[(0, *pixel)] - row[:, 30, 30].sum()) <= 3e-5 * np.abs(row).max()


def test_an_eomt_takes_images_of_its_own_size_only():
    """Its patches would leave out the last four rows of 68."""
    segmenter, _ = _segmenter("eomt")
    with pytest.raises(UserError, match=r"cannot take an image of 68×64 pixels.*its images are of 64×64 pixels"):
        segmenter.predict(random_image(3, 68, 64, seed=1))
    assert segmenter.predict(random_image(3, 61, 64, seed=1)).labels.shape == (61, 64)


def test_a_oneformer_without_a_task():
    with pytest.raises(UserError, match=r"tokens of its task.*load_segmenter"):
        Segmenter(lively("oneformer"))


def test_the_task_counts_in_the_identity():
    hashes = set()
    for tokens in (TASK, TASK, TASK + 1):
        module = lively("oneformer")
        set_task(module, tokens)
        hashes.add(Segmenter(module).weights_hash)
    assert len(hashes) == 2


def test_one_class_alone():
    module = lively("maskformer")
    module.class_predictor = torch.nn.Linear(module.class_predictor.in_features, 2)
    with pytest.raises(UserError, match="has one class, which is then the label of every pixel"):
        Segmenter(module).findings()


def test_a_result_without_names():
    module = lively("maskformer")
    module.config.return_dict = False
    with pytest.raises(UserError, match="return_dict=True"):
        Segmenter(module).findings()


def test_certain_scores_stay_finite():
    """Queries that are sure to be no object have probabilities below the smallest number."""
    module = lively("maskformer")
    module.class_predictor.bias[-1] = 200.0
    logits = Segmenter(module).logits(random_image(3, 64, 64, seed=1))
    assert torch.isfinite(logits).all()


def test_log_scores_in_the_unit_interval_are_no_probabilities():
    class Queries(torch.nn.Module):
        config = SimpleNamespace(model_type="maskformer")

        def forward(self, images):
            masks = (0.5 * images.tanh()).mean(dim=1, keepdim=True).expand(-1, 11, -1, -1)
            classes = torch.tensor([0.2, 0.0, 0.0]).expand(len(images), 11, 3)
            return SimpleNamespace(class_queries_logits=classes, masks_queries_logits=masks)

    image = random_image(3, 16, 16, seed=1)
    logits = Segmenter(Queries()).logits(image)[0].numpy()
    mask = 1 / (1 + np.exp(-0.5 * np.tanh(image).mean(axis=0)))
    share = np.exp([0.2, 0.0]) / np.exp([0.2, 0.0, 0.0]).sum()
    expected = np.log(11 * share[:, None, None] * mask)
    assert ((expected > 0) & (expected < 1)).all()
    np.testing.assert_allclose(logits, expected, rtol=1e-5)


def test_an_activation_that_cannot_be():
    with pytest.raises(UserError, match="leave out the argument activation"):
        Segmenter(lively("maskformer"), activation="softmax").findings()
