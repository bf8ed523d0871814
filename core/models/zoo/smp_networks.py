"""The networks of segmentation_models_pytorch."""

import difflib
import inspect
import warnings
from collections.abc import Mapping
from typing import Any

from torch import nn

from ...errors import UserError

NAMES = (
    "unet",
    "unetplusplus",
    "manet",
    "linknet",
    "fpn",
    "pspnet",
    "deeplabv3",
    "deeplabv3plus",
    "pan",
    "upernet",
    "segformer",
    "dpt",
)
"""Its architectures, as `segmentation_models_pytorch.create_model` takes them."""
DEFAULT_ENCODERS = {"dpt": "tu-vit_base_patch16_224.augreg_in21k"}
_DEFAULT_ENCODER = "resnet34"
_OUTPUT_STRIDES = {"deeplabv3": 8, "deeplabv3plus": 16}
DEPTHS = {"pspnet": 3, "dpt": 4}


def build(
    name: str,
    *,
    encoder_name: str | None = None,
    in_channels: int = 3,
    num_classes: int = 1,
    encoder_weights: str | None = None,
    **arguments: Any,
) -> nn.Module:
    """A network of segmentation_models_pytorch with fresh weights.

    Args:
        name: One of `NAMES`.
        encoder_name: One of `segmentation_models_pytorch.encoders.encoders`, or "tu-" and a timm name.
        in_channels: Channels of the image.
        num_classes: Channels of the logits.
        encoder_weights: Published weights of the encoder, fetched from the hub, e.g. "imagenet"; None for fresh ones.
        **arguments: Further keyword arguments of the class.

    Raises:
        UserError: An unknown encoder, or published weights that cannot be fetched.
    """
    import segmentation_models_pytorch  # noqa: PLC0415 - takes a second, and only these networks need it

    encoder_name = encoder_name or DEFAULT_ENCODERS.get(name, _DEFAULT_ENCODER)
    check_encoder(encoder_name)
    if not encoder_name.startswith("tu-"):  # timm's encoders take arguments of their own
        _check_arguments(segmentation_models_pytorch.MODEL_ARCHITECTURES_MAPPING[name], arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that "timm-" encoders have newer names
        if encoder_weights is None:
            return segmentation_models_pytorch.create_model(
                name, encoder_name, None, in_channels, num_classes, **arguments
            )
        try:
            return segmentation_models_pytorch.create_model(
                name, encoder_name, encoder_weights, in_channels, num_classes, **arguments
            )
        except Exception as error:  # whatever the hub's client raises without a network
            reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
            raise UserError(
                f'The published weights "{encoder_weights}" of {encoder_name} cannot be fetched ({reason}); leave out '
                "encoder_weights and load a checkpoint instead."
            ) from error


def _check_arguments(architecture: type[nn.Module], arguments: Mapping[str, Any]) -> None:
    """Refuse what the class would pass over in silence."""
    known = [*inspect.signature(architecture.__init__).parameters][1:]
    unknown = next((argument for argument in arguments if argument not in known), None)
    if unknown is not None:
        raise TypeError(f'it has no argument "{unknown}", only {", ".join(known)}')


def check_encoder(encoder_name: str) -> None:
    """Refuse a name that is no encoder.

    Raises:
        UserError: With the names nearest to it.
    """
    import segmentation_models_pytorch  # noqa: PLC0415 - as above
    import timm  # noqa: PLC0415 - as above

    known = segmentation_models_pytorch.encoders.encoders
    if encoder_name in known or _is_renamed(encoder_name):
        return
    # A timm name with a colon would be fetched from the hub or read from a folder.
    if encoder_name.startswith("tu-") and ":" not in encoder_name and timm.is_model(_timm_name(encoder_name)):
        return
    offered = [*known, *(f"tu-{model}" for model in timm.list_models())]
    near = difflib.get_close_matches(encoder_name.lower(), offered, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else "choose one of segmentation_models_pytorch."
    raise UserError(f'There is no encoder "{encoder_name}"; {hint}')


def known_encoders() -> tuple[str, ...]:
    """The library's own encoders by name; timm's, "tu-…", are known beside these."""
    import segmentation_models_pytorch  # noqa: PLC0415 - as above

    return tuple(segmentation_models_pytorch.encoders.encoders)


def size_multiple(name: str, arguments: Mapping[str, Any]) -> int | None:
    """The encoder's output stride; None for one of timm's, whose stride is its own, and for PAN, which pools on."""
    if name == "pan" or str(arguments.get("encoder_name", DEFAULT_ENCODERS.get(name, ""))).startswith("tu-"):
        return None
    depth = arguments.get("encoder_depth", DEPTHS.get(name, 5))
    return min(2**depth, arguments.get("encoder_output_stride", _OUTPUT_STRIDES.get(name, 32)))


def _timm_name(encoder_name: str) -> str:
    return encoder_name.removeprefix("tu-").partition(".")[0]


def _is_renamed(encoder_name: str) -> bool:
    from segmentation_models_pytorch.encoders import is_equivalent_to_timm_universal  # noqa: PLC0415 - as above

    return bool(is_equivalent_to_timm_universal(encoder_name))
