"""Small 2-D networks of MONAI."""

from functools import partial
from typing import Any

from torch import nn

from tests.conformance.network import SIZES, Network


def _net(name: str, **arguments: Any) -> nn.Module:
    import monai.networks.nets

    return getattr(monai.networks.nets, name)(**{"spatial_dims": 2, "in_channels": 1, "out_channels": 3} | arguments)


def _quicknat() -> nn.Module:
    import monai.networks.nets

    return monai.networks.nets.Quicknat(num_classes=3, num_filters=8, se_block="CSE")


_MEDNEXT = {
    "init_filters": 8, "blocks_down": (1, 1), "blocks_up": (1, 1), "blocks_bottleneck": 1, "kernel_size": 3,
}  # fmt: skip
_BUILDERS = {
    "unet": partial(_net, "UNet", channels=(8, 16, 24), strides=(2, 2), num_res_units=2),
    "unet-batch-norm": partial(_net, "UNet", channels=(8, 16, 24), strides=(2, 2), norm="batch", act="relu"),
    "basic-unet": partial(_net, "BasicUNet", features=(8, 8, 16, 16, 24, 8)),
    "basic-unet-batch-norm": partial(_net, "BasicUNet", features=(8, 8, 16, 16, 24, 8), norm="batch"),
    "attention-unet": partial(_net, "AttentionUnet", channels=(8, 16, 24), strides=(2, 2)),
    "seg-res-net": partial(_net, "SegResNet", init_filters=8, blocks_down=(1, 1, 2), blocks_up=(1, 1)),
    "seg-res-net-ds": partial(_net, "SegResNetDS", init_filters=8, blocks_down=(1, 1, 2)),
    "dyn-unet": partial(
        _net, "DynUNet", kernel_size=(3, 3, 3), strides=(1, 2, 2), upsample_kernel_size=(2, 2), filters=(8, 16, 24)
    ),
    "dyn-unet-deep-supervision": partial(
        _net,
        "DynUNet",
        kernel_size=(3, 3, 3),
        strides=(1, 2, 2),
        upsample_kernel_size=(2, 2),
        filters=(8, 16, 24),
        deep_supervision=True,
    ),  # only while it is trained
    "basic-unet-plus-plus": partial(_net, "BasicUNetPlusPlus", features=(8, 8, 16, 16, 24, 8)),
    "seg-res-net-ds2": partial(_net, "SegResNetDS2", init_filters=8, blocks_down=(1, 1, 2)),
    "seg-res-net-vae": partial(_net, "SegResNetVAE", input_image_size=(64, 64)),
    "med-ne-xt": partial(_net, "MedNeXt", **_MEDNEXT),
    "med-ne-xt-global-response": partial(_net, "MedNeXt", global_resp_norm=True, **_MEDNEXT),
    "quicknat": _quicknat,
    "ahnet": partial(_net, "AHNet", layers=(1, 1, 1, 1), psp_block_num=2, upsample_mode="bilinear"),
    "reg-unet": partial(_net, "RegUNet", num_channel_initial=8, depth=2),
    "v-net": partial(_net, "VNet", out_channels=2, dropout_dim=2),
    "flexible-unet": partial(_net, "FlexibleUNet", backbone="resnet18", decoder_channels=(32, 16, 16, 8, 8)),
    "high-res-net": partial(_net, "HighResNet"),
    "swin-unetr": partial(_net, "SwinUNETR", feature_size=12, depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 4)),
    "unetr": partial(
        _net, "UNETR", img_size=(96, 96), feature_size=8, hidden_size=24, mlp_dim=32, num_heads=2, norm_name="instance"
    ),
}
_OPTIONS = {"mean": 0.5, "std": 0.25}
_MORE_OPTIONS: dict[str, dict[str, Any]] = {"seg-res-net-ds2": {"output": 0}}

NETWORKS = {
    f"monai-{name}": Network(
        build,
        ("monai", "einops") if "unetr" in name else ("monai",),
        in_channels=1,
        options=_OPTIONS | _MORE_OPTIONS.get(name, {}),
        sizes=((96, 96),) if name == "unetr" else SIZES,
    )
    for name, build in _BUILDERS.items()
}
