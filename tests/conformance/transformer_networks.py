"""Tiny random networks of transformers, each from its configuration class, without any download."""

from functools import partial
from typing import Any

from torch import nn

from tests.conformance.network import Network

_COMMON = {"num_labels": 3, "initializer_range": 0.2}
_VISION = _COMMON | {
    "image_size": 48, "patch_size": 8, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2,
    "intermediate_size": 48,
}  # fmt: skip
_BEIT = _VISION | {
    "out_indices": [1, 2, 3, 4], "use_relative_position_bias": True, "layer_scale_init_value": 0.5,
    "use_auxiliary_head": False, "pool_scales": (1, 2),
}  # fmt: skip


def _model(name: str, **config: Any) -> nn.Module:
    import transformers

    configuration = getattr(transformers, f"{name}Config")(**config)
    return getattr(transformers, f"{name}ForSemanticSegmentation")(configuration)


def _upernet(backbone: str, **config: Any) -> nn.Module:
    import transformers

    backbone_config = getattr(transformers, f"{backbone}Config")(**config)
    return _model(
        "UperNet", backbone_config=backbone_config, hidden_size=16, pool_scales=(1, 2), use_auxiliary_head=False,
        auxiliary_in_channels=32, **_COMMON,
    )  # fmt: skip


_BUILDERS = {
    "segformer": partial(
        _model, "Segformer", depths=[1, 1, 1, 1], hidden_sizes=[8, 16, 24, 32], decoder_hidden_size=16, **_COMMON
    ),
    "beit": partial(_model, "Beit", **_BEIT),
    "data2vec-vision": partial(_model, "Data2VecVision", **_BEIT),
    "dpt": partial(
        _model, "DPT", backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 8, 16, 16], fusion_hidden_size=16,
        use_auxiliary_head=False, **_VISION,
    ),
    "upernet-swin": partial(
        _upernet, "Swin", image_size=64, patch_size=4, embed_dim=8, depths=[1, 2, 1, 1], num_heads=[1, 2, 2, 4],
        window_size=4, out_features=["stage1", "stage2", "stage3", "stage4"], initializer_range=0.2,
    ),
    "upernet-convnext": partial(
        _upernet, "ConvNext", depths=[1, 1, 1, 1], hidden_sizes=[8, 16, 24, 32], layer_scale_init_value=0.5,
        out_features=["stage1", "stage2", "stage3", "stage4"], initializer_range=0.2,
    ),
    "mobilevit": partial(
        _model, "MobileViT", image_size=64, hidden_sizes=[16, 24, 32], num_attention_heads=2,
        neck_hidden_sizes=[8, 8, 16, 16, 24, 24, 32], **_COMMON,
    ),
    "mobilevit-v2": partial(
        _model, "MobileViTV2", image_size=64, width_multiplier=0.25, n_attn_blocks=[1, 1, 1], expand_ratio=1.0,
        aspp_out_channels=16, **_COMMON,
    ),
    "mobilenet-v2": partial(_model, "MobileNetV2", depth_multiplier=0.35, finegrained_output=True, **_COMMON),
}  # fmt: skip
# Data2Vec takes one size only, which is not the 64 pixels a side that first come to mind; DPT takes square images only.
_FEWER_SIZES = {"data2vec-vision": ((48, 48),), "dpt": ((48, 48), (45, 45))}
_DEFAULT_SIZES = ((64, 64), (67, 67), (64, 96))

NETWORKS = {
    f"transformers-{name}": Network(build, ("transformers",), sizes=_FEWER_SIZES.get(name, _DEFAULT_SIZES))
    for name, build in _BUILDERS.items()
}
