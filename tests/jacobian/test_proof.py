"""Passes that prove themselves: batches against single passes, gradients against the field, rows against rows alone."""

import threading

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core import Segmenter, Target, UserError
from core.attribution import gradient
from core.jacobian import Jacobian, JacobianRequest, engine, jacobian, receptive_field
from core.jacobian.batchable import Batchable
from core.jacobian.colouring import plan_passes
from core.jacobian.many_images import jacobians
from core.jacobian.passes import PassRunner
from core.jacobian.preparation import UNPROVEN, UNSEEN
from core.jacobian.proof import FieldTooSmallError, SumProof, check_field
from core.jacobian.row_summaries import PlannedWindows
from core.receptive_field.probe_mode import _KEEPS_NAN
from core.receptive_field.support import AxisSupport, ReceptiveField, structural_support
from core.target import Score
from tests.jacobian.rows import dense_jacobian, largest_relative_error, lively, random_image

SIZE = (19, 16)


class Normalised(nn.Sequential):
    """A convolution, a normalisation of the given kind, what follows it, and a classifier."""

    def __init__(self, norm: nn.Module, *then: nn.Module) -> None:
        super().__init__(nn.Conv2d(1, 4, 3, padding=1), norm, *then, nn.Conv2d(4, 2, 3, padding=1))


class WithActivation(nn.BatchNorm2d):
    """As timm's BatchNormAct2d: a normalisation that applies its activation itself."""

    def forward(self, images: Tensor) -> Tensor:
        normalised = F.batch_norm(
            images, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
        )
        return F.leaky_relu(normalised, 0.2) - 0.1 * normalised


def hooked() -> nn.Module:
    layer = nn.BatchNorm2d(4)
    layer.register_forward_hook(lambda _, __, output: output.sin() * 3)
    return layer


NORMALISATIONS = {
    "plain": lambda: Normalised(nn.BatchNorm2d(4), nn.ReLU()),
    "activation inside": lambda: Normalised(WithActivation(4)),
    "ReLU in place": lambda: Normalised(nn.BatchNorm2d(4), nn.ReLU(inplace=True)),
    "a hook of the user's": lambda: Normalised(hooked()),
    "without weights": lambda: Normalised(nn.BatchNorm2d(4, affine=False), nn.GELU()),
    "float64": lambda: Normalised(nn.BatchNorm2d(4), nn.ReLU()).double(),
    "synchronised": lambda: Normalised(nn.SyncBatchNorm(4), nn.ReLU()),
    "group": lambda: Normalised(nn.GroupNorm(2, 4), nn.ReLU(inplace=True)),
}


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_rows_in_batches_of_four(name, tmp_path):
    torch.manual_seed(0)
    module = NORMALISATIONS[name]()
    segmenter = Segmenter(module if name in ("float64", "without weights") else lively(module), in_channels=1)
    image = random_image(1, *SIZE)
    computed = jacobian(segmenter, image, out=tmp_path / "run.zarr", batch_size=4)
    assert computed.manifest.batch_size == 4
    rows = np.stack([[computed.row(row, column) for column in range(SIZE[1])] for row in range(SIZE[0])])
    assert largest_relative_error(rows, dense_jacobian(segmenter, image)) <= 1e-5


def test_a_batch_that_is_wrong_is_not_kept(monkeypatch):
    """As any mistake in what lets several passes share a graph would be."""
    segmenter, image = Segmenter(lively(Normalised(nn.BatchNorm2d(4))), in_channels=1), random_image(1, *SIZE)
    outputs = np.random.default_rng(0).random((8, *SIZE), dtype=np.float32)
    expected = PassRunner(segmenter, image, Score(1, "probability"))(outputs)
    monkeypatch.setattr(
        "core.jacobian.batchable._FixedNormalisation.backward",
        staticmethod(lambda ctx, *gradients: (2 * gradients[0], None, None, None, None, None)),
    )
    runner = PassRunner(segmenter, image, Score(1, "probability"), 4)
    np.testing.assert_array_equal(runner(outputs), expected)
    assert runner.batch_size == 1


