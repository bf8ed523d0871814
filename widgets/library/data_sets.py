"""Data sets at hand: look through one, upload, rename, delete."""


def data_sets_part() -> None:
    """Draw it."""
