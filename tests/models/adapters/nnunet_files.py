"""A folder of results as nnU-Net v2 writes it, with random weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch import nn

ARCHITECTURE = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "arch_kwargs": {
        "n_stages": 3,
        "features_per_stage": [4, 6, 8],
        "conv_op": "torch.nn.modules.conv.Conv2d",
        "kernel_sizes": [[3, 3]] * 3,
        "strides": [[1, 1], [2, 2], [2, 2]],
        "n_conv_per_stage": [1, 1, 1],
        "n_conv_per_stage_decoder": [1, 1],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    },
    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
}
OLD_CONFIGURATION = {
    "UNet_class_name": "PlainConvUNet",
    "UNet_base_num_features": 4,
    "unet_max_num_features": 6,
    "n_conv_per_stage_encoder": [1, 1, 1],
    "n_conv_per_stage_decoder": [1, 1],
    "num_pool_per_axis": [2, 2],
    "pool_op_kernel_sizes": [[1, 1], [2, 2], [2, 2]],
    "conv_kernel_sizes": [[3, 3]] * 3,
}
INTENSITIES = {"mean": 40.0, "std": 200.0, "percentile_00_5": -300.0, "percentile_99_5": 500.0, "max": 3000.0}


def network(num_classes: int, channels: int = 2, features: tuple[int, ...] = (4, 6, 8)) -> PlainConvUNet:
    """The network that nnU-Net trains on these plans, with deep supervision."""
    torch.manual_seed(0)
    return PlainConvUNet(
        channels, 3, features, nn.Conv2d, [[3, 3]] * 3, [[1, 1], [2, 2], [2, 2]], [1, 1, 1], num_classes, [1, 1],
        conv_bias=True, norm_op=nn.InstanceNorm2d, norm_op_kwargs={"eps": 1e-5, "affine": True}, nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True}, deep_supervision=True,
    )  # fmt: skip


def plans(scheme: str = "ZScoreNormalization", *, masked: bool = False, **configuration: Any) -> dict[str, Any]:
    """Plans of a 2-D network for two channels."""
    own = {
        "patch_size": [32, 40],
        "spacing": [1.0, 1.0],
        "normalization_schemes": [scheme] * 2,
        "use_mask_for_norm": [masked] * 2,
        "architecture": ARCHITECTURE,
    }
    own = {name: value for name, value in (own | configuration).items() if value is not None}
    return {
        "configurations": {"2d": {"inherits_from": "base", "batch_size": 2}, "base": own},
        "original_median_shape_after_transp": [1, 30, 36],
        "foreground_intensity_properties_per_channel": {"0": INTENSITIES, "1": INTENSITIES},
    }


def data_set(labels: dict[str, Any] | None = None) -> dict[str, Any]:
    labels = labels or {"background": 0, "vein": 2, "artery": 1, "ignore": 3}
    return {"channel_names": {"0": "T1", "1": "T2"}, "labels": labels, "file_ending": ".png"}


def write(
    folder: Path,
    module: nn.Module,
    plans: dict[str, Any],
    data_set: dict[str, Any],
    *,
    files: bool = True,
    **content: Any,
) -> Path:
    """Write `folder/fold_0/checkpoint_final.pth`, with the plans beside it or only inside it."""
    (folder / "fold_0").mkdir(parents=True)
    if files:
        (folder / "plans.json").write_text(json.dumps(plans))
        (folder / "dataset.json").write_text(json.dumps(data_set))
    arguments = {"configuration": "2d", "fold": 0, "unpack_dataset": True, "device": torch.device("cuda")}
    optimiser = torch.optim.SGD(module.parameters(), 0.01, momentum=0.9)
    saved = {
        "network_weights": module.state_dict(),
        "optimizer_state": optimiser.state_dict(),
        "grad_scaler_state": {"scale": 65536.0, "_growth_tracker": 3},
        "logging": {"mean_fg_dice": [np.float64(0.5)], "dice_per_class_or_region": [[np.float32(0.5)] * 2]},
        "_best_ema": np.float64(0.71),
        "current_epoch": 1000,
        "init_args": arguments | ({} if files else {"plans": plans, "dataset_json": data_set}),
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1),
    }
    path = folder / "fold_0" / "checkpoint_final.pth"
    torch.save(saved | content, path)
    return path


__all__ = ["OLD_CONFIGURATION", "ResidualEncoderUNet", "data_set", "network", "plans", "write"]
