"""The networks of segmentation_models_pytorch: built, and recognised by their encoder and then by their decoder."""

import difflib
import importlib
import inspect
import warnings
from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import Any

from torch import nn

from ...errors import UserError
from .architecture import LIBRARIES, Architecture, Arguments, Family, Recognised, Shapes
from .weightless import Weightless, shapes_of

_LIBRARY = "segmentation_models_pytorch"
_ENCODER = "encoder."
_HEAD = "segmentation_head.0.weight"
_SMALL_ENCODER = "resnet18"
_BLOCK_CHANNELS = {"unet": "decoder.blocks.{}.conv1.0.weight", "manet": "decoder.blocks.{}.conv2.0.weight"}
# The blocks of the outermost row are those of every level: x_0_0 the deepest, x_0_<depth - 1> the last.
_BLOCK_CHANNELS["unetplusplus"] = "decoder.blocks.x_0_{}.conv1.0.weight"
_CHANNELS_LAST = {"unet", "unetplusplus"}
# "timm-" encoders have newer names.
_without_deprecations = partial(warnings.catch_warnings, action="ignore", category=DeprecationWarning)


def _smp() -> Any:
    return importlib.import_module(_LIBRARY)  # takes a second, and only these networks need it


def _build(
    name: str,
    *,
    encoder_name: str | None = None,
    in_channels: int = 3,
    num_classes: int = 1,
    encoder_weights: str | None = None,
    **arguments: Any,
) -> nn.Module:
    """The network that `segmentation_models_pytorch.create_model` makes, with published weights if they are named."""
    encoder_name = encoder_name or _default(name, "encoder_name")
    _check_encoder(encoder_name)
    known = _parameters(name)
    unknown = next((argument for argument in arguments if argument not in known), None)
    if unknown is not None and not encoder_name.startswith("tu-"):  # timm's encoders take arguments of their own
        raise TypeError(f'it has no argument "{unknown}", only {", ".join(known)}')  # the class would ignore it
    with _without_deprecations():
        try:
            return _smp().create_model(name, encoder_name, encoder_weights, in_channels, num_classes, **arguments)
        except Exception as error:
            if encoder_weights is None:
                raise
            # whatever the hub's client raises without a network
            reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
            raise UserError(
                f'The published weights "{encoder_weights}" of {encoder_name} cannot be fetched ({reason}); leave out '
                "encoder_weights and load a checkpoint instead."
            ) from error


