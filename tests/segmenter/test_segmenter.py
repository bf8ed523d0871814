import threading

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
import torchvision
from torch import nn

from core import Segmenter, UserError
from tests.networks import IMAGE_1_TO_9, NeedsMultiple, OneChannel, TinySeg, Wrapped


def _torchvision() -> tuple[nn.Module, int]:
    network = torchvision.models.segmentation.lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=4
    )
    return network, 4


def _unet_plus_plus() -> tuple[nn.Module, int]:
    return smp.UnetPlusPlus("resnet18", encoder_weights=None, classes=5), 5


NETWORKS = {
    "torchvision": _torchvision,
    "smp U-Net++": _unet_plus_plus,
    "one channel": lambda: (OneChannel(), 2),
    **{form: (lambda form=form: (Wrapped(form), 3)) for form in
       ("tensor", "dict", "dict without out", "tuple", "list", "object")},
}  # fmt: skip


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS.keys())
@pytest.mark.parametrize("size", [(64, 64), (33, 47)])
def test_every_form_of_output_becomes_logits_that_can_be_differentiated(make, size):
    torch.manual_seed(0)
    network, classes = make()
    several = getattr(network, "form", "") in ("tuple", "list")
    segmenter = Segmenter(network, output=0 if several else None)
    images = torch.rand(2, 3, *size, requires_grad=True)
    logits = segmenter.logits(images)
    assert logits.shape == (2, classes, *size)
    (slope,) = torch.autograd.grad(logits[0, 1].sum(), images)
    assert slope[0].abs().sum() > 0
    assert slope[1].abs().sum() == 0
    assert segmenter.num_classes == classes
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_tiny_seg_logits():
    logits = Segmenter(TinySeg(), in_channels=1).logits(IMAGE_1_TO_9)[0]
    assert logits[0].tolist() == [[2, 11, 6], [15, 31, 17], [6, 19, 6]]
    assert logits[1].tolist() == [[-2, -11, -6], [-13, -27, -11], [2, -9, 6]]


def test_one_channel_is_two_classes_with_sigmoid_probabilities():
    image = torch.rand(1, 8, 8)
    prediction = Segmenter(OneChannel(), in_channels=1).predict(image)
    expected = torch.sigmoid(3 * image - 1)[0].numpy()
    np.testing.assert_allclose(prediction.probabilities[1], expected, rtol=1e-6)
    np.testing.assert_allclose(prediction.probabilities[0], 1 - expected, rtol=1e-5)
    assert (prediction.labels == (expected > 0.5)).all()


def test_lower_resolution_is_upsampled_bilinearly():
    network = Wrapped("object")
    image = torch.rand(1, 3, 16, 24)
    expected = nn.functional.interpolate(
        network(image).logits, size=(16, 24), mode="bilinear", align_corners=False
    )  # fmt: skip
    torch.testing.assert_close(Segmenter(network).logits(image), expected)


def test_another_output_can_be_selected():
    network = Wrapped("tuple")
    image = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(Segmenter(network, output=1).logits(image), network(image)[1])
    with pytest.raises(UserError, match="no output 7; it offers 0 to 1"):
        Segmenter(network, output=7).logits(image)
    with pytest.raises(UserError, match="'aux', 'out'"):
        Segmenter(Wrapped("dict"), output="x").logits(image)


def test_odd_sizes_are_padded_by_repeating_the_border_and_cropped_back():
    network = NeedsMultiple()
    image = torch.rand(1, 1, 19, 26)
    padded = np.pad((image.numpy() - 0.3) / 0.2, ((0, 0), (0, 0), (0, 5), (0, 6)), mode="edge").astype(np.float32)
    expected = network(torch.tensor(padded))[..., :19, :26]
    for size_multiple in (None, 8):
        segmenter = Segmenter(network, in_channels=1, mean=0.3, std=0.2, size_multiple=size_multiple)
        torch.testing.assert_close(segmenter.logits(image), expected)


def test_padding_makes_no_false_edge():
    network = NeedsMultiple()
    flat = Segmenter(network, in_channels=1).logits(torch.full((1, 19, 26), 0.7))
    whole = Segmenter(network, in_channels=1).logits(torch.full((1, 24, 32), 0.7))
    torch.testing.assert_close(flat, whole[..., :19, :26])


