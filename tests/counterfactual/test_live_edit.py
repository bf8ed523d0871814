"""What is kept while an image is edited equals a run of the whole image."""

import numpy as np
import pytest
import torch

from core.counterfactual import kept_prediction
from core.counterfactual.brush import Brush
from core.counterfactual.kept_prediction import AGREEMENT, KeptPrediction
from core.counterfactual.live_edit import LiveEdit
from core.counterfactual.recorded_run import RecordedRun
from core.receptive_field.known import learn_field
from core.segmenter import Segmenter
from core.target import PREDICTED, Score

SIZE = 96, 112


class _Network(torch.nn.Module):
    """Two convolutions with a stride between them; its receptive field is far smaller than the image."""

    def __init__(self, *, is_dense: bool = False) -> None:
        super().__init__()
        self.down = torch.nn.Conv2d(1, 6, 5, stride=2, padding=2)
        self.up = torch.nn.ConvTranspose2d(6, 3, 2, stride=2)
        self.is_dense = is_dense

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found = self.up(torch.relu(self.down(image)))
        return found + image.mean(dim=(2, 3), keepdim=True) if self.is_dense else found


def _segmenter(*, is_dense: bool = False, learns: bool = True) -> Segmenter:
    torch.manual_seed(0 if learns else 1)  # what is learned is kept on disk
    segmenter = Segmenter(_Network(is_dense=is_dense), in_channels=1)
    if learns:
        learn_field(segmenter, SIZE)
    return segmenter


def _image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((1, *SIZE), dtype=np.float32)


def _stroke(edit: LiveEdit, brush: Brush, *points: tuple[float, float]) -> None:
    edit.painting.begin(brush)
    for point in points:
        edit.renew(edit.painting.draw([point]))
    edit.painting.finish()


def test_many_strokes_equal_a_run_of_the_whole_image_and_run_only_a_part():
    segmenter, image = _segmenter(), _image()
    edit, random = LiveEdit(segmenter, image), np.random.default_rng(1)
    for number in range(30):
        place = random.uniform((0, 0), SIZE)
        kind = ("paint", "blur", "noise", "inpaint")[number % 4]
        _stroke(edit, Brush(kind, radius=4, intensity=(1.0,), seed=number), tuple(place), tuple(place + 6))
        if number:
            height, width = (part.stop - part.start for part in edit.latest)
            assert height * width < 0.2 * SIZE[0] * SIZE[1]
    with torch.no_grad():
        whole = segmenter.logits(edit.painting.image)[0]
    assert (edit.prediction.logits - whole).abs().max() <= AGREEMENT * whole.abs().max()
    assert np.array_equal(edit.labels, segmenter.predict(edit.painting.image).labels)
    assert not edit.prediction.is_exact
    assert edit.check() <= AGREEMENT * float(whole.abs().max())
    assert torch.equal(edit.prediction.logits, whole)


def test_undoing_everything_restores_logits_and_labels_bit_for_bit():
    edit = LiveEdit(_segmenter(), _image())
    for row in (20, 50, 80):
        _stroke(edit, Brush(radius=6, intensity=(1.0,)), (row, 40))
    assert edit.changed.any()
    while edit.painting.can_undo:
        edit.renew(edit.painting.undo())
    assert torch.equal(edit.prediction.logits, edit.prediction.original)
    assert not edit.changed.any()


def test_a_dense_network_runs_whole_and_says_so():
    segmenter = _segmenter(is_dense=True)
    edit = LiveEdit(segmenter, _image(3))
    assert edit.prediction.whole_runs
    _stroke(edit, Brush(radius=3, intensity=(1.0,)), (10, 10))
    assert edit.latest == (slice(0, SIZE[0]), slice(0, SIZE[1]))
    assert torch.equal(edit.prediction.logits, segmenter.logits(edit.painting.image)[0])


@pytest.mark.parametrize("is_learnt", [True, False])
@pytest.mark.parametrize("most_bytes", [1_000, 200_000, kept_prediction._MOST_BYTES])
def test_a_network_is_right_whether_or_not_its_field_and_its_activations_are_known(most_bytes, is_learnt, monkeypatch):
    monkeypatch.setattr(kept_prediction, "_MOST_BYTES", most_bytes)
    monkeypatch.setattr(kept_prediction, "_AROUND", 8)
    segmenter = _segmenter(learns=is_learnt)
    edit, random = LiveEdit(segmenter, _image(6)), np.random.default_rng(2)
    runs_whole = not is_learnt and most_bytes < 10**6
    assert bool(edit.prediction.whole_runs) == runs_whole
    for number in range(12):
        place = random.uniform((0, 0), SIZE)
        _stroke(edit, Brush(radius=3, intensity=(1.0,), seed=number), tuple(place), tuple(place + 5))
        if number == 6:
            while edit.painting.can_undo:
                edit.renew(edit.painting.undo())
            assert torch.equal(edit.prediction.logits, edit.prediction.original)
    whole = segmenter.logits(edit.painting.image)[0]
    assert (edit.prediction.logits - whole).abs().max() <= AGREEMENT * whole.abs().max()


