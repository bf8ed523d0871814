"""How a network's result is read: what is concluded, what is asked for, what is refused."""

import io
import threading
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core import Segmenter, Target, UserError
from core.attribution import gradient, integrated_gradients, smoothgrad
from core.jacobian import jacobian
from core.jacobian.passes import PassRunner
from core.segmenter.identity import weights_checksum
from core.target import Score
from tests.networks import NeedsMultiple, OneChannel, TinySeg, Wrapped


class Small(nn.Module):
    """Two 3×3 convolutions; the other forms of result are made from its logits."""

    def __init__(self, classes: int = 3, padding: int = 1) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first = nn.Conv2d(1, 6, 3, padding=padding)
        self.second = nn.Conv2d(6, classes, 3, padding=padding)

    def forward(self, images: Tensor) -> Tensor:
        return self.second(self.first(images).tanh()) * 4


class Then(nn.Module):
    """A network with something done to its result."""

    def __init__(self, network: nn.Module, then) -> None:
        super().__init__()
        self.network = network
        self.then = then

    def forward(self, images: Tensor) -> object:
        return self.then(self.network(images))


IMAGE = torch.rand(1, 21, 26, generator=torch.Generator().manual_seed(5))


def row(network: nn.Module, image: Tensor, class_index: int, pixel: tuple[int, int]) -> np.ndarray:
    """∂ softmax probability / ∂ image, by hand."""
    batch = image[None].clone().requires_grad_()
    logits = network(batch)
    logits = torch.cat((torch.zeros_like(logits), logits), dim=1) if logits.shape[1] == 1 else logits
    probability = logits.softmax(dim=1)[0, class_index][pixel]
    return torch.autograd.grad(probability, batch)[0][0].numpy()


@pytest.mark.parametrize(
    ("classes", "activation", "then"),
    [(1, "sigmoid", torch.sigmoid), (3, "softmax", lambda logits: logits.softmax(dim=1))],
)
@pytest.mark.parametrize("told", [False, True])
def test_probabilities_are_read_as_such(classes, activation, then, told):
    """Read as logits, they would give every pixel to the foreground and never say more than 0.731."""
    network = Small(classes)
    inside = Segmenter(Then(network, then), in_channels=1, activation=activation if told else None)
    outside = Segmenter(network, in_channels=1)
    found, expected = inside.predict(IMAGE), outside.predict(IMAGE)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-6)
    assert (found.labels == expected.labels).all()
    if not told:
        assert inside.notes == (f"its scores are probabilities (a {activation} inside) and are read as such",)
    for space in ("probability", "log_odds"):
        target = Target.pixel(9, 12, 1, space)
        values = gradient(outside, IMAGE, target).values
        np.testing.assert_allclose(gradient(inside, IMAGE, target).values, values, atol=1e-5 * np.abs(values).max())
    np.testing.assert_allclose(
        gradient(inside, IMAGE, Target.pixel(9, 12, 1)).values, row(network, IMAGE, 1, (9, 12)), atol=1e-6
    )


def test_what_was_said_counts_more_than_what_is_found():
    network = Then(Small(3), lambda logits: logits.softmax(dim=1))
    logits = Segmenter(network, in_channels=1, activation="none").logits(IMAGE)
    torch.testing.assert_close(logits, network(IMAGE[None]))


def test_log_probabilities_are_logits_already():
    network = Small(3)
    segmenter = Segmenter(Then(network, lambda logits: logits.log_softmax(dim=1)), in_channels=1)
    expected = Segmenter(network, in_channels=1).predict(IMAGE).probabilities
    np.testing.assert_allclose(segmenter.predict(IMAGE).probabilities, expected, atol=1e-6)


def test_labels_that_exclude_nothing_are_asked_about():
    several = Then(Small(3), torch.sigmoid)
    with pytest.raises(UserError, match=r'lie in .0, 1. but do not sum to 1.*argument label.*say activation="none"'):
        Segmenter(several, in_channels=1).logits(IMAGE)
    torch.testing.assert_close(Segmenter(several, in_channels=1, activation="none").logits(IMAGE), several(IMAGE[None]))
    with pytest.raises(UserError, match="yes or no for each of 3 labels"):
        Segmenter(several, in_channels=1, activation="sigmoid").logits(IMAGE)
    with pytest.raises(UserError, match=r"leave .0, 1., so they are not what a softmax gives"):
        Segmenter(Small(3), in_channels=1, activation="softmax").logits(IMAGE)


