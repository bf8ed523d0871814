"""`python -m core train`."""

import inspect
import json
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UserError
from ..training import TrainingSettings
from ..training.settings import Augmentation
from .option_groups import OptionGroup
from .options import Device, Out

# Type, default and further help in the shell, where the field cannot be an option as it is.
_IN_THE_SHELL: dict[str, tuple[Any, Any, str]] = {
    "images": (list[Path], inspect.Parameter.empty, " Repeat to join several."),
    "masks": (Path | None, None, ""),
    "arguments": (str | None, None, " JSON."),
    "class_names": (str | None, None, " Commas between them."),
    "crops_per_image": (list[int], [1], " Repeat for several."),
}


class _SettingsOptions(OptionGroup):
    """One option per field of `TrainingSettings`."""

    def __init__(self, arguments: str | None, class_names: str | None, **values: Any) -> None:
        names = None if class_names is None else tuple(part.strip() for part in class_names.split(","))
        if arguments is not None:
            values["arguments"] = _parsed(arguments)
        self.settings = TrainingSettings(class_names=names, **values)

    @classmethod
    def parameters(cls) -> list[inspect.Parameter]:
        """The fields as options, those of the augmentation last."""
        found = []
        for field in sorted(fields(TrainingSettings), key=lambda field: hasattr(Augmentation, field.name)):
            kind, default, more = _IN_THE_SHELL.get(field.name, (field.type, field.default, ""))
            names = filter(None, [field.metadata["option"]])
            annotation: Any = Annotated[kind, typer.Option(*names, help=field.metadata["help"] + more)]
            parameter = inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
            found.append(parameter.replace(default=default))
        return found


def train(
    options: _SettingsOptions,
    out: Out,
    name: Annotated[str, typer.Option(help="Name of the checkpoint.")] = "model",
    device: Device = "auto",
    workers: Annotated[int, typer.Option(help="Processes that read images; 0: this one does.")] = 0,
    *,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run in --out that was stopped or killed.")
    ] = False,
) -> None:
    """Train a network on one or several data sets of images with masks.

    Example: python -m core train --images DATA --images PHANTOMS --name vessels --out runs/vessels
    """
    from ..training import train as run_training  # noqa: PLC0415 - Lightning takes seconds to import

    result = run_training(
        options.settings, out, name, device=device, workers=workers, resume=resume,
        on_warning=lambda sentence: typer.echo(f"Warning: {sentence}", err=True),
    )  # fmt: skip
    typer.echo(f"Best epoch {result.best_epoch} of {len(result.records)}, {result.seconds / 60:.1f} minutes.")
    for part, scores in result.scores.items():
        typer.echo(f"{part.replace('_', ' ')}: " + ", ".join(f"{key} {value:.4g}" for key, value in scores.items()))
    typer.echo(f"{result.checkpoint}, {result.card}, {result.metrics}, {result.curves}")


def _parsed(arguments: str) -> dict[str, object]:
    try:
        parsed = json.loads(arguments)
    except json.JSONDecodeError as error:
        raise UserError(f'The arguments are JSON such as {{"width": 16}}; {arguments} is not: {error}.') from error
    if not isinstance(parsed, dict):
        raise UserError(f'The arguments are a JSON object such as {{"width": 16}}; {arguments} is not.')
    return parsed