def test_gradient_is_per_unit_of_image_intensity():
    segmenter = Segmenter(OneChannel(), in_channels=1, mean=0.5, std=0.25)
    image = torch.rand(1, 1, 4, 4, requires_grad=True)
    (slope,) = torch.autograd.grad(segmenter.logits(image)[0, 1].sum(), image)
    torch.testing.assert_close(slope, torch.full_like(slope, 3 / 0.25))


def test_layer_names_are_the_users_own():
    network = TinySeg()
    segmenter = Segmenter(network, in_channels=1)
    assert segmenter.module is network
    assert [name for name, _ in segmenter.module.named_children()] == ["conv", "relu", "head"]


def test_numpy_and_torch_images_give_the_same():
    segmenter = Segmenter(TinySeg(), in_channels=1)
    image = np.random.default_rng(0).random((1, 9, 9), dtype=np.float32)
    torch.testing.assert_close(segmenter.logits(image), segmenter.logits(torch.tensor(image)[None]))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.rand(3, 8, 8), "takes 1 channel, the image has 3"),
        (torch.rand(8, 8), r"shape \(channels, height, width\); this one is \(8, 8\)"),
        (torch.rand(1, 0, 8), "shape"),
        (torch.full((1, 8, 8), float("nan")), "not finite"),
        (torch.full((1, 8, 8), float("inf")), "not finite"),
        (torch.zeros(1, 8, 8, dtype=torch.uint8), "holds uint8 values; scale it"),
    ],
)
def test_wrong_images_get_one_clear_sentence(image, message):
    with pytest.raises(UserError, match=message):
        Segmenter(TinySeg(), in_channels=1).logits(image)


def test_one_image_at_a_time_is_predicted():
    with pytest.raises(UserError, match="One image is explained at a time; 2 were given"):
        Segmenter(TinySeg(), in_channels=1).predict(torch.rand(2, 1, 8, 8))


def test_wrong_networks_get_one_clear_sentence():
    image = torch.rand(3, 16, 16)
    with pytest.raises(UserError, match="returned a str without a tensor"):
        Segmenter(Wrapped("nothing")).logits(image)
    with pytest.raises(UserError, match="one score per class and pixel"):
        Segmenter(Wrapped("vector")).logits(image)
    broken = TinySeg()
    broken.head.weight.data.fill_(float("nan"))
    with pytest.raises(UserError, match="gave values that are not finite"):
        Segmenter(broken, in_channels=1).logits(torch.rand(1, 8, 8))
    with pytest.raises(UserError, match="3 class names were given for 2"):
        _ = Segmenter(TinySeg(), in_channels=1, class_names=("a", "b", "c")).class_names
    with pytest.raises(UserError, match="cannot take an image of 16×16"):
        Segmenter(TinySeg(), in_channels=3).logits(image)


def test_wrong_normalisation_and_device():
    with pytest.raises(UserError, match="a positive std for every channel"):
        Segmenter(TinySeg(), in_channels=1, std=0.0)
    with pytest.raises(UserError, match="mean has 2 values for 3 channels"):
        Segmenter(TinySeg(), mean=(0.1, 0.2))
    with pytest.raises(UserError, match='no device "gpu"'):
        Segmenter(TinySeg(), device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="has no device cuda"):
            Segmenter(TinySeg(), device="cuda")


def test_weights_hash_tells_models_apart():
    first, second = Segmenter(TinySeg(), in_channels=1), Segmenter(TinySeg(), in_channels=1)
    assert first.weights_hash == second.weights_hash
    assert first.weights_hash != Segmenter(TinySeg(), in_channels=1, mean=0.1).weights_hash
    changed = TinySeg()
    changed.head.weight.data[0, 0] += 1e-3
    assert first.weights_hash != Segmenter(changed, in_channels=1).weights_hash


def test_threads_that_share_a_segmenter_get_their_own_answers():
    segmenter = Segmenter(NeedsMultiple(), in_channels=1)
    images = [torch.rand(1, 9 + i, 12) for i in range(8)]
    expected = [segmenter.logits(image) for image in images]
    found: dict[int, torch.Tensor] = {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: segmenter.logits(images[i])})) for i in range(len(images))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, logits in enumerate(expected):
        torch.testing.assert_close(found[i], logits, rtol=0, atol=0)
