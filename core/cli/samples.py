"""`python -m core samples`."""

from pathlib import Path
from typing import Annotated

import typer

from phantoms.sample_data import write_samples


def samples(
    out: Annotated[Path, typer.Option(help="Folder to write, sample_data by default.")] = Path("sample_data"),
) -> None:
    """Write the synthetic sample images again, the same byte for byte.

    Example: python -m core samples --out sample_data
    """
    written = write_samples(out)
    typer.echo(f"{len(written)} files written to {out}.")
