"""Networks of the user's own code, in training and afterwards."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError
from ..io.files import write_atomically
from ..models.checkpoint import CheckpointInfo, read_checkpoint
from ..models.factory import is_factory, made_by_factory
from ..models.loading import load_segmenter, weights_into
from ..segmenter import Segmenter
from .settings import TrainingSettings

_LOADER = '''\
"""A network that WhyPixel trained; give <this file>:network wherever a network is asked for."""

from pathlib import Path

from whypixel.models.factory import made_by_factory
from whypixel.models.loading import weights_into


def network():
    made = made_by_factory({factory!r}, {arguments!r}, {known!r})
    return weights_into(made, Path(__file__).with_name({file!r}))
'''


def fresh_own_network(settings: TrainingSettings, about: dict[str, Any], device: torch.device, name: str) -> Segmenter:
    """The network that the user's function builds, as a segmenter.

    Args:
        settings: Name of the function, and its arguments.
        about: Class names, channels and normalisation of the data, for a function that returns a module.
        device: Where to put a module.
        name: Name of the network.

    Raises:
        UserError: As `made_by_factory`, or a segmenter on another device.
    """
    known = _known(about["in_channels"], about["class_names"])
    made = made_by_factory(settings.architecture, settings.arguments, known)
    if not isinstance(made, Segmenter):
        return Segmenter(made, **about, device=device, name=name)
    if made.device.type != device.type or (made.device.index or 0) != (device.index or 0):
        raise UserError(
            f"{settings.architecture} returns a Segmenter on {made.device} and the run is on {device}; let it return "
            "the torch module alone."
        )
    return made


def write_loader(checkpoint: Path, settings: TrainingSettings, info: CheckpointInfo) -> Path:
    """Write `<name>.py` beside the weights, whose function `network` builds the network and loads them."""
    source, _, function = settings.architecture.rpartition(":")
    factory = f"{Path(source).expanduser().absolute()}:{function}" if source.endswith(".py") else settings.architecture
    known = _known(info.in_channels, info.class_names)
    text = _LOADER.format(factory=factory, arguments=dict(settings.arguments), known=known, file=checkpoint.name)
    return write_atomically(checkpoint.with_suffix(".py"), text.encode())


def code_hash(architecture: str) -> str:
    """SHA-256 of the file of a network of the user's own; empty for others."""
    source, _, _ = architecture.rpartition(":")
    file = Path(source).expanduser()
    return hashlib.sha256(file.read_bytes()).hexdigest() if source.endswith(".py") and file.is_file() else ""


def load_weights(settings: TrainingSettings, checkpoint: str | Path, device: str | torch.device = "auto") -> Segmenter:
    """The network of a run with the weights of any of its epochs.

    Args:
        settings: Settings of the run; they name the user's function where the network is of their own code, which is
            run.
        checkpoint: A file that the run wrote.
        device: "auto", "cpu" or "cuda".

    Raises:
        UserError: A file that cannot be read, or code that no longer builds the network.
    """
    if not is_factory(settings.architecture):
        return load_segmenter(checkpoint, device)
    _, info = read_checkpoint(checkpoint)
    known = {} if info is None else _known(info.in_channels, info.class_names)
    made = made_by_factory(settings.architecture, settings.arguments, known)
    return weights_into(made, checkpoint, device)


def _known(in_channels: int, class_names: Sequence[str]) -> dict[str, int]:
    """What a function that takes it is told of the data."""
    return {"in_channels": in_channels, "num_classes": len(class_names)}
