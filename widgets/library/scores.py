"""How well a network segments a data set, image by image."""


def scores_part() -> None:
    """Draw it."""
