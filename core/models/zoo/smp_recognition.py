"""Recognising the networks of segmentation_models_pytorch: first the encoder, then what decodes it."""

import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

from .shapes import Shapes, shapes_of
from .smp_networks import DEPTHS, NAMES
from .weightless import Weightless

_ENCODER = "encoder."
_HEAD = "segmentation_head.0.weight"
_SMALL_ENCODER = "resnet18"
_BLOCK_CHANNELS = {"smp_unet": "decoder.blocks.{}.conv1.0.weight", "smp_manet": "decoder.blocks.{}.conv2.0.weight"}


def matching_smp_networks(shapes: Shapes) -> list[tuple[str, dict[str, Any]]]:
    """The networks, with their arguments, whose keys and shapes are all these.

    Each architecture is tried as it is by default; where none matches, with the depth, the channels and the attention
    of the decoder that the shapes tell. Timm's own encoders ("tu-…") are not tried: many of them share their keys.
    """
    stated = stated_by_smp_keys(shapes)
    if "encoder_name" not in stated or "num_classes" not in stated:
        return []
    if (auxiliary := shapes.get("classification_head.3.weight")) is not None:
        stated["aux_params"] = {"classes": auxiliary[0]}
    likely = [name for name in map("smp_{}".format, NAMES) if _decoder_parts(name) & _parts(shapes, "decoder.")]
    for variants in (_as_by_default, _as_the_shapes_tell):
        tried = [(name, {**stated, **variant}) for name in likely for variant in variants(name, shapes)]
        found = [(name, arguments) for name, arguments in tried if shapes_of(name, arguments) == shapes]
        if found:
            return [*found, *(twin for name, arguments in found for twin in _of_other_depths(name, arguments, shapes))]
    return []


def stated_by_smp_keys(shapes: Shapes) -> dict[str, Any]:
    """What the keys and shapes tell of the arguments: all, some or none of encoder_name, in_channels, num_classes."""
    stated: dict[str, Any] = {}
    own = {key.removeprefix(_ENCODER): shape for key, shape in shapes.items() if key.startswith(_ENCODER)}
    if own and (found := _encoder(own)) is not None:
        stated["encoder_name"], stated["in_channels"] = found
    if len(shapes.get(_HEAD, ())) == 4:
        stated["num_classes"] = shapes[_HEAD][0]
    return stated


def _encoder(shapes: Shapes) -> tuple[str, int] | None:
    """The one encoder with these keys and shapes, and the channels of its image."""
    found = [
        (name, channels)
        for members in _families().values()
        # One family's encoders have the same parts, so its first member tells whether to build the others.
        if {key.split(".")[0] for key in _encoder_shapes(members[0])} == {key.split(".")[0] for key in shapes}
        for name in members
        if (channels := _channels_of_match(shapes, _encoder_shapes(name))) is not None
    ]
    return found[0] if len(found) == 1 else None


def _channels_of_match(shapes: Shapes, built: Shapes) -> int | None:
    """The image's channels, if the shapes are those of an encoder built for three but for the first convolutions."""
    if shapes.keys() != built.keys():
        return None
    differing = [(shapes[key], built[key]) for key in built if shapes[key] != built[key]]
    if not differing:
        return 3
    channels = differing[0][0][1] if len(differing[0][0]) == 4 else 0
    as_expected = all(shape == (own[0], channels, *own[2:]) and own[1] == 3 for shape, own in differing)
    return channels if as_expected else None


@cache
def _families() -> dict[str, list[str]]:
    """The names of the encoders by their class."""
    from segmentation_models_pytorch.encoders import encoders  # noqa: PLC0415 - takes a second, rarely needed

    families: dict[str, list[str]] = {}
    for name, entry in encoders.items():
        families.setdefault(f"{entry['encoder'].__module__}.{entry['encoder'].__qualname__}", []).append(name)
    return families


@cache
def _encoder_shapes(name: str) -> Shapes:
    from segmentation_models_pytorch.encoders import get_encoder  # noqa: PLC0415 - as above

    with Weightless(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that "timm-" encoders have newer names
        encoder = get_encoder(name, weights=None)
    return {key: tuple(value.shape) for key, value in encoder.state_dict().items()}


def _decoder_parts(name: str) -> set[str]:
    """The names of the decoder's parts, the same whatever the encoder; empty for DPT, which takes timm's only."""
    return _parts(shapes_of(name, {"encoder_name": _SMALL_ENCODER}) or {}, "decoder.")


def _parts(shapes: Shapes, prefix: str) -> set[str]:
    return {key.split(".")[1] for key in shapes if key.startswith(prefix)}


def _as_by_default(_name: str, _shapes: Shapes) -> Iterator[dict[str, Any]]:
    yield {}


def _of_other_depths(name: str, arguments: dict[str, Any], shapes: Shapes) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same network reading the encoder at another depth, where that leaves no trace in the shapes."""
    for depth in {3, 4, 5} - {arguments.get("encoder_depth", DEPTHS.get(name.removeprefix("smp_"), 5))}:
        other = {**arguments, "encoder_depth": depth}
        if shapes_of(name, other) == shapes:
            yield name, other


def _as_the_shapes_tell(name: str, shapes: Shapes) -> Iterator[dict[str, Any]]:
    if name in {"smp_unet", "smp_unetplusplus", "smp_manet"}:
        channels = _decoder_channels(name, shapes)
        variant: dict[str, Any] = {"encoder_depth": len(channels), "decoder_channels": channels}
        yield variant
        if name != "smp_manet":
            yield {**variant, "decoder_attention_type": "scse"}
        return
    for depth in (5, 4, 3):
        yield {"encoder_depth": depth}
    width = shapes[_HEAD][1]
    if name in {"smp_deeplabv3", "smp_deeplabv3plus", "smp_upernet", "smp_pan"}:
        yield {"decoder_channels": width}
    if name == "smp_fpn":
        yield {"decoder_merge_policy": "cat"}
        yield {"decoder_segmentation_channels": width}
    if name == "smp_segformer":
        yield {"decoder_segmentation_channels": width}
    if name == "smp_pspnet":
        yield {"psp_out_channels": width}


def _decoder_channels(name: str, shapes: Shapes) -> list[int]:
    """Channels of the decoder's blocks, deepest first."""
    if name != "smp_unetplusplus":
        keys = [_BLOCK_CHANNELS[name].format(index) for index in range(8)]
        return [shapes[key][0] for key in keys if key in shapes]
    # The blocks of the outermost row are those of every level: x_0_0 the deepest, x_0_<depth - 1> the last.
    keys = [f"decoder.blocks.x_0_{index}.conv1.0.weight" for index in range(8)]
    return [shapes[key][0] for key in keys if key in shapes]
