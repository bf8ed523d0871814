"""`python -m phantoms …`: writes synthetic images with their masks to folders."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from core.errors import UserError

from .sample_data import write_samples
from .writing import write_data_set

_WRITE_HELP = """Write a data set: images/, masks/ and palette.json with the names of the classes.

Example: python -m phantoms write fundus --count 200 --validation 8 --test 24 --out runs/fundus_phantoms
"""


def _report(written: list[Path]) -> None:
    typer.echo(f"{len(written)} files written to {written[0].parent}.")


app = typer.Typer(
    name="python -m phantoms",
    help="Synthetic images whose masks are known exactly, as folders.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    result_callback=_report,
)


@app.command()
def samples(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("sample_data"),
) -> list[Path]:
    """Write the sample images of the repository again, the same pixel for pixel.

    Example: python -m phantoms samples --out sample_data
    """
    return write_samples(out)


app.command("write", no_args_is_help=True, help=_WRITE_HELP)(write_data_set)


def main() -> None:
    """Run the command line; a user's mistake ends it with one sentence and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)


if __name__ == "__main__":
    main()
