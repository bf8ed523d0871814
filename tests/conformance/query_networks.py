"""Tiny networks of transformers that answer with queries and masks."""

from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import interpolate

from tests.conformance.network import Network

_SIZE = (64, 64)
_MASKS_FIRST = {"mask2former": (384, 384), "eomt": _SIZE}
"""The sizes to which the library resizes the masks before it adds them up."""


def _build(name: str) -> nn.Module:
    from tests.models.adapters.query_networks import BUILDERS

    return BUILDERS[name]()


def _read(result: Any, name: str) -> Tensor:
    """log Σ softmax(class) · sigmoid(mask) over the queries, without "no object"."""
    masks = result.masks_queries_logits
    if name in _MASKS_FIRST:
        masks = interpolate(masks, _MASKS_FIRST[name], mode="bilinear", align_corners=False)
    classes = result.class_queries_logits.softmax(dim=-1)[..., :-1]
    scores = (classes[:, :, :, None, None] * masks.sigmoid()[:, :, None]).sum(dim=1)
    return interpolate(scores, _SIZE, mode="bilinear", align_corners=False).log()


NETWORKS = {
    f"transformers-{name}": Network(
        partial(_build, name), ("transformers",), sizes=(_SIZE,), space="logit", read=partial(_read, name=name)
    )
    for name in ("maskformer", "mask2former", "eomt")
}
