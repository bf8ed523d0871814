import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core import Segmenter, Target, UserError
from core.attribution import gradient, influence
from core.attribution.pixel_gradients import PixelGradients
from core.jacobian import Jacobian, jacobian
from core.target import PREDICTED, SPACES, Score, class_scores
from tests.networks import IMAGE_1_TO_9, TinySeg, Wrapped

LOGITS = torch.tensor([1.0, -2.0, 0.5]).reshape(1, 3, 1, 1)


def test_score_spaces_by_hand():
    exponentials = np.exp([1.0, -2.0, 0.5])
    probability = exponentials[1] / exponentials.sum()
    assert class_scores(LOGITS, 1, "logit").item() == -2.0
    assert class_scores(LOGITS, 1, "probability").item() == pytest.approx(probability, rel=1e-6)
    assert class_scores(LOGITS, 1, "log_odds").item() == pytest.approx(
        np.log(probability / (1 - probability)), rel=1e-6
    )


def test_log_odds_of_two_classes_is_the_difference_of_the_logits():
    logits = torch.randn(2, 2, 4, 5)
    torch.testing.assert_close(class_scores(logits, 1, "log_odds"), logits[:, 1] - logits[:, 0])
    torch.testing.assert_close(class_scores(logits, 0, "log_odds"), logits[:, 0] - logits[:, 1])


def test_tiny_seg_scores():
    logits = Segmenter(TinySeg(), in_channels=1).logits(IMAGE_1_TO_9)
    mask = np.zeros((3, 3), dtype=bool)
    mask[1, 1] = mask[2, 2] = True
    assert Target.pixel(1, 1, 1, "logit")(logits).item() == -27
    assert Target.region(mask, 1)(logits).item() == -21
    assert Target.region(mask, 1, reduction="mean")(logits).item() == -10.5
    assert Target.region(mask * 2.0, 1)(logits).item() == -42


@pytest.mark.parametrize("space", SPACES)
def test_pixel_is_the_region_of_one_pixel(space):
    logits = torch.randn(3, 4, 5, 6)
    mask = np.zeros((5, 6))
    mask[2, 4] = 1
    torch.testing.assert_close(Target.pixel(2, 4, 3, space)(logits), Target.region(mask, 3, space)(logits))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**20), st.sampled_from(SPACES))
def test_sum_is_additive_over_disjoint_regions(seed, space):
    generator = np.random.default_rng(seed)
    logits = torch.tensor(generator.normal(size=(1, 3, 6, 7)))
    part = generator.integers(0, 3, size=(6, 7))
    whole = sum(Target.region(part == index, 1, space)(logits) for index in range(3))
    torch.testing.assert_close(whole, Target.region(np.ones((6, 7)), 1, space)(logits))


