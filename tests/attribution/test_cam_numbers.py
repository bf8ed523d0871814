"""Class activation maps whose numbers are known: by hand, from another library, or from identities between methods."""

import math

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam, LayerGradientXActivation
from captum.testing.helpers.basic_models import BasicModel_ConvNet_One_Conv
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor, nn

from core import Segmenter, Target, load_segmenter, read_image
from core.attribution import cam
from core.attribution.cam import activations_and_gradients, cam_atlas, cam_methods, gradient_methods
from core.attribution.registry import METHODS
from core.models import UNet
from tests.networks import IMAGE_1_TO_9, TinySeg

LINEAR_METHODS = [name for name in gradient_methods() if METHODS[name].is_linear]
UNIT_0 = np.array([[2, 11, 6], [17, 35, 23], [14, 29, 18]])
UNIT_1 = np.array([[0, 0, 0], [2, 4, 6], [8, 10, 12]])
UNIT_1_BEFORE_RELU = np.array([[-4, -2, 0], [2, 4, 6], [8, 10, 12]])
TWO_PIXELS = np.zeros((3, 3), dtype=bool)
TWO_PIXELS[1, 1] = TWO_PIXELS[2, 2] = True
TARGET = Target.region(TWO_PIXELS, 1, "logit")
# G of unit 0 is -1 and of unit 1 is 2 at the two pixels, 0 elsewhere.
BY_HAND = {
    "seg_grad_cam": [[-4 / 9, -22 / 9, -12 / 9], [-26 / 9, -6, -22 / 9], [4 / 9, -2, 4 / 3]],
    "seg_hires_grad_cam": [[0, 0, 0], [0, -27, 0], [0, 0, 6]],
    "layer_cam": [[0, 0, 0], [0, 8, 0], [0, 0, 24]],
    # Sums of A: 155 and 42. Only unit 1 has positive gradients, and there alpha = 1 / (2 + 2 · 42).
    "grad_cam_plus_plus": 2 * (2 / 86) * UNIT_1,
    "xgrad_cam": -53 / 155 * UNIT_0 + 32 / 42 * UNIT_1,
    # Without unit 0 the score -21 becomes 32, without unit 1 it becomes -53.
    "ablation_cam": -53 / 21 * UNIT_0 + 32 / 21 * UNIT_1,
}


@pytest.fixture(scope="module")
def tiny():
    return Segmenter(TinySeg(), in_channels=1, name="tiny")


@pytest.mark.parametrize("method", BY_HAND)
def test_tiny_network_by_hand(tiny, method):
    found = cam(tiny, IMAGE_1_TO_9, TARGET, "relu", method)
    assert found.values.shape == (1, 3, 3)
    np.testing.assert_allclose(found.values[0], BY_HAND[method], atol=2e-5)


def test_score_cam_by_hand(tiny):
    # The image under unit 0 stretched to [0, 1] is [[0, 18, 12], [60, 165, 126], [84, 216, 144]] / 33: logits
    # -15 + 8 and -107/11 + 60/11, together -124/11. Under unit 1 it is [[0, 0, 0], [2, 5, 9], [14, 20, 27]] / 3:
    # -47/3 + 0 and -31/3 + 24, together -2.
    weight_0 = 1 / (1 + math.exp(-2 + 124 / 11))
    expected = weight_0 * UNIT_0 + (1 - weight_0) * UNIT_1
    found = cam(tiny, IMAGE_1_TO_9, TARGET, "relu", "score_cam")
    np.testing.assert_allclose(found.values[0], expected, rtol=1e-5, atol=1e-8)
    assert found.parameters["largest_weight"] == pytest.approx(1 - weight_0)
    mean = Target.region(TWO_PIXELS, 1, "logit", "mean")
    weight_0 = 1 / (1 + math.exp((-2 + 124 / 11) / 2))
    expected = weight_0 * UNIT_0 + (1 - weight_0) * UNIT_1
    np.testing.assert_allclose(cam(tiny, IMAGE_1_TO_9, mean, "relu", "score_cam").values[0], expected, rtol=1e-5)


def test_before_the_relu(tiny):
    found = cam(tiny, IMAGE_1_TO_9, TARGET, "conv", "seg_grad_cam").values[0]
    np.testing.assert_allclose(found, -2 / 9 * UNIT_0 + 4 / 9 * UNIT_1_BEFORE_RELU, atol=1e-5)


