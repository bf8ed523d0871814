"""`python -m core info`."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..jacobian import receptive_field
from ..models import Layer, layers
from ..models.checkpoint import find_checkpoint
from ..models.facts import class_name, file_facts, network_facts
from ..receptive_field.support import field_in_words
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
    lines = file_facts(path, segmenter) if path.is_file() else {"model": f"{model} ({class_name(segmenter)})"}
    lines |= network_facts(segmenter)
    lines["receptive field"] = (
        f"{field_in_words(receptive_field(segmenter, (height, width)))}, for an image of {height} × {width}"
    )
    label_width = max(map(len, lines))
    typer.echo("\n".join(f"{name:<{label_width}}  {value}" for name, value in lines.items()))
    typer.echo(f"\n{len(found)} layers, for an image of {height} × {width} (rows × columns):")
    typer.echo(_table(found))
    card = path.with_suffix(".md")
    if path.is_file() and card.is_file():
        typer.echo(f"\n{card.read_text(encoding='utf-8')}")


def _table(found: list[Layer]) -> str:
    table = Table("name", "type", "channels", "height", "width", "stride", box=None, pad_edge=False)
    for layer in found:
        stride = "-" if layer.stride is None else " × ".join(f"{value:g}" for value in dict.fromkeys(layer.stride))
        table.add_row(layer.name, layer.type_name, *map(str, (layer.channels, layer.height, layer.width)), stride)
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())
