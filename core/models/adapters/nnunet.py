"""nnU-Net v2: a checkpoint's network rebuilt from its plans, with nnU-Net's preprocessing inside it.

An image goes through the network as one patch goes through nnU-Net's predictor: normalised channel by channel, then
padded with zeros around it. So a gradient is with respect to the image before all of that.
Plans name classes, which nnU-Net looks up and calls; here only names in a short list are.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import UserError
from ...segmenter.canvas import rounded_up
from ...segmenter.segmenter import normalisation_of
from ..metadata import CheckpointInfo, check_arguments, check_class_names
from ..ranges import InvalidValueError, shortened
from ..zoo.architecture import Architecture, register

NAME = "nnunet"
_NETWORKS = ("PlainConvUNet", "ResidualEncoderUNet", "ResidualUNet")
_LAYERS = {
    name: getattr(nn, name)
    for name in ("Conv2d", "InstanceNorm2d", "BatchNorm2d", "Dropout2d", "LeakyReLU", "ReLU", "GELU", "ELU", "SiLU")
}
_LAYER_ARGUMENTS = ("conv_op", "norm_op", "dropout_op", "nonlin")
_OF_IMAGE = ("ZScoreNormalization", "RescaleTo01Normalization")
"""Schemes with statistics of the image, which its scale does not change."""
_OF_TRAINING = ("CTNormalization", "NoNormalization")
"""Schemes for the intensities of the training images, whatever these were."""
_SCHEMES = (*_OF_IMAGE, *_OF_TRAINING, "RGBTo01Normalization")
_SMALLEST = 1e-8
_MOST_BYTES = 2**26


class _AsPredicted(nn.Module):
    """Mixed into a network of dynamic-network-architectures: runs it as nnU-Net runs it on one patch."""

    schemes: Sequence[Mapping[str, Any]]
    patch_size: tuple[int, int]
    multiple: tuple[int, int]
    region: int | None

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K, H, W) of images (B, C, H, W)."""
        inside = (images != 0).any(dim=1, keepdim=True)
        channels = zip(images.split(1, dim=1), self.schemes, strict=True)
        values = torch.cat([_normalised(channel, inside, scheme) for channel, scheme in channels], dim=1)
        height, width = values.shape[2:]
        rows, columns = (
            rounded_up((max(side, patch),) * 2, multiple)[0] - side
            for side, patch, multiple in zip((height, width), self.patch_size, self.multiple, strict=True)
        )
        top, left = rows // 2, columns // 2
        logits = super().forward(F.pad(values, (left, columns - left, top, rows - top)))
        logits = logits[..., top : top + height, left : left + width]
        return logits if self.region is None else logits[:, self.region : self.region + 1]


def _normalised(values: Tensor, inside: Tensor, scheme: Mapping[str, Any]) -> Tensor:
    """A channel (B, 1, H, W), normalised as nnU-Net's class of that name does."""
    if scheme["name"] == "ZScoreNormalization":
        inside = inside if scheme["masked"] else torch.ones_like(inside)
        count = inside.sum(dim=(2, 3), keepdim=True).clamp_min(1)
        mean = torch.where(inside, values, 0).sum(dim=(2, 3), keepdim=True) / count
        squares = torch.where(inside, (values - mean).square(), 0).sum(dim=(2, 3), keepdim=True)
        # The variance is bounded rather than its root, whose derivative at 0 is infinite.
        return torch.where(inside, (values - mean) / (squares / count).clamp_min(_SMALLEST**2).sqrt(), values)
    if scheme["name"] == "RescaleTo01Normalization":
        lifted = values - values.amin(dim=(2, 3), keepdim=True)
        return lifted / lifted.amax(dim=(2, 3), keepdim=True).clamp_min(_SMALLEST)
    if scheme["name"] == "CTNormalization":
        values = values.clamp(scheme["percentile_00_5"], scheme["percentile_99_5"])
    mean, std = scheme.get("mean", 0.0), scheme.get("std", 1.0)
    return torch.where(inside, (values - mean) / std, values) if scheme.get("masked") else (values - mean) / std


def is_checkpoint(content: Any) -> bool:
    """Whether the content of a PyTorch file is what nnU-Net v2 saves."""
    return isinstance(content, Mapping) and {"network_weights", "init_args", "trainer_name"} <= content.keys()