def test_seg_hires_sums_to_the_score_and_the_mean_divides_by_the_pixels(tiny):
    assert cam(tiny, IMAGE_1_TO_9, TARGET, "relu").values.sum() == pytest.approx(-21)
    mean = Target.region(TWO_PIXELS, 1, "logit", "mean")
    for method in ("seg_grad_cam", "seg_hires_grad_cam", "seg_xres_cam", "layer_cam", "xgrad_cam"):
        whole, half = (cam(tiny, IMAGE_1_TO_9, target, "relu", method).values for target in (TARGET, mean))
        np.testing.assert_allclose(half, whole / 2, atol=1e-5)


def test_seg_xres_windows_by_hand(tiny):
    mean = cam(tiny, IMAGE_1_TO_9, TARGET, "relu", "seg_xres_cam", window=2)
    np.testing.assert_allclose(mean.values[0], [[-0.5, -2.75, 0], [-3.25, -6.75, 0], [0, 0, 6]], atol=1e-5)
    largest = cam(tiny, IMAGE_1_TO_9, TARGET, "relu", "seg_xres_cam", window=2, pooling="max")
    np.testing.assert_allclose(largest.values[0], [[0, 0, 0], [4, 8, 0], [0, 0, 6]], atol=1e-5)
    rows = cam(tiny, IMAGE_1_TO_9, TARGET, "relu", "seg_xres_cam", window=(1, 3))
    expected = (-UNIT_0 + 2 * UNIT_1) / 3 * np.array([[0], [1], [1]])
    np.testing.assert_allclose(rows.values[0], expected, atol=1e-5)
    assert rows.parameters["window"] == [1, 3]


@pytest.mark.parametrize("pooling", ["mean", "max"])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), height=st.integers(2, 9), width=st.integers(2, 9))
def test_seg_xres_between_its_two_ends(pooling, seed, height, width):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.Tanh(), nn.Conv2d(3, 2, 3, padding=1))
    segmenter = Segmenter(network, in_channels=1)
    image, target = torch.rand(1, height, width), Target.pixel(0, 0, 1, "logit")
    one = cam(segmenter, image, target, "1", "seg_xres_cam", 1, pooling)
    hires = cam(segmenter, image, target, "1")
    np.testing.assert_allclose(one.values, hires.values, atol=1e-6)
    whole = cam(segmenter, image, target, "1", "seg_xres_cam", (height, width + 5), pooling)
    values = activations_and_gradients(segmenter, image, target, ["1"]).layers["1"]
    if pooling == "mean":
        np.testing.assert_allclose(whole.values, cam(segmenter, image, target, "1", "seg_grad_cam").values, atol=1e-6)
    else:
        weights = values.gradients.amax(dim=(1, 2), keepdim=True)
        np.testing.assert_allclose(whole.values[0], (weights * values.activations).sum(dim=0), atol=1e-6)


