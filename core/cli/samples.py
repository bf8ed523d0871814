"""`python -m core samples`."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UserError


def samples(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("sample_data"),
) -> None:
    """Write the synthetic sample images again, the same pixel for pixel.

    Example: python -m core samples --out sample_data
    """
    try:
        from phantoms.sample_data import write_samples  # noqa: PLC0415 - not part of the installed library
    except ModuleNotFoundError as error:
        raise UserError(
            "The generators of the sample images come with the repository and not with the installed library; run "
            "`python -m core samples` in a checkout."
        ) from error
    typer.echo(f"{len(write_samples(out))} files written to {out}.")
