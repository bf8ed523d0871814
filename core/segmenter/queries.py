"""One score per class and pixel from a network that answers with queries: the classes of each query, and its mask."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError

QUERIES = "queries and masks"
"""The entry of a result that holds scores made from queries."""

QUERY_NETWORKS = ("maskformer", "mask2former", "oneformer", "eomt", "eomt_dinov3")
"""Model types of transformers that answer with the classes (B, Q, K + 1) of queries and their masks (B, Q, h, w)."""

_TASK_INPUTS = "task_inputs"
_LEAST_SCORE = torch.finfo(torch.float32).tiny


def with_scores_of_queries(module: nn.Module, result: object, size: tuple[int, int]) -> object:
    """The result with log-scores (B, K, height, width) where the network is one of queries; else as it is.

    The score of class c is the sum over the queries of softmax(classes)_c · sigmoid(mask), "no object" left out (Cheng
    et al., "Per-pixel classification is not all you need for semantic segmentation", 2021, section 3.4). Masks and sums
    are resized in the order of `post_process_semantic_segmentation` of transformers, so that the labels are its own:
    the sum for most, the masks first for Mask2Former (to 384×384) and EoMT (to the image). The logarithm comes last.

    Args:
        module: The network; its `config.model_type` says which one of transformers it is.
        result: What it returned.
        size: Height and width of its image.

    Raises:
        UserError: A result without classes or masks, or of a single class.
        ValueError: An EoMT and another size than its own.
    """
    model_type = _model_type(module)
    if model_type not in QUERY_NETWORKS:
        return result
    classes, masks = (getattr(result, name, None) for name in ("class_queries_logits", "masks_queries_logits"))
    if classes is None or masks is None:
        raise UserError(
            f"The network {type(module).__name__} returned a {type(result).__name__} without the classes and the masks "
            "of its queries; set return_dict=True in its config."
        )
    if classes.shape[-1] == 2:
        raise UserError(
            f"The network {type(module).__name__} has one class, which is then the label of every pixel; train it with "
            "a class for the background."
        )
    exact = torch.promote_types(masks.dtype, torch.float32)
    classes, masks = classes.to(exact), masks.to(exact)
    if model_type == "mask2former":
        masks = _resized(masks, (384, 384))
    elif model_type.startswith("eomt"):
        _check_size(module, size)
        masks = _resized(masks, size)
    scores = torch.einsum("bqc,bqhw->bchw", classes.softmax(dim=-1)[..., :-1], masks.sigmoid())
    return {QUERIES: _resized(scores, size).clamp_min(_LEAST_SCORE).log()}


def check_task(module: nn.Module) -> None:
    """Raise a UserError for a OneFormer that was not given the tokens of its task, which it takes beside the image."""
    if _model_type(module) == "oneformer" and not hasattr(module, _TASK_INPUTS):
        raise UserError(
            "OneFormer takes the tokens of its task beside the image; save the model and its processor into a folder, "
            "and load that with load_segmenter."
        )


def set_task(module: nn.Module, tokens: Tensor) -> None:
    """Give a OneFormer the tokens (1, n) of its task, for every image."""
    module.register_buffer(_TASK_INPUTS, tokens)
    module.register_forward_pre_hook(_add_task, with_kwargs=True)


def _add_task(module: nn.Module, images: tuple[Tensor], options: dict[str, Tensor]) -> tuple[tuple[Tensor], dict]:
    tokens = module.get_buffer(_TASK_INPUTS)
    return images, {_TASK_INPUTS: tokens.expand(len(images[0]), -1)} | options


def _model_type(module: nn.Module) -> str | None:
    return getattr(getattr(module, "config", None), "model_type", None)


def _check_size(module: nn.Module, size: tuple[int, int]) -> None:
    """Refuse sizes of which the patches of EoMT would leave out the last rows or columns without a word."""
    own: Any = module.config.image_size  # type: ignore[union-attr]
    height, width = (own, own) if isinstance(own, int) else own
    if size != (height, width):
        raise ValueError(f"its images are of {height}×{width} pixels")


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return maps if maps.shape[-2:] == size else F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