class OneScoreAnImage(nn.Module):
    """A classifier's scores as logits of an image of 1×1; a segmenter spreads them over the image."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = BasicModel_ConvNet_One_Conv()

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(images)[:, :, None, None]


def test_small_classifier():
    segmenter = Segmenter(OneScoreAnImage(), in_channels=1)
    image = torch.arange(16.0).reshape(1, 4, 4)
    target = Target.pixel(1, 2, 0, "logit")
    assert activations_and_gradients(segmenter, image, target, []).score == 54
    for method, expected in {
        "seg_grad_cam": [[0, 4], [28, 32.5]],
        "seg_hires_grad_cam": [[0, 4], [25, 25]],
        "layer_cam": [[0, 4], [31, 40]],
    }.items():
        found = cam(segmenter, image, target, "classifier.relu1", method)
        np.testing.assert_allclose(found.values[0], expected, atol=1e-4)


SHIPPED = {
    "vessmap": ("vessels/images/phantom_00.tiff", 1),
    "fundus": ("fundus/test/images/fundus_00.png", 1),
    "scenes": ("scenes/test/images/scene_00.png", 5),
}
"""A sample image and a class that is in its upper middle."""


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("vessmap", "resblock2"),
        ("vessmap", "resblock4"),
        ("vessmap", "upconv2"),
        ("vessmap", "bn1"),
        ("fundus", "decoder.blocks.x_0_0"),
        ("scenes", "encoder.4"),
        ("scenes", "decoder.1"),
    ],
)
@pytest.mark.parametrize("space", ["logit", "probability"])
def test_equals_captum_on_the_shipped_networks(name, layer, space):
    segmenter = load_segmenter(name, "cpu")
    path, class_index = SHIPPED[name]
    image = read_image(f"sample_data/{path}")[:, 32:128, 32:160]
    mask = segmenter.predict(image).labels == class_index
    assert mask.any()
    target = Target.region(mask, class_index, space)
    module = segmenter.module.get_submodule(layer)
    inputs = torch.from_numpy(image)[None]

    def score(batch: Tensor) -> Tensor:
        return target(segmenter.logits(batch))

    grad_cam = LayerGradCam(score, module).attribute(inputs, relu_attributions=False)
    products = LayerGradientXActivation(score, module).attribute(inputs)
    for method, theirs in (("seg_grad_cam", grad_cam[0, 0]), ("seg_hires_grad_cam", products[0].sum(dim=0))):
        ours = cam(segmenter, image, target, layer, method).values[0]
        expected = theirs.detach().numpy()
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=2e-5 * np.abs(expected).max())


@settings(max_examples=15, deadline=None)
@given(parts=arrays(np.int8, (12, 16), elements=st.integers(0, 2)), seed=st.integers(0, 2**16))
def test_raw_maps_of_disjoint_sets_add_up(parts, seed):
    torch.manual_seed(seed)
    segmenter = Segmenter(UNet(2, 3, depth=2, width=4), in_channels=2)
    image = torch.rand(2, 12, 16)
    targets = [Target.region(mask, 2, "log_odds") for mask in (parts == 0, parts == 1, parts < 2)]
    first, second, union = (cam_atlas(segmenter, image, target, methods=LINEAR_METHODS, window=3) for target in targets)
    for key, attribution in union.items():
        total = first[key].values + second[key].values
        scale = max(np.abs(first[key].values).max(), np.abs(second[key].values).max(), 1e-6)
        np.testing.assert_allclose(attribution.values, total, atol=1e-4 * scale)


@pytest.mark.parametrize("method", cam_methods())
@pytest.mark.parametrize("space", ["logit", "probability", "log_odds"])
def test_empty_set_gives_zero(tiny, method, space):
    nothing = Target.region(np.zeros((3, 3), dtype=bool), 1, space)
    assert not cam(tiny, IMAGE_1_TO_9, nothing, "relu", method).values.any()


def test_the_atlas_holds_what_single_calls_give(tiny):
    atlas = cam_atlas(tiny, IMAGE_1_TO_9, TARGET)
    assert list(atlas) == [(layer, method) for layer in ("conv", "relu", "head") for method in gradient_methods()]
    for (layer, method), attribution in atlas.items():
        single = cam(tiny, IMAGE_1_TO_9, TARGET, layer, method)
        np.testing.assert_array_equal(attribution.values, single.values)
        left, right = attribution.manifest(), single.manifest()
        assert {**left, "seconds": 0} == {**right, "seconds": 0}
        assert left["unit"] == "logit"
        assert left["parameters"]["layer"] == layer


def test_point_mode_is_a_set_of_one_pixel(tiny):
    one = np.zeros((3, 3), dtype=bool)
    one[1, 2] = True
    for method in cam_methods():
        by_pixel = cam(tiny, IMAGE_1_TO_9, Target.pixel(1, 2, 1, "logit"), "relu", method)
        by_mask = cam(tiny, IMAGE_1_TO_9, Target.region(one, 1, "logit"), "relu", method)
        np.testing.assert_array_equal(by_pixel.values, by_mask.values)


@pytest.mark.parametrize("method", cam_methods())
def test_one_channel_network(method):
    torch.manual_seed(3)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))
    segmenter, image = Segmenter(network), torch.rand(3, 7, 9)
    mask = np.zeros((7, 9), dtype=bool)
    mask[2:5, 3:6] = True
    maps = {
        (index, space): cam(segmenter, image, Target.region(mask, index, space), "1", method).values
        for index in (0, 1)
        for space in ("logit", "probability", "log_odds")
    }
    assert np.isfinite(list(maps.values())).all()
    np.testing.assert_allclose(maps[1, "logit"], maps[1, "log_odds"], atol=1e-4)  # the other logit is 0
    if method in LINEAR_METHODS:
        assert not maps[0, "logit"].any()
        np.testing.assert_allclose(maps[0, "probability"], -maps[1, "probability"], atol=1e-5)
