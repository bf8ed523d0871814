"""Networks at hand: their cards, upload, rename, delete."""


def networks_part() -> None:
    """Draw it."""
