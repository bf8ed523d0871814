"""`python -m core explain`, and `python -m core ig`, its short form for Integrated Gradients."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from ..attribution.attribution import SCHEMA_VERSION, Attribution
from ..attribution.registry import METHODS, explain_each, method_named
from ..attribution.statistics import statistics
from ..compute.progress import Progress
from ..data.layout import ImagePair, read_pair
from ..display.colours import colour_limit, intensity_rgb, magnitude_scale, png_bytes
from ..errors import UserError
from ..io.files import write_atomically
from ..io.tables import averages, csv_bytes, json_bytes
from ..models import load_segmenter
from ..segmenter import Prediction, Segmenter
from .many_images import Finished, work_through
from .method_options import MethodOptions, with_images
from .options import ImageRun, Model, Out, Reading, chosen_names
from .target_options import Question, TargetOptions

Row = dict[str, Any]
"""What is said of one map in the table."""

_MAGNITUDE_OPACITY, _LAYER_OPACITY = 0.85, 0.75
_FULL_COLOUR_PERCENTILE = 99.5
"""Percentile of the magnitudes that the overlay shows as the largest: a few pixels are far above all others."""


def explain(
    model: Model,
    out: Out,
    method: Annotated[str, typer.Option(help=f"Methods, with commas between them: {', '.join(METHODS)}.")],
    run: ImageRun,
    targets: TargetOptions,
    *,
    reading: Reading,
    options: MethodOptions,
) -> None:
    """Explain images by one or several methods, with statistics.

    What is explained is the whole prediction, a class, a pixel or another pixel set.

    In OUT/<image>/<method>: the values, signed, magnitude and overlay as pictures, statistics.json and manifest.json.
    For a folder also OUT/statistics.csv and OUT/summary.json; an image that fails is listed, and the others go on.

    Example: python -m core explain --model vessmap --images DIR --method gradient,smoothgrad,ig --out results
    """
    known = [name for one in METHODS.values() for name in (one.name, *one.aliases)]
    methods = dict.fromkeys(method_named(name).name for name in chosen_names("method", method, known))
    _explain(model, out, tuple(methods), run, targets, reading, options)


class PathOptions(MethodOptions):
    """Settings of Integrated Gradients."""

    @classmethod
    def methods(cls) -> Sequence[str]:
        """Integrated Gradients alone."""
        return ["integrated_gradients"]


def ig(
    model: Model,
    out: Out,
    run: ImageRun,
    targets: TargetOptions,
    region: Annotated[
        Literal["image", "class"], typer.Option(help="image: all pixels; class: those where the class is predicted.")
    ] = "image",
    *,
    reading: Reading,
    options: PathOptions,
) -> None:
    """Integrated Gradients, short for explain --method ig.

    In OUT/<image>: the values, signed, magnitude and overlay as pictures, statistics.json and manifest.json. For a
    folder also OUT/statistics.csv and OUT/summary.json; an image that fails is listed, and the others go on.

    Example: python -m core ig --model vessmap --images DIR --samples 10 --out results
    """
    if region == "class":
        if targets.row is not None or targets.pixel_set is not None:
            raise UserError("Give either a pixel or the region of a class.")
        targets = replace(targets, pixel_set="class")
    _explain(model, out, ("integrated_gradients",), run, targets, reading, options, by_method=False)


def _explain(
    model: str,
    out: Path,
    methods: tuple[str, ...],
    run: ImageRun,
    targets: TargetOptions,
    reading: Reading,
    options: MethodOptions,
    *,
    by_method: bool = True,
) -> None:
    options.check(methods)
    paths, selection = run.chosen(options.values.get("seed"))
    segmenter = load_segmenter(model, run.device)
    question = targets.question(segmenter)
    pairs = run.pairs(paths, needs_truth=question.needs_truth)
    job = Explanation(out.absolute(), methods, question, options.values, reading, pairs, by_method)

    def write_tables(finished: Finished[list[Row]]) -> None:
        if run.images is not None:
            _write_tables(job, segmenter, finished, selection)

    def report(rows: list[Row]) -> None:
        for row in rows:
            typer.echo(_in_words(row))

    finished = work_through(segmenter, paths, job, write_tables, run.scheduler, report=report)
    if run.images is not None:
        typer.echo(f"{out}: {len(finished.results)} of {len(paths)} images ({selection}); averages in summary.json")


@dataclass(frozen=True, eq=False)
class Explanation:
    """What is done with each image; plain values, so that it can go to Dask workers."""

    out: Path
    methods: tuple[str, ...]
    question: Question
    settings: Mapping[str, Any]
    reading: Reading
    pairs: Mapping[Path, ImagePair]
    by_method: bool

    def __call__(self, segmenter: Segmenter, path: Path, progress: Progress | None) -> list[Row]:
        """Explain one image, write its files, and give its rows of the table."""
        image = self.reading.image(segmenter, path)
        truth = read_pair(self.pairs[path.absolute()]).mask if path.absolute() in self.pairs else None
        prediction = segmenter.predict(image)
        target = self.question.target(segmenter, prediction, truth)
        settings = with_images(self.settings, segmenter, self.reading)
        rows = []
        for name, attribution in explain_each(segmenter, image, target, self.methods, settings, progress):
            folder = self.out / path.stem / name if self.by_method else self.out / path.stem
            about = {"image": path.name} | ({"method": name} if self.by_method else {})
            rows.append(about | _write_files(folder, about, image, attribution, prediction, truth))
        return rows

    def describe(self, segmenter: Segmenter) -> dict[str, Any]:
        """The settings as plain values."""
        own = {
            name: {key: str(value) if isinstance(value, Path) else value for key, value in asdict(settings).items()}
            for name in self.methods
            for settings in [METHODS[name].settings_from(self.settings)]
        }
        return {
            "model": segmenter.name,
            "weights_sha256": segmenter.weights_hash,
            "target": self.question.describe(),
            **(own if self.by_method else own[self.methods[0]]),
            **asdict(self.reading),
        }


def _write_files(
    folder: Path, about: Row, image: np.ndarray, attribution: Attribution, prediction: Prediction,
    truth: np.ndarray | None,
) -> Row:  # fmt: skip
    """Write what came out, the manifest last, and give the numbers; a layer's map has no statistics of pixels."""
    numbers: Row = {}
    reading = {}
    if attribution.layer is None:
        found = statistics(attribution, prediction, truth)
        numbers |= found.as_dict()
        reading["predicted"] = found.predicted.in_words()
        if found.truth is not None:
            reading["truth"] = found.truth.in_words()
    if attribution.convergence_delta is not None:
        numbers |= {
            "score_difference": attribution.score_difference,
            "convergence_delta": attribution.convergence_delta,
            "convergence_percent": attribution.convergence_percent,
            "map_error_percent": attribution.map_error_percent,
        }
    numbers |= {"seconds": attribution.seconds, **attribution.measured}
    write_atomically(folder / "overlay.png", png_bytes(overlay(image, attribution)))
    if reading:
        write_atomically(folder / "statistics.json", json_bytes(about | numbers | {"how_to_read": reading}))
    attribution.save(folder)
    return numbers


