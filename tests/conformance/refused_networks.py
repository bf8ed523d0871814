"""Networks that are refused, as their results cannot be read as one score per class and pixel, or not for certain."""

from functools import partial

import torchvision
from torch import nn

from tests.conformance.network import Network
from tests.conformance.vision_networks import Then, small_unet


def _detector(name: str) -> nn.Module:
    return getattr(torchvision.models.detection, name)(
        weights=None, weights_backbone=None, num_classes=3, min_size=64, max_size=96
    )


def _detr() -> nn.Module:
    import transformers

    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = transformers.DetrConfig(
        backbone_config=backbone, use_timm_backbone=False, d_model=64, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=8, decoder_attention_heads=8, encoder_ffn_dim=32, decoder_ffn_dim=32, num_queries=4,
        num_labels=3,
    )  # fmt: skip
    return transformers.DetrForSegmentation(config)


def _monai(name: str, **arguments: object) -> nn.Module:
    import monai.networks.nets

    return getattr(monai.networks.nets, name)(**arguments)


_DETECTORS = (
    "maskrcnn_resnet50_fpn", "keypointrcnn_resnet50_fpn", "fasterrcnn_mobilenet_v3_large_fpn", "retinanet_resnet50_fpn",
)  # fmt: skip
_EVERYWHERE = {
    "smp-unet-labels": lambda: Then(small_unet(), lambda scores: scores.argmax(dim=1)),
    "smp-unet-multi-label": lambda: small_unet(activation="sigmoid"),
    "smp-unet-dropout": lambda: Then(small_unet(), lambda scores: nn.functional.dropout(scores, 0.5, training=True)),
    "torchvision-resnet18": lambda: torchvision.models.resnet18(weights=None),
    **{f"torchvision-{name}": partial(_detector, name) for name in _DETECTORS},
}
_TRANSFORMERS = {"detr": _detr}
_MONAI = {
    "seg-res-net-ds2-without-output": partial(
        _monai, "SegResNetDS2", spatial_dims=2, init_filters=8, in_channels=3, out_channels=3, blocks_down=(1, 1, 2)
    ),
    "unet-3d": partial(
        _monai, "UNet", spatial_dims=3, in_channels=3, out_channels=3, channels=(4, 8), strides=(2,)
    ),
}  # fmt: skip

NETWORKS = {name: Network(build) for name, build in _EVERYWHERE.items()}
NETWORKS |= {f"transformers-{name}": Network(build, ("transformers",)) for name, build in _TRANSFORMERS.items()}
NETWORKS |= {f"monai-{name}": Network(build, ("monai",)) for name, build in _MONAI.items()}
