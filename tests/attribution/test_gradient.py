import pickle

import numpy as np
import pytest
import torch
from captum.attr import InputXGradient, Saliency

from core import Prediction, Segmenter, Target, UserError
from core.attribution import gradient, gradient_x_input
from core.models import load_segmenter
from core.target import SPACES
from tests.networks import IMAGE_1_TO_9, NeedsMultiple, OneChannel, TinySeg, Wrapped


def test_tiny_seg_row_of_the_jacobian():
    attribution = gradient(Segmenter(TinySeg(), in_channels=1), IMAGE_1_TO_9, Target.pixel(1, 1, 1, "logit"))
    assert attribution.values[0].tolist() == [[-1, -1, -1], [-1, 3, -1], [-1, -1, -1]]
    assert attribution.unit == "logit per unit intensity"


def test_tiny_seg_region():
    mask = np.zeros((3, 3), dtype=bool)
    mask[1, 1] = mask[2, 2] = True
    attribution = gradient(Segmenter(TinySeg(), in_channels=1), IMAGE_1_TO_9, Target.region(mask, 1))
    assert attribution.values[0].tolist() == [[-1, -1, -1], [-1, 2, -2], [-1, -2, 2]]


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("form", ["tensor", "object", "tuple"])
def test_row_equals_autograd_and_captum(space, form):
    torch.manual_seed(0)
    network = Wrapped(form)
    output = 0 if form == "tuple" else None
    segmenter = Segmenter(network, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), output=output)
    image = torch.rand(3, 16, 24)
    found = gradient(segmenter, image, Target.pixel(5, 20, 2, space)).values

    def score(batch: torch.Tensor) -> torch.Tensor:
        """The definition, written out without `Segmenter` and `Target`."""
        mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.4])
        result = network((batch - mean[:, None, None]) / std[:, None, None])
        logits = {"tensor": lambda: result, "tuple": lambda: result[0], "object": lambda: result.logits}[form]()
        logits = torch.nn.functional.interpolate(logits, size=(16, 24), mode="bilinear")[:, :, 5, 20]
        probability = logits.softmax(dim=1)[:, 2]
        return {
            "logit": logits[:, 2],
            "probability": probability,
            "log_odds": (probability / (1 - probability)).log(),
        }[space]

    batch = image[None].clone().requires_grad_()
    (expected,) = torch.autograd.grad(score(batch).sum(), batch)
    np.testing.assert_allclose(found, expected[0].numpy(), rtol=1e-5, atol=1e-6 * float(expected.abs().max()))
    by_captum = Saliency(score).attribute(image[None].clone().requires_grad_(), abs=False)
    np.testing.assert_allclose(found, by_captum[0].detach().numpy(), rtol=1e-5, atol=1e-6 * float(expected.abs().max()))


def test_row_of_the_shipped_network_equals_autograd_on_a_padded_image():
    segmenter = load_segmenter("vessmap", "cpu")
    image = torch.rand(1, 40, 51, generator=torch.Generator().manual_seed(1))
    found = gradient(segmenter, image, Target.pixel(39, 50)).values
    batch = image[None].clone().requires_grad_()
    normalised = (batch - torch.tensor(segmenter.mean)) / torch.tensor(segmenter.std)
    logits = segmenter.module(torch.nn.functional.pad(normalised, (0, 13, 0, 8), mode="replicate"))
    (expected,) = torch.autograd.grad(logits.softmax(dim=1)[0, 1, 39, 50], batch)
    np.testing.assert_allclose(found, expected[0].numpy(), rtol=1e-5, atol=1e-6 * float(expected.abs().max()))


def test_gradient_x_input_of_tiny_seg():
    mask = np.zeros((3, 3), dtype=bool)
    mask[1, 1] = mask[2, 2] = True
    found = gradient_x_input(Segmenter(TinySeg(), in_channels=1), IMAGE_1_TO_9, Target.region(mask, 1))
    assert found.values[0].tolist() == [[-1, -2, -3], [-4, 10, -12], [-7, -16, 18]]
    assert (found.method, found.unit) == ("gradient_x_input", "logit")


def test_gradient_x_input_equals_captum():
    torch.manual_seed(0)
    segmenter = Segmenter(Wrapped("tensor"), mean=0.5, std=0.2)
    image, target = torch.rand(3, 9, 12), Target.pixel(4, 7, 2, "log_odds")
    expected = InputXGradient(lambda images: target(segmenter.logits(images))).attribute(
        image[None].clone().requires_grad_()
    )
    found = gradient_x_input(segmenter, image[None], target)
    np.testing.assert_allclose(found.values, expected[0].detach().numpy(), rtol=1e-5, atol=1e-7)
    assert found.image_hash == gradient(segmenter, image, target).image_hash


def test_sum_of_rows_is_the_gradient_of_the_sum():
    segmenter = Segmenter(NeedsMultiple(), in_channels=1)
    image = torch.rand(1, 13, 9)
    mask = np.zeros((13, 9), dtype=bool)
    mask[2, 3] = mask[2, 4] = mask[12, 8] = True
    whole = gradient(segmenter, image, Target.region(mask, 1, "probability")).values
    rows = [
        gradient(segmenter, image, Target.pixel(int(r), int(c))).values for r, c in zip(*mask.nonzero(), strict=True)
    ]
    np.testing.assert_allclose(whole, np.sum(rows, axis=0), rtol=1e-5, atol=1e-7)


def test_empty_region_and_constant_score_have_zero_maps():
    segmenter = Segmenter(OneChannel(), in_channels=1)
    image = torch.rand(1, 8, 8)
    assert not gradient(segmenter, image, Target.region(np.zeros((8, 8)), 1)).values.any()
    assert not gradient(segmenter, image, Target.pixel(3, 3, 0, "logit")).values.any()


def test_no_trace_is_left():
    network = TinySeg()
    segmenter = Segmenter(network, in_channels=1)
    image = IMAGE_1_TO_9.clone()
    gradient(segmenter, image, Target.pixel(0, 0, 1, "logit"))
    assert all(parameter.grad is None for parameter in network.parameters())
    assert image.grad is None
    assert not image.requires_grad
    torch.testing.assert_close(image, IMAGE_1_TO_9)


def test_prediction_is_that_of_the_image_and_stands_beside_the_map():
    segmenter = Segmenter(TinySeg(), in_channels=1)
    image = IMAGE_1_TO_9.clone()
    attribution = gradient(segmenter, image, Target.pixel(0, 0))
    assert attribution.image_size == (3, 3)
    assert (attribution.layer, attribution.padded_size) == (None, None)
    np.testing.assert_array_equal(attribution.prediction.labels, segmenter.predict(image).labels)
    np.testing.assert_array_equal(attribution.prediction.probabilities, segmenter.predict(image).probabilities)
    assert not any(isinstance(value, Prediction) for value in vars(attribution).values())

    elsewhere = pickle.loads(pickle.dumps(attribution))  # noqa: S301 - our own bytes
    np.testing.assert_array_equal(elsewhere.values, attribution.values)
    image += 1
    for gone in (elsewhere, attribution):
        with pytest.raises(UserError, match=r"use segmenter\.predict\(image\)"):
            gone.prediction  # noqa: B018


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_gives_the_same_row():
    image = torch.rand(1, 64, 64)
    on_cpu = gradient(load_segmenter("vessmap", "cpu"), image, Target.pixel(30, 30)).values
    on_gpu = gradient(load_segmenter("vessmap", "cuda"), image, Target.pixel(30, 30)).values
    np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-3 * np.abs(on_cpu).max())
