"""The command line: one file a command."""

import sys

import typer

from core.cli.info import info
from core.cli.predict import predict
from core.cli.samples import samples
from core.cli.train import train
from core.errors import UserError

app = typer.Typer(
    name="python -m core",
    help="Why did my segmentation network label this pixel this way?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (samples, train, predict, info):
    app.command(no_args_is_help=command is not samples)(command)


def main() -> None:
    """Run the command line; a user's mistake ends it with one sentence and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
