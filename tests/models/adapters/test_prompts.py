"""SAM and SAM 2 with a point: the masks of the library, and gradients that flow through all resizing."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core import Segmenter, Target, UserError, load_segmenter
from core.attribution import gradient
from core.attribution.cam import cam
from core.jacobian import jacobian
from core.segmenter import PromptedMask
from tests.jacobian.rows import largest_relative_error, random_image

transformers = pytest.importorskip("transformers")
from tests.models.adapters import prompted_networks as networks  # noqa: E402 - needs transformers

_POINT = (20, 31)
_SIZES = ((64, 64), (48, 64), (70, 41))
"""The network's own size, one that SAM pads, and one that both resize."""
_MEAN, _STD = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def _resized_size(name: str, size: tuple[int, int]) -> tuple[int, int]:
    if name == "sam2":
        return networks.SIDE, networks.SIDE
    return transformers.SamImageProcessor()._get_preprocess_shape(size, networks.SIDE)


def _by_the_library(name: str, module: nn.Module, image: Tensor, point=_POINT) -> tuple[Tensor, int]:
    """Logits (3, H, W) of the masks for an image (3, H, W), prepared step by step, and the best mask."""
    size = image.shape[1], image.shape[2]
    height, width = _resized_size(name, size)
    image = ((image - _MEAN) / _STD).to(next(module.parameters()).dtype)  # as weights of resizing sum to 1
    resized = image if size == (height, width) else torch.nn.functional.interpolate(
        image[None], (height, width), mode="bilinear", antialias=True
    )[0]  # fmt: skip
    pixels = torch.zeros(3, networks.SIDE, networks.SIDE, dtype=image.dtype)
    pixels[:, :height, :width] = resized
    masks, scores = networks.answer_of_the_library(module, pixels[None], size, (height, width), point)
    return masks, int(scores.argmax())


@pytest.fixture(scope="module", params=["sam", "sam2"])
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("prompted") / request.param
    networks.lively(request.param).save_pretrained(path)
    return path


@pytest.mark.parametrize("size", _SIZES)
def test_masks_are_those_of_the_librarys_post_processing(folder, size):
    segmenter = load_segmenter(folder, "cpu", prompt=_POINT)
    assert segmenter.class_names == ("not the object", "object")
    assert segmenter.mean == pytest.approx((0.485, 0.456, 0.406))
    image = random_image(3, *size, seed=1)
    masks, best = _by_the_library(folder.name, networks.lively(folder.name), torch.from_numpy(image))
    labels = masks[best] > 0
    assert 0 < labels.float().mean() < 1
    prediction = segmenter.predict(image)
    assert (prediction.labels == labels.numpy()).mean() >= 0.999
    np.testing.assert_allclose(prediction.probabilities[1], masks[best].sigmoid().numpy(), atol=1e-4)
    for index in range(3):
        chosen = load_segmenter(folder, "cpu", prompt=_POINT, output=index)
        np.testing.assert_allclose(chosen.logits(image)[0, 1].numpy(), masks[index].numpy(), atol=1e-3)


@pytest.mark.parametrize(("size", "given"), [(_SIZES[0], np.uint8), *((size, np.float32) for size in _SIZES[1:])])
def test_labels_are_those_of_the_librarys_processor(folder, size, given):
    """It rounds what it resizes to 8 bits if it is given octets, and resizes floats as they are."""
    octets = np.random.default_rng(2).integers(0, 256, (*size, 3), dtype=np.uint8)
    side = {"height": networks.SIDE, "width": networks.SIDE}
    processor = (
        transformers.SamProcessor(transformers.SamImageProcessor(size={"longest_edge": networks.SIDE}, pad_size=side))
        if folder.name == "sam"
        else transformers.Sam2Processor(transformers.Sam2ImageProcessor(size=side))
    )
    prepared = processor(octets.astype(given), input_points=[[[[_POINT[1], _POINT[0]]]]], return_tensors="pt")
    sizes = [prepared[key] for key in ("original_sizes", "reshaped_input_sizes") if key in prepared]
    inputs = {key: prepared[key].float() for key in ("pixel_values", "input_points")}
    result = networks.lively(folder.name)(**inputs)
    masks = processor.post_process_masks(result.pred_masks, *sizes)[0][0]
    expected = masks[int(result.iou_scores[0, 0].argmax())].numpy()
    segmenter = load_segmenter(folder, "cpu", prompt=_POINT)
    labels = segmenter.predict((octets / 255).transpose(2, 0, 1).astype(np.float32)).labels
    assert (labels == expected).mean() >= 0.999


