"""Tiny random networks of transformers that answer with queries and masks, and their scores once more by hand."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import transformers
from torch import Tensor, nn

NUM_CLASSES = 4
TASK = torch.tensor([[5, 3, 8, 1, 0, 0, 0, 0, 0]])
"""Tokens of a OneFormer's task; any are as good as others for random weights."""
_WIDTH = 32
"""The group normalisations of the pixel decoders have 32 groups."""
_LABELS = {index: f"part {index}" for index in range(NUM_CLASSES)}


def _swin() -> Any:
    return transformers.SwinConfig(
        image_size=64, patch_size=4, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4], window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip


def _resnet() -> Any:
    return transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 16, 32], depths=[1, 1, 1, 1],
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip


def _detr() -> Any:
    return transformers.DetrConfig(
        backbone_config=_resnet(), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, num_queries=5,
    )  # fmt: skip


_DECODER = {
    "hidden_dim": _WIDTH, "encoder_layers": 1, "decoder_layers": 2, "num_attention_heads": 2, "dim_feedforward": 16,
    "encoder_feedforward_dim": 16, "num_queries": 5, "id2label": _LABELS,
}  # fmt: skip


def maskformer() -> nn.Module:
    return transformers.MaskFormerForInstanceSegmentation(
        transformers.MaskFormerConfig(
            backbone_config=_swin(), decoder_config=_detr(), fpn_feature_size=_WIDTH,
            mask_feature_size=_WIDTH, id2label=_LABELS,
        )
    )  # fmt: skip


def mask2former() -> nn.Module:
    sizes = {"feature_size": _WIDTH, "mask_feature_size": _WIDTH}
    return transformers.Mask2FormerForUniversalSegmentation(
        transformers.Mask2FormerConfig(backbone_config=_swin(), **sizes, **_DECODER)
    )


def oneformer() -> nn.Module:
    text = {"text_encoder_width": _WIDTH, "text_encoder_num_layers": 1, "text_encoder_vocab_size": 20}
    sizes = {"conv_dim": _WIDTH, "mask_dim": _WIDTH, "query_dec_layers": 1, "task_seq_len": TASK.shape[1]}
    return transformers.OneFormerForUniversalSegmentation(
        transformers.OneFormerConfig(backbone_config=_swin(), **sizes, **text, **_DECODER)
    )


def eomt() -> nn.Module:
    return transformers.EomtForUniversalSegmentation(
        transformers.EomtConfig(
            hidden_size=16, num_hidden_layers=3, num_attention_heads=2, image_size=64, patch_size=8, num_blocks=1,
            num_queries=5, num_upscale_blocks=2, mlp_ratio=2, id2label=_LABELS,
        )
    )  # fmt: skip


BUILDERS: Mapping[str, Callable[[], nn.Module]] = {
    "maskformer": maskformer, "mask2former": mask2former, "oneformer": oneformer, "eomt": eomt,
}  # fmt: skip


def options_of(name: str) -> dict[str, Tensor]:
    """What the network takes beside the image."""
    return {"task_inputs": TASK} if name == "oneformer" else {}


def answer_of_the_library(name: str, result: Any, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Labels (H, W) and scores (K, H, W) by `post_process_semantic_segmentation` of the library's image processor."""
    processor = {
        "maskformer": transformers.MaskFormerImageProcessor,
        "mask2former": transformers.Mask2FormerImageProcessor,
        "oneformer": transformers.OneFormerImageProcessor,
        "eomt": transformers.EomtImageProcessor,
    }[name]
    # The processors are not made, as that of OneFormer would fetch a table; what they need is stated here.
    bare = processor.__new__(processor)
    bare.size = {"shortest_edge": size[0], "longest_edge": size[1]}
    found = processor.post_process_semantic_segmentation(bare, result, [size], return_segmentation_scores=True)[0]
    return found.segmentation, found.segmentation_scores


def log_scores_by_hand(name: str, result: Any, size: tuple[int, int]) -> Tensor:
    """Log-scores (K, H, W), one query after the other."""
    classes, masks = result.class_queries_logits, result.masks_queries_logits
    first_size = {"mask2former": (384, 384), "eomt": size}.get(name, masks.shape[-2:])
    total = torch.zeros(1, NUM_CLASSES, *first_size, dtype=masks.dtype)
    for query in range(masks.shape[1]):
        mask = nn.functional.interpolate(masks[:, query : query + 1], first_size, mode="bilinear").sigmoid()
        share = classes[0, query].softmax(dim=0)[:NUM_CLASSES]
        total = total + share[None, :, None, None] * mask
    return nn.functional.interpolate(total, size, mode="bilinear")[0].log()


def lively(name: str) -> nn.Module:
    """The network in eval mode, with weights under which queries and pixels differ and no class is everywhere."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = BUILDERS[name]().eval().requires_grad_(requires_grad=False)
        parameters = dict(module.named_parameters())
        for key, parameter in parameters.items():
            if parameter.ndim > 1:
                width = 1 if "quer" in key and "embed" in key else parameter[0].numel()
                parameter.normal_(std=(6.0 if "class" in key else 2.0) / width**0.5)
        image = torch.rand(1, 3, 64, 64)
        bias = next(value for key, value in parameters.items() if "class" in key and value.shape == (NUM_CLASSES + 1,))
        for _ in range(5):
            scores = log_scores_by_hand(name, module(image, **options_of(name)), (64, 64)).exp()
            bias[:NUM_CLASSES] -= scores.mean(dim=(1, 2)).log()
    return module
