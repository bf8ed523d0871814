"""Leading directions against dense singular value decompositions of Jacobians made without this project."""

import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core import Segmenter, Target, UserError
from core.attribution import gradient
from core.compute.progress import Progress
from core.counterfactual import labels_along, leading_directions
from core.receptive_field.known import known_windows, learn_field
from core.target import PREDICTED
from tests.networks import Wrapped, dense_segmenter
from tests.trust.networks import Constant, PixelIsLogit, segmenter_of

SIZE = (12, 11)


def image_of(channels: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(5).random((channels, *size), dtype=np.float32)


def pixels_of(count: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask.ravel()[np.random.default_rng(6).permutation(mask.size)[:count]] = True
    return mask


def dense_jacobian(module: nn.Module, image: np.ndarray, mask: np.ndarray, class_index: int = 1) -> np.ndarray:
    """∂(logits of the region) / ∂image by torch alone, in float64, (m, n)."""
    module = module.double()
    found = torch.autograd.functional.jacobian(
        lambda images: module(images)[0, class_index][torch.from_numpy(mask)], torch.from_numpy(image)[None].double()
    )
    module.float()
    return found.reshape(mask.sum(), -1).numpy()


def check_against(found, jacobian: np.ndarray) -> None:
    """The directions are the leading singular vectors of a matrix."""
    left, values, right = np.linalg.svd(jacobian, full_matrices=False)
    np.testing.assert_allclose(found.values, values[: len(found)], rtol=1e-5)
    for index in range(len(found)):
        ours = found.right[index].ravel().astype(np.float64), found.left[index][found.mask].astype(np.float64)
        sign = np.sign(ours[1] @ left[:, index])
        assert ours[1].sum() > -1e-4 * np.abs(ours[1]).sum()
        np.testing.assert_allclose(ours[0], sign * right[index], atol=2e-4)
        np.testing.assert_allclose(ours[1], sign * left[:, index], atol=2e-4)
        assert not found.left[index][~found.mask].any()


@pytest.fixture
def tanh_network() -> nn.Module:
    torch.manual_seed(0)
    return Wrapped("tensor").eval()


def test_lanczos_equals_a_dense_decomposition(tanh_network):
    image, mask = image_of(3), pixels_of(70)
    jacobian = dense_jacobian(tanh_network, image, mask)
    found = leading_directions(Segmenter(tanh_network), image, mask, count=5, tolerance=1e-6)
    check_against(found, jacobian)
    assert found.residuals.max() < 1e-5
    exact = np.square(jacobian).sum()
    assert 0 < found.squares_error < 0.1 * exact
    assert abs(found.squares - exact) < 4 * found.squares_error
    np.testing.assert_allclose(found.shares.sum(), np.square(found.values).sum() / exact, atol=4 * found.share_error)


def test_the_estimate_of_the_norm_is_right_on_average_and_so_is_its_error(tanh_network):
    image, mask, segmenter = image_of(3), pixels_of(70), Segmenter(tanh_network)
    exact = np.square(dense_jacobian(tanh_network, image, mask)).sum()
    runs = [leading_directions(segmenter, image, mask, count=1, seed=seed, probes=8) for seed in range(40)]
    off = np.array([run.squares - exact for run in runs])
    assert abs(off.mean()) < 4 * off.std() / np.sqrt(len(off))
    assert 0.7 < np.sqrt(np.mean([run.squares_error**2 for run in runs])) / off.std() < 1.4


def test_few_pixels_are_decomposed_whole(tanh_network):
    image, mask = image_of(3), pixels_of(10)
    jacobian = dense_jacobian(tanh_network, image, mask)
    found = leading_directions(Segmenter(tanh_network), image, mask, count=20)
    check_against(found, jacobian)
    assert len(found) == 10
    assert any("10 directions instead of 20: the region has 10 pixels" in note for note in found.notes)
    assert found.squares_error == 0
    assert found.squares == pytest.approx(np.square(jacobian).sum(), rel=1e-5)
    assert found.shares.sum() == pytest.approx(1, rel=1e-5)


class Convolution(nn.Module):
    """Logits (0, a convolution of 3×3 with zeros around the image)."""

    kernel = torch.tensor([[1.0, -2.0, 0.5], [3.0, 4.0, -1.0], [0.25, 2.0, -0.5]])

    def forward(self, images: Tensor) -> Tensor:
        found = nn.functional.conv2d(images, self.kernel[None, None].to(images), padding=1)
        return torch.cat((torch.zeros_like(found), found), dim=1)


def test_a_linear_convolution_has_the_singular_values_of_its_toeplitz_matrix():
    height, width = SIZE
    matrix = np.zeros((height * width, height * width))
    for row in range(height):
        for column in range(width):
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    place = row + down, column + right
                    if 0 <= place[0] < height and 0 <= place[1] < width:
                        weight = float(Convolution.kernel[down + 1, right + 1])
                        matrix[row * width + column, place[0] * width + place[1]] = weight
    found = leading_directions(segmenter_of(Convolution()), image_of(1), np.ones(SIZE, bool), count=6, tolerance=1e-6)
    check_against(found, matrix)
    assert found.errors.max() < 1e-3  # it is linear
    assert found.advantages[0] == pytest.approx(found.values[0] * np.sqrt(matrix.size**0.5 / found.squares), rel=1e-6)


class Diagonal(nn.Module):
    """Each logit is a weight times the pixel there: singular values and vectors are read off."""

    weights = torch.arange(1.0, 133.0).reshape(*SIZE)

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat((torch.zeros_like(images), -self.weights * images), dim=1)


def test_a_diagonal_is_read_off():
    mask = np.zeros(SIZE, bool)
    mask[:8] = True  # weights up to 88
    found = leading_directions(segmenter_of(Diagonal()), image_of(1), mask, count=3, tolerance=1e-6)
    assert found.values == pytest.approx([88, 87, 86], rel=1e-6)
    assert found.squares == pytest.approx(sum(weight**2 for weight in range(1, 89)), rel=1e-5)  # signs: no variance
    for index, place in enumerate([(7, 10), (7, 9), (7, 8)]):
        expected = np.zeros(SIZE)
        expected[place] = 1
        # Brighter pixels lower these scores, so the direction that raises them darkens.
        np.testing.assert_allclose(found.right[index][0], -expected, atol=1e-4)
        np.testing.assert_allclose(found.left[index], expected, atol=1e-4)


def test_a_single_pixel_gives_its_gradient_map(tanh_network):
    segmenter, image = Segmenter(tanh_network), image_of(3)
    found = leading_directions(segmenter, image, (4, 6), 2, "probability")
    expected = gradient(segmenter, image, Target.pixel(4, 6, 2, "probability")).values
    assert found.values == pytest.approx([np.linalg.norm(expected)], rel=1e-5)
    np.testing.assert_allclose(found.right[0] * found.values[0], expected, atol=1e-5 * np.abs(expected).max())
    assert found.left[0, 4, 6] == pytest.approx(1)


class NoForwardMode(torch.autograd.Function):
    """x³, without a rule for forward mode."""

    @staticmethod
    def forward(ctx, values):
        ctx.save_for_backward(values)
        return values**3

    @staticmethod
    def backward(ctx, gradient):
        return 3 * ctx.saved_tensors[0] ** 2 * gradient


class Cubed(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        cubes = NoForwardMode.apply(Convolution()(images)[:, 1:])
        return torch.cat((torch.zeros_like(cubes), cubes), dim=1)


def test_a_network_without_forward_mode_takes_two_reverse_passes():
    image, mask = image_of(1), pixels_of(50)
    with pytest.raises((NotImplementedError, RuntimeError)):
        torch.func.jvp(Cubed(), (torch.from_numpy(image)[None],), (torch.ones(1, *image.shape),))
    found = leading_directions(segmenter_of(Cubed()), image, mask, count=2)
    check_against(found, dense_jacobian(Cubed(), image, mask))


class SameEverywhere(nn.Module):
    """Every logit of class 1 is the image's sum: the block has rank 1."""

    def forward(self, images: Tensor) -> Tensor:
        total = images.sum(dim=(2, 3), keepdim=True).expand_as(images)
        return torch.cat((torch.zeros_like(total), total), dim=1)


@pytest.mark.parametrize("pixels", [6, 50])
def test_a_block_of_rank_one_has_one_direction(pixels):
    found = leading_directions(segmenter_of(SameEverywhere()), image_of(1), pixels_of(pixels), count=4)
    count = np.prod(SIZE)
    assert found.values == pytest.approx([np.sqrt(pixels * count)], rel=1e-5)
    np.testing.assert_allclose(found.right[0], 1 / np.sqrt(count), rtol=1e-4)
    np.testing.assert_allclose(found.left[0][found.mask], 1 / np.sqrt(pixels), rtol=1e-4)
    assert found.shares[0] == pytest.approx(1, abs=1e-4)
    assert any("no other direction" in note for note in found.notes)


class Squares(nn.Module):
    """Logits (0, pixel²)."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat((torch.zeros_like(images), images**2), dim=1)


def test_the_first_order_check_finds_the_curvature():
    """(x ± ε)² - x² = ±2 ε x + ε², so for one pixel the first order is off by ε / (2 x)."""
    image = np.full((1, *SIZE), 0.5, np.float32)
    found = leading_directions(segmenter_of(Squares()), image, (3, 3), grey_levels=(1, 10))
    assert found.errors[0] == pytest.approx([1 / 255, 10 / 255], rel=1e-3)


def test_windows_give_the_same_as_the_whole_image(tanh_network):
    size = (64, 60)
    image, mask = image_of(3, size), np.zeros(size, bool)
    mask[20:28, 30:37] = True
    whole = leading_directions(Segmenter(tanh_network), image, mask, count=3)
    learned = Segmenter(tanh_network)
    learn_field(learned, size)
    known = known_windows(learned, size)
    assert known is not None
    assert known.windows is not None
    cropped = leading_directions(learned, image, mask, count=3)
    np.testing.assert_allclose(cropped.values, whole.values, rtol=1e-5)
    np.testing.assert_allclose(cropped.right, whole.right, atol=2e-4)
    np.testing.assert_allclose(cropped.left, whole.left, atol=2e-4)
    np.testing.assert_allclose(cropped.errors, whole.errors, atol=1e-3)


def test_the_predicted_class_at_each_pixel(tanh_network):
    image, mask, segmenter = image_of(3), pixels_of(50), Segmenter(tanh_network)
    labels = segmenter.predict(image).labels
    assert len(np.unique(labels[mask])) > 1
    rows = np.stack([dense_jacobian(tanh_network, image, np.ones(SIZE, bool), label) for label in range(3)])
    chosen = rows[labels[mask], np.flatnonzero(mask)]
    check_against(leading_directions(segmenter, image, mask, PREDICTED, count=3), chosen)


def test_a_dense_network_and_the_same_seed_twice():
    segmenter, image = dense_segmenter(), image_of(1)
    first, second = (leading_directions(segmenter, image, pixels_of(60), count=3, seed=3) for _ in range(2))
    assert first.right.tobytes() == second.right.tobytes()
    assert first.values.tobytes() == second.values.tobytes()
    check_against(first, dense_jacobian(segmenter.module, image, pixels_of(60)))


def test_steps_along_a_direction_and_their_labels():
    """Logits (0, pixel - ½): the direction of one pixel brightens it, so its label becomes 1 above a half."""

    class AboveHalf(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.cat((torch.zeros_like(images), images - 0.5), dim=1)

    segmenter, image = segmenter_of(AboveHalf()), np.full((1, *SIZE), 0.4, np.float32)
    found = leading_directions(segmenter, image, (2, 5))
    labels = labels_along(segmenter, image, found, (-51, 0, 20, 51))
    assert labels.shape == (1, 4, *SIZE)
    assert labels[0, :, 2, 5].tolist() == [0, 0, 0, 1]  # 0.4 + 20 / 255 is 0.478, 0.4 + 51 / 255 is 0.6
    assert labels.sum() == 1
    assert found.stepped(image, 0, 51)[0, 2, 5] == pytest.approx(0.6)
    assert found.stepped(image, 0, 255)[0, 2, 5] == 1  # kept in [0, 1]
    with pytest.raises(UserError, match="another image"):
        found.stepped(image + 0.1, 0, 1)


def test_what_cannot_be_answered_is_one_sentence():
    segmenter, image = segmenter_of(PixelIsLogit()), image_of(1)
    for region, message in (
        (np.zeros(SIZE, bool), "no pixel"),
        (np.ones((3, 3), bool), "image's size"),
        ((40, 2), "outside the image"),
    ):
        with pytest.raises(UserError, match=message):
            leading_directions(segmenter, image, region)
    for count in (0, 1000):
        with pytest.raises(UserError, match="number of directions"):
            leading_directions(segmenter, image, (1, 1), count=count)
    with pytest.raises(UserError, match="no class 7"):
        leading_directions(segmenter, image, (1, 1), 7)
    for pixels in (1, 50):
        with pytest.raises(UserError, match="all their gradients are 0"):
            leading_directions(segmenter_of(Constant()), image, pixels_of(pixels))


def test_cancelling_stops_it(tanh_network):
    steps = []

    def stop(done: int, total: int) -> None:
        steps.append((done, total))
        if done >= 5:
            raise KeyboardInterrupt

    progress: Progress = stop
    with pytest.raises(KeyboardInterrupt):
        leading_directions(Segmenter(tanh_network), image_of(3), pixels_of(70), progress=progress)
    assert steps[-1][0] == 5
    assert all(done < total for done, total in steps)


def test_saved_files_hold_the_vectors(tanh_network, tmp_path):
    found = leading_directions(Segmenter(tanh_network), image_of(3), pixels_of(40), count=2)
    folder = found.save(tmp_path / "directions")
    assert np.load(folder / "right.npy").tobytes() == found.right.tobytes()
    assert np.load(folder / "left.npy").shape == (2, *SIZE)
    assert (folder / "left_2.png").is_file()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["singular_values"] == found.values.tolist()
    assert manifest["verdict"] == found.verdict
    assert manifest["parameters"]["seed"] == 0
    assert f"the first 2 together {100 * found.shares.sum():.2g}\N{NO-BREAK SPACE}%" in found.verdict


class AboveHalfOnly(nn.Module):
    """Logits (0, max(pixel - ½, 0))."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat((torch.zeros_like(images), torch.relu(images - 0.5)), dim=1)


def test_the_first_order_check_looks_in_both_directions():
    """Upwards the score rises as foretold; downwards by 10 / 255 from 0.51 it can only fall by 0.01."""
    found = leading_directions(
        segmenter_of(AboveHalfOnly()), np.full((1, *SIZE), 0.51, np.float32), (3, 3), grey_levels=(1, 10)
    )
    step = 10 / 255
    assert found.errors[0] == pytest.approx([0, (step - 0.01) / step], abs=1e-4)
