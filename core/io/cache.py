"""The folder of files that can be computed again."""

import os
from pathlib import Path

VARIABLE = "WHYPIXEL_CACHE"
"""The environment variable that names another folder."""


def cache_folder() -> Path:
    """The user's cache folder of this program: `$WHYPIXEL_CACHE`, `$XDG_CACHE_HOME/whypixel` or `~/.cache/whypixel`."""
    if own := os.environ.get(VARIABLE):
        return Path(own)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "whypixel"
    return Path(os.path.expanduser("~")) / ".cache" / "whypixel"  # noqa: PTH111 - it never fails