def test_other_threads_do_not_see_it():
    segmenter, image = Segmenter(lively(Normalised(nn.BatchNorm2d(4))), in_channels=1), random_image(1, *SIZE)
    target, found = Target.pixel(7, 8), []
    expected = gradient(segmenter, image, target).values
    seen = []

    def look() -> None:
        seen.append(F.batch_norm(torch.rand(1, 1, 2, 2, requires_grad=True), torch.zeros(1), torch.ones(1)).grad_fn)
        found.append(gradient(segmenter, image, target).values)

    with Batchable():
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    np.testing.assert_array_equal(found[0], expected)
    assert "FixedNormalisation" not in type(seen[0]).__name__


def test_a_gradient_outside_its_windows_is_noticed():
    rows = AxisSupport(np.maximum(np.arange(12) - 1, 0), np.minimum(np.arange(12) + 1, 11))
    plan = plan_passes(ReceptiveField(rows, rows))
    windows = PlannedWindows(plan)[0]
    positions, _ = plan.pixels(0)
    inside = np.zeros((1, 12, 12), np.float32)
    for row in positions:
        for column in positions:
            inside[(0, *plan.field.window(row, column))] = 1
    check_field(windows, inside)
    for place in np.argwhere(inside[0] == 0):
        wrong = inside.copy()
        wrong[(0, *place)] = 1e-30
        with pytest.raises(FieldTooSmallError):
            check_field(windows, wrong)


class Late(nn.Module):
    """Its gradient leaves the 3×3 field that its values show: the backward pass is one of its own."""

    class Shift(torch.autograd.Function):
        @staticmethod
        def forward(context, values):
            return values.clone()

        @staticmethod
        def backward(context, gradient):
            # Only what comes from one corner goes astray, so that no pass that is tried beforehand shows it.
            moved = torch.zeros_like(gradient)
            moved[..., 0, 9] = gradient[..., 15, 14]
            kept = gradient.clone()
            kept[..., 15, 14] = 0
            return kept + moved

    def forward(self, images: Tensor) -> Tensor:
        pooled = F.avg_pool2d(images, 3, stride=1, padding=1)
        return torch.cat((images, self.Shift.apply(2 * pooled) if images.shape[-2:] == (19, 16) else 2 * pooled), dim=1)


@pytest.fixture
def blind(monkeypatch):
    """Without what would notice it before the run."""
    monkeypatch.setattr("core.receptive_field.support._gradients_stay_inside", lambda *_: True)
    monkeypatch.setattr("core.jacobian.preparation.check_field", lambda *_: None)
    monkeypatch.setattr("core.jacobian.preparation.check_row", lambda *_: None)


@pytest.mark.usefixtures("blind")
def test_a_run_whose_field_is_too_small_begins_again_on_the_whole_and_says_so(tmp_path):
    segmenter, image = Segmenter(Late(), in_channels=1), random_image(1, *SIZE)
    assert receptive_field(segmenter, SIZE).up == 1
    computed = jacobian(segmenter, image, 1, "logit", tmp_path / "run.zarr")
    assert (computed.manifest.note, computed.manifest.dense, computed.num_passes) == (UNPROVEN, True, 19 * 16)
    rows = np.stack([[computed.row(row, column) for column in range(SIZE[1])] for row in range(SIZE[0])])
    np.testing.assert_array_equal(rows, dense_jacobian(segmenter, image, 1, "logit"))
    again = jacobian(segmenter, image, 1, "logit", tmp_path / "run.zarr")  # and it is the same Jacobian as before
    assert again.complete


@pytest.mark.usefixtures("blind")
def test_several_images_at_once_too(tmp_path):
    segmenter = Segmenter(Late(), in_channels=1)
    images = {tmp_path / f"{number}.zarr": random_image(1, *SIZE, seed=number) for number in range(2)}
    for computed in jacobians(segmenter, images, JacobianRequest(space="logit")):
        assert computed.complete
        assert computed.manifest.note == UNPROVEN


@pytest.mark.usefixtures("blind")
def test_a_region_stays_the_region(tmp_path):
    segmenter, image = Segmenter(Late(), in_channels=1), random_image(1, *SIZE)
    region = np.zeros(SIZE, dtype=bool)
    region[12:18, 3:15] = True
    computed = jacobian(segmenter, image, 1, "logit", tmp_path / "run.zarr", region=region)
    assert computed.manifest.dense
    np.testing.assert_array_equal(computed.computed, region)