def _check_encoder(encoder_name: str) -> None:
    """Refuse a name that is no encoder, with the names nearest to it."""
    import timm  # noqa: PLC0415 - as slow to import as the library

    encoders = _smp().encoders
    if encoder_name in encoders.encoders or encoders.is_equivalent_to_timm_universal(encoder_name):
        return
    # A timm name with a colon would be fetched from the hub or read from a folder.
    timm_name = encoder_name.removeprefix("tu-") if ":" not in encoder_name else ""
    if timm_name != encoder_name and timm.is_model(timm_name.partition(".")[0]):
        return
    offered = [*encoders.encoders, *(f"tu-{model}" for model in timm.list_models())]
    near = difflib.get_close_matches(encoder_name.lower(), offered, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else "choose one of segmentation_models_pytorch."
    raise UserError(f'There is no encoder "{encoder_name}"; {hint}')


def known_encoders() -> tuple[str, ...]:
    """The library's own encoders by name; timm's, "tu-…", are known beside these."""
    return tuple(_smp().encoders.encoders)


def _parameters(name: str) -> Mapping[str, inspect.Parameter]:
    """The parameters of the class."""
    return inspect.signature(_smp().MODEL_ARCHITECTURES_MAPPING[name]).parameters


def _default(name: str, parameter: str, otherwise: Any = None) -> Any:
    return _parameters(name)[parameter].default if parameter in _parameters(name) else otherwise


def _size_multiple(name: str, arguments: Arguments) -> int | None:
    """The encoder's output stride; None for one of timm's, whose stride is its own, and for PAN, which pools on."""
    if name == "pan" or str(arguments.get("encoder_name", _default(name, "encoder_name"))).startswith("tu-"):
        return None
    depth = arguments.get("encoder_depth", _default(name, "encoder_depth"))
    return min(2**depth, arguments.get("encoder_output_stride", _default(name, "encoder_output_stride", 32)))


def _architectures() -> dict[str, Architecture]:
    return {
        f"smp_{name}": Architecture(
            partial(_build, name),
            partial(_size_multiple, name),
            in_channels=3,
            library=_LIBRARY,
            channels_last=name in _CHANNELS_LAST,
        )
        for name in _smp().MODEL_ARCHITECTURES_MAPPING
    }


def _recognised(shapes: Shapes) -> list[Recognised]:
    """The networks, with their arguments, whose keys and shapes are all these.

    Each architecture is tried with its defaults; where none matches, with the decoder depth, channels and attention
    that the shapes imply. Timm's own encoders ("tu-…") are not tried: many of them share their keys.
    """
    stated = _stated(shapes)
    if "encoder_name" not in stated or "num_classes" not in stated:
        return []
    if (auxiliary := shapes.get("classification_head.3.weight")) is not None:
        stated["aux_params"] = {"classes": auxiliary[0]}
    # A decoder's parts have the same names whatever the encoder. DPT takes timm's only, so none are found for it.
    built = {name: shapes_of(name, {"encoder_name": _SMALL_ENCODER}) or {} for name in _architectures()}
    likely = [name for name in built if _decoder_parts(built[name]) & _decoder_parts(shapes)]
    by_default: list[Recognised] = [(name, {}) for name in likely]
    implied = ((name, variant) for name in likely for variant in _implied_by_shapes(name, shapes))
    for variants in (by_default, implied):
        tried = [(name, {**stated, **variant}) for name, variant in variants]
        found = [(name, arguments) for name, arguments in tried if shapes_of(name, arguments) == shapes]
        if found:
            return [*found, *(twin for name, arguments in found for twin in _of_other_depths(name, arguments, shapes))]
    return []


def _stated(shapes: Shapes) -> dict[str, Any]:
    """What can be read of encoder_name, in_channels and num_classes from the keys and shapes."""
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
        # One family's encoders have the same parts, so its first member decides whether the others are built.
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
    families: dict[str, list[str]] = {}
    for name, entry in _smp().encoders.encoders.items():
        families.setdefault(f"{entry['encoder'].__module__}.{entry['encoder'].__qualname__}", []).append(name)
    return families


@cache
def _encoder_shapes(name: str) -> Shapes:
    with Weightless(), _without_deprecations():
        encoder = _smp().encoders.get_encoder(name, weights=None)
    return {key: tuple(value.shape) for key, value in encoder.state_dict().items()}


def _decoder_parts(shapes: Shapes) -> set[str]:
    return {key.split(".")[1] for key in shapes if key.startswith("decoder.")}


def _of_other_depths(name: str, arguments: dict[str, Any], shapes: Shapes) -> Iterator[Recognised]:
    """The same network reading the encoder at another depth, where that leaves no trace in the shapes."""
    for depth in {3, 4, 5} - {arguments.get("encoder_depth", _default(name.removeprefix("smp_"), "encoder_depth"))}:
        other = {**arguments, "encoder_depth": depth}
        if shapes_of(name, other) == shapes:
            yield name, other


def _implied_by_shapes(name: str, shapes: Shapes) -> Iterator[dict[str, Any]]:
    """Arguments other than the defaults from which the shapes may come."""
    name = name.removeprefix("smp_")
    if name in _BLOCK_CHANNELS:
        keys = [_BLOCK_CHANNELS[name].format(index) for index in range(8)]
        channels = [shapes[key][0] for key in keys if key in shapes]  # of the decoder's blocks, deepest first
        variant: dict[str, Any] = {"encoder_depth": len(channels), "decoder_channels": channels}
        yield variant
        if name != "manet":
            yield {**variant, "decoder_attention_type": "scse"}
        return
    for depth in (5, 4, 3):
        yield {"encoder_depth": depth}
    width = shapes[_HEAD][1]
    if name == "fpn":
        yield {"decoder_merge_policy": "cat"}
    for argument in ("decoder_channels", "decoder_segmentation_channels", "psp_out_channels"):
        if argument in _parameters(name):
            yield {argument: width}


LIBRARIES["smp_"] = Family(_architectures, _recognised, _stated)