def test_empty_region_scores_zero():
    assert Target.region(np.zeros((3, 3)), 1)(torch.randn(1, 2, 3, 3)).item() == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Target.pixel(-1, 0), "Rows and columns count from 0"),
        (lambda: Target.pixel(0, 0, -1), "Classes count from 0"),
        (lambda: Target.pixel(0, 0, 1, "odds"), 'one of logit, probability, log_odds; "odds" was given'),
        (lambda: Target.region(np.ones(3)), r"finite mask \(height, width\)"),
        (lambda: Target.region(np.full((2, 2), np.nan)), "finite mask"),
        (lambda: Target.region(np.ones((2, 2)), reduction="max"), "one of sum, mean"),
        (lambda: Target.region(np.zeros((2, 2)), reduction="mean"), "mean over an empty region"),
        (lambda: Target.pixel(3, 0)(torch.zeros(1, 2, 3, 3)), r"pixel \(3, 0\) lies outside the image of 3 rows"),
        (lambda: Target.pixel(0, 0, 2)(torch.zeros(1, 2, 3, 3)), "no class 2; the network has 2"),
        (lambda: Target.region(np.ones((2, 3)))(torch.zeros(1, 2, 3, 3)), "region is 2×3 pixels, the image 3×3"),
    ],
)
def test_wrong_targets_get_one_clear_sentence(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_description_names_the_region_by_its_hash():
    first, second = Target.region(np.eye(3)), Target.region(np.eye(3)[::-1])
    assert first.describe()["pixels"] == 3
    assert first.describe()["mask_sha256"] != second.describe()["mask_sha256"]
    assert Target.pixel(1, 2, 0, "logit").describe() == {"class_index": 0, "space": "logit", "row": 1, "column": 2}


def test_the_whole_prediction_of_tiny_seg():
    """Logits of class 0 [[2,11,6],[15,31,17],[6,19,6]] and 1 [[-2,-11,-6],[-13,-27,-11],[2,-9,6]]."""
    logits = Segmenter(TinySeg(), in_channels=1).logits(IMAGE_1_TO_9)
    labels = np.zeros((3, 3), int)
    labels[0, 1] = 1
    assert Target.prediction(labels, "logit")(logits).item() == 2 - 11 + 6 + 15 + 31 + 17 + 6 + 19 + 6
    mask = np.zeros((3, 3), bool)
    mask[0, :2] = True
    assert Target.prediction(labels, "logit", "mean", mask)(logits).item() == (2 - 11) / 2
    for space in SPACES:
        apart = sum(Target.region(labels == k, k, space)(logits).item() for k in (0, 1))
        assert Target.prediction(labels, space)(logits).item() == pytest.approx(apart, rel=1e-6)


def test_what_is_no_prediction():
    with pytest.raises(UserError, match="whole numbers"):
        Target.prediction(np.zeros((3, 3)))
    with pytest.raises(UserError, match="whole numbers"):
        Target.prediction(np.full((3, 3), -1))
    with pytest.raises(UserError, match="of one size"):
        Target.prediction(np.zeros((3, 3), int), mask=np.ones((2, 2)))
    with pytest.raises(UserError, match="no class 7"):
        Target.prediction(np.full((3, 3), 7))(torch.zeros(1, 2, 3, 3))
    described = Target.prediction(np.zeros((3, 3), int)).describe()
    assert described["class_index"] == "predicted"
    assert described["pixels"] == 9


def three_classes() -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(Wrapped("tensor", 1), in_channels=1)


def test_a_class_against_another_by_hand():
    exponentials = np.exp([1.0, -2.0, 0.5])
    probabilities = exponentials / exponentials.sum()
    assert class_scores(LOGITS, 0, "logit", 2).item() == 0.5
    assert class_scores(LOGITS, 0, "log_odds", 2).item() == pytest.approx(np.log(probabilities[0] / probabilities[2]))
    difference = class_scores(LOGITS, 0, "probability", 2).item()
    assert difference == pytest.approx(probabilities[0] - probabilities[2], rel=1e-6)


def test_of_two_classes_the_contrast_is_the_log_odds():
    logits = torch.randn(2, 2, 4, 5)
    torch.testing.assert_close(class_scores(logits, 1, "logit", 0), class_scores(logits, 1, "log_odds"))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**20), st.sampled_from(["logit", "probability"]), st.permutations(range(4)))
def test_the_gradient_of_a_contrast_is_the_difference_of_the_gradients(seed, space, classes):
    first, second, *_ = classes
    logits = torch.from_numpy(np.random.default_rng(seed).normal(size=(1, 4, 5, 6))).requires_grad_()

    def gradient_of(target: Target) -> torch.Tensor:
        return torch.autograd.grad(target(logits).sum(), logits)[0]

    mask = np.random.default_rng(seed + 1).normal(size=(5, 6))
    contrast = gradient_of(Target.region(mask, first, space, "sum", second))
    alone = [gradient_of(Target.region(mask, index, space)) for index in (first, second)]
    torch.testing.assert_close(contrast, alone[0] - alone[1])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**20), st.sampled_from(SPACES), st.sampled_from([None, 0, 1, 2]))