def test_a_repetition_that_is_wrong_is_found_out_on_the_users_image(monkeypatch):
    segmenter = _segmenter(learns=False)
    kept, image = KeptPrediction(segmenter, _image()), _image()
    renew = RecordedRun.renew

    def wrong(self, values, box):
        changed = renew(self, values, box)
        self.output[..., 40, 40] += 1
        return changed

    monkeypatch.setattr(RecordedRun, "renew", wrong)
    for row in (40, 44):
        image[0, row : row + 4, 40:44] = 1
        kept.renew(image, (slice(row, row + 4), slice(40, 44)))
        assert torch.equal(kept.logits, segmenter.logits(image)[0])
        assert kept.whole_runs


def test_a_part_that_does_not_give_the_whole_is_found_out_on_the_users_image():
    segmenter = _segmenter()
    kept = KeptPrediction(segmenter, _image())
    assert not kept.whole_runs
    # The network becomes one whose labels hang on the whole image, which the windows do not know.
    segmenter.module.is_dense = True
    image = _image()
    image[0, 40:44, 40:44] = 1
    kept.renew(image, (slice(40, 44), slice(40, 44)))
    assert torch.equal(kept.logits, segmenter.logits(image)[0])
    assert kept.whole_runs


def test_a_repetition_that_is_interrupted_is_not_built_upon(monkeypatch):
    segmenter, image = _segmenter(learns=False), _image()
    kept, renew = KeptPrediction(segmenter, image), RecordedRun.renew

    def interrupted(self, values, box):
        renew(self, values, box)
        raise KeyboardInterrupt

    image = image.copy()
    image[0, 20:24, 20:24] = 1
    monkeypatch.setattr(RecordedRun, "renew", interrupted)
    with pytest.raises(KeyboardInterrupt):
        kept.renew(image, (slice(20, 24), slice(20, 24)))
    monkeypatch.setattr(RecordedRun, "renew", renew)
    image[0, 70:74, 70:74] = 1
    kept.renew(image, (slice(70, 74), slice(70, 74)))
    assert torch.equal(kept.logits, segmenter.logits(image)[0])


def test_after_its_memory_was_given_back_an_edit_goes_on_as_if_it_had_not_been():
    segmenter = _segmenter(learns=False)
    edit = LiveEdit(segmenter, _image())
    for row in (20, 50, 80):
        _stroke(edit, Brush(radius=3, intensity=(1.0,)), (row, 40), (row + 3, 44))
        edit.prediction.release()
        whole = segmenter.logits(edit.painting.image)[0]
        assert (edit.prediction.logits - whole).abs().max() <= AGREEMENT * whole.abs().max()


def test_a_repetition_that_goes_wrong_later_is_found_out_when_the_hand_rests(monkeypatch):
    edit = LiveEdit(_segmenter(learns=False), _image())
    _stroke(edit, Brush(radius=3, intensity=(1.0,)), (30, 30))
    assert not edit.prediction.whole_runs
    edit.prediction.logits[0, 40, 40] += 1
    assert edit.check() > 0.9
    assert edit.prediction.whole_runs


def test_the_difference_and_the_pixel_are_those_of_two_predictions():
    segmenter, image = _segmenter(), _image(4)
    edit = LiveEdit(segmenter, image)
    _stroke(edit, Brush(radius=5, intensity=(1.0,)), (30, 30), (34, 36))
    before, now = (segmenter.predict(each) for each in (image, edit.painting.image))
    everything = slice(0, SIZE[0]), slice(0, SIZE[1])
    found = edit.difference(Score(2, "probability"), everything).values[0]
    assert np.allclose(found, now.probabilities[2] - before.probabilities[2], atol=1e-5)
    change = edit.at(32, 33, Score(PREDICTED, "probability"))
    label = int(before.labels[32, 33])
    assert (change.class_index, change.label_before, change.label) == (label, label, int(now.labels[32, 33]))
    assert change.probability_before == pytest.approx(before.probabilities[label, 32, 33], abs=1e-6)
    assert change.score == pytest.approx(now.probabilities[label, 32, 33], abs=1e-5)
    assert np.array_equal(edit.changed, now.labels != before.labels)
    window = edit.difference(Score(PREDICTED, "logit"), (slice(30, 40), slice(28, 38)))
    assert (window.top, window.left, window.values.shape) == (30, 28, (1, 10, 10))


def test_the_overlap_is_the_dice_coefficient():
    edit = LiveEdit(_segmenter(), _image(5))
    truth = edit.labels_before.astype(np.int64)
    _stroke(edit, Brush(radius=12, intensity=(1.0,)), (48, 56))
    found = edit.overlap(1, truth)
    now, then = edit.labels == 1, truth == 1
    assert found.dice_before == 1
    assert found.dice == pytest.approx(2 * (now & then).sum() / (now.sum() + then.sum()))
    assert (found.pixels_before, found.pixels) == (then.sum(), now.sum())
    assert np.isnan(edit.overlap(1).dice)
