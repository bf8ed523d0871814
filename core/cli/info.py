"""`python -m core info`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ..jacobian import receptive_field
from ..models import Layer, identify, layers, read_training_record
from ..models.checkpoint import find_checkpoint
from ..segmenter import Segmenter
from .options import Model, Question

_SIZE = 256


def info(
    model: Model,
    size: Annotated[
        tuple[int, int] | None, typer.Option(help="Height and width of the image for which layers are listed.")
    ] = None,
    *,
    question: Question,
) -> None:
    """Show a model: network, classes, receptive field, layers, and its card.

    Example: python -m core info --model vessmap --size 256 256
    """
    segmenter = question.load(model, "cpu")
    path = find_checkpoint(model)
    multiple = segmenter.size_multiple or 1
    height, width = size or (-(-_SIZE // multiple) * multiple,) * 2
    found = layers(segmenter, (height, width))
    lines = _of_file(path, segmenter) if path.is_file() else {"model": f"{model} ({_class_name(segmenter)})"}
    lines |= _of_segmenter(segmenter)
    lines["receptive field"] = f"{_field(segmenter, (height, width))}, for an image of {height} × {width}"
    label_width = max(map(len, lines))
    typer.echo("\n".join(f"{name:<{label_width}}  {value}" for name, value in lines.items()))
    typer.echo(f"\n{len(found)} layers, for an image of {height} × {width} (rows × columns):")
    typer.echo(_table(found))
    card = path.with_suffix(".md")
    if path.is_file() and card.is_file():
        typer.echo(f"\n{card.read_text(encoding='utf-8')}")


def _of_file(path: Path, segmenter: Segmenter) -> dict[str, str]:
    identity = identify(path)
    lines = {
        "file": f"{path.name}, {path.stat().st_size / 1e6:.1f} MB",
        "architecture": f"{identity.architecture} ({_class_name(segmenter)})",
        "arguments": _entries(identity.arguments),
    }
    if record := read_training_record(path):
        lines["scores"] = _entries(record)
    return lines


def _of_segmenter(segmenter: Segmenter) -> dict[str, str]:
    parameters = list(segmenter.module.parameters())
    megabytes = sum(parameter.numel() * parameter.element_size() for parameter in parameters) / 1e6
    lines = {
        "parameters": f"{sum(parameter.numel() for parameter in parameters):,} ({megabytes:.1f} MB)",
        "channels": str(segmenter.in_channels),
        "classes": ", ".join(f"{index} {name}" for index, name in enumerate(segmenter.class_names)),
        "normalisation": f"mean {_numbers(segmenter.mean)}, std {_numbers(segmenter.std)}",
        "image sizes": {None: "found by trying", 1: "any"}.get(
            segmenter.size_multiple, f"multiples of {segmenter.size_multiple}; others are padded"
        ),
        "weights sha256": segmenter.weights_hash,
    }
    if segmenter.notes:
        lines["note"] = "; ".join(segmenter.notes)
    return lines


def _class_name(segmenter: Segmenter) -> str:
    return type(segmenter.module).__name__


def _field(segmenter: Segmenter, size: tuple[int, int]) -> str:
    field = receptive_field(segmenter, size)
    if field == "dense":
        return "dense: every pixel reaches every other, as by global pooling or attention"
    return f"{field.up} rows up, {field.down} down, {field.left} columns left, {field.right} right at most"


def _table(found: list[Layer]) -> str:
    table = Table("name", "type", "channels", "height", "width", "stride", box=None, pad_edge=False)
    for layer in found:
        stride = "-" if layer.stride is None else " × ".join(f"{value:g}" for value in dict.fromkeys(layer.stride))
        table.add_row(layer.name, layer.type_name, *map(str, (layer.channels, layer.height, layer.width)), stride)
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _entries(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_words(value)}" for name, value in values.items()) or "none"


def _words(value: object) -> str:
    if isinstance(value, dict):
        return f"({_entries(value)})"
    return f"{value:g}" if isinstance(value, float) else f"{value}"


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