def test_rows_of_a_pass_are_held_against_rows_alone(tmp_path, monkeypatch):
    segmenter, image = Segmenter(lively(Normalised(nn.BatchNorm2d(4))), in_channels=1), random_image(1, *SIZE)
    monkeypatch.setattr("core.jacobian.preparation.check_row", lambda *_: None)
    alone = PassRunner.alone
    monkeypatch.setattr(PassRunner, "alone", lambda self, outputs: 1.001 * alone(self, outputs))
    computed = jacobian(segmenter, image, out=tmp_path / "run.zarr", batch_size=1)
    assert computed.manifest.note == UNPROVEN


@pytest.mark.parametrize("spill", [0.05, 1.0])
def test_what_spills_into_another_window_shows_in_the_sum(spill):
    """A window's content moved to another one: outside of all windows there is nothing to see."""
    segmenter, image = Segmenter(lively(Normalised(nn.BatchNorm2d(4))), in_channels=1), random_image(1, *SIZE)
    plan = plan_passes(structural_support(segmenter, SIZE))
    windows, runner = PlannedWindows(plan), PassRunner(segmenter, image, Score(1, "probability"))
    gradients = [runner(plan.outputs(index)[None])[0] for index in range(len(plan))]
    right = SumProof(runner, plan)
    for index, values in enumerate(gradients):
        right.add(index, windows[index], values)
    right.check()
    wrong = SumProof(runner, plan)
    for index, values in enumerate(gradients):
        rows, columns = plan.pixels(index)
        first, last = plan.field.window(rows[0], columns[0]), plan.field.window(rows[-1], columns[-1])
        moved = values.copy()
        if index == 5:
            height, width = (min(a.stop - a.start, b.stop - b.start) for a, b in zip(first, last, strict=True))
            source = values[:, first[0].start : first[0].start + height, first[1].start : first[1].start + width]
            moved[:, last[0].start : last[0].start + height, last[1].start : last[1].start + width] += spill * source
            moved[:, first[0].start : first[0].start + height, first[1].start : first[1].start + width] -= (
                spill * source
            )
        check_field(windows[index], moved)
        wrong.add(index, windows[index], moved)
    with pytest.raises(FieldTooSmallError):
        wrong.check()


# What no probe can see through


