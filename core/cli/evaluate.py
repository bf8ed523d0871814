"""`python -m core evaluate`."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher, get_close_matches
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import Progress as ProgressBars

from ..attribution.attribution import SCHEMA_VERSION
from ..attribution.catalogue import DEFAULT_METHODS, METHODS, ExplainSettings
from ..compute.batches import Advance, csv_bytes, defined, each_image, json_bytes
from ..data.data_sets import ImagePair, read_pair
from ..data.images import Scaling
from ..display.charts import Estimate, interval_figure
from ..errors import UserError
from ..io.files import write_atomically
from ..models import load_segmenter
from ..segmenter import Segmenter
from ..target import Space
from ..trust.benchmark import (
    BenchmarkSettings,
    Measurement,
    SummaryRow,
    TargetKind,
    caution,
    evaluate_image,
    in_words,
    summarise,
    text_table,
)
from ..trust.benchmark.bootstrap import CONFIDENCE, DEFAULT_RESAMPLES
from ..trust.benchmark.summary import ENOUGH_IMAGES
from ..trust.faithfulness import (
    DEFAULT_METRICS,
    LOCALISATION_METRICS,
    METRICS,
    EvaluationSettings,
    RemovalSettings,
    ScoreKind,
)
from ..trust.faithfulness.curves import DEFAULT_STEPS
from ..trust.faithfulness.removal import DEFAULT_SUBSETS
from .choices import Scheduler, chosen_class, drawn_images, masks_of
from .options import Device, Grey, Out, Stretch, Weights, chosen_images, read_for

Fill = Literal["zero", "mean", "blur"]

_LIBRARIES = ("torch", "numpy", "scipy")
_HEADING = (
    "Mean and 95 % interval over the images, the best first. Full point: better than the best control; "
    "ring: not; grey: a control."
)


def evaluate(
    weights: Weights,
    images: Annotated[Path, typer.Option(help="A folder of images, or one with images/ in it.")],
    out: Out,
    masks: Annotated[Path | None, typer.Option(help="A folder of ground truth, called as the images are.")] = None,
    methods: Annotated[
        str | None, typer.Option(help=f"With commas between them [{','.join(DEFAULT_METHODS)}].")
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(help=f"With commas between them [{','.join(DEFAULT_METRICS)}, with --masks localisation too]."),
    ] = None,
    samples: Annotated[int | None, typer.Option(help="Only so many of the images, drawn with --seed.")] = None,
    targets: Annotated[
        TargetKind, typer.Option(help="patch: part of a class; point: a pixel; component: an object; class: all of it.")
    ] = "patch",
    targets_per_image: Annotated[int, typer.Option(help="The most that are drawn in an image.")] = 1,
    class_name: Annotated[str | None, typer.Option("--class", help="Draw targets of this class only.")] = None,
    space: Annotated[Space, typer.Option(help="Of the scores that are explained.")] = "probability",
    layer: Annotated[str | None, typer.Option(help="Of class activation maps. By default one is suggested.")] = None,
    score: Annotated[ScoreKind, typer.Option(help="What is followed; target: the explained score itself.")] = "target",
    fill: Annotated[
        Fill, typer.Option(help="What pixels become; also where Integrated Gradients starts, and what occlusion shows.")
    ] = "mean",
    context_only: Annotated[bool, typer.Option("--context-only", help="Leave the target's own pixels alone.")] = False,
    steps: Annotated[int, typer.Option(help="Of deletion and insertion.")] = DEFAULT_STEPS,
    subsets: Annotated[int, typer.Option(help="Random patches of infidelity and sensitivity-n.")] = DEFAULT_SUBSETS,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown, for a README.")] = False,
    scheduler: Scheduler = None,
    device: Device = "auto",
    scaling: Stretch = "dtype",
    grey: Grey = False,
) -> None:
    """Which explanations are right: several methods put to the same tests over many images, beside controls.

    Targets are drawn inside the prediction. The controls (random maps, an edge detector, the distance to the target)
    know nothing of the network; a method that does not beat them says nothing. OUT/targets.csv has every number,
    OUT/summary.csv and OUT/summary.json means with intervals and verdicts, OUT/figure.html a picture. An image that
    fails is listed, and the others go on.

    Example: python -m core evaluate --weights scenes --images sample_data/scenes/test --masks
    sample_data/scenes/test/masks --methods gradient,integrated_gradients,seg_hires_grad_cam --out results
    """
    defaults = DEFAULT_METRICS if masks is None else (*DEFAULT_METRICS, *LOCALISATION_METRICS)
    chosen_metrics = _chosen("metric", metrics, tuple(METRICS), defaults)
    if masks is None and (unmet := [name for name in chosen_metrics if name in LOCALISATION_METRICS]):
        raise UserError(f"{METRICS[unmet[0]].title} needs to know where the objects are; give --masks FOLDER.")
    chosen_methods = _chosen("method", methods, METHODS, DEFAULT_METHODS)
    paths, selection = drawn_images(chosen_images(None, images), samples, seed)
    pairs = {} if masks is None else {path.absolute(): pair for path, pair in masks_of(paths, masks).items()}
    segmenter = load_segmenter(weights, device)
    known_layers = [name for name, _ in segmenter.module.named_modules() if name]
    if layer is not None and layer not in known_layers:
        nearest = get_close_matches(layer, known_layers, 3, 0)
        raise UserError(f'{segmenter.name} has no layer "{layer}"; the nearest are {", ".join(nearest)}.')
    settings = BenchmarkSettings(
        chosen_methods,
        chosen_metrics,
        targets,
        targets_per_image,
        None if class_name is None else chosen_class(segmenter, class_name),
        space,
        explain=ExplainSettings(layer, baseline=fill, fill=fill),
        evaluation=EvaluationSettings(
            RemovalSettings(score, fill, context_only=context_only), steps, n_subsets=subsets
        ),
        seed=seed,
    )
    measured: dict[Path, list[Measurement]] = {}
    failed: dict[str, str] = {}
    try:
        with ProgressBars(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bars:
            done_images = bars.add_task("Images", total=len(paths))
            inside = bars.add_task("This image", total=None, visible=scheduler is None)

            def advance(done: int, total: int) -> None:
                bars.update(inside, completed=done, total=total)

            work = _ImageEvaluation(settings, scaling, grey, pairs)
            for outcome in each_image(segmenter, paths, work, scheduler, advance):
                if outcome.result is None:
                    failed[outcome.path.stem] = outcome.failure
                else:
                    measured[outcome.path] = outcome.result
                bars.advance(done_images)
    finally:
        failed = {path.stem: failed[path.stem] for path in paths if path.stem in failed}
        found = [measurement for path in paths for measurement in measured.get(path, ())]
        rows = summarise(found, chosen_metrics, seed=seed)
        if measured or failed:
            about = _described(segmenter, settings, scaling, grey=grey)
            counts = {"selection": selection, "images": len(measured), "targets": len(_targets(found))}
            layers = sorted({measurement.layer for measurement in found if measurement.layer})
            _write(out, found, rows, about | counts | {"layers": layers, "failed": failed})
    for stem, reason in failed.items():
        typer.echo(f"{stem} failed: {reason}", err=True)
    if not measured:
        raise UserError(f"None of the {len(paths)} images could be evaluated: {next(iter(failed.values()))}")
    typer.echo(text_table(rows, markdown=markdown))
    typer.echo("\n" + "\n".join(f"- {sentence}" if markdown else sentence for sentence in in_words(rows)))
    if warning := caution(rows):
        typer.echo(f"\n{warning}")
    typer.echo(
        f"{out}: {len(_targets(found))} targets in {len(measured)} of {len(paths)} images ({selection})", err=True
    )


@dataclass(frozen=True, eq=False)
class _ImageEvaluation:
    """What is done with every image; plain values, so that it can go to Dask workers."""

    settings: BenchmarkSettings
    scaling: Scaling
    grey: bool
    pairs: Mapping[Path, ImagePair]

    def __call__(self, segmenter: Segmenter, path: Path, progress: Advance | None) -> list[Measurement]:
        """Read one image, and its mask where there is one, and evaluate it."""
        image, _ = read_for(segmenter, path, self.scaling, grey=self.grey)
        pair = self.pairs.get(path.absolute())
        truth = None if pair is None else read_pair(pair).mask
        return evaluate_image(segmenter, image, path.name, self.settings, truth, progress)


def _chosen(what: str, text: str | None, known: Sequence[str], default: tuple[Any, ...]) -> tuple[Any, ...]:
    """The names in a list with commas, each once; an unknown one is told with the nearest known ones first."""
    if text is None:
        return default
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise UserError(f"Name at least one {what}: {', '.join(known)}.")
    for name in names:
        if name not in known:
            nearest = sorted(known, key=lambda other: -SequenceMatcher(None, name, other).ratio())
            raise UserError(f'There is no {what} "{name}"; there are {", ".join(nearest)}.')
    return names


def _targets(found: Sequence[Measurement]) -> set[tuple[str, int]]:
    return {(measurement.image, measurement.target) for measurement in found}


def _described(segmenter: Segmenter, settings: BenchmarkSettings, scaling: Scaling, *, grey: bool) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "model": segmenter.name,
        "weights_sha256": segmenter.weights_hash,
        "classes": list(segmenter.class_names),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "settings": asdict(settings) | {"scaling": scaling, "grey": grey},
        "bootstrap": {"of": "means", "resamples": DEFAULT_RESAMPLES, "confidence": CONFIDENCE, "groups": "images"},
        "verdicts": {
            "from": "t interval of the difference to the best control",
            "confidence": CONFIDENCE,
            "groups": "images",
            "at_least_images": ENOUGH_IMAGES,
            "corrected_for_many_comparisons": False,
        },
    }


def _write(out: Path, found: Sequence[Measurement], rows: Sequence[SummaryRow], about: Mapping[str, Any]) -> None:
    plain = [{name: defined(value) for name, value in row.as_row().items()} for row in rows]
    if found:
        write_atomically(out / "targets.csv", csv_bytes([measurement.as_row() for measurement in found]))
        write_atomically(out / "summary.csv", csv_bytes([row.as_row() for row in rows]))
        # With all of Plotly in it, as nothing may be downloaded where it is opened.
        write_atomically(out / "figure.html", _figure(rows).encode())
    words = {"in_words": in_words(rows), "caution": caution(rows)}
    write_atomically(out / "summary.json", json_bytes(dict(about) | words | {"summary": plain}))


def _figure(rows: Sequence[SummaryRow]) -> str:
    panels: dict[str, list[Estimate]] = {}
    for row in rows:
        metric = METRICS[row.metric]
        title = f"{metric.title} ({metric.direction} is better)"
        note = row.verdict if row.is_control else f"{row.verdict}, against {row.best_control or 'no control'}"
        panels.setdefault(title, []).append(
            Estimate(row.title, row.mean, row.low, row.high, row.is_control, row.verdict == "better", note)
        )
    heading = "<br>".join(filter(None, (_HEADING, caution(rows))))
    return interval_figure(panels, heading).to_html(include_plotlyjs=True)