def test_the_whole_prediction_is_the_sum_of_the_scores_at_its_pixels(seed, space, against):
    """So where a label is the class subtracted, which happens here for each of them, its own score counts."""
    generator = np.random.default_rng(seed)
    logits = torch.from_numpy(generator.normal(size=(2, 3, 3, 4)))
    labels = generator.permutation(np.arange(12) % 3).reshape(3, 4)
    score = Score(PREDICTED, space, against)
    pixels = [score.at(row, column, labels) for row, column in np.ndindex(3, 4)]
    assert {target.against for target in pixels} == {None, against}
    plain = [target for target in pixels if target.class_index == against]
    assert all(target.against is None for target in plain)
    assert len(plain) == (0 if against is None else 4)
    whole = Target.prediction(labels, space, against=against)
    torch.testing.assert_close(whole(logits), sum(target(logits) for target in pixels))


def test_a_manifest_names_the_contrast_and_its_unit():
    target = Target.pixel(0, 0, 1, "probability", against=2)
    assert target.describe() == {"class_index": 1, "space": "probability", "against": 2, "row": 0, "column": 0}
    assert target.unit == "probability difference per unit intensity"
    assert Target.pixel(0, 0, 1, "logit", against=2).score_unit == "logit difference"
    assert Target.pixel(0, 0, 1, "log_odds", against=2).score_unit == "log odds"
    assert Target.pixel(0, 0, 1, "logit").score_unit == "logit"
    labels = np.array([[1, 2], [2, 2]])
    assert Target.prediction(labels, "logit", against=2).score_unit == "logit difference"
    of_class = Target.prediction(labels, "logit", mask=labels == 2, against=2)
    assert of_class.score_unit == "logit", "nothing is subtracted"
    assert "against" not in Target.pixel(0, 0).describe()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Target.pixel(0, 0, 1, against=1), "Class 1 cannot be explained against itself"),
        (lambda: Target.pixel(0, 0, 1, against=-1), "Classes count from 0; class -1 was given"),
        (lambda: Score(against=5).check(3), "no class 5; the network has 3"),
        (lambda: Target.pixel(0, 0, against=2)(torch.zeros(1, 2, 3, 3)), "no class 2; the network has 2"),
        (lambda: Target.prediction(np.zeros((3, 3), int), against=2)(torch.zeros(1, 2, 3, 3)), "no class 2"),
        (lambda: Score(PREDICTED).at(0, 0), "known from a prediction only"),
        (lambda: Score(PREDICTED).at(3, 0, np.zeros((3, 3), int)), r"\(3, 0\) lies outside the image of 3 rows"),
    ],
)
def test_wrong_contrasts_get_one_clear_sentence(make, message):
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize("space", SPACES)
def test_every_way_to_a_gradient_knows_the_contrast(space, tmp_path):
    """Gradient, live gradient, Jacobian and influence against autograd through the network itself."""
    segmenter = three_classes()
    image = torch.rand(1, 9, 10)
    labels = segmenter.predict(image).labels
    against = int(labels[0, 0])
    score = Score(PREDICTED, space, against)

    def expected(row: int, column: int) -> np.ndarray:
        batch = image[None].clone().requires_grad_()
        logits, label = segmenter.logits(batch), int(labels[row, column])
        scored = class_scores(logits, label, space, None if label == against else against)
        return torch.autograd.grad(scored[0, row, column], batch)[0][0].numpy()

    stored = jacobian(segmenter, image, PREDICTED, space, tmp_path / "run.zarr", against=against)
    live = PixelGradients(segmenter, image, score, labels)
    for row, column in ((0, 0), (4, 5), tuple(np.argwhere(labels != against)[0])):
        truth = expected(row, column)
        assert truth.any()
        target = score.at(row, column, labels)
        for found in (
            gradient(segmenter, image, target).values,
            live.row(row, column).on((9, 10)),
            stored.row(row, column),
        ):
            np.testing.assert_allclose(found, truth, rtol=1e-4, atol=1e-6)
    other = (against + 1) % 3
    moved = influence(segmenter, image, 4, 5, other, space, against=against).values[0]
    plain = jacobian(segmenter, image, other, space, tmp_path / "plain.zarr", against=against)
    np.testing.assert_allclose(moved, plain.column(4, 5)[0], rtol=1e-4, atol=1e-6)
    manifest = Jacobian(tmp_path / "run.zarr").manifest
    assert manifest.score == score
    with pytest.raises(UserError, match="class subtracted"):
        jacobian(segmenter, image, PREDICTED, space, tmp_path / "run.zarr")
