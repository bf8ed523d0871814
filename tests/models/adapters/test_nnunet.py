"""nnU-Net checkpoints: rebuilt from their plans, and run as nnU-Net runs them."""

import copy
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core import Target, UserError, load_segmenter
from core.attribution import gradient
from core.jacobian import choice, jacobian, preparation
from core.models import identify
from tests.jacobian.rows import largest_relative_error

pytest.importorskip("dynamic_network_architectures")
from tests.models.adapters import nnunet_files as files

SIZE = (30, 36)
"""Smaller than the patch of 32×40."""


def image(size=SIZE, seed=0) -> Tensor:
    return torch.rand(2, *size, generator=torch.Generator().manual_seed(seed))


def by_hand(module: nn.Module, normalised: Tensor) -> Tensor:
    """Logits of a normalised image (C, H, W), padded evenly to the patch or to a multiple of 4, then cropped."""
    module = copy.deepcopy(module).eval()
    module.decoder.deep_supervision = False
    (height, width), patch = normalised.shape[1:], (32, 40)
    rows, columns = (-(-max(side, least) // 4) * 4 - side for side, least in zip((height, width), patch, strict=True))
    top, left = rows // 2, columns // 2
    padded = F.pad(normalised, (left, columns - left, top, rows - top))
    return module(padded[None])[0, :, top : top + height, left : left + width]


def z_score(values: Tensor) -> Tensor:
    return (values - values.mean()) / values.std(correction=0)


@pytest.fixture
def written(tmp_path):
    """Writes a folder of results; a path, and the module in it."""

    def write(plans=None, data_set=None, num_classes=3, module=None, **options):
        module = module or files.network(num_classes)
        folder = tmp_path / str(len([*tmp_path.iterdir()]))
        return files.write(folder, module, plans or files.plans(), data_set or files.data_set(), **options), module

    return write


@pytest.mark.parametrize("size", [SIZE, (45, 38)])
def test_labels_and_rows_are_those_of_nnunets_own_network(written, size):
    path, module = written()
    segmenter, given = load_segmenter(path), image(size)
    given[:, 3:6, 4:9] = 0  # which the statistics leave out only where the plans say so
    assert segmenter.class_names == ("background", "artery", "vein")  # in the order of their values, none ignored
    assert segmenter.in_channels == 2
    leaf = given.clone().requires_grad_()
    logits = by_hand(module, torch.stack([z_score(channel) for channel in leaf]))
    prediction = segmenter.predict(given)
    np.testing.assert_array_equal(prediction.labels, logits.argmax(0))
    assert len(np.unique(prediction.labels)) > 1
    np.testing.assert_allclose(prediction.probabilities, logits.softmax(0).detach(), atol=2e-6)
    (row,) = torch.autograd.grad(logits[1, 20, 7], leaf)
    found = gradient(segmenter, given, Target.pixel(20, 7, 1, "logit")).values
    assert largest_relative_error(found, row.numpy()) <= 2e-6
    assert any("tiles" in note for note in segmenter.notes)


def test_a_masked_z_score_leaves_zeros_alone(written):
    path, module = written(files.plans(masked=True))
    given = image()
    given[:, 10:14, 10:14] = 0
    given[0, 20, 20] = 0  # of one channel only, so inside the mask
    inside = (given != 0).any(0)
    normalised = given.clone()
    for channel in normalised:
        channel[inside] = z_score(channel[inside])
    segmenter = load_segmenter(path)
    expected = by_hand(module, normalised).softmax(0).detach()
    np.testing.assert_allclose(segmenter.predict(given).probabilities, expected, atol=2e-6)
    black = gradient(segmenter, torch.zeros(2, *SIZE), Target.pixel(3, 4)).values
    assert np.isfinite(black).all()  # though the root of a variance of 0 has no derivative


def test_the_whole_jacobian_uncouples_statistics_of_the_image_too(written, tmp_path, monkeypatch):
    cheapest = choice.cheapest_plan
    monkeypatch.setattr(
        preparation, "cheapest_plan", lambda field, uncoupled, _, *given: cheapest(field, uncoupled, 1e9, *given)
    )
    path, module = written(files.plans(patch_size=[96, 96]))
    segmenter, given = load_segmenter(path), image((96, 96))
    computed = jacobian(segmenter, given.numpy(), 1, "logit", tmp_path / "run.zarr", stride=4)
    # Mean and variance of every channel of every normalisation, and of the image's two channels.
    norms = [part for part in module.modules() if isinstance(part, nn.InstanceNorm2d)]
    assert computed.manifest.statistics == 2 * sum(norm.num_features for norm in set(norms)) + 2 * 2
    leaf = given.clone().requires_grad_()
    logits = by_hand(module, torch.stack([z_score(channel) for channel in leaf]))
    pixels = [(0, 0), (16, 24), (92, 20)]
    rows = [torch.autograd.grad(logits[(1, *pixel)], leaf, retain_graph=True)[0] for pixel in pixels]
    found = np.stack([computed.row(*pixel) for pixel in pixels])
    assert largest_relative_error(found, torch.stack(rows).numpy()) <= 1e-5


def test_other_schemes(written):
    given = image()
    path, module = written(files.plans("RescaleTo01Normalization"))
    stretched = torch.stack([(channel - channel.min()) / (channel.max() - channel.min()) for channel in given])
    expected = by_hand(module, stretched).softmax(0).detach()
    np.testing.assert_allclose(load_segmenter(path).predict(given).probabilities, expected, atol=2e-6)
    path, module = written(files.plans("RGBTo01Normalization"))
    expected = by_hand(module, given).softmax(0).detach()
    np.testing.assert_allclose(load_segmenter(path).predict(given).probabilities, expected, atol=2e-6)
    found = load_segmenter(path, any_intensity=True).predict(255 * given).probabilities
    np.testing.assert_allclose(found, expected, atol=2e-6)
    path, module = written(files.plans("CTNormalization"))
    with pytest.raises(UserError, match="Hounsfield"):
        load_segmenter(path)
    units = 2000 * given - 1000
    expected = by_hand(module, (units.clamp(-300, 500) - 40) / 200).softmax(0).detach()
    found = load_segmenter(path, any_intensity=True).predict(units).probabilities
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_mean_and_std_of_a_volume_replace_those_of_the_image(written):
    plans = files.plans(spacing=[0.8, 0.8]) | {"original_median_shape_after_transp": [80, 30, 36]}
    path, module = written(plans)
    assert any("volume" in note for note in load_segmenter(path).notes)
    assert any("0.8 × 0.8" in note for note in load_segmenter(path).notes)
    segmenter, given = load_segmenter(path, mean=(0.2, 0.3), std=0.5), image()
    expected = by_hand(module, (given - torch.tensor((0.2, 0.3)).view(2, 1, 1)) / 0.5).softmax(0).detach()
    np.testing.assert_allclose(segmenter.predict(given).probabilities, expected, atol=2e-6)
    with pytest.raises(UserError, match="positive std"):
        load_segmenter(path, std=0)


def test_a_region_is_chosen_by_its_name(written):
    labels = {"background": 0, "whole": [1, 2], "inside": 2}
    path, module = written(data_set=files.data_set(labels), num_classes=2)
    with pytest.raises(UserError, match="with the argument label: whole, inside"):
        load_segmenter(path)
    segmenter = load_segmenter(path, label="inside")
    assert segmenter.class_names == ("not inside", "inside")
    expected = by_hand(module, torch.stack([z_score(channel) for channel in image()]))[1].sigmoid().detach()
    np.testing.assert_allclose(segmenter.predict(image()).probabilities[1], expected, atol=2e-6)


def test_old_plans_and_plans_inside_the_checkpoint(written):
    plans = files.plans(architecture=None, **files.OLD_CONFIGURATION)
    path, module = written(plans, module=files.network(3, features=(4, 6, 6)), files=False)
    expected = by_hand(module, torch.stack([z_score(channel) for channel in image()])).softmax(0).detach()
    np.testing.assert_allclose(load_segmenter(path).predict(image()).probabilities, expected, atol=2e-6)


def test_the_app_has_nothing_to_ask(written):
    identity = identify(written()[0])
    assert identity.architecture == "nnunet"
    assert identity.states_normalisation


def test_what_cannot_be_explained_says_so(written, monkeypatch):
    architecture = files.plans()["configurations"]["base"]["architecture"]

    def refused(match, plans=None, **options):
        with pytest.raises(UserError, match=match):
            load_segmenter(written(plans, **options)[0])

    refused("3-D network", files.plans(patch_size=[8, 32, 32]))
    refused("previous stage", files.plans(previous_stage="3d_lowres"))
    refused("package.module:function", files.plans(architecture=architecture | {"network_class_name": "os.system"}))
    harmful = architecture["arch_kwargs"] | {"nonlin": "os.system"}
    refused("os.system as nonlin", files.plans(architecture=architecture | {"arch_kwargs": harmful}))
    foreign = architecture["arch_kwargs"] | {"nonlin": "mine.ReLU"}
    refused("mine.ReLU as nonlin", files.plans(architecture=architecture | {"arch_kwargs": foreign}))
    wide = architecture["arch_kwargs"] | {"features_per_stage": [4, 6, 9]}
    refused("do not fit the architecture nnunet", files.plans(architecture=architecture | {"arch_kwargs": wide}))
    deep = architecture["arch_kwargs"] | {"n_conv_per_stage": [99_999] * 3}
    refused("more than 10000 tensors", files.plans(architecture=architecture | {"arch_kwargs": deep}))
    refused("normalise with Own", files.plans("Own"))
    refused("without a gap", data_set=files.data_set({"background": 0, "vein": 2}))
    refused("no configuration 3d", init_args={"configuration": "3d"})
    refused("not those of nnU-Net v2", {"configurations": {"2d": {}}})
    path, _ = written(init_args={})
    (path.parent.parent / "plans.json").write_text("{")
    with pytest.raises(UserError, match="no JSON file"):
        load_segmenter(path)
    (path.parent.parent / "plans.json").unlink()
    with pytest.raises(UserError, match="without its plans"):
        load_segmenter(path)
    monkeypatch.setitem(sys.modules, "dynamic_network_architectures.architectures", None)
    from core.models.adapters import nnunet

    nnunet._classes.cache_clear()
    refused("pip install dynamic-network-architectures")


def test_another_trainer_is_named(written):
    path, _ = written(trainer_name="nnUNetTrainerMine")
    assert any("nnUNetTrainerMine" in note for note in load_segmenter(path).notes)