class Sorted(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return torch.cat((images, images.flatten(2).sort(dim=-1).values.reshape(images.shape)), dim=1)


class Gathered(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        place = (images.clamp(0, 1) * (images.shape[-1] - 1)).long()
        return torch.cat((images, images.gather(3, place)), dim=1)


class Branching(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return torch.cat((images, 2 * images if images.mean() > 0 else images.flip(3)), dim=1)


class Masked(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        changed = images.clone()
        changed[images > 0.5] = 2 * images[images > 0.5]
        return torch.cat((images, changed), dim=1)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Sorted, "sort orders or leaves out values by their size"),
        (Gathered, "gather reads where the image's values say"),
        (Branching, "a branch of its code depends on the image's values"),
        (Masked, "index reads where the image's values say"),
    ],
)
def test_networks_that_read_where_the_image_says(network, reason, tmp_path):
    segmenter, image = Segmenter(network(), in_channels=1), random_image(1, 9, 8)
    field = structural_support(segmenter, (9, 8))
    assert (field.dense, field.reason) == (True, reason)
    computed = jacobian(segmenter, image, 1, "logit", tmp_path / "run.zarr")
    assert computed.manifest.note == UNSEEN.format(reason)
    rows = np.stack([[computed.row(row, column) for column in range(8)] for row in range(9)])
    np.testing.assert_array_equal(rows, dense_jacobian(segmenter, image, 1, "logit"))


@pytest.mark.parametrize(
    "choose",
    [
        lambda images, far: torch.where(images > 0.99, far, images),
        lambda images, far: images.masked_fill(images < 2, 0.0) + far.clamp(0.4, 0.6),
        lambda images, far: torch.fmax(images - 5, F.hardsigmoid(far * 20)),
        lambda images, far: images + far.nan_to_num(),
        lambda images, far: images + (far > 0.5) * far,
    ],
)
def test_what_is_not_chosen_for_one_image_is_for_another(choose):
    class Choosing(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            far = F.avg_pool2d(images, 7, stride=1, padding=3)
            return torch.cat((images, choose(images, far)), dim=1)

    field = receptive_field(Segmenter(Choosing(), in_channels=1), (24, 20))
    assert (field.up, field.down, field.left, field.right) == (3, 3, 3, 3)


class Buffered(nn.Module):
    """Writes what it has computed into buffers of its own before it looks at it."""

    def forward(self, images: Tensor) -> Tensor:
        near, mask = torch.zeros_like(images).detach(), torch.zeros(len(images), 1, *images.shape[-2:])
        near[..., :5] = 2 * images[..., :5]
        near[..., 5:] = 2 * images[..., 5:]
        mask[..., :5, :] = images[..., :5, :]
        mask[..., 5:, :] = images[..., 5:, :]
        far = F.avg_pool2d(near, 7, stride=1, padding=3)
        return torch.cat((images, torch.where(mask > 0.97, far, near)), dim=1)


def test_buffers_that_the_image_is_written_into_are_followed(tmp_path):
    segmenter, image = Segmenter(Buffered(), in_channels=1), random_image(1, *SIZE)
    field = receptive_field(segmenter, SIZE)
    assert (field.up, field.down, field.left, field.right) == (3, 3, 3, 3)
    computed = jacobian(segmenter, image, 1, "logit", tmp_path / "run.zarr", batch_size=4)
    rows = np.stack([[computed.row(row, column) for column in range(SIZE[1])] for row in range(SIZE[0])])
    assert largest_relative_error(rows, dense_jacobian(segmenter, image, 1, "logit")) <= 1e-5


@pytest.mark.parametrize("escape", [lambda values: values.tolist()[0], lambda values: float(values.numpy()[0])])
def test_values_that_leave_torch_are_branches(escape):
    class Escaping(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            far = F.avg_pool2d(images, 7, stride=1, padding=3)
            bright = escape(images.detach().mean(dim=(1, 2, 3))) > 0.9
            return torch.cat((images, far if bright else 2 * images), dim=1)

    field = structural_support(Segmenter(Escaping(), in_channels=1), SIZE)
    assert (field.dense, field.reason) == (True, "a branch of its code depends on the image's values")


def test_an_operation_that_fails_on_the_probe_is_dense():
    class Decomposing(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.cat((images, 2 * images + torch.linalg.svdvals(images).mean()), dim=1)

    assert receptive_field(Segmenter(Decomposing(), in_channels=1), (12, 10)) == "dense"


def test_on_workers_a_field_that_is_too_small_ends_the_run(tmp_path, monkeypatch):
    from distributed import Client

    def leave(*_):
        raise FieldTooSmallError

    monkeypatch.setattr(engine, "check_field", leave)
    segmenter = Segmenter(lively(Normalised(nn.BatchNorm2d(4))), in_channels=1)
    path = tmp_path / "run.zarr"
    with (
        Client(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as client,
        pytest.raises(UserError, match=r"leave the receptive field .* delete it and compute it again"),
    ):
        jacobians(segmenter, {path: random_image(1, *SIZE)}, scheduler=client)
    with pytest.raises(UserError, match="not a whole Jacobian store"):
        Jacobian(path)


def test_a_constant_grid_is_no_reason():
    class Warped(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            grid = F.affine_grid(
                torch.eye(2, 3)[None].expand(len(images), 2, 3), list(images.shape), align_corners=False
            )
            return torch.cat((images, F.grid_sample(images, grid, align_corners=False)), dim=1)

    field = receptive_field(Segmenter(Warped(), in_channels=1), (20, 20))
    assert field != "dense"
    assert max(field.up, field.down, field.left, field.right) <= 1


@pytest.mark.parametrize("size", [3, 64, 1000])
def test_operations_that_are_trusted_with_a_nan_hand_it_on(size):
    """For those that are taken at their word, as looking at each would take as long as the network itself."""
    values = torch.linspace(-1, 1, size)
    values[size // 2] = torch.nan
    trusted = {
        "hardtanh": lambda x: F.hardtanh(x, 0, 6),
        "hardtanh_": lambda x: F.hardtanh(x.clone(), 0, 6, inplace=True),
        "clamp": lambda x: x.clamp(0, 0.5),
        "clamp_min": lambda x: x.clamp_min(0.5),
        "clamp_max": lambda x: x.clamp_max(-0.5),
        "hardswish": F.hardswish,
        "elu": F.elu,
        "mish": F.mish,
        "relu": F.relu,
        "relu_": lambda x: x.clone().relu_(),
        "leaky_relu": F.leaky_relu,
        "silu": F.silu,
        "gelu": F.gelu,
        "softplus": F.softplus,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "pow": lambda x: x**2,
    }
    assert trusted.keys() <= _KEEPS_NAN
    for name, function in trusted.items():
        assert torch.equal(function(values).isnan(), values.isnan()), name
