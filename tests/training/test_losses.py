"""Losses and augmentation against kept libraries and closed forms."""

import math

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from monai.losses import FocalLoss

from core.data.index_masks import IGNORED
from core.errors import UserError
from core.training.augmentation import add_noise, augment, elastic_deformation
from core.training.learner import focal_loss, loss_of, pixel_cross_entropy, soft_dice_loss
from core.training.settings import Augmentation, TrainingSettings


@pytest.fixture
def given() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(2, 3, 9, 11, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, 3, (2, 9, 11), generator=generator)


def with_ignored(masks: torch.Tensor) -> torch.Tensor:
    masks = masks.clone()
    masks[:, :3, :5] = IGNORED
    return masks


def test_soft_dice_is_that_of_smp(given):
    logits, masks = given
    theirs = smp.losses.DiceLoss("multiclass", smooth=1e-6, eps=0, ignore_index=IGNORED)
    for truth in (masks, with_ignored(masks)):
        torch.testing.assert_close(soft_dice_loss(logits, truth), theirs(logits, truth))


def test_focal_loss_is_that_of_monai(given):
    logits, masks = given
    theirs = FocalLoss(gamma=2, use_softmax=True, to_onehot_y=True, reduction="none")
    terms = theirs(logits, masks[:, None]).sum(dim=1)
    torch.testing.assert_close(focal_loss(logits, masks).float(), terms.mean())
    ignored = with_ignored(masks)
    torch.testing.assert_close(focal_loss(logits, ignored).float(), terms[ignored != IGNORED].mean())


def test_weights_of_classes_are_those_of_torch_and_of_monai(given):
    logits, masks = given
    weights = torch.tensor([0.5, 2.0, 7.0], dtype=torch.float64)
    for truth in (masks, with_ignored(masks)):
        expected = F.cross_entropy(logits, truth, weights, ignore_index=IGNORED)
        torch.testing.assert_close(pixel_cross_entropy(logits, truth, weights), expected)
    theirs = FocalLoss(gamma=2, use_softmax=True, to_onehot_y=True, reduction="none", weight=weights.tolist())
    terms = theirs(logits, masks[:, None]).sum(dim=1)
    torch.testing.assert_close(focal_loss(logits, masks, weights).float(), terms.sum() / weights[masks].sum().float())
    each = smp.losses.DiceLoss("multiclass", smooth=1e-6, eps=0)
    each.aggregate_loss = lambda losses: (losses * weights).sum() / weights.sum()
    torch.testing.assert_close(soft_dice_loss(logits, masks, weights), each(logits, masks))
    for name in ("cross_entropy", "dice_cross_entropy", "focal"):
        alike = loss_of(name, logits, masks, (3.0, 3.0, 3.0))
        torch.testing.assert_close(alike, loss_of(name, logits, masks))


@pytest.mark.parametrize("name", ["cross_entropy", "dice_cross_entropy", "focal"])
def test_what_is_ignored_has_no_gradient_and_nothing_but_it_no_loss(given, name):
    logits, masks = given
    logits.requires_grad_()
    masks = with_ignored(masks)
    (gradient,) = torch.autograd.grad(loss_of(name, logits, masks), logits)
    assert gradient.isfinite().all()
    assert not gradient.movedim(1, -1)[masks == IGNORED].any()
    assert gradient.movedim(1, -1)[masks != IGNORED].abs().min() > 0
    nothing = loss_of(name, logits, torch.full_like(masks, IGNORED))
    assert nothing.isfinite()
    assert float(nothing.detach()) == pytest.approx(0, abs=1e-5)


def test_losses_of_a_certain_and_of_an_undecided_network():
    masks = torch.tensor([[[0, 1]]])
    certain = torch.tensor([[[[99.0, -99]], [[-99.0, 99]]]])
    for name in ("cross_entropy", "dice_cross_entropy", "focal"):
        assert float(loss_of(name, certain, masks)) == pytest.approx(0, abs=1e-5)
    undecided = torch.zeros(1, 2, 1, 2)
    assert float(focal_loss(undecided, masks)) == pytest.approx(math.log(2) / 4)
    assert float(soft_dice_loss(undecided, masks)) == pytest.approx(0.5)
    both = pixel_cross_entropy(undecided, masks) + soft_dice_loss(undecided, masks)
    assert loss_of("dice_cross_entropy", undecided, masks) == both


def test_elastic_deformation_moves_image_and_mask_alike_and_by_what_it_says():
    rng = np.random.default_rng(0)
    mask = torch.zeros(96, 96, dtype=torch.int64)
    mask[20:70, 30:60] = 1
    moved = []
    for _ in range(20):
        image, changed = elastic_deformation(mask[None].float(), mask, 3.0, rng)
        certain = (image[0] < 0.01) | (image[0] > 0.99)
        assert certain.float().mean() > 0.8
        assert ((image[0] > 0.5) == (changed == 1))[certain].all()
        assert set(changed.unique().tolist()) == {0, 1}
        moved.append(float((changed != mask).float().mean()))
    assert 0.005 < np.mean(moved) < 0.1
    rows = torch.arange(96.0)[:, None].expand(96, 96)[None] / 96
    shifts = [float((elastic_deformation(rows, mask, 3.0, rng)[0] - rows)[0, 32, 40] * 96) for _ in range(300)]
    assert np.std(shifts) == pytest.approx(3, rel=0.25)
    assert np.mean(shifts) == pytest.approx(0, abs=0.6)


def test_noise_has_at_most_the_strength_that_is_asked_for():
    rng = np.random.default_rng(0)
    grey = torch.full((1, 64, 64), 0.5)
    spread = [float((add_noise(grey, 0.1, rng) - grey).std()) for _ in range(200)]
    assert max(spread) < 0.105
    assert np.mean(spread) == pytest.approx(0.05, rel=0.15)
    assert add_noise(grey, 0, rng) is grey


def test_augmentation_without_them_draws_what_it_drew_before():
    image, mask = torch.rand(1, 40, 40), torch.zeros(40, 40, dtype=torch.int64)
    draws = []
    for settings in (Augmentation(32), Augmentation(32, noise=0.1), Augmentation(32, elastic=2.0)):
        rng = np.random.default_rng(0)
        augment(image, mask, settings, rng)
        draws.append(rng.random())
    assert len(set(draws)) == 3
    rng = np.random.default_rng(0)
    augment(image, mask, Augmentation(32), rng)
    assert rng.random() == draws[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": "hinge"}, 'no loss "hinge"; use cross_entropy, dice_cross_entropy, focal'),
        ({"schedule": "cosine"}, 'no schedule "cosine"'),
        ({"precision": "8"}, 'no precision "8"'),
        ({"elastic": -1}, "elastic must not be negative"),
        ({"noise": -0.1}, "noise must not be negative"),
        ({"keep_every": -1}, "keep every must not be negative"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, words):
    with pytest.raises(UserError, match=words):
        TrainingSettings(images="data", **changes)
