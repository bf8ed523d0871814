"""`python -m phantoms …`: writes synthetic images with their masks to folders."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from core.errors import UserError

from . import PHANTOM_KINDS
from .sample_data import write_samples
from .writing import TRAINING_SEED, write_data_set

app = typer.Typer(
    name="python -m phantoms",
    help="Synthetic images whose masks are known exactly, as folders.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def samples(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("sample_data"),
) -> None:
    """Write the sample images of the repository again, the same pixel for pixel.

    Example: python -m phantoms samples --out sample_data
    """
    typer.echo(f"{len(write_samples(out))} files written to {out}.")


@app.command(no_args_is_help=True)
def write(
    kind: Annotated[str, typer.Argument(help=f"Kind of image: {', '.join(PHANTOM_KINDS)}.")],
    out: Annotated[Path, typer.Option(help="Folder for the data set; made if it is not there.")],
    count: Annotated[int, typer.Option(help="Number of images, or of training images in a split data set.")] = 100,
    validation: Annotated[int, typer.Option(help="Number of validation images; 0: no split.")] = 0,
    test: Annotated[int, typer.Option(help="Number of test images in a split data set.")] = 0,
    seed: Annotated[
        int, typer.Option(help="First seed; validation starts 1,000,000 later, test 2,000,000. Samples: 0 to 109.")
    ] = TRAINING_SEED,
    size: Annotated[tuple[int, int] | None, typer.Option(help="Height and width in pixels.")] = None,
    channels: Annotated[int | None, typer.Option(help="Number of channels (vessels only).")] = None,
    bits: Annotated[int, typer.Option(help="Bits per value: 8, 16, or 32 for floating-point.")] = 8,
) -> None:
    """Write a data set: images/, masks/ and palette.json with the names of the classes.

    Example: python -m phantoms write fundus --count 200 --validation 8 --test 24 --out runs/fundus_phantoms
    """
    written = write_data_set(out, kind, count, validation, test, seed, size, channels, bits)
    typer.echo(f"{len(written)} files written to {out}.")


def main() -> None:
    """Run the command line; a user's mistake ends it with one sentence and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)


if __name__ == "__main__":
    main()
