"""`python -m core score`."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..data.data_sets import ImagePair
from ..io.files import write_atomically
from ..io.tables import csv_bytes, json_bytes
from ..scoring.counts import OVERALL, PER_CLASS
from ..scoring.data_set_scores import DataSetScores, Summary, score_data_set
from ..scoring.parts import pairs_of_part
from .options import Device, Model, Question, with_progress

_WORST = 5

Part = Literal["all", "training", "validation", "test"]


def score(
    model: Model,
    images: Annotated[Path, typer.Option(help="Data set: images/ beside labels/ or masks/, or train/, val/, test/.")],
    masks: Annotated[Path | None, typer.Option(help="Folder of the masks, if --images is that of the images.")] = None,
    part: Annotated[
        Part,
        typer.Option(
            help="Part of a data set that comes split, or, of one folder, the images that the network's own training "
            "took as that part."
        ),
    ] = "all",
    out: Annotated[Path | None, typer.Option(help="Folder for scores.csv and summary.json.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
    device: Device = "auto",
    *,
    question: Question,
) -> None:
    """Score a network on images with masks: per image with intervals, and pooled, the worst first.

    Example: python -m core score --model vessmap --images DATA --part test --out scores
    """
    segmenter = question.load(model, device)
    pairs = pairs_of_part(images, masks, part, model)
    scores = score_data_set(segmenter, _shown(pairs))
    summaries = scores.summaries(seed)
    console = Console(highlight=False, soft_wrap=True)
    mean, low, high = scores.mean_iou(seed)
    console.print(f"{len(pairs)} images, mean IoU of the foreground {_with_interval(mean, low, high)}")
    console.print(_table(summaries))
    console.print("Worst first: " + ", ".join(_worst(scores)))
    if out is not None:
        write_atomically(out / "scores.csv", csv_bytes(scores.rows()))
        content = {
            "network": segmenter.name, "weights": segmenter.weights_hash, "images": len(pairs), "part": part,
            "seed": seed, "mean_iou": {"mean": mean, "low": low, "high": high},
            "metrics": [asdict(summary) for summary in summaries],
        }  # fmt: skip
        write_atomically(out / "summary.json", json_bytes(content))
        console.print(f"{out / 'scores.csv'}, {out / 'summary.json'}")


def _shown(pairs: Sequence[ImagePair]) -> Iterator[ImagePair]:
    return with_progress(pairs, "Scoring")


def _table(summaries: Sequence[Summary]) -> Table:
    table = Table("metric", "class", "mean over images", "95 % interval", "pooled", box=None, pad_edge=False)
    for each in summaries:
        interval = f"{each.low:.4f} … {each.high:.4f}" if each.low == each.low else "-"
        title = (PER_CLASS | OVERALL)[each.metric]
        table.add_row(title, escape(each.class_name or "all"), _number(each.mean), interval, _number(each.pooled))
    return table


def _worst(scores: DataSetScores) -> list[str]:
    order = scores.worst_first()[:_WORST]
    return [f"{escape(scores.images[index].stem)} {_number(scores.foreground_iou[index])}" for index in order]


def _with_interval(mean: float, low: float, high: float) -> str:
    interval = "" if low != low else f" (95 % interval {low:.4f} … {high:.4f})"  # noqa: PLR0124 - NaN
    return _number(mean) + interval


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.4f}"  # noqa: PLR0124 - NaN
