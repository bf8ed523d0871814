"""The tensors in a network's result, and which of them may hold the scores."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor

from ..errors import UserError

Activation = Literal["none", "softmax", "sigmoid"]
Entry = str | int | None
"""Key, index or attribute of a network's result; None for a result that is the tensor itself."""

_AUXILIARY = re.compile(r"aux|deep|side|(^|[^a-z])ds\d*$", re.IGNORECASE)


def entry_of(result: object, entry: Entry) -> Tensor:
    """The tensor at an entry of a network's result.

    Raises:
        UserError: There is no such entry, or it is no tensor.
    """
    if isinstance(result, Tensor):
        return result
    selected: object = None
    if entry is not None:
        try:
            named = isinstance(entry, str) and not isinstance(result, Mapping)
            selected = getattr(result, str(entry)) if named else result[entry]  # type: ignore[index]
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise UserError(f"The network's result has no output {entry!r}; it offers {_offered(result)}.") from error
    if not isinstance(selected, Tensor):
        raise UserError(f"The output {entry!r} of the network's result is no tensor; it offers {_offered(result)}.")
    return selected


def candidate_entries(result: object) -> list[Entry]:
    """The entries of a result that may hold the scores; a single one where its name says that it does.

    The names are those of torchvision ("out") and transformers ("logits"). What is called auxiliary is left out where
    something else remains.

    Raises:
        UserError: Queries and their masks of a network that is not known, detected objects, or no tensor at all.
    """
    if isinstance(result, Tensor):
        return [None]
    tensors = _tensors_in(result)
    if _are_detections(result) or tensors.keys() & {"pred_boxes", "pred_masks"} == {"pred_boxes"}:
        raise UserError(
            "The network detects objects: it answers with boxes or instances rather than with one score per class and "
            "pixel; wrap it in a module that returns the mask of one instance (batch, 1, height, width), or use a "
            "network for semantic segmentation."
        )
    if tensors.keys() & {"masks_queries_logits", "pred_masks"}:
        raise UserError(
            "The network answers with queries and their masks rather than with one score per class and pixel; wrap it "
            "in a module that combines them into a tensor (batch, classes, height, width)."
        )
    if not tensors:
        raise UserError(
            f"The network returned a {type(result).__name__} without a tensor of logits; choose one with `output`, or "
            "wrap the network in a module that returns it."
        )
    for name in ("out", "logits"):
        if name in tensors:
            return [name]
    maps = [name for name, tensor in tensors.items() if tensor.ndim in (3, 4)]
    main = [name for name in maps if not (isinstance(name, str) and _AUXILIARY.search(name))]
    return [*(main or maps or tensors)]


def _are_detections(result: object) -> bool:
    """Whether a result is a list with the boxes of each image, as those of torchvision's and ultralytics' networks."""
    return isinstance(result, list | tuple) and any(
        "boxes" in each if isinstance(each, Mapping) else hasattr(each, "boxes") for each in result
    )


def _tensors_in(result: object) -> dict[str | int, Tensor]:
    """The tensors of a result by their entries."""
    if isinstance(result, Mapping):
        entries = dict(result)
    elif hasattr(result, "_asdict"):
        entries = result._asdict()
    elif isinstance(result, Sequence) and not isinstance(result, str):
        entries = dict(enumerate(result))
    else:
        entries = dict(getattr(result, "__dict__", {}))
    return {name: value for name, value in entries.items() if isinstance(name, str | int) and isinstance(value, Tensor)}


def _offered(result: object) -> str:
    if isinstance(result, Mapping):
        return ", ".join(repr(key) for key in result)
    if isinstance(result, Sequence) and not hasattr(result, "_asdict"):
        return f"0 to {len(result) - 1}"
    return ", ".join(map(repr, _tensors_in(result))) or f"a {type(result).__name__}"
