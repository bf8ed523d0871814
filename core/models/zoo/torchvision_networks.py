"""The segmentation networks of torchvision."""

from functools import partial
from typing import Any

from torch import nn

from ...errors import UserError
from .architecture import LIBRARIES, Architecture, Family, Recognised, Shapes
from .weightless import shapes_of

_FIRST_CONVOLUTIONS = ("backbone.conv1.weight", "backbone.0.0.weight")
_CLASSIFIERS = ("classifier.4.weight", "classifier.low_classifier.weight")


def _build(
    name: str,
    *,
    in_channels: int = 3,
    num_classes: int = 21,
    weights: str | None = None,
    weights_backbone: str | None = None,
    aux_loss: bool | None = None,
) -> nn.Module:
    """A network of `torchvision.models.segmentation`; `aux_loss` adds a head that plays no part in the logits."""
    from torchvision.models import get_model  # noqa: PLC0415 - takes a second, and only these networks need it

    auxiliary = {} if aux_loss is None else {"aux_loss": aux_loss}  # LRASPP has none
    classes = num_classes if weights is None else None  # published weights of the whole network have their own number
    try:
        module = get_model(name, weights=weights, weights_backbone=weights_backbone, num_classes=classes, **auxiliary)
    except OSError as error:
        raise UserError(
            f'The published weights "{weights or weights_backbone}" of {name} cannot be fetched ({error}); leave '
            "them out and load a checkpoint instead."
        ) from error
    if in_channels != 3:
        backbone = module.backbone
        path = next(path for path, part in backbone.named_modules() if isinstance(part, nn.Conv2d))
        first: Any = backbone.get_submodule(path)
        settings = first.out_channels, first.kernel_size, first.stride, first.padding
        backbone.set_submodule(path, nn.Conv2d(in_channels, *settings, bias=first.bias is not None))
    return module


def _architectures() -> dict[str, Architecture]:
    from torchvision.models import list_models, segmentation  # noqa: PLC0415 - as above

    return {
        f"torchvision_{name}": Architecture(partial(_build, name), lambda _: 1, in_channels=3, library="torchvision")
        for name in list_models(module=segmentation)
    }


def _recognised(shapes: Shapes) -> list[Recognised]:
    first = next((shapes[key] for key in _FIRST_CONVOLUTIONS if key in shapes), ())
    last = next((shapes[key] for key in _CLASSIFIERS if key in shapes), ())
    if len(first) != 4 or len(last) != 4:
        return []
    arguments: dict[str, Any] = {"in_channels": first[1], "num_classes": last[0]}
    if any(key.startswith("aux_classifier.") for key in shapes):
        arguments["aux_loss"] = True
    return [(name, arguments) for name in _LIBRARY.members if shapes_of(name, arguments) == shapes]


_LIBRARY = Family(_architectures, _recognised)
LIBRARIES["torchvision_"] = _LIBRARY