def overlay(image: np.ndarray, attribution: Attribution) -> np.ndarray:
    """The magnitude over the image, or the positive map of a layer: RGB (H, W, 3)."""
    if attribution.layer is None:
        shown, opacity = attribution.magnitude(), _MAGNITUDE_OPACITY
        scale = magnitude_scale(colour_limit(shown, percentile=_FULL_COLOUR_PERCENTILE))
    else:
        shown, opacity = attribution.at_image_size(), _LAYER_OPACITY
        scale = magnitude_scale(colour_limit(shown))
    return scale.over(intensity_rgb(image), shown, opacity * scale.strength(shown))


def _in_words(row: Row) -> str:
    name = f"{row['image']}, {row['method']}" if "method" in row else row["image"]
    parts = []
    if "steps" in row:
        early = f" (budget used up before the {row['missed']} reached the tolerance)" if row.get("missed") else ""
        parts.append(f"{row['steps']} steps{early}")
    if "convergence_percent" in row:
        percent, map_error = row["convergence_percent"], row["map_error_percent"]
        parts += ["no difference of scores" if np.isnan(percent) else f"delta {percent:.2g} %"]
        parts += [] if np.isnan(map_error) else [f"map error about {map_error:.2g} %"]
    if "predicted_ratio" in row:
        parts.append(f"attribution ratio {row['predicted_ratio']:.3g}")
    parts.append(f"{row['seconds']:.1f} s")
    return f"{name}: {', '.join(parts)}"


def _write_tables(job: Explanation, segmenter: Segmenter, finished: Finished[list[Row]], selection: str) -> None:
    rows = [row for found in finished.results.values() for row in found]
    if job.by_method:
        methods: Row = {"methods": list(job.methods)}
        means: Row = {name: averages([row for row in rows if row["method"] == name]) for name in job.methods}
    else:
        methods, means = {"method": job.methods[0]}, averages(rows)
    summary = {
        "schema_version": SCHEMA_VERSION,
        **methods,
        "settings": job.describe(segmenter),
        "selection": selection,
        "images": len(finished.results),
        "averages": means,
        "failed": finished.failures,
    }
    if rows:
        write_atomically(job.out / "statistics.csv", csv_bytes(rows))
    write_atomically(job.out / "summary.json", json_bytes(summary))
