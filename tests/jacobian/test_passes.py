import numpy as np
import pytest
import torch
from torch import nn

from core.errors import UserError
from core.jacobian import estimate, jacobian
from core.jacobian.array_layouts import passes_per_block
from core.jacobian.colouring import plan_passes
from core.jacobian.passes import PassRunner
from core.jacobian.preparation import DENSE, UNSEEN, WIDE
from core.models import CustomResNet, UNet
from core.receptive_field.support import ReceptiveField
from core.segmenter import Segmenter
from core.target import Score
from tests.jacobian.rows import dense_jacobian, largest_relative_error, lively, random_image


def unet(device: str = "cpu") -> Segmenter:
    return Segmenter(lively(UNet(1, 2, depth=1, width=3)), in_channels=1, device=device)


def outputs(number: int, size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).random((number, *size), dtype=np.float32)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 16])
def test_the_batch_size_changes_nothing(batch_size):
    segmenter, image = unet(), random_image(1, 21, 18)
    one_by_one = PassRunner(segmenter, image, Score(1, "probability"))(outputs(7, (21, 18)))
    together = PassRunner(segmenter, image, Score(1, "probability"), batch_size)(outputs(7, (21, 18)))
    np.testing.assert_allclose(together, one_by_one, atol=1e-6 * np.abs(one_by_one).max())


def hungry(most: int):
    """torch.autograd.grad that runs out of memory beyond so many passes at once."""
    original = torch.autograd.grad

    def grad(scores, image, outputs, **options):
        if (len(outputs) if options.get("is_grads_batched") else 1) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(scores, image, outputs, **options)

    return grad


def test_memory_that_runs_out_halves_the_batch(monkeypatch):
    image = random_image(1, 21, 18)
    expected = PassRunner(unet(), image, Score(1, "probability"))(outputs(9, (21, 18)))
    monkeypatch.setattr(torch.autograd, "grad", hungry(most=3))
    runner = PassRunner(unet(), image, Score(1, "probability"), batch_size=8)
    np.testing.assert_allclose(runner(outputs(9, (21, 18))), expected, atol=1e-6 * np.abs(expected).max())
    assert runner.batch_size == 2


def test_a_single_pass_without_memory_is_told(monkeypatch):
    monkeypatch.setattr(torch.autograd, "grad", hungry(most=0))
    with pytest.raises(UserError, match="Memory ran out"):
        PassRunner(unet(), random_image(1, 20, 20), Score(1, "probability"), batch_size=4)(outputs(1, (20, 20)))


class OneAtATime(torch.autograd.Function):
    """An operation of a network's own that knows nothing of several passes at once."""

    @staticmethod
    def forward(context, values):
        return values.clone()

    @staticmethod
    def backward(context, gradient):
        return torch.from_numpy(gradient.numpy().copy())


class OwnOperation(nn.Module):
    def forward(self, images):
        return torch.cat((images, OneAtATime.apply(3 * images)), dim=1)


def test_a_network_that_cannot_go_backward_several_times_at_once(tmp_path):
    segmenter = Segmenter(OwnOperation(), in_channels=1)
    computed = jacobian(segmenter, random_image(1, 9, 8), 1, "logit", tmp_path / "run.zarr")
    assert computed.manifest.batch_size == 1
    assert computed.row(4, 5)[0, 4, 5] == 3


def test_other_errors_are_not_taken_for_memory():
    class Broken(nn.Module):
        def forward(self, images):
            raise RuntimeError("a fault of the network")

    segmenter = Segmenter(Broken(), in_channels=1, size_multiple=1)
    with pytest.raises(RuntimeError, match="a fault of the network"):
        PassRunner(segmenter, random_image(1, 20, 20), Score(1, "probability"))(outputs(1, (20, 20)))


def test_a_run_leaves_the_network_as_it_was(tmp_path):
    segmenter = unet()
    before = {key: value.clone() for key, value in segmenter.module.state_dict().items()}
    with torch.no_grad():
        jacobian(segmenter, random_image(1, 20, 20), out=tmp_path / "run.zarr")
        assert not torch.is_grad_enabled()
    assert all(torch.equal(value, before[key]) for key, value in segmenter.module.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in segmenter.module.parameters())


@pytest.mark.parametrize(
    ("size", "batch_size"), [((20, 20), 1), ((64, 64), 16), ((100, 77), 4), ((9, 9), 32), ((300, 200), 256)]
)
def test_batches_fill_blocks_and_chunks_fill_them_too(size, batch_size):
    plan = plan_passes(ReceptiveField.whole(size))
    block = passes_per_block(plan, 1, batch_size)
    assert block % min(batch_size, block) == 0
    assert min(batch_size, len(plan)) < 2 * block
    assert block * 4 * size[0] * size[1] <= max(2**23, batch_size * 4 * size[0] * size[1])


class SqueezeAndExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, images):
        features = self.conv(images).relu()
        return self.head(features * features.mean(dim=(2, 3), keepdim=True).sigmoid())


def test_a_dense_network_takes_the_dense_path_and_says_so(tmp_path):
    segmenter, image = Segmenter(SqueezeAndExcite(), in_channels=1), random_image(1, 14, 11)
    expected = estimate(segmenter, image)
    assert (expected.dense, expected.note, expected.passes) == (True, DENSE, 14 * 11)
    computed = jacobian(segmenter, image, out=tmp_path / "run.zarr")
    rows = np.stack([[computed.row(row, column) for column in range(11)] for row in range(14)])
    assert largest_relative_error(rows, dense_jacobian(segmenter, image)) <= 1e-5


def test_a_field_as_large_as_the_image_is_told():
    expected = estimate(Segmenter(CustomResNet(width=1), in_channels=1), random_image(1, 32, 32))
    assert (expected.dense, expected.note, expected.passes) == (False, WIDE, 32 * 32)


class Swapping(nn.Module):
    """Looks at the other end of the image where it is bright, which no probe of a grey image shows."""

    def forward(self, images):
        far = torch.flip(images, (2, 3)) if bool((images.nan_to_num() > 2).any()) else images
        return torch.cat((far, 2 * far), dim=1)


def test_rows_that_contradict_the_support_force_the_dense_path(tmp_path):
    segmenter, image = Segmenter(Swapping(), in_channels=1), random_image(1, 12, 12)
    image[0, 3, 3] = 5.0
    assert estimate(segmenter, image).note == UNSEEN.format("a branch of its code depends on the image's values")
    computed = jacobian(segmenter, image, 1, "logit", tmp_path / "run.zarr")
    rows = np.stack([[computed.row(row, column) for column in range(12)] for row in range(12)])
    np.testing.assert_array_equal(rows, dense_jacobian(segmenter, image, 1, "logit"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_rows_of_the_cpu(tmp_path):
    image = random_image(1, 40, 36)
    computed = jacobian(unet("cuda"), image, out=tmp_path / "run.zarr")
    assert computed.manifest.batch_size > 1
    rows = np.stack([[computed.row(row, column) for column in range(36)] for row in range(40)])
    assert largest_relative_error(rows, dense_jacobian(unet(), image)) <= 1e-4
