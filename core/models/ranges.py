"""The sizes that a network can have; others are refused before anything is built."""

import numbers

from ..errors import UserError

MOST_CHANNELS = 1000
"""Most channels of an image; hyperspectral cameras have a few hundred."""
MOST_CLASSES = 100_000
"""Most channels of the logits."""
MOST_WIDTH = 4096
"""Most channels after the first convolution of our own networks; the usual ones have 64."""


class InvalidValueError(UserError):
    """A size, argument or entry that no network has; the message says what is wrong, as the end of a sentence."""


def check_whole_number(name: str, value: object, least: int, most: int) -> None:
    """Refuse anything but a whole number from `least` to `most`; true, 3.0 and "3" are none.

    Raises:
        InvalidValueError: With the name, the value and the range.
    """
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_whole or not least <= value <= most:  # type: ignore[operator]
        raise InvalidValueError(f"{name} is {shortened(repr(value))}; give a whole number from {least} to {most}.")


def check_channels_and_classes(in_channels: object, num_classes: object) -> None:
    """Refuse channels of an image, or of the logits, that no network has, as `check_whole_number` does."""
    check_whole_number("in_channels", in_channels, 1, MOST_CHANNELS)
    check_whole_number("num_classes", num_classes, 1, MOST_CLASSES)


def shortened(text: str, most: int = 300) -> str:
    """The text, cut to `most` characters for a message."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
