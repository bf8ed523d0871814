"""`python -m core train`."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from phantoms.kinds import PhantomKind, phantom_classes

from ..errors import UserError
from ..training import TrainingSettings
from ..training.settings import Normalisation
from .options import Device, Out

_DEFAULT = TrainingSettings(phantoms=1)


def train(
    out: Out,
    images: Annotated[Path | None, typer.Option(help="A folder with images/ and labels/ or masks/.")] = None,
    masks: Annotated[Path | None, typer.Option(help="The masks' folder, where --images holds the images only.")] = None,
    phantoms: Annotated[int, typer.Option(help="Synthetic images to add to the training images.")] = 0,
    phantom_kind: Annotated[PhantomKind, typer.Option(help="What they show.")] = _DEFAULT.phantom_kind,
    name: Annotated[str, typer.Option(help="Of the checkpoint.")] = "model",
    architecture: Annotated[str, typer.Option(help="Of the network.")] = _DEFAULT.architecture,
    arguments: Annotated[str, typer.Option(help="Of the architecture, as JSON.")] = json.dumps(_DEFAULT.arguments),
    class_names: Annotated[
        str | None, typer.Option(help="Comma-separated, background first; by default those of the phantoms.")
    ] = None,
    normalisation: Annotated[Normalisation, typer.Option(help="Of the images.")] = _DEFAULT.normalisation,
    epochs: Annotated[int, typer.Option(help="At most so many.")] = _DEFAULT.epochs,
    patience: Annotated[int, typer.Option(help="Stop after so many epochs without progress.")] = _DEFAULT.patience,
    batch_size: Annotated[int, typer.Option(help="Crops in a step.")] = _DEFAULT.batch_size,
    crop: Annotated[int, typer.Option(help="Side of the random crops, in pixels.")] = _DEFAULT.crop,
    crops_per_image: Annotated[int, typer.Option(help="Crops from an image in an epoch.")] = _DEFAULT.crops_per_image,
    zoom: Annotated[float, typer.Option(help="Strength of the random change of scale.")] = _DEFAULT.zoom,
    jitter: Annotated[float, typer.Option(help="Strength of the random change of intensity.")] = _DEFAULT.jitter,
    upright: Annotated[bool, typer.Option(help="Mirror images, but do not turn them.")] = _DEFAULT.upright,
    learning_rate: Annotated[float, typer.Option(help="Peak of the one-cycle rate.")] = _DEFAULT.learning_rate,
    weight_decay: Annotated[float, typer.Option(help="Of AdamW.")] = _DEFAULT.weight_decay,
    penalty: Annotated[Literal["none", "l1", "l2"], typer.Option(help="On the parameters.")] = _DEFAULT.penalty,
    penalty_weight: Annotated[float, typer.Option(help="Factor of the penalty.")] = _DEFAULT.penalty_weight,
    validation: Annotated[float, typer.Option(help="Fraction that chooses the epoch.")] = _DEFAULT.validation_fraction,
    test: Annotated[float, typer.Option(help="Fraction scored once at the end.")] = _DEFAULT.test_fraction,
    seed: Annotated[int, typer.Option(help="Of the split, the weights and the augmentation.")] = _DEFAULT.seed,
    device: Device = "auto",
    workers: Annotated[int, typer.Option(help="Processes that read images; 0: none beside this one.")] = 0,
) -> None:
    """Train a network on images with masks, on phantoms, or on both.

    Example: python -m core train --images DATA --phantoms 100 --name vessels --out runs/vessels
    """
    from ..training import train as run_training  # noqa: PLC0415 - Lightning takes seconds to import

    settings = TrainingSettings(
        images=images,
        masks=masks,
        phantoms=phantoms,
        phantom_kind=phantom_kind,
        architecture=architecture,
        arguments=_parsed(arguments),
        class_names=_names(class_names) if class_names is not None else phantom_classes(phantom_kind),
        normalisation=normalisation,
        validation_fraction=validation,
        test_fraction=test,
        crop=crop,
        zoom=zoom,
        jitter=jitter,
        upright=upright,
        crops_per_image=crops_per_image,
        batch_size=batch_size,
        epochs=epochs,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        penalty=penalty,
        penalty_weight=penalty_weight,
        patience=patience,
        seed=seed,
    )
    result = run_training(settings, out, name, device=device, workers=workers)
    typer.echo(f"Best epoch {result.best_epoch} of {len(result.records)}, {result.seconds / 60:.1f} minutes.")
    for part, scores in result.scores.items():
        typer.echo(f"{part.replace('_', ' ')}: " + ", ".join(f"{key} {value:.4g}" for key, value in scores.items()))
    typer.echo(f"{result.checkpoint}, {result.card}, {result.metrics}, {result.curves}")


def _names(class_names: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in class_names.split(","))


def _parsed(arguments: str) -> dict[str, object]:
    try:
        parsed = json.loads(arguments)
    except json.JSONDecodeError as error:
        raise UserError(f'The arguments are JSON such as {{"width": 16}}; {arguments} is not: {error}.') from error
    if not isinstance(parsed, dict):
        raise UserError(f'The arguments are a JSON object such as {{"width": 16}}; {arguments} is not.')
    return parsed
