"""The command line: one file per command, imported when the command runs."""

import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from ..errors import sentence_for_users
from .option_groups import with_plain_options

COMMANDS = {
    "samples": "Write the synthetic sample images again, the same pixel for pixel.",
    "data": "Check a data set of images with masks: everything that is wrong, sizes, classes, copies.",
    "train": "Train a network on one or several data sets of images with masks.",
    "predict": "Segment images: labels, probabilities and a picture with the labels over the image.",
    "explain": "Explain images by one or several methods, with statistics.",
    "ig": "Integrated Gradients, short for explain --method ig.",
    "cam": "Class activation maps of a data set, for one layer or all.",
    "jacobian": "Compute the Jacobian of whole images; run again to resume.",
    "estimate": "Estimate what the rows of a Jacobian sum up to, with error bars.",
    "threshold": "Count, per output pixel, the input pixels whose gradient exceeds a threshold.",
    "flip": "Find the smallest change that flips a label, or map the distance to it.",
    "evaluate": "Put several methods to the same tests over many images, beside controls.",
    "score": "Score a network on images with masks: per image with intervals, and pooled, the worst first.",
    "info": "Show a model: network, classes, receptive field, layers, and its card.",
}
"""The commands with the first line of their docstrings, so that the list of commands imports none of them."""
_FILES = {"threshold": "jacobian", "ig": "explain"}
_SETTINGS: dict[str, Any] = {"add_completion": False, "pretty_exceptions_enable": False, "rich_markup_mode": None}


class _Commands(TyperGroup):
    """The commands as the list shows them; the one that runs is imported."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that the first argument names, and the arguments that remain for it."""
        name, command, rest = super().resolve_command(ctx, args)
        found = command and imported_command(command.name or "")
        if found:
            found.help = found.help.replace(app.info.name, ctx.command_path)
        return name, found, rest


app = typer.Typer(
    cls=_Commands,
    name="python -m core",
    help="Why did my segmentation network label this pixel this way?",
    no_args_is_help=True,
    **_SETTINGS,
)
for command, sentence in COMMANDS.items():
    app.command(command, help=sentence)(lambda: None)


def imported_command(name: str) -> Any:
    """The command of a name, its file imported."""
    single = typer.Typer(**_SETTINGS)
    function = getattr(import_module(f".{_FILES.get(name, name)}", __name__), name)
    single.command(name, no_args_is_help=name != "samples")(with_plain_options(function))
    return typer.main.get_command(single)


def main() -> None:
    """Run the command line; a user's mistake ends it with one sentence and exit code 2."""
    try:
        app()
    except Exception as error:
        sentence = sentence_for_users(error)
        if sentence is None:
            raise
        print(f"Error: {sentence}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