def info_of(content: Mapping[str, Any], path: Path) -> CheckpointInfo:
    """The info of an nnU-Net checkpoint, from plans.json and dataset.json beside it or one folder up, else from itself.

    Raises:
        UserError: Plans of a network that cannot be rebuilt or explained, or files that are not nnU-Net's.
    """
    given = content["init_args"] if isinstance(content["init_args"], Mapping) else {}
    plans, data_set = (
        _json_beside(path, f"{file}.json") or given.get(key)
        for file, key in (("plans", "plans"), ("dataset", "dataset_json"))
    )
    if not isinstance(plans, Mapping) or not isinstance(data_set, Mapping):
        raise UserError(
            f"{path.name} is an nnU-Net checkpoint without its plans; keep plans.json and dataset.json in its folder "
            "or the one above."
        )
    try:
        info = _info(plans, data_set, str(given.get("configuration", "2d")), str(content["trainer_name"]))
        check_arguments(info.arguments)
        check_class_names(info.class_names)
    except InvalidValueError as error:
        raise UserError(f"The plans of {path.name} cannot be used: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        if isinstance(error, UserError):
            raise
        reason = f"{type(error).__name__}: {shortened(str(error), 80)}"
        raise UserError(f"The plans of {path.name} are not those of nnU-Net v2 ({reason}).") from error
    return info


def as_asked(
    info: CheckpointInfo,
    output: str | int | None,
    mean: float | Sequence[float] | None,
    std: float | Sequence[float] | None,
    *,
    any_intensity: bool,
) -> tuple[CheckpointInfo, list[str]]:
    """The info with what the caller of `load_segmenter` states, and notes about how the image is treated.

    Args:
        info: Of an nnU-Net checkpoint.
        output: Name or index of the region to explain, where the network was trained on regions.
        mean: Instead of the image's own, such as that of the whole volume; `std` likewise.
        std: As `mean`.
        any_intensity: Whether images hold the intensities of the training images rather than [0, 1].

    Raises:
        UserError: A normalisation for intensities that images in [0, 1] do not have, or no region.
    """
    arguments = dict(info.arguments)
    names = [scheme["name"] for scheme in arguments["schemes"]]
    raw = [name for name in dict.fromkeys(names) if name in _OF_TRAINING]
    if raw and not any_intensity:
        raise UserError(
            f"This nnU-Net normalises with {raw[0]}, which needs the intensities of its training images (such as "
            "Hounsfield units) rather than [0, 1]; load it in Python with any_intensity=True and give such images."
        )
    if mean is not None or std is not None:
        if not set(names) <= {*_OF_IMAGE}:
            raise UserError("The plans of this nnU-Net state its normalisation; leave out mean and std.")
        own = normalisation_of(0.0 if mean is None else mean, 1.0 if std is None else std, len(names))
        arguments["schemes"] = [
            {"name": "fixed", "masked": scheme.get("masked", False), "mean": own_mean, "std": own_std}
            for scheme, own_mean, own_std in zip(arguments["schemes"], *own, strict=True)
        ]
    elif any_intensity:
        arguments["schemes"] = [
            scheme | {"std": 255.0} if scheme["name"] == "RGBTo01Normalization" else scheme
            for scheme in arguments["schemes"]
        ]
    regions = arguments.pop("regions", [])
    names_of_classes = info.class_names
    if regions:
        region = regions.index(output) if output in regions else output
        region = int(region) if isinstance(region, str) and region.isdecimal() else region
        if not isinstance(region, int) or not 0 <= region < len(regions):
            raise UserError(
                f"This nnU-Net was trained on regions that overlap; choose one with the argument label: "
                f"{', '.join(regions)}."
            )
        arguments["region"] = region
        names_of_classes = (f"not {regions[region]}", regions[region])
    elif output is not None:
        raise UserError("The classes of this nnU-Net exclude each other; leave out the label.")
    return replace(info, arguments=arguments, class_names=names_of_classes), _notes(info, arguments["schemes"])


def _notes(info: CheckpointInfo, schemes: Sequence[Mapping[str, Any]]) -> list[str]:
    about, patch = info.training, "×".join(map(str, info.arguments["patch_size"]))
    notes = [
        f"nnU-Net's preprocessing is inside: {', '.join(dict.fromkeys(_words(scheme) for scheme in schemes))}",
        f"the image is run once and whole; nnU-Net averages over mirrored images and, above {patch} pixels, over tiles",
        "nnU-Net cuts off a border of zeros first, which is not done here; crop such images before",
    ]
    if any(scheme["name"] in _OF_IMAGE for scheme in schemes):
        notes.append("the scores do not change with the brightness of the image, so compare with no black baseline")
        if about.get("is_volume"):
            notes.append(
                "its statistics are those of the image, nnU-Net's those of the volume; give mean and std to use these"
            )
    if about.get("spacing"):
        notes.append(f"images are taken to have the plans' pixel spacing, {about['spacing']}")
    if about.get("trainer") != "nnUNetTrainer":
        notes.append(f"the network is that of the plans; {about.get('trainer')} may have built another")
    return notes


def _words(scheme: Mapping[str, Any]) -> str:
    if scheme["name"] == "fixed":
        return f"mean {scheme['mean']:g} and std {scheme['std']:g} as given"
    return {
        "ZScoreNormalization": "mean 0 and std 1 of each channel over "
        + ("what is not zero in the image" if scheme.get("masked") else "the image"),
        "RescaleTo01Normalization": "each channel's range stretched to [0, 1]",
        "CTNormalization": "intensities clipped and normalised by those of the training images",
        "NoNormalization": "none",
        "RGBTo01Normalization": "colours in [0, 1]",
    }[scheme["name"]]


def _json_beside(path: Path, name: str) -> object:
    for folder in (path.parent, path.parent.parent):
        file = folder / name
        if file.is_file():
            if file.stat().st_size > _MOST_BYTES:
                raise UserError(f"{file} is larger than {_MOST_BYTES // 2**20} MB; it is not nnU-Net's.")
            try:
                found = json.loads(file.read_text(encoding="utf-8"))
            except (ValueError, RecursionError) as error:
                raise UserError(f"{file} is no JSON file ({shortened(str(error), 80)}); copy it again.") from error
            return found
    return None


def _info(plans: Mapping[str, Any], data_set: Mapping[str, Any], configuration: str, trainer: str) -> CheckpointInfo:
    chosen = _configuration(plans, configuration)
    dimensions = len(chosen["patch_size"])
    if dimensions != 2:
        raise UserError(
            f"The nnU-Net configuration {configuration} is a {dimensions}-D network, and only 2-D ones can be "
            "explained; give a checkpoint of the configuration 2d."
        )
    if chosen.get("previous_stage"):
        raise UserError("This nnU-Net takes the result of a previous stage as well as the image; give one without.")
    network, arguments = _network(chosen)
    channels = data_set["modality"] if "modality" in data_set else data_set["channel_names"]
    class_names, regions = _labels(data_set["labels"])
    shape = plans.get("original_median_shape_after_transp") or (1,)
    spacing = [float(each) for each in chosen.get("spacing") or ()]
    return CheckpointInfo(
        NAME,
        {
            "in_channels": len(channels),
            "num_classes": len(regions or class_names),
            "network": network,
            "network_arguments": arguments,
            "schemes": list(_schemes(plans, chosen, len(channels))),
            "patch_size": [*map(int, chosen["patch_size"])],
            **({"regions": regions} if regions else {}),
        },
        () if regions else tuple(class_names),
        in_channels=len(channels),
        training={
            "trainer": trainer,
            "configuration": configuration,
            "is_volume": float(shape[0]) > 1,
            "spacing": " × ".join(f"{each:g}" for each in spacing) if any(each != 1 for each in spacing) else "",
        },
    )


def _configuration(plans: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A configuration with what it inherits from others."""
    found: dict[str, Any] = {}
    visited: list[str] = []
    while name not in visited:
        if name not in plans["configurations"]:
            raise UserError(f"The nnU-Net plans have no configuration {name}; give the plans of this checkpoint.")
        visited.append(name)
        found = {**plans["configurations"][name], **found}
        name = str(plans["configurations"][name].get("inherits_from", name))
    return found


def _network(configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name of the network's class and its arguments, those of layers as names."""
    if "architecture" in configuration:
        stated = configuration["architecture"]
        package, _, network = stated["network_class_name"].rpartition(".")
        arguments = dict(stated["arch_kwargs"])
        known = package.startswith("dynamic_network_architectures.architectures.")
    else:  # plans made before nnU-Net 2.4
        known, network = True, configuration["UNet_class_name"]
        encoder = configuration["n_conv_per_stage_encoder"]
        first, most = configuration["UNet_base_num_features"], configuration["unet_max_num_features"]
        arguments = {
            "n_stages": len(encoder),
            "features_per_stage": [min(first * 2**stage, most) for stage in range(len(encoder))],
            "conv_op": "torch.nn.Conv2d",
            "kernel_sizes": configuration["conv_kernel_sizes"],
            "strides": configuration["pool_op_kernel_sizes"],
            "n_conv_per_stage" if network == "PlainConvUNet" else "n_blocks_per_stage": encoder,
            "n_conv_per_stage_decoder": configuration["n_conv_per_stage_decoder"],
            "conv_bias": True,
            "norm_op": "torch.nn.InstanceNorm2d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        }
    if not known or network not in _NETWORKS:
        raise UserError(
            f"This nnU-Net's network is {shortened(network, 80)}; {', '.join(_NETWORKS)} can be rebuilt, others come "
            "from a function of your own (package.module:function)."
        )
    for name in _LAYER_ARGUMENTS:
        if (stated := arguments.get(name)) is not None:
            package, _, layer = stated.rpartition(".")
            if layer not in _LAYERS or package.partition(".")[0] != "torch":
                raise UserError(f"The nnU-Net plans have {shortened(stated, 80)} as {name}, which is not known here.")
            arguments[name] = layer
    return network, {key: value for key, value in arguments.items() if key != "deep_supervision"}


def _labels(labels: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The names of the classes in the order of their values; or of the regions, where labels are several values."""
    stated = {name: value for name, value in labels.items() if name != "ignore"}
    if any(isinstance(value, list | tuple) and len(value) > 1 for value in stated.values()):
        return [], [name for name, value in stated.items() if value not in (0, [0], (0,))]
    values = {int(value[0] if isinstance(value, list | tuple) else value): name for name, value in stated.items()}
    if sorted(values) != [*range(len(stated))]:
        raise UserError(f"The labels of dataset.json are {sorted(values)}; nnU-Net's count from 0 without a gap.")
    return [values[value] for value in sorted(values)], []


def _schemes(plans: Mapping[str, Any], configuration: Mapping[str, Any], channels: int) -> Iterator[dict[str, Any]]:
    """The normalisation of each channel."""
    names, masked = configuration["normalization_schemes"], configuration["use_mask_for_norm"]
    for channel, (name, is_masked) in enumerate(zip(names[:channels], masked[:channels], strict=True)):
        if name not in _SCHEMES:
            raise UserError(f"The nnU-Net plans normalise with {shortened(name, 80)}; known are {', '.join(_SCHEMES)}.")
        scheme: dict[str, Any] = {"name": name, "masked": bool(is_masked)} if name == _OF_IMAGE[0] else {"name": name}
        if name == "CTNormalization":
            properties = (
                plans.get("foreground_intensity_properties_per_channel")
                or (plans["foreground_intensity_properties_by_modality"])
            )
            own = {
                key: float(properties[str(channel)][key])
                for key in ("mean", "std", "percentile_00_5", "percentile_99_5")
            }
            scheme |= own | {"std": max(own["std"], _SMALLEST)}
        yield scheme


@cache
def _classes() -> dict[str, type[nn.Module]]:
    """The networks of dynamic-network-architectures by name, with nnU-Net's preprocessing."""
    try:
        from dynamic_network_architectures.architectures import unet  # noqa: PLC0415 - optional
    except ImportError as error:
        raise UserError(
            "An nnU-Net checkpoint needs the package dynamic-network-architectures; install it with "
            "`pip install dynamic-network-architectures`."
        ) from error
    return {name: type(f"nnUNet{name}", (_AsPredicted, getattr(unet, name)), {}) for name in _NETWORKS}


def _build(
    *,
    in_channels: int,
    num_classes: int,
    network: str,
    network_arguments: Mapping[str, Any],
    schemes: Sequence[Mapping[str, Any]],
    patch_size: Sequence[int],
    region: int | None = None,
) -> nn.Module:
    """The network of the plans, with fresh weights."""
    arguments = dict(network_arguments)
    layers = {name: _LAYERS[arguments[name]] for name in _LAYER_ARGUMENTS if arguments.get(name) is not None}
    module: Any = _classes()[network](
        input_channels=in_channels, num_classes=num_classes, **arguments | layers, deep_supervision=False
    )
    strides = [[each] * 2 if isinstance(each, int) else each for each in arguments["strides"]]
    module.multiple = tuple(math.prod(axis) for axis in zip(*strides, strict=True))
    module.schemes, module.patch_size, module.region = schemes, tuple(patch_size), region
    return module


register(NAME, Architecture(_build, lambda _: None, library=""), listed=False)