@pytest.mark.parametrize("size", _SIZES)
def test_rows_are_worked_out_by_hand(folder, size):
    """In float64, as in float32 two orders of the same sums differ by more."""
    segmenter = load_segmenter(folder, "cpu", prompt=_POINT)
    segmenter.module.double()
    image = random_image(3, *size, seed=1)
    leaf = torch.from_numpy(image).requires_grad_()
    masks, best = _by_the_library(folder.name, networks.lively(folder.name).double(), leaf)
    for space, scores in (("logit", masks[best]), ("probability", masks[best].sigmoid())):
        for pixel in ((0, 0), (size[0] - 1, size[1] // 3), _POINT):
            row = torch.autograd.grad(scores[pixel], leaf, retain_graph=True)[0].numpy()
            found = gradient(segmenter, image, Target.pixel(*pixel, 1, space)).values
            assert np.abs(row).max() > 0
            assert largest_relative_error(found[None], row[None]) <= 1e-6


def test_another_point_shares_the_weights(folder):
    segmenter = load_segmenter(folder, "cpu", prompt=_POINT)
    other = segmenter.for_prompt((50, 5))
    assert next(other.module.parameters()) is next(segmenter.module.parameters())
    assert other.weights_hash != segmenter.weights_hash
    assert segmenter.for_prompt(_POINT).weights_hash == segmenter.weights_hash
    assert other.weights_hash == load_segmenter(folder, "cpu", prompt=(50, 5)).weights_hash
    assert any("row 50, column 5" in note for note in other.notes)
    assert not any("row 20, column 31" in note for note in other.notes)
    image = random_image(3, 64, 64, seed=1)
    masks, best = _by_the_library(
        folder.name, networks.lively(folder.name), torch.from_numpy(image), point=(50, 5)
    )  # fmt: skip
    np.testing.assert_allclose(other.logits(image)[0, 1].numpy(), masks[best].numpy(), atol=1e-3)
    assert not np.allclose(other.logits(image)[0, 1], segmenter.logits(image)[0, 1], atol=1e-2)


def test_another_point_is_asked_without_a_new_examination(folder):
    segmenter = load_segmenter(folder, "cpu", prompt=_POINT)
    findings, runs = segmenter.findings(), []
    segmenter.module.register_forward_hook(lambda module, *_: runs.append(module.prompt))
    other = segmenter.for_prompt((50, 5))
    assert other.findings() is findings
    assert not runs
    other.predict(random_image(3, 64, 64))
    assert (50, 5) in runs, "what is hooked to the network stays"


def test_mask_logits_that_happen_to_lie_within_0_and_1_are_no_probabilities(folder):
    segmenter = load_segmenter(folder, "cpu", prompt=_POINT)
    segmenter.module.register_forward_hook(lambda _module, _images, masks: masks.sigmoid())
    image = random_image(3, 64, 64, seed=1)
    masks, best = _by_the_library(folder.name, networks.lively(folder.name), torch.from_numpy(image))
    np.testing.assert_allclose(segmenter.logits(image)[0, 1].numpy(), masks[best].sigmoid().numpy(), atol=1e-4)


def test_a_stored_jacobian_and_a_class_activation_map(folder, tmp_path):
    """Layers of SAM cover the padded square, of which the image is the upper half."""
    segmenter = load_segmenter(folder, "cpu", prompt=(5, 31))
    image = random_image(3, 32, 64, seed=1)
    region = np.zeros((32, 64), dtype=bool)
    region[10, 20:23] = True
    found = jacobian(segmenter, image, 1, "logit", tmp_path / "run.zarr", region=region)
    row = gradient(segmenter, image, Target.pixel(10, 21, 1, "logit")).values
    assert largest_relative_error(found.row(10, 21)[None], row[None]) <= 1e-5
    layer = "network.vision_encoder.layers.1" if folder.name == "sam" else "network.vision_encoder.backbone.blocks.2"
    explained = cam(segmenter, image, Target.pixel(10, 21, 1, "logit"), layer, "seg_grad_cam")
    side = networks.SIDE // (8 if folder.name == "sam" else 16)
    assert explained.values.shape == (1, side, side)
    assert explained.padded_size == ((64, 64) if folder.name == "sam" else (32, 64))


def test_what_cannot_be_asked(folder):
    with pytest.raises(UserError, match=r"answers about one object; give a point on it, prompt=\(row, column\)"):
        load_segmenter(folder, "cpu")
    with pytest.raises(UserError, match=r"give a point on it: Segmenter\(PromptedMask\("):
        Segmenter(networks.lively(folder.name))
    with pytest.raises(UserError, match="The prompt, row 60 and column 5, lies outside the image of 48×64"):
        load_segmenter(folder, "cpu", prompt=(60, 5)).logits(random_image(3, 48, 64))
    for point in ((-1, 2), (float("nan"), 2)):
        with pytest.raises(UserError, match="is a point of the image"):
            load_segmenter(folder, "cpu", prompt=point)
    with pytest.raises(UserError, match=r"There is no mask 3; .* gives the masks 0 to 2"):
        load_segmenter(folder, "cpu", prompt=_POINT, output=3)


def test_a_point_that_the_network_does_not_take(tmp_path):
    with pytest.raises(UserError, match="takes no point"):
        load_segmenter("vessmap", "cpu", prompt=_POINT)
    with pytest.raises(UserError, match="takes no point"):
        load_segmenter("vessmap", "cpu").for_prompt(_POINT)
    with pytest.raises(UserError, match="takes no point"):
        PromptedMask(nn.Conv2d(3, 1, 1), _POINT)
    config = transformers.SegformerConfig(depths=[1] * 4, hidden_sizes=[8, 16, 24, 32], decoder_hidden_size=16)
    transformers.SegformerForSemanticSegmentation(config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="takes no point"):
        load_segmenter(tmp_path, "cpu", prompt=_POINT)


def test_sam_2_for_videos_holds_the_one_for_images(tmp_path):
    """As the published checkpoints of SAM 2 are stored."""
    memory = {
        "image_size": networks.SIDE, "memory_attention_hidden_size": 16, "memory_attention_num_layers": 1,
        "memory_attention_num_attention_heads": 1, "memory_attention_feed_forward_hidden_size": 16,
        "memory_encoder_hidden_size": 16, "memory_encoder_output_channels": 8, "mask_downsampler_embed_dim": 16,
        "memory_fuser_embed_dim": 16, "memory_fuser_intermediate_dim": 16, "memory_attention_rope_feat_sizes": [4, 4],
    }  # fmt: skip
    config = transformers.Sam2VideoConfig(**networks.sam2_parts(), **memory)
    whole = transformers.Sam2VideoModel(config)
    whole.save_pretrained(tmp_path)
    segmenter = load_segmenter(tmp_path, "cpu", prompt=_POINT)
    own = dict(whole.named_parameters())
    for key, value in segmenter.module.network.named_parameters():
        torch.testing.assert_close(value, own[key], rtol=0, atol=0)
    assert segmenter.predict(random_image(3, 64, 64)).labels.shape == (64, 64)
