"""Writing files whole or not at all."""

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> Path:
    """Write `content` to `path`, making its folder; a write that fails leaves what was there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as part:
        partial = Path(part.name)
        try:
            part.write(content)
            part.flush()
        except BaseException:
            partial.unlink()
            raise
    partial.chmod(0o644)
    os.replace(partial, path)  # noqa: PTH105 - the one step that is atomic on every system
    return path
