"""Tiny random SAM and SAM 2 of transformers, and their masks once more by the library's own processors."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import transformers
from torch import Tensor, nn

SIDE = 64
_DECODER = {"hidden_size": 16, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16}


def sam() -> nn.Module:
    vision = {
        "hidden_size": 16, "output_channels": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SIDE,
        "patch_size": 8, "window_size": 4, "global_attn_indexes": [1], "num_pos_feats": 8, "mlp_dim": 32,
    }  # fmt: skip
    prompts = {"hidden_size": 16, "image_size": SIDE, "patch_size": 8, "mask_input_channels": 4}
    return transformers.SamModel(
        transformers.SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=_DECODER)
    )


def sam2_parts() -> dict[str, Any]:
    """The configurations that SAM 2 for images and for videos share."""
    backbone = {
        "model_type": "sam2_hiera_det_model", "hidden_size": 8, "num_attention_heads": 1, "image_size": [SIDE, SIDE],
        "blocks_per_stage": [1, 1, 2, 1], "embed_dim_per_stage": [8, 16, 24, 32], "window_size_per_stage": [4, 2, 4, 2],
        "num_attention_heads_per_stage": [1, 1, 2, 2], "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [4, 4],
    }  # fmt: skip
    vision = {
        "backbone_config": backbone, "backbone_channel_list": [32, 24, 16, 8], "fpn_hidden_size": 16,
        "backbone_feature_sizes": [[SIDE // 4] * 2, [SIDE // 8] * 2, [SIDE // 16] * 2],
    }  # fmt: skip
    prompts = {"hidden_size": 16, "image_size": SIDE, "patch_size": 16, "mask_input_channels": 4}
    return {"vision_config": vision, "prompt_encoder_config": prompts, "mask_decoder_config": _DECODER}


def sam2() -> nn.Module:
    return transformers.Sam2Model(transformers.Sam2Config(**sam2_parts()))


BUILDERS: Mapping[str, Callable[[], nn.Module]] = {"sam": sam, "sam2": sam2}


def lively(name: str) -> nn.Module:
    """The network in eval mode, with weights under which the masks depend on the point and on the image."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = BUILDERS[name]().eval().requires_grad_(requires_grad=False)
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=1.5 / parameter[0].numel() ** 0.5)
        point = torch.full((1, 1, 1, 2), 20.0)
        spread = module(pixel_values=torch.randn(1, 3, SIDE, SIDE), input_points=point).pred_masks.std()
        for part in module.mask_decoder.output_hypernetworks_mlps:
            for parameter in part.proj_out.parameters():
                parameter.div_(spread)  # as probabilities of large logits are all the same
    return module


def answer_of_the_library(
    module: nn.Module, pixels: Tensor, size: tuple[int, int], resized: tuple[int, int], point: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Logits (3, H, W) of all masks in float64 and their predicted IoU (3), by `post_process_masks`.

    Args:
        module: The network.
        pixels: (1, 3, SIDE, SIDE), as its processor prepares an image.
        size: Height and width of the image.
        resized: Height and width of the image in `pixels`.
        point: Row and column, in pixels of the image.
    """
    row, column = point
    x_and_y = [column * (resized[1] / size[1]), row * (resized[0] / size[0])]
    result = module(pixel_values=pixels, input_points=pixels.new_tensor(x_and_y).view(1, 1, 1, 2))
    if module.config.model_type == "sam":
        processor = transformers.SamImageProcessor(pad_size={"height": SIDE, "width": SIDE})
        masks = processor.post_process_masks(result.pred_masks, [size], [resized], binarize=False)
    else:
        masks = transformers.Sam2ImageProcessor().post_process_masks(result.pred_masks, [size], binarize=False)
    return masks[0][0], result.iou_scores[0, 0]