LABELS = ("edema", "core", "rim")


def _of_three_labels(network: nn.Module, **options: object) -> Segmenter:
    return Segmenter(network, in_channels=1, class_names=LABELS, **options)


@pytest.mark.parametrize("then", [torch.sigmoid, nn.Identity()], ids=["probabilities", "logits"])
def test_one_of_several_labels_is_explained_against_its_absence(then):
    network = Small(3)
    segmenter = _of_three_labels(Then(network, then), label="core")
    assert segmenter.class_names == ("not core", "core")
    assert segmenter.num_classes == 2
    true = network(IMAGE[None])[0, 1].detach()
    torch.testing.assert_close(segmenter.logits(IMAGE)[0], torch.stack((0 * true, true)), atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(segmenter.predict(IMAGE).probabilities[1], true.sigmoid().numpy(), atol=1e-6)
    assert any("one of its 3 labels" in note for note in segmenter.notes)
    image = IMAGE.clone().requires_grad_()
    by_hand = torch.autograd.grad(network(image[None]).sigmoid()[0, 1, 7, 9], image)[0].numpy()
    found = gradient(segmenter, IMAGE.numpy(), Target.pixel(7, 9, 1)).values
    assert np.abs(found - by_hand).max() <= 1e-6 * np.abs(by_hand).max()


def test_the_labels_of_one_network_share_its_weights_and_are_told_apart():
    first = _of_three_labels(Then(Small(3), torch.sigmoid), label=0)
    other = first.for_label("rim")
    assert other.module is first.module
    assert other.lock is first.lock
    assert (other.class_names, first.class_names) == (("not rim", "rim"), ("not edema", "edema"))
    assert other.weights_hash != first.weights_hash == _of_three_labels(first.module, label="edema").weights_hash
    assert not torch.equal(other.logits(IMAGE), first.logits(IMAGE))
    unnamed = Segmenter(first.module, in_channels=1, label="2")
    assert unnamed.class_names == ("not label 2", "label 2")
    torch.testing.assert_close(unnamed.logits(IMAGE), other.logits(IMAGE))


def test_a_label_that_cannot_be():
    several = Then(Small(3), torch.sigmoid)
    with pytest.raises(UserError, match='no label "tumour"; its labels are edema, core, rim'):
        _of_three_labels(several, label="tumour")
    with pytest.raises(UserError, match="names of the labels of Then are not known"):
        Segmenter(several, in_channels=1, label="core")
    for label in (3, -1):
        with pytest.raises(UserError, match=f"has no label {label}; its labels are 0 to 2"):
            _of_three_labels(several, label=label).logits(IMAGE)
    with pytest.raises(UserError, match="3 class names were given for 4 labels"):
        _of_three_labels(Then(Small(4), torch.sigmoid), label="core").logits(IMAGE)
    with pytest.raises(UserError, match="sum to 1, so its classes exclude each other"):
        _of_three_labels(Then(Small(3), lambda logits: logits.softmax(dim=1)), label="core").logits(IMAGE)
    with pytest.raises(UserError, match="exclude each other; leave out the label"):
        _of_three_labels(several, label="core", activation="softmax").logits(IMAGE)


def test_an_even_answer_to_noise_leaves_the_decision_to_the_image():
    """As an untrained head, or a trained one that sees nothing in noise: all scores alike and within [0, 1]."""

    class Wary(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            usual = ((images > 0.2) & (images < 0.8)).float().mean(dim=(1, 2, 3), keepdim=True) > 0.99
            return torch.where(usual, torch.sigmoid(20 * (images - 0.5)), 1e-4 + 0 * images)

    segmenter = Segmenter(Wary(), in_channels=1)
    image = 0.25 + 0.5 * IMAGE
    np.testing.assert_allclose(
        segmenter.predict(image).probabilities[1], torch.sigmoid(20 * (image - 0.5))[0].numpy(), atol=1e-5
    )
    assert any("sigmoid" in note for note in segmenter.notes)


def test_what_the_image_decides_holds_for_the_jacobian_too():
    class Even(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            usual = ((images >= 0.25) & (images <= 0.75)).float().mean(dim=(1, 2, 3), keepdim=True) > 0.99
            return torch.where(usual, torch.sigmoid(20 * (images - 0.5)), 1e-4 + 0 * images)

    image = (0.25 + 0.5 * IMAGE[:, :9, :8]).numpy()
    runner = PassRunner(Segmenter(Even(), in_channels=1), image, Score(1, "probability"))
    outputs = np.zeros((1, 9, 8), np.float32)
    outputs[0, 4, 4] = 1
    probability = 1 / (1 + np.exp(-20 * (image[0, 4, 4] - 0.5)))
    assert runner(outputs)[0, 0, 4, 4] == pytest.approx(20 * probability * (1 - probability), rel=1e-4)


def test_channels_last_are_found():
    network = Small(3)
    segmenter = Segmenter(Then(network, lambda logits: logits.permute(0, 2, 3, 1)), in_channels=1)
    torch.testing.assert_close(segmenter.logits(IMAGE), network(IMAGE[None]))
    assert segmenter.num_classes == 3
    assert segmenter.notes == ("the classes are the last axis of its result",)


def test_one_score_per_pixel_without_an_axis_of_classes():
    network = Small(1)
    segmenter = Segmenter(Then(network, lambda logits: logits[:, 0]), in_channels=1)
    torch.testing.assert_close(segmenter.logits(IMAGE)[:, 1:], network(IMAGE[None]))


@pytest.mark.parametrize("order", [("aux", "logits"), ("logits", "aux"), ("aux", "out"), ("aux", "main")])
def test_auxiliary_heads_are_not_explained(order):
    network, other = Small(3), Small(3)
    results = {"aux": lambda logits: 2 - logits}
    module = Then(network, lambda logits: {name: results.get(name, lambda same: same)(logits) for name in order})
    del other
    segmenter = Segmenter(module, in_channels=1)
    torch.testing.assert_close(segmenter.logits(IMAGE), network(IMAGE[None]))
    assert bool(segmenter.notes) is ("main" in order)


@pytest.mark.parametrize(
    "then",
    [
        lambda logits: [F.avg_pool2d(logits, 4), F.avg_pool2d(logits, 2), logits],
        lambda logits: (logits, logits.flip(1)),
        lambda logits: {"first": logits, "second": logits.flip(1)},
    ],
)
def test_several_maps_are_asked_about(then):
    network = Small(3)
    with pytest.raises(UserError, match=r"returns several maps \(.*; say which to explain with the argument output"):
        Segmenter(Then(network, then), in_channels=1).logits(IMAGE)
    last = next(reversed(then(IMAGE[None]).keys())) if isinstance(then(IMAGE[None]), dict) else -1
    logits = Segmenter(Then(network, then), in_channels=1, output=last).logits(IMAGE)
    assert logits.shape == (1, 3, 21, 26)


def test_the_only_map_of_a_result_is_taken():
    network = Small(3)
    segmenter = Segmenter(Then(network, lambda logits: (logits.mean(dim=(2, 3)), logits)), in_channels=1)
    torch.testing.assert_close(segmenter.logits(IMAGE), network(IMAGE[None]))


class Queries(dict):
    """As transformers' MaskFormer and Mask2Former answer: attributes and entries."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__(class_queries_logits=logits.mean(dim=3), masks_queries_logits=logits)
        self.masks_queries_logits = logits


def test_queries_with_masks_are_refused():
    with pytest.raises(UserError, match="answers with queries and their masks"):
        Segmenter(Then(Small(5), Queries), in_channels=1).logits(IMAGE)


def test_labels_are_no_scores():
    with pytest.raises(UserError, match="gave labels, not scores"):
        Segmenter(Then(Small(3), lambda logits: logits.argmax(dim=1)), in_channels=1).logits(IMAGE)
    for then in (
        lambda logits: logits.argmax(dim=1, keepdim=True).float(),
        lambda logits: F.one_hot(logits.argmax(dim=1), 3).movedim(-1, 1).float(),
        lambda logits: logits.detach(),
    ):
        with pytest.raises(UserError, match="No gradient reaches the image"):
            Segmenter(Then(Small(3), then), in_channels=1).logits(IMAGE)


def test_a_result_without_the_axis_of_the_batch_is_refused():
    with pytest.raises(UserError, match=r"shape \(3, 21, 26\) for one image; return it with its batch axis"):
        Segmenter(Then(Small(3), torch.squeeze), in_channels=1).logits(IMAGE)


def test_a_classifier_gives_one_score_per_image_and_says_so():
    segmenter = Segmenter(Then(Small(3), lambda logits: logits.mean(dim=(2, 3), keepdim=True)), in_channels=1)
    expected = segmenter.module(IMAGE[None])
    torch.testing.assert_close(segmenter.logits(IMAGE), expected.expand(1, 3, 21, 26))
    assert segmenter.notes == ("it gives one score per image, not per pixel",)


def test_a_network_for_images_of_the_size_of_its_result():
    module = Then(Small(3), lambda logits: F.adaptive_avg_pool2d(logits, (21, 26)))
    torch.testing.assert_close(Segmenter(module, in_channels=1).logits(IMAGE), module(IMAGE[None]))


@pytest.mark.parametrize("size", [(64, 64), (96, 96), (224, 224)])
@pytest.mark.parametrize("classes", [2, 3, 16, 21, 32])
def test_channels_last_of_a_network_of_one_size(size, classes):
    class Fixed(Small):
        def forward(self, images: Tensor) -> Tensor:
            if tuple(images.shape[-2:]) != size:
                raise ValueError(f"need {size}")
            return super().forward(images).permute(0, 2, 3, 1)

    image = torch.rand(1, *size)
    segmenter = Segmenter(Fixed(classes), in_channels=1)
    torch.testing.assert_close(segmenter.logits(image), segmenter.module(image[None]).permute(0, 3, 1, 2))


@pytest.mark.parametrize(("squash", "certain"), [(torch.sigmoid, 1), (lambda z: z.softmax(dim=1), 2)])
def test_saturated_probabilities_are_recognised_whatever_image_comes_first(squash, certain):
    """Trained networks are certain that noise is background: everything is nearly 0."""

    class Certain(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            found = F.avg_pool2d(images.amin(dim=1, keepdim=True), 9, stride=1, padding=4) - 0.7
            score = torch.tanh(20 * found - 5) * 15 + 0 * images
            return squash(score if certain == 1 else torch.cat((-score, score), dim=1))

    empty, full = torch.rand(1, 32, 32) * 0.3, torch.full((1, 32, 32), 0.98)
    for first in (empty, full):
        segmenter = Segmenter(Certain(), in_channels=1)
        segmenter.predict(first)
        assert (segmenter.predict(empty).labels == 0).all()
        assert (segmenter.predict(full).labels[8:-8, 8:-8] == 1).all()
        assert segmenter.findings().activation != "none"


def test_a_network_that_checks_its_input_is_run_within_it():
    class Strict(Small):
        def forward(self, images: Tensor) -> Tensor:
            if images.min() < 0 or images.max() > 1:
                raise ValueError("intensities lie in [0, 1]")
            return super().forward(images)

    torch.testing.assert_close(Segmenter(Strict(), in_channels=1).logits(IMAGE), Small()(IMAGE[None]))


def test_every_image_of_a_batch_counts():
    class Leading(Small):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images * images[:1].mean())

    segmenter = Segmenter(Leading(), in_channels=1)
    images = torch.stack((IMAGE, 0.2 * IMAGE))
    alone = torch.cat([segmenter.logits(image) for image in images])
    torch.testing.assert_close(segmenter.logits(images), alone, rtol=0, atol=0)


# Of the sides tried, 4 is a twentieth of one, rounded up, and of the other, rounded down.
@pytest.mark.parametrize("side", [16, 4])
def test_a_result_on_no_grid_of_the_image_is_asked_about(side):
    module = Then(Small(3), lambda logits: F.adaptive_avg_pool2d(logits, (side, side)))
    with pytest.raises(UserError, match=r'on no grid that follows the image.s size; say align="stretch"'):
        Segmenter(module, in_channels=1).logits(IMAGE)
    expected = F.interpolate(module(IMAGE[None]), size=(21, 26), mode="bilinear", align_corners=False)
    torch.testing.assert_close(Segmenter(module, in_channels=1, align="stretch").logits(IMAGE), expected)


@pytest.mark.parametrize("size", [(40, 40), (33, 47)])
def test_networks_without_padding_stay_in_place(size):
    """An object at rows 20 to 30 is labelled there, not where stretching a smaller map would put it."""

    class Copy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.crop = 4

        def forward(self, images: Tensor) -> Tensor:
            inner = images[..., self.crop : -self.crop, self.crop : -self.crop]
            return torch.cat((0.5 - inner, inner - 0.5), dim=1)

    image = torch.zeros(1, *size)
    image[0, 20:30, 5:9] = 1
    segmenter = Segmenter(Copy(), in_channels=1)
    assert (segmenter.predict(image).labels == image[0].numpy()).all()
    assert segmenter.notes == (
        "its result leaves out a border of 8 rows and 8 columns in all, taken as even on both sides",
    )
    stretched = Segmenter(Copy(), in_channels=1, align="stretch").logits(image)
    expected = F.interpolate(Copy()(image[None]), size=size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(stretched, expected)


def test_rows_of_a_network_without_padding():
    network = Small(2, padding=0)
    found = gradient(Segmenter(network, in_channels=1), IMAGE, Target.pixel(10, 12)).values
    batch = IMAGE[None].clone().requires_grad_()
    probability = network(batch).softmax(dim=1)[0, 1, 10 - 2, 12 - 2]
    np.testing.assert_allclose(found, torch.autograd.grad(probability, batch)[0][0].numpy(), atol=1e-7)


def test_only_what_a_network_refuses_is_padded():
    """A grid of a quarter, rounded up, is stretched over the image, as the libraries of such networks do."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.Tanh(), nn.Conv2d(4, 3, 3, stride=2, padding=1))
    image = torch.rand(1, 61, 53)
    expected = F.interpolate(network(image[None]), size=(61, 53), mode="bilinear", align_corners=False)
    torch.testing.assert_close(Segmenter(network, in_channels=1).logits(image), expected)


def test_a_grid_that_is_rounded_down_is_stretched_too():
    class RoundsDown(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            pooled = F.avg_pool2d(images, 8)
            return torch.cat((pooled, 1 - 2 * pooled), dim=1)

    image = torch.rand(1, 19, 26)
    expected = F.interpolate(RoundsDown()(image[None]), size=(19, 26), mode="bilinear", align_corners=False)
    torch.testing.assert_close(Segmenter(RoundsDown(), in_channels=1).logits(image), expected)


def test_random_answers_are_refused():
    class Careless(Small):
        def forward(self, images: Tensor) -> Tensor:
            return F.dropout(super().forward(images), 0.3)

    with pytest.raises(UserError, match=r"draws random numbers in eval mode \(dropout\)"):
        Segmenter(Careless(), in_channels=1).logits(IMAGE)


@pytest.mark.parametrize(
    "draw",
    [
        lambda logits: logits * (torch.rand(len(logits), 1, 1, 1) > 0.02),
        lambda logits: logits * logits.new_empty(len(logits), 1, 1, 1).bernoulli_(0.98),
        lambda logits: logits + 1e-4 * torch.randn_like(logits),
    ],
    ids=["stochastic depth", "timm's way", "slight noise"],
)
def test_random_numbers_are_noticed_however_seldom_they_show(draw):
    with pytest.raises(UserError, match="draws random numbers in eval mode"):
        Segmenter(Then(Small(3), draw), in_channels=1).logits(IMAGE)


def test_chance_that_is_not_torchs_is_noticed_where_it_shows():
    module = Then(Small(3), lambda logits: logits * float(np.random.default_rng().random()))
    with pytest.raises(UserError, match="gives another answer each time"):
        Segmenter(module, in_channels=1).logits(IMAGE)


class BatchStatistics(nn.Module):
    """Normalises by the batch, in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU(), nn.Conv2d(4, 2, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


def test_statistics_of_the_batch_do_not_change_an_image():
    segmenter = Segmenter(BatchStatistics(), in_channels=1)
    images = torch.stack((IMAGE, 0.1 * IMAGE.flip(1)))
    alone = torch.cat([segmenter.logits(image) for image in images])
    torch.testing.assert_close(segmenter.logits(images), alone, rtol=0, atol=0)
    assert "images in a batch change each other's scores" in segmenter.notes[0]
    torch.testing.assert_close(alone[1:], BatchStatistics().eval()(images[1:]))


@pytest.mark.parametrize("size", [2, 7])
def test_integrated_gradients_and_smoothgrad_do_not_depend_on_the_batch(size):
    segmenter, target = Segmenter(BatchStatistics(), in_channels=1), Target.pixel(8, 9)
    for method in (
        lambda batch: integrated_gradients(segmenter, IMAGE, target, n_steps=9, internal_batch_size=batch),
        lambda batch: smoothgrad(segmenter, IMAGE, target, n_samples=9, internal_batch_size=batch),
    ):
        expected = method(1).values
        np.testing.assert_allclose(method(size).values, expected, atol=1e-6 * np.abs(expected).max())


def test_a_network_that_takes_one_image_at_a_time():
    class Single(Small):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images).reshape(1, 3, *images.shape[-2:])

    segmenter = Segmenter(Single(), in_channels=1)
    assert segmenter.logits(torch.stack((IMAGE, IMAGE))).shape == (2, 3, 21, 26)
    assert segmenter.notes == ("it takes one image at a time",)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_networks_of_other_number_types_run(dtype):
    network = Small(3)
    expected = gradient(Segmenter(network, in_channels=1), IMAGE, Target.pixel(9, 12, 1)).values
    segmenter = Segmenter(Small(3).to(dtype), in_channels=1)
    assert segmenter.logits(IMAGE).dtype == torch.float32
    found = gradient(segmenter, IMAGE, Target.pixel(9, 12, 1)).values
    tolerance = {torch.float64: 1e-6, torch.float16: 0.02, torch.bfloat16: 0.1}[dtype]
    np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max())


class OneSize(nn.Module):
    """Takes 100×80 alone, as a vision transformer with a table of positions."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.position = nn.Parameter(torch.rand(1, 1, 100, 80))
        self.layers = Small(3)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images + self.position)


def test_a_network_of_one_unusual_size():
    image = torch.rand(1, 100, 80)
    segmenter = Segmenter(OneSize(), in_channels=1)
    assert len(segmenter.weights_hash) == 64
    with pytest.raises(UserError, match="takes none of the usual image sizes"):
        _ = segmenter.class_names
    torch.testing.assert_close(segmenter.logits(image), segmenter.module(image[None]))
    assert segmenter.class_names == ("class 0", "class 1", "class 2")
    other = Segmenter(OneSize(), in_channels=1)
    other.predict(torch.rand(1, 100, 80))
    assert segmenter.weights_hash == other.weights_hash
    with pytest.raises(UserError, match="cannot take an image of 50×60 pixels with 1 channel"):
        Segmenter(OneSize(), in_channels=1).logits(torch.rand(1, 50, 60))


def test_a_network_that_states_its_size():
    class Stated(OneSize):
        img_size = (100, 80)

    assert Segmenter(Stated(), in_channels=1).num_classes == 3


@pytest.mark.parametrize(
    "change",
    [lambda image: image[:, :, ::-1], lambda image: image.astype(">f4"), lambda image: image.transpose(0, 2, 1)],
    ids=["mirrored", "big-endian", "transposed"],
)
def test_arrays_of_every_layout_are_taken(change):
    segmenter, image = Segmenter(Small(3), in_channels=1), change(IMAGE.numpy())
    plain = np.ascontiguousarray(image).astype("=f4")
    found, expected = (gradient(segmenter, each, Target.pixel(3, 4)) for each in (image, plain))
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.image_hash == expected.image_hash


def test_intensities_of_an_image_that_was_not_scaled():
    segmenter = Segmenter(Small(3), in_channels=1)
    with pytest.raises(UserError, match=r"intensities up to 255, and they belong in \[0, 1\]"):
        segmenter.predict(torch.linspace(0, 255, 64).reshape(1, 8, 8))
    with pytest.raises(UserError, match=r"intensities up to 12, and they belong in \[0, 1\]"):
        segmenter.predict((12 * IMAGE).ceil())  # a dark 8-bit image
    assert Segmenter(Small(3), in_channels=1, any_intensity=True).predict(torch.full((1, 8, 8), 255.0)) is not None
    notes = gradient(segmenter, 3 * IMAGE + 0.5, Target.pixel(3, 4)).manifest()["notes"]
    assert len(notes) == 1
    assert notes[0].startswith("the image holds intensities from 0.5")


def test_what_was_concluded_stands_in_manifests():
    segmenter = Segmenter(Then(Small(3), lambda logits: logits.softmax(dim=1)), in_channels=1, notes=["from a friend"])
    found = gradient(segmenter, IMAGE, Target.pixel(3, 4))
    assert found.manifest()["notes"] == [
        "from a friend",
        "its scores are probabilities (a softmax inside) and are read as such",
    ]


def test_class_names_are_unique():
    with pytest.raises(UserError, match='Two classes are called "a"'):
        Segmenter(TinySeg(), in_channels=1, class_names=("a", "a"))


class Checkpointed(Small):
    def forward(self, images: Tensor) -> Tensor:
        return torch.utils.checkpoint.checkpoint(super().forward, images, use_reentrant=True)


def test_reentrant_checkpointing_is_one_sentence():
    segmenter = Segmenter(Checkpointed(), in_channels=1)
    segmenter.predict(IMAGE)
    with pytest.raises(UserError, match=r"uses reentrant checkpointing, .* use_reentrant=False"):
        gradient(segmenter, IMAGE, Target.pixel(3, 4))


def test_threads_examine_a_network_once():
    runs = []

    class Counting(Small):
        def forward(self, images: Tensor) -> Tensor:
            runs.append(tuple(images.shape))
            return super().forward(images)

    segmenter = Segmenter(Counting(), in_channels=1, size_multiple=1)
    threads = [threading.Thread(target=segmenter.findings) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(runs) == [(1, 1, 64, 96), (1, 1, 64, 96), (1, 1, 96, 64), (2, 1, 64, 96)]


# Identity


def test_the_same_network_is_the_same_wherever_it_runs():
    hashes = set()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            before, after = Segmenter(Small(), in_channels=1), Segmenter(Small(), in_channels=1)
            after.predict(IMAGE)
            hashes |= {before.weights_hash, after.weights_hash}
        finally:
            torch.set_num_threads(1)
    buffer = io.BytesIO()
    torch.save(Small().state_dict(), buffer)
    buffer.seek(0)
    loaded = Small()
    loaded.load_state_dict(torch.load(buffer))
    assert hashes == {Segmenter(loaded.to(memory_format=torch.channels_last), in_channels=1).weights_hash}


class Configured(nn.Module):
    """One state dict, many networks."""

    def __init__(self, dilation: int = 1, slope: float = 0.1, mode: str = "bilinear", scale: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 4, 3, padding=dilation, dilation=dilation)
        self.act = nn.LeakyReLU(slope)
        self.head = nn.Conv2d(4, 2, 1)
        self.mode, self.scale = mode, scale
        self.table = torch.ones(1, 4, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        features = F.avg_pool2d(self.act(self.conv(images)) * self.scale * self.table, 2)
        corners = None if self.mode == "nearest" else False
        return F.interpolate(self.head(features), size=images.shape[-2:], mode=self.mode, align_corners=corners)


def test_identity_is_behaviour_not_weights_alone():
    networks = [
        Configured(),
        Configured(dilation=2),
        Configured(slope=0.2),
        Configured(mode="nearest"),
        Configured(scale=0.5),
    ]
    other_table = Configured()
    other_table.table = torch.full((1, 4, 1, 1), 2.0)
    segmenters = [Segmenter(network, in_channels=1) for network in (*networks, other_table)]
    segmenters += [
        Segmenter(Configured(), in_channels=1, size_multiple=4),
        Segmenter(Configured(), in_channels=1, mean=0.1),
    ]
    assert len({segmenter.weights_hash for segmenter in segmenters}) == len(segmenters)
    assert Segmenter(Configured(), in_channels=1).weights_hash == segmenters[0].weights_hash


def of_one_state(forward) -> Segmenter:
    """Networks with one state dict and different wiring."""

    class Wired(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
            self.c = nn.Conv2d(2, 2, 3, padding=1)
            self.kernels = [torch.full((1, 1, 1, 1), 2.0)]

        def forward(self, images: Tensor) -> Tensor:
            return forward(self, images)

    return Segmenter(Wired(), in_channels=1)


def test_identity_is_wiring_too():
    kernel, other = np.full((1, 2, 1, 1), 1.0, np.float32), np.full((1, 2, 1, 1), 3.0, np.float32)
    networks = [
        lambda m, x: m.c(m.b(m.a(x))),
        lambda m, x: m.b(m.c(m.a(x))),
        lambda m, x: m.c(m.b(m.a(x)) + m.a(x)),
        lambda m, x: m.c(m.b(m.a(x))) + m.a(x),
        lambda m, x: m.c(m.b(m.a(x)) - m.a(x)),
        lambda m, x: m.c(m.a(x) - m.b(m.a(x))),
        lambda m, x: F.pad(m.a(x)[..., 2:, :], (0, 0, 0, 2)),
        lambda m, x: F.pad(m.a(x)[..., :-2, :], (0, 0, 0, 2)),
        lambda m, x: m.a(x) * m.kernels[0],
        lambda m, x: m.a(x) * (2 * m.kernels[0]),
        lambda m, x: m.a(x) * torch.from_numpy(kernel),
        lambda m, x: m.a(x) * torch.from_numpy(other),
    ]
    assert len({of_one_state(forward).weights_hash for forward in networks}) == len(networks)


def test_identity_of_traced_networks():
    images = torch.rand(1, 1, 64, 96)
    with warnings.catch_warnings(action="ignore"):
        traced = [torch.jit.trace(Configured(dilation=dilation).eval(), images) for dilation in (1, 2, 1)]
    hashes = [Segmenter(network, in_channels=1).weights_hash for network in traced]
    assert hashes[0] == hashes[2] != hashes[1]


def test_what_a_network_keeps_of_its_last_image_is_not_its_identity():
    class Keeping(Small):
        def forward(self, images: Tensor) -> Tensor:
            logits = super().forward(images)
            self.last = logits.softmax(dim=1).detach()
            rows = torch.arange(images.shape[-2], dtype=torch.float32)
            self.register_buffer("rows", rows, persistent=False)
            return logits + self.rows[:, None] / 100

    segmenter = Segmenter(Keeping(), in_channels=1)
    before = segmenter.weights_hash
    segmenter.predict(IMAGE)
    assert segmenter.weights_hash == before == Segmenter(Keeping(), in_channels=1).weights_hash


def test_a_stored_jacobian_does_not_go_on_with_another_network_of_the_same_weights(tmp_path):
    image, path = IMAGE[:, :9, :8].numpy(), tmp_path / "run.zarr"
    jacobian(Segmenter(Configured(), in_channels=1), image, out=path)
    for other in (
        Segmenter(Configured(dilation=2), in_channels=1),
        Segmenter(Configured(), in_channels=1, size_multiple=4),
    ):
        with pytest.raises(UserError, match=r"another Jacobian .*model"):
            jacobian(other, image, out=path)


@pytest.mark.parametrize(
    "edit",
    [
        lambda weight: weight.data.mul_(1.5),
        lambda weight: weight.data[0, 0].add_(1e-3),
        lambda weight: weight.data.copy_(weight.data.flip(-1)),
        lambda weight: weight.numpy().__setitem__((0, 0, 0, 0), 7.0),
        lambda weight: weight.mul_(-1),
    ],
    ids=["data", "one value", "mirrored", "NumPy", "in place"],
)
def test_changed_weights_have_another_name(edit):
    segmenter = Segmenter(Configured(), in_channels=1)
    before = segmenter.weights_hash
    assert segmenter.weights_hash == before
    edit(segmenter.module.conv.weight)
    assert segmenter.weights_hash != before


def _exchange(weight: Tensor, first: int, second: int) -> None:
    flat = weight.view(-1)
    flat[[first, second]] = flat[[second, first]]


@pytest.mark.parametrize(
    "edit",
    [
        lambda weight: weight.view(-1)[5000].copy_(torch.nextafter(weight.view(-1)[5000], torch.tensor(9.0))),
        lambda weight: weight.view(-1)[-1].neg_(),
        lambda weight: _exchange(weight, 0, 2),
        lambda weight: _exchange(weight, 16, 16 + 4096),
        lambda weight: weight.copy_(weight.flip(0)),
        lambda weight: weight.copy_(weight.transpose(0, 1).contiguous()),
    ],
    ids=["last digit", "last value", "exchange", "distant exchange", "mirrored", "transposed"],
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_every_change_of_a_large_weight_is_noticed(edit, memory_format):
    module = nn.Conv2d(64, 64, 3).to(memory_format=memory_format)
    weight = module.weight.data
    before = weights_checksum(module)
    assert weights_checksum(module) == before
    changed = weight.clone(memory_format=torch.contiguous_format)  # edited in the order of the indices
    edit(changed)
    assert not torch.equal(changed, weight)
    weight.copy_(changed)
    assert weights_checksum(module) != before


def test_toys_of_other_tests_are_read_as_before():
    for module in (TinySeg(), OneChannel(), NeedsMultiple(), Wrapped("tensor", 1)):
        assert Segmenter(module, in_channels=1).findings().activation == "none"
