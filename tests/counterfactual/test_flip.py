"""The smallest change that flips a label: closed forms, exact programs, and everything that must stay."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

from core import load_segmenter, read_image
from core.compute.progress import Progress
from core.counterfactual import Edit, allowed_outside, smallest_change
from core.counterfactual.flip import distances
from core.counterfactual.flip.natural import filled
from core.counterfactual.flip.projections import projected
from core.counterfactual.flip.question import question_about
from core.counterfactual.flip.slope import Slope
from core.errors import UserError
from core.receptive_field.known import learn_field
from core.segmenter import Segmenter

SIZE = 18, 20


class _Linear(torch.nn.Module):
    """A convolution without an activation: its margins are linear in the image."""

    def __init__(self, classes: int = 2, channels: int = 1, seed: int = 0, side: int = 5) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.convolution = torch.nn.Conv2d(channels, classes, side, padding=side // 2)

    def forward(self, image):
        return self.convolution(image)


class _Deep(torch.nn.Module):
    def __init__(self, *, is_dense: bool = False) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(2, 12, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(12, 12, 3, padding=1),
            torch.nn.Tanh(), torch.nn.Conv2d(12, 3, 3, padding=1),
        )  # fmt: skip
        self.is_dense = is_dense

    def forward(self, image):
        found = 4 * self.layers(image)
        return found + torch.tanh(image.mean(dim=(1, 2, 3), keepdim=True)) if self.is_dense else found


def _segmenter(module: torch.nn.Module, channels: int = 1) -> Segmenter:
    return Segmenter(module, in_channels=channels)


def _image(channels: int = 1, seed: int = 0, low: float = 0.3, high: float = 0.7) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, (channels, *SIZE)).astype(np.float32)


def _hyperplane(segmenter: Segmenter, image: np.ndarray, pixel: tuple[int, int]) -> tuple[float, np.ndarray]:
    """Margin of two classes at a pixel, and its gradient, by torch alone."""
    batch = torch.tensor(image)[None].requires_grad_()
    logits = segmenter.module(batch)[0, :, pixel[0], pixel[1]]
    label = int(logits.argmax())
    margin = logits[label] - logits[1 - label]
    margin.backward()
    return float(margin.detach()), batch.grad[0].numpy().astype(np.float64)


def _near(segmenter: Segmenter, image: np.ndarray) -> tuple[int, int]:
    """A pixel whose boundary no bound of [0, 1] hides."""
    logits = segmenter.logits(image)[0].detach()
    margin = (logits[0] - logits[1]).abs()
    margin[:3], margin[-3:], margin[:, :3], margin[:, -3:] = (np.inf,) * 4
    row, column = divmod(int(margin.argmin()), SIZE[1])
    return row, column


def test_for_a_linear_network_the_l2_and_the_largest_change_are_the_distances_to_the_hyperplane():
    segmenter, image = _segmenter(_Linear()), _image()
    pixel = _near(segmenter, image)
    margin, weights = _hyperplane(segmenter, image, pixel)
    l2 = smallest_change(segmenter, image, pixel)
    assert l2.l2 == pytest.approx(margin / np.linalg.norm(weights), rel=1e-4)
    linf = smallest_change(segmenter, image, pixel, measure="linf")
    assert linf.linf == pytest.approx(margin / np.abs(weights).sum(), rel=1e-4)
    assert linf.grey_levels == pytest.approx(255 * linf.linf)
    assert distances(segmenter, image, [pixel]) == pytest.approx(margin / np.linalg.norm(weights), rel=1e-4)


def test_at_the_bounds_it_is_the_exact_solution_of_the_quadratic_and_of_the_linear_program():
    segmenter = _segmenter(_Linear(seed=1))
    image = _image(seed=1, low=0.02, high=0.1)  # most values cannot fall far
    pixel = 9, 10
    margin, weights = _hyperplane(segmenter, image, pixel)
    used = np.abs(weights) > 0
    start, slope = image[used].astype(np.float64), weights[used]
    exact = minimize(
        lambda change: (change**2).sum(), np.zeros(len(start)), jac=lambda change: 2 * change,
        bounds=list(zip(-start, 1 - start, strict=True)), method="SLSQP",
        constraints={"type": "ineq", "fun": lambda change: -margin - slope @ change, "jac": lambda _: -slope},
        options={"maxiter": 500, "ftol": 1e-14},
    )  # fmt: skip
    assert exact.success
    found = smallest_change(segmenter, image, pixel)
    assert found.l2 == pytest.approx(np.sqrt(exact.fun), rel=2e-4)
    count = len(start)
    program = linprog(
        [0] * count + [1],
        A_ub=np.vstack([np.append(slope, 0), *(np.c_[sign * np.eye(count), -np.ones(count)] for sign in (1, -1))]),
        b_ub=[-margin] + [0] * (2 * count), bounds=[*zip(-start, 1 - start, strict=True), (0, None)],
    )  # fmt: skip
    assert smallest_change(segmenter, image, pixel, measure="linf").linf == pytest.approx(program.fun, rel=2e-4)
    gains = np.sort(np.maximum(slope * start, -slope * (1 - start)))[::-1].cumsum()
    assert smallest_change(segmenter, image, pixel, measure="l0").pixels == int((gains <= margin).sum()) + 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(-2, 2), st.sampled_from(["l2", "linf"]))
def test_the_projection_lies_in_the_box_on_the_hyperplane_and_no_point_is_nearer(seed, fall, norm):
    random = np.random.default_rng(seed)
    start, slope = random.random(12), random.normal(size=12) * (random.random(12) < 0.8)
    low, high = np.minimum(start, 0.1), np.maximum(start, random.uniform(0.5, 1, 12))
    given_ = [torch.tensor(each) for each in (start, slope, low, high)]
    point = projected(given_[0], given_[1], fall, given_[2], given_[3], norm).numpy()
    assert (point >= low).all()
    assert (point <= high).all()
    corner = np.where(slope * np.sign(fall) > 0, low, np.where(slope * np.sign(fall) < 0, high, start))
    reached = (start - point) @ slope
    if abs((start - corner) @ slope) > abs(fall):
        assert reached == pytest.approx(fall, abs=1e-6)
    else:
        assert reached == pytest.approx((start - corner) @ slope, abs=1e-9)
    others = random.uniform(low, high, (4000, 12))
    fits = ((start - others) @ slope) * np.sign(fall) >= abs(reached)
    order = 2 if norm == "l2" else np.inf
    distance = np.linalg.norm(point - start, order)
    assert (np.linalg.norm(others[fits] - start, order, axis=1) >= distance - 1e-6).all()


@pytest.mark.parametrize("is_dense", [False, True])
@pytest.mark.parametrize("measure", ["l2", "linf", "l0"])
def test_a_change_is_proven_stays_in_range_and_leaves_what_may_not_change(measure, is_dense):
    segmenter, image = _segmenter(_Deep(is_dense=is_dense), 2), _image(2, seed=2)
    pixel = 8, 9
    allowed = allowed_outside(pixel, SIZE, 1)
    found = smallest_change(segmenter, image, pixel, measure=measure, allowed=allowed)
    labels = segmenter.predict(found.changed).labels
    before = segmenter.predict(image).labels
    assert labels[pixel] != before[pixel]
    assert np.array_equal(found.labels_after, labels)
    assert np.array_equal(found.changed[:, ~allowed], image[:, ~allowed])  # bit for bit
    assert found.changed.min() >= 0
    assert found.changed.max() <= 1
    assert found.l2 == pytest.approx(np.linalg.norm(found.changed.astype(np.float64) - image), rel=1e-6)
    assert found.pixels == int((found.changed != image).any(axis=0).sum())
    others = labels != before
    others[pixel] = False
    assert np.array_equal(found.also_flipped, others)
    assert "fragile" in found.sentence(segmenter.class_names)
    assert np.array_equal(found.edit.apply(image), found.changed)


def test_no_direct_search_finds_less():
    segmenter, image = _segmenter(_Deep(), 2), _image(2, seed=4)
    pixel = 7, 11
    found = smallest_change(segmenter, image, pixel)
    label = found.from_class
    start, best = torch.tensor(image)[None], np.inf
    for seed in range(3):  # projected gradient descent on the margin, with the radius halved down to a flip
        torch.manual_seed(seed)
        low, high = 0.0, 3.0
        for _ in range(12):
            radius = (low + high) / 2
            change = 0.1 * radius * torch.randn_like(start)
            for _ in range(60):
                change.requires_grad_()
                logits = segmenter.module(start + change)[0, :, pixel[0], pixel[1]]
                margin = logits[label] - torch.cat((logits[:label], logits[label + 1 :])).max()
                (gradient,) = torch.autograd.grad(margin, change)
                change = change.detach() - 0.1 * radius * gradient / gradient.norm()
                change *= min(1, radius / float(change.norm()))
                change = (start + change).clamp(0, 1) - start
            flips = int(segmenter.module(start + change)[0, :, pixel[0], pixel[1]].argmax()) != label
            high, low = (radius, low) if flips else (high, radius)
        best = min(best, high)
    assert found.l2 <= 1.05 * best


SCENES = Path(__file__).resolve().parents[2] / "sample_data" / "scenes" / "test" / "images"


@pytest.mark.parametrize(("name", "pixel"), [("scene_01", (96, 243)), ("scene_05", (111, 108))])
def test_no_plain_descent_finds_much_less_where_many_classes_meet(name, pixel):
    """100 steps of one length along the gradient, in a ball that shrinks at each flip and grows without one."""
    segmenter, image = load_segmenter("scenes", "cpu"), read_image(SCENES / f"{name}.png")
    learn_field(segmenter, image.shape[1:])
    slope = Slope(segmenter, image, question_about(segmenter.predict(image), pixel))
    radius, point, least = 1.0, slope.start, np.inf
    for step in range(100):
        margin, _, gradient = slope.slope(point)
        if margin < 0:
            least = min(least, float((point - slope.start).norm()))
        radius *= 0.95 if margin < 0 else 1.05
        moved = point - (0.01 + 0.99 * (1 + math.cos(math.pi * step / 100)) / 2) * gradient / gradient.norm()
        point = (slope.start + (moved - slope.start) * radius / (moved - slope.start).norm()).clamp(0, 1)
    assert least < 0.5
    assert smallest_change(segmenter, image, pixel).l2 < 1.3 * least


def test_a_chosen_class_is_reached_and_a_region_flips_by_its_share():
    segmenter, image = _segmenter(_Deep(), 2), _image(2, seed=5)
    labels = segmenter.predict(image).labels
    pixel = 9, 9
    for to_class in sorted({0, 1, 2} - {int(labels[pixel])}):
        found = smallest_change(segmenter, image, pixel, to_class=to_class)
        assert found.labels_after[pixel] == to_class == found.to_class
    region = np.zeros(SIZE, bool)
    region[5:11, 5:13] = True
    sizes = []
    for share in (0.25, 0.75, 1.0):
        found = smallest_change(segmenter, image, region, share=share)
        counted = found.question.mask
        assert (counted <= region).all()
        assert (labels[counted] == found.from_class).all()
        flipped = int((found.labels_after[counted] != found.from_class).sum())
        assert flipped >= share * counted.sum()
        sizes.append(found.l2)
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("measure", ["l2", "linf", "l0"])
def test_on_request_changed_values_are_whole_grey_levels(measure):
    segmenter = _segmenter(_Deep(), 2)
    image = (np.round(255 * _image(2, seed=6)) / 255).astype(np.float32)
    pixel = 6, 6
    free = smallest_change(segmenter, image, pixel, measure=measure)
    found = smallest_change(segmenter, image, pixel, measure=measure, eight_bit=True)
    levels = found.changed.astype(np.float64) * 255
    assert np.abs(levels - np.round(levels)).max() < 1e-4
    assert segmenter.predict(found.changed).labels[pixel] != found.from_class
    if measure == "linf":
        assert round(found.grey_levels) <= np.ceil(free.grey_levels) + 1
    if measure == "l2":
        assert found.l2 < 3 * free.l2 + 3 / 255


def test_a_window_gives_what_the_whole_image_gives():
    module = _Deep()
    image = np.random.default_rng(7).uniform(0.2, 0.8, (2, 96, 96)).astype(np.float32)
    known, unknown = _segmenter(module, 2), _segmenter(module, 2)
    unknown.any_intensity = True
    learn_field(known, (96, 96))
    found = smallest_change(known, image, (50, 41))
    rows, columns = np.nonzero(found.change.any(axis=0))
    assert np.abs(rows - 50).max() <= 3
    assert np.abs(columns - 41).max() <= 3
    whole = smallest_change(unknown, image, (50, 41))
    assert found.l2 == pytest.approx(whole.l2, rel=1e-3)


def test_the_same_run_twice_is_the_same_and_its_files_hold_it(tmp_path):
    segmenter, image = _segmenter(_Deep(), 2), _image(2, seed=8)
    found, again = (smallest_change(segmenter, image, (5, 5)) for _ in range(2))
    assert np.array_equal(found.changed, again.changed)
    folder = found.save(tmp_path / "flip")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["l2"] == found.l2
    assert manifest["weights_sha256"] == segmenter.weights_hash
    assert np.array_equal(np.load(folder / "change.npy"), found.change)
    assert np.array_equal(Edit.load(folder / "edit.zip").apply(image), found.changed)


class _StopError(Exception):
    pass


def test_progress_counts_and_what_it_raises_ends_the_search():
    segmenter, image = _segmenter(_Deep(), 2), _image(2)
    seen: list[tuple[int, int]] = []
    smallest_change(segmenter, image, (4, 4), progress=lambda done, total: seen.append((done, total)))
    assert seen
    assert all(0 < done <= total for done, total in seen)

    def stop(done: int, _total: int) -> None:
        if done == 3:
            raise _StopError

    progress: Progress = stop
    with pytest.raises(_StopError):
        smallest_change(segmenter, image, (4, 4), progress=progress)


def test_wrong_input_is_told_in_one_sentence():
    segmenter, image = _segmenter(_Deep(), 2), _image(2)
    label = int(segmenter.predict(image).labels[4, 4])
    far = np.zeros(SIZE, bool)
    far[-1, -1] = True
    none = np.zeros(SIZE, bool)
    wrong = [
        ({"pixels": (4, 4), "to_class": label}, "predicted already"),
        ({"pixels": (4, 4), "to_class": 7}, "no class 7"),
        ({"pixels": (4, 99)}, "outside the image"),
        ({"pixels": (4, 4), "from_class": (label + 1) % 3}, f"predicted as class {label}"),
        ({"pixels": none}, "no pixel"),
        ({"pixels": (4, 4), "allowed": none}, "No pixel of the image may change"),
        ({"pixels": (4, 4), "allowed": far}, "None of the pixels that may change"),
        ({"pixels": (4, 4), "allowed": np.ones((3, 3), bool)}, "one size"),
        ({"pixels": (4, 4), "measure": "l7"}, "is one of"),
        ({"pixels": (4, 4), "steps": 0}, "at least one step"),
        ({"pixels": (4, 4), "share": 0.0}, "share"),
    ]
    for arguments, sentence in wrong:
        with pytest.raises(UserError, match=sentence):
            smallest_change(segmenter, image, **arguments)
    with pytest.raises(UserError, match="outside of"):
        smallest_change(Segmenter(_Deep(), in_channels=2, any_intensity=True), 3 * image, (4, 4))
    with pytest.raises(UserError, match="A radius of 99 pixels leaves no pixel"):
        allowed_outside((4, 4), SIZE, 99)


def test_a_score_that_cannot_be_flipped_is_told():
    module = _Linear(seed=2)
    with torch.no_grad():
        module.convolution.bias[:] = torch.tensor([1e3, 0.0])
    with pytest.raises(UserError, match=r"No change of the image within \[0, 1\] was found"):
        smallest_change(_segmenter(module), _image(), (9, 9))
    assert np.isnan(distances(_segmenter(module), _image(), [(9, 9)])).all()


def test_the_question_counts_what_has_flipped():
    segmenter, image = _segmenter(_Deep(), 2), _image(2)
    prediction = segmenter.predict(image)
    question = question_about(prediction, np.ones(SIZE, bool), share=0.3)
    labels = prediction.labels.copy()
    own = np.argwhere(question.mask)
    assert question.needed == int(np.ceil(0.3 * len(own) - 1e-9))
    for row, column in own[: question.needed - 1]:
        labels[row, column] = (question.from_class + 1) % 3
    assert not question.flipped(labels)
    row, column = own[question.needed]
    labels[row, column] = (question.from_class + 1) % 3
    assert question.flipped(labels)


class _DiscMean(torch.nn.Module):
    """Class 1 where the mean over a disc of radius 4 around the pixel exceeds 0.5."""

    def __init__(self) -> None:
        super().__init__()
        rows, columns = np.mgrid[-4:5, -4:5]
        disc = torch.tensor((rows**2 + columns**2 <= 16), dtype=torch.float32)
        self.register_buffer("weights", (disc / disc.sum())[None, None])

    def forward(self, image):
        mean = torch.nn.functional.conv2d(image, self.weights, padding=4)
        return torch.cat((0.5 - mean, mean - 0.5), dim=1)


def test_the_smallest_natural_disc_is_that_of_trying_every_radius():
    image = np.full((1, 41, 41), 0.2, np.float32)
    image[0, 16:25, 16:25] = 0.9  # a bright square on dark ground
    segmenter = _segmenter(_DiscMean())
    found = smallest_change(segmenter, image, (20, 20), measure="natural", fill="mean", shapes=("disc",))
    assert found.labels_after[20, 20] == 0
    rows, columns = np.mgrid[:41, :41]
    areas = []
    for radius in np.arange(0.5, 20, 0.25):
        mask = np.hypot(rows - 20, columns - 20) <= radius
        changed = filled(image, mask, "mean")
        if segmenter.predict(changed).labels[20, 20] == 0:
            areas.append(int((changed != image).any(axis=0).sum()))
    assert found.pixels <= min(areas)
    assert np.array_equal(found.changed[:, found.change[0] == 0], image[:, found.change[0] == 0])


@pytest.mark.parametrize("fill", ["inpaint", "mean"])
@pytest.mark.parametrize("shape", ["disc", "rectangle", "superpixels"])
def test_a_natural_change_fills_what_it_changes_and_nothing_else(fill, shape):
    image = np.full((1, 41, 41), 0.2, np.float32)
    image[0, 17:24, 17:24] = 0.95
    image[0, 4, 4] = 0.5  # so that there are superpixels to tell apart
    segmenter = _segmenter(_DiscMean())
    allowed = np.ones((41, 41), bool)
    allowed[20, 20] = False
    found = smallest_change(
        segmenter, image, (20, 20), measure="natural", fill=fill, shapes=(shape,), eight_bit=True, allowed=allowed
    )
    assert found.labels_after[20, 20] == 0
    assert found.pixels == int((found.change != 0).any(axis=0).sum()) > 0
    assert not found.change[:, ~allowed].any()
    levels = 255 * found.changed[found.change != 0].astype(np.float64)
    assert np.abs(levels - np.round(levels)).max() < 1e-3
    assert "hangs on this part" in found.sentence(("dark", "bright"))
