"""`python -m core train`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UserError
from ..training import TrainingSettings
from ..training.settings import Normalisation, Penalty
from .options import Device, Out

_DEFAULT = TrainingSettings  # the class attributes are the defaults


def train(
    images: Annotated[
        list[Path],
        typer.Option(
            help="Data set: images/ beside labels/ or masks/, or train/ and val/ of these. Repeat to join several."
        ),
    ],
    out: Out,
    masks: Annotated[Path | None, typer.Option(help="Folder of the masks, if --images holds only the images.")] = None,
    name: Annotated[str, typer.Option(help="Name of the checkpoint.")] = "model",
    architecture: Annotated[str, typer.Option(help="Architecture of the network.")] = _DEFAULT.architecture,
    arguments: Annotated[str, typer.Option(help="Arguments of the architecture, as JSON.")] = '{"width": 16}',
    class_names: Annotated[
        str | None, typer.Option(help="Comma-separated, background first; default: the names in the data set.")
    ] = None,
    normalisation: Annotated[Normalisation, typer.Option(help="Normalisation of the images.")] = _DEFAULT.normalisation,
    epochs: Annotated[int, typer.Option(help="Largest number of epochs.")] = _DEFAULT.epochs,
    patience: Annotated[int, typer.Option(help="Epochs without progress before it stops.")] = _DEFAULT.patience,
    batch_size: Annotated[int, typer.Option(help="Crops per step.")] = _DEFAULT.batch_size,
    crop: Annotated[int, typer.Option(help="Side of the random crops, in pixels.")] = _DEFAULT.crop,
    crops_per_image: Annotated[
        list[int], typer.Option(help="Crops per image and epoch; repeat to give one number per data set.")
    ] = [1],  # noqa: B006 - Typer reads it
    zoom: Annotated[float, typer.Option(help="Strength of the random change of scale.")] = _DEFAULT.zoom,
    jitter: Annotated[float, typer.Option(help="Strength of the random change of intensity.")] = _DEFAULT.jitter,
    upright: Annotated[bool, typer.Option(help="Mirror images, but do not turn them.")] = _DEFAULT.upright,
    learning_rate: Annotated[float, typer.Option(help="Peak of the one-cycle learning rate.")] = _DEFAULT.learning_rate,
    weight_decay: Annotated[float, typer.Option(help="Weight decay of AdamW.")] = _DEFAULT.weight_decay,
    penalty: Annotated[Penalty, typer.Option(help="Penalty on the parameters.")] = _DEFAULT.penalty,
    penalty_weight: Annotated[float, typer.Option(help="Factor of the penalty.")] = _DEFAULT.penalty_weight,
    validation: Annotated[
        float, typer.Option(help="Fraction of the images that chooses the epoch.")
    ] = _DEFAULT.validation_fraction,
    test: Annotated[
        float, typer.Option(help="Fraction of the images that is scored once at the end.")
    ] = _DEFAULT.test_fraction,
    seed: Annotated[int, typer.Option(help="Seed of the split, the weights and the augmentation.")] = _DEFAULT.seed,
    device: Device = "auto",
    workers: Annotated[int, typer.Option(help="Processes that read images; 0: this one does.")] = 0,
) -> None:
    """Train a network on one or several data sets of images with masks.

    Example: python -m core train --images DATA --images PHANTOMS --name vessels --out runs/vessels
    """
    from ..training import train as run_training  # noqa: PLC0415 - Lightning takes seconds to import

    settings = TrainingSettings(
        images=images,
        masks=masks,
        architecture=architecture,
        arguments=_parsed(arguments),
        class_names=tuple(part.strip() for part in class_names.split(",")) if class_names is not None else None,
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


def _parsed(arguments: str) -> dict[str, object]:
    try:
        parsed = json.loads(arguments)
    except json.JSONDecodeError as error:
        raise UserError(f'The arguments are JSON such as {{"width": 16}}; {arguments} is not: {error}.') from error
    if not isinstance(parsed, dict):
        raise UserError(f'The arguments are a JSON object such as {{"width": 16}}; {arguments} is not.')
    return parsed
