"""`python -m core evaluate`."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from ..attribution.registry import quick_methods, quick_settings
from ..attribution.settings import Setting, settings_of
from ..compute.progress import Progress
from ..data.data_sets import ImagePair
from ..display.charts import Estimate, interval_figure
from ..errors import UserError
from ..io.files import write_atomically
from ..io.tables import csv_bytes, json_bytes
from ..segmenter import Segmenter
from ..target import Space
from ..trust import METRICS, EvaluationSettings, RemovalSettings, default_metrics
from ..trust.benchmark.interval import CONFIDENCE
from ..trust.benchmark.measurement import BenchmarkSettings, Measurement, evaluate_image
from ..trust.benchmark.summary import ENOUGH_IMAGES, SummaryRow, caution, in_words, summarise
from ..trust.benchmark.table import text_table
from ..trust.benchmark.targets import TargetKind
from .many_images import SUMMARY_VERSION, work_through
from .options import ImageRun, Model, Out, Question, Reading, chosen_class, chosen_names, true_mask
from .setting_options import MethodOptions, SettingOptions, chosen_methods
from .target_options import Against

_LIBRARIES = ("torch", "numpy", "scipy")
_ONLY_WITH_OTHERS = ("draws", "tolerance", "max_steps")
"""Settings that act only with a random baseline or automatic steps, which are not used here."""
_DEFAULT_RUN = ImageRun(seed=0)
_HEADING = (
    "Mean and 95 % interval over the images, the best first. Full point: better than the best control; "
    "ring: not; grey: a control."
)


class _MetricOptions(SettingOptions):
    """The chosen metrics and their settings."""

    def __init__(self, metrics: str | None = None, **texts: str | bool | None) -> None:
        self._names = metrics
        super().__init__(**texts)

    @classmethod
    def owners(cls) -> Mapping[str, Sequence[Setting]]:
        """The settings of each metric that has some."""
        return {name: found for name, metric in METRICS.items() if (found := settings_of(metric.Settings))}

    @classmethod
    def parameters(cls) -> list[inspect.Parameter]:
        """The metrics, and one optional parameter per setting."""
        usual = ",".join(default_metrics())
        text = (
            f"Names with commas between them: {', '.join(METRICS)} [default: {usual}, with --masks localisation too]."
        )
        annotation: Any = Annotated[str | None, typer.Option(help=text)]
        names = inspect.Parameter("metrics", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        return [names, *super().parameters()]

    def chosen(self, *, has_masks: bool) -> tuple[str, ...]:
        """The names of the metrics.

        Raises:
            UserError: An unknown metric, or one that needs masks where there are none.
        """
        names = default_metrics(with_object=has_masks)
        if self._names is not None:
            names = chosen_names("metric", self._names, tuple(METRICS))
        if not has_masks and (unmet := [name for name in names if METRICS[name].needs_object]):
            raise UserError(f"{METRICS[unmet[0]].title} needs to know where the objects are; give --masks FOLDER.")
        return names


class _RemovalOptions(SettingOptions):
    """How pixels are taken away."""

    @classmethod
    def owners(cls) -> Mapping[str, Sequence[Setting]]:
        """The settings that pages offer too."""
        return {"removal": [own for own in settings_of(RemovalSettings) if own.on_page]}


class _MethodSettings(MethodOptions):
    """The settings of the methods, but those that are set for all alike or have the name of one of the tests."""

    @classmethod
    def owners(cls) -> Mapping[str, Sequence[Setting]]:
        """The settings of each method, with the defaults that maps are compared with."""
        tests = [own for group in (_MetricOptions, _RemovalOptions) for settings in group.owners().values()
                 for own in settings]  # fmt: skip
        taken = {name for own in tests for name in (own.name, own.option)}
        taken |= {*_ONLY_WITH_OTHERS, "seed", *inspect.signature(evaluate).parameters}
        return {
            name: [
                replace(own, default=own.default if own.quick is None else own.quick)
                for own in settings
                if not (own.takes_image or taken & {own.name, own.option})
            ]
            for name, settings in super().owners().items()
        }


def evaluate(
    model: Model,
    out: Out,
    run: ImageRun = _DEFAULT_RUN,
    methods: Annotated[
        str | None,
        typer.Option(
            "--methods", "--method", help=f"Names with commas between them [default: {','.join(quick_methods())}]."
        ),
    ] = None,
    targets: Annotated[
        TargetKind, typer.Option(help="patch: part of a class; point: a pixel; component: an object; class: all of it.")
    ] = "patch",
    targets_per_image: Annotated[int, typer.Option(help="Largest number of targets drawn per image.")] = 1,
    class_name: Annotated[str | None, typer.Option("--class", help="Draw targets of this class only.")] = None,
    against: Against = None,
    space: Annotated[Space, typer.Option(help="Score space to explain.")] = "logit",
    layer: Annotated[
        str | None, typer.Option(help="Layer for the class activation maps. By default one is suggested.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown, for a README.")] = False,
    *,
    options: _MetricOptions,
    removal: _RemovalOptions,
    method_settings: _MethodSettings,
    reading: Reading,
    question: Question,
) -> None:
    """Put several methods to the same tests over many images, beside controls.

    Targets are drawn inside the prediction. The controls (random maps, an edge detector, the distance to the target)
    know nothing of the network; a method that does not beat them says nothing. What replaces pixels (--fill) is also
    the baseline of Integrated Gradients and the fill of occlusion. --steps and other options that belong to the tests
    leave the methods' own settings of that name at their defaults. OUT/targets.csv has every number, OUT/summary.csv
    and OUT/summary.json means with intervals and verdicts, OUT/figure.html a picture. An image that fails is listed,
    and the others go on.

    Example: python -m core evaluate --model scenes --images sample_data/scenes/test --masks
    sample_data/scenes/test/masks --methods gradient,integrated_gradients,seg_hires_grad_cam --out results
    """
    metrics = options.chosen(has_masks=run.masks is not None)
    names = quick_methods() if methods is None else chosen_methods(methods)
    method_settings.check(names)
    paths, selection = run.chosen()
    pairs = run.pairs(paths, needs_truth=False)
    segmenter = question.load(model, run.device)
    known_layers = [name for name, _ in segmenter.module.named_modules() if name]
    if layer is not None and layer not in known_layers:
        nearest = get_close_matches(layer, known_layers, 3, 0)
        raise UserError(f'{segmenter.name} has no layer "{layer}"; the nearest are {", ".join(nearest)}.')
    removing = RemovalSettings(**removal.values)
    settings = BenchmarkSettings(
        methods=names,
        metrics=metrics,
        kind=targets,
        n_targets=targets_per_image,
        class_index=None if class_name is None else chosen_class(segmenter, class_name),
        space=space,
        against=None if against is None else chosen_class(segmenter, against),
        explain=quick_settings()
        | method_settings.values
        | {"layer": layer, "baseline": removing.fill, "fill": removing.fill},
        evaluation=EvaluationSettings(removing, options.values),
        seed=run.seed or 0,
    )
    rows: list[SummaryRow] = []
    found: list[Measurement] = []

    def write(measured: dict[Path, list[Measurement]], failed: dict[str, str]) -> None:
        found.extend(measurement for measurements in measured.values() for measurement in measurements)
        rows.extend(summarise(found, metrics))
        about = _described(segmenter, settings, reading) | {
            "selection": selection,
            "images": len(measured),
            "targets": len(_targets(found)),
            "layers": sorted({measurement.layer for measurement in found if measurement.layer}),
            "failed": failed,
        }
        _write(out, found, rows, about)

    work = _ImageEvaluation(settings, reading, pairs)
    measured = work_through(segmenter, paths, work, write, run.scheduler, verb="evaluated")
    typer.echo(text_table(rows, markdown=markdown))
    typer.echo("\n" + "\n".join(f"- {sentence}" if markdown else sentence for sentence in in_words(rows)))
    if warning := caution(rows):
        typer.echo(f"\n{warning}")
    drawn = len(_targets(found))
    typer.echo(f"{out}: {drawn} targets in {len(measured)} of {len(paths)} images ({selection})", err=True)


@dataclass(frozen=True, eq=False)
class _ImageEvaluation:
    """The work for each image; plain values, so that it can go to Dask workers."""

    settings: BenchmarkSettings
    reading: Reading
    pairs: Mapping[Path, ImagePair]

    def __call__(self, segmenter: Segmenter, path: Path, progress: Progress | None) -> list[Measurement]:
        """Read one image, and its mask where there is one, and evaluate it."""
        image = self.reading.image(segmenter, path)
        truth = true_mask(self.pairs, path)
        return evaluate_image(segmenter, image, path.name, self.settings, truth, progress)


def _targets(found: Sequence[Measurement]) -> set[tuple[str, int]]:
    return {(measurement.image, measurement.target) for measurement in found}


def _described(segmenter: Segmenter, settings: BenchmarkSettings, reading: Reading) -> dict[str, Any]:
    return {
        "schema_version": SUMMARY_VERSION,
        "model": segmenter.name,
        "weights_sha256": segmenter.weights_hash,
        "classes": list(segmenter.class_names),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "settings": asdict(settings) | {"evaluation": settings.evaluation.describe()} | asdict(reading),
        "intervals": {"from": "t interval of the mean", "confidence": CONFIDENCE, "groups": "images"},
        "verdicts": {
            "from": "t interval of the difference to the best control",
            "confidence": CONFIDENCE,
            "groups": "images",
            "at_least_images": ENOUGH_IMAGES,
            "corrected_for_many_comparisons": False,
        },
    }


def _write(out: Path, found: Sequence[Measurement], rows: Sequence[SummaryRow], about: Mapping[str, Any]) -> None:
    table = [asdict(row) for row in rows]
    if found:
        write_atomically(out / "targets.csv", csv_bytes([measurement.as_row() for measurement in found]))
        write_atomically(out / "summary.csv", csv_bytes(table))
        # With all of Plotly in it, as nothing may be downloaded where it is opened.
        write_atomically(out / "figure.html", _figure(rows).encode())
    words = {"in_words": in_words(rows), "caution": caution(rows)}
    write_atomically(out / "summary.json", json_bytes(dict(about) | words | {"summary": table}))


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
