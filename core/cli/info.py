"""`python -m core info`."""

from pathlib import Path

import typer

from core.cli.options import Weights
from core.models import load_segmenter
from core.models.checkpoint import find_checkpoint, read_checkpoint
from core.segmenter import Segmenter


def info(weights: Weights) -> None:
    """Say what a checkpoint is: its network, its classes, and its card where it has one.

    Example: python -m core info --weights weights/vessmap.safetensors
    """
    path = find_checkpoint(weights)
    segmenter = load_segmenter(path, "cpu")
    _, stored = read_checkpoint(path)
    typer.echo(_summary(segmenter, path, stored.architecture if stored else "recognised from the keys"))
    card = path.with_suffix(".md")
    if card.is_file():
        typer.echo(f"\n{card.read_text(encoding='utf-8')}")


def _summary(segmenter: Segmenter, path: Path, architecture: str) -> str:
    lines = {
        "file": f"{path.name}, {path.stat().st_size / 1e6:.1f} MB",
        "architecture": f"{architecture} ({type(segmenter.module).__name__})",
        "parameters": f"{sum(parameter.numel() for parameter in segmenter.module.parameters()):,}",
        "channels": str(segmenter.in_channels),
        "classes": ", ".join(f"{index} {name}" for index, name in enumerate(segmenter.class_names)),
        "normalisation": f"mean {_numbers(segmenter.mean)}, std {_numbers(segmenter.std)}",
        "weights sha256": segmenter.weights_hash,
    }
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines.items())


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
