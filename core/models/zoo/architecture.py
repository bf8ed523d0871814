"""The registry of architectures: what a name stands for, and how its networks are recognised in a checkpoint."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import nn

from ...errors import UserError

Arguments = Mapping[str, Any]
"""Keyword arguments of an architecture; every one has "in_channels" and "num_classes"."""
Shapes = Mapping[str, tuple[int, ...]]
"""Keys of a state dict and the shapes of their tensors."""
Recognised = tuple[str, dict[str, Any]]
"""The name of an architecture and its arguments."""


@dataclass(frozen=True)
class Architecture:
    """A network that checkpoints name.

    Attributes:
        build: Builds it with fresh weights from the arguments that a checkpoint stores.
        size_multiple: The number that height and width must be multiples of, from the arguments; None where it is
            found by trying.
        in_channels: Channels of the image where the arguments do not state them.
        library: Library that it belongs to, for messages; empty for our own.
        channels_last: Whether its convolutions run fastest on weights in that order, and all of it accepts them.
    """

    build: Callable[..., nn.Module]
    size_multiple: Callable[[Arguments], int | None]
    in_channels: int = 1
    library: str = ""
    channels_last: bool = False


@dataclass(frozen=True)
class Family:
    """Architectures registered at once; a library is imported when one of its names is asked for, not before.

    Attributes:
        make_members: Imports the library and returns its architectures by name.
        recognise: Finds all of them, with their arguments, that have exactly these keys and shapes.
        stated: Reads what it can of "encoder_name", "in_channels" and "num_classes" where no architecture has all of
            the keys and shapes.
        listed: Whether the names are offered to users.
    """

    make_members: Callable[[], Mapping[str, Architecture]]
    recognise: Callable[[Shapes], list[Recognised]]
    stated: Callable[[Shapes], dict[str, Any]] = lambda _: {}
    listed: bool = True

    @cached_property
    def members(self) -> Mapping[str, Architecture]:
        """The architectures by name."""
        return self.make_members()


class _Architectures(Mapping[str, Architecture]):
    """Architectures by name, our own first."""

    def __getitem__(self, name: str) -> Architecture:
        for prefix, family in (_networks | LIBRARIES).items():
            if name.startswith(prefix) and name in family.members:
                return family.members[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        for family in families():
            yield from family.members

    def __len__(self) -> int:
        return sum(len(family.members) for family in families())


_networks: dict[str, Family] = {}
LIBRARIES: dict[str, Family] = {}
"""Libraries by the prefix that all names of their architectures, and no others, begin with."""
ARCHITECTURES = _Architectures()


def register(
    name: str,
    architecture: Architecture,
    recognise: Callable[[Shapes], dict[str, Any] | None] = lambda _: None,
    *,
    listed: bool = True,
) -> None:
    """Add one architecture.

    Args:
        name: Its name in checkpoints and for users.
        architecture: The architecture.
        recognise: Reads the arguments from the keys and shapes of a state dict; None for that of another network.
        listed: Whether users choose it by its name; else only checkpoints state it.
    """

    def found(shapes: Shapes) -> list[Recognised]:
        arguments = recognise(shapes)
        return [] if arguments is None else [(name, arguments)]

    _networks[name] = Family(lambda: {name: architecture}, found, listed=listed)


def families() -> list[Family]:
    """All that is listed, the libraries last: they are slow to import."""
    return [family for family in (*_networks.values(), *LIBRARIES.values()) if family.listed]


def check_architecture(name: str) -> None:
    """Refuse a name that is no architecture with a `UserError` that states the names nearest to it."""
    if name in ARCHITECTURES:
        return
    near = difflib.get_close_matches(name.lower(), ARCHITECTURES, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? All" if near else "the known ones"
    raise UserError(f'There is no architecture "{name}"; {hint} are: {", ".join(ARCHITECTURES)}.')
