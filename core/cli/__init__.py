"""The command line: one file a command."""

import sys

import typer

from ..errors import UserError, is_out_of_memory
from .cam import cam
from .evaluate import evaluate
from .ig import ig
from .info import info
from .jacobian import jacobian, threshold
from .predict import predict
from .samples import samples
from .train import train

app = typer.Typer(
    name="python -m core",
    help="Why did my segmentation network label this pixel this way?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (samples, train, predict, jacobian, threshold, ig, cam, evaluate, info):
    app.command(no_args_is_help=command is not samples)(command)


def main() -> None:
    """Run the command line; a user's mistake ends it with one sentence and exit code 2."""
    try:
        app()
    except UserError as error:
        _end(str(error))
    except OSError as error:
        _end(f"{error.strerror or error}: {error.filename}." if error.filename else f"{error}.")
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        _end("Memory ran out; take a smaller image, or crop it.")


def _end(sentence: str) -> None:
    print(f"Error: {sentence}", file=sys.stderr)  # noqa: T201
    sys.exit(2)
