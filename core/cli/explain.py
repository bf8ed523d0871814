"""`python -m core explain`, and `python -m core ig`, its short form for Integrated Gradients."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from ..attribution.attribution import Attribution
from ..attribution.registry import METHODS, explain_each
from ..attribution.statistics import statistics
from ..compute.progress import Progress
from ..data.data_sets import ImagePair
from ..display.colours import FULL_COLOUR_PERCENTILE, colour_limit, intensity_rgb, magnitude_scale, png_bytes
from ..errors import UserError
from ..io.files import write_atomically
from ..io.tables import averages, csv_bytes, json_bytes
from ..pixel_sets import NEEDS_TRUTH
from ..segmenter import Prediction, Segmenter
from ..target import Target
from .many_images import SUMMARY_VERSION, work_through
from .options import ImageRun, Model, Out, Question, Reading, true_mask
from .setting_options import MethodOptions, chosen_methods
from .target_options import TargetOptions

Row = dict[str, Any]
"""The row of one map in the table."""

_MAGNITUDE_OPACITY, _LAYER_OPACITY = 0.85, 0.75


def explain(
    model: Model,
    out: Out,
    method: Annotated[
        str,
        typer.Option("--method", "--methods", help=f"Methods, with commas between them: {', '.join(METHODS)}."),
    ],
    run: ImageRun,
    targets: TargetOptions,
    *,
    reading: Reading,
    options: MethodOptions,
    question: Question,
) -> None:
    """Explain images by one or several methods, with statistics.

    The target is the whole prediction, a class, a pixel or another pixel set.

    In OUT/<image>/<method>: the values, signed, magnitude and overlay as pictures, manifest.json, and statistics.json
    but for class activation maps. For a folder also OUT/statistics.csv and OUT/summary.json; an image that fails is
    listed, and the others go on.

    Example: python -m core explain --model vessmap --images DIR --method gradient,smoothgrad,ig --out results
    """
    _explain(model, question, out, chosen_methods(method), run, targets, reading, options)


class PathOptions(MethodOptions):
    """Settings of Integrated Gradients."""

    @classmethod
    def methods(cls) -> tuple[str, ...]:
        """Integrated Gradients alone."""
        return ("integrated_gradients",)


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
    question: Question,
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
    _explain(model, question, out, ("integrated_gradients",), run, targets, reading, options, by_method=False)


def _explain(
    model: str,
    question: Question,
    out: Path,
    methods: tuple[str, ...],
    run: ImageRun,
    targets: TargetOptions,
    reading: Reading,
    options: MethodOptions,
    *,
    by_method: bool = True,
) -> None:
    segmenter, paths, selection, pairs = prepared(model, question, methods, run, targets, options)
    job = Explanation(out.absolute(), methods, targets, options.values | run.seeds, reading, pairs, by_method)

    def write_tables(results: dict[Path, list[Row]], failures: dict[str, str]) -> None:
        if run.images is not None:
            job.write_tables(segmenter, results, failures, selection)

    def report(rows: list[Row]) -> None:
        for row in rows:
            typer.echo(_in_words(row))

    done = work_through(segmenter, paths, job, write_tables, run.scheduler, report=report)
    if run.images is not None:
        typer.echo(f"{out}: {len(done)} of {len(paths)} images ({selection}); averages in summary.json")


def prepared(
    model: str,
    question: Question,
    methods: Sequence[str],
    run: ImageRun,
    targets: TargetOptions,
    options: MethodOptions,
) -> tuple[Segmenter, list[Path], str, Mapping[Path, ImagePair]]:
    """The network, the images, how they were chosen in words, and their masks.

    Raises:
        UserError: Options that do not fit each other, or what they name is not there.
    """
    options.check(methods, run.seeds if run.samples is None else ())
    paths, selection = run.chosen()
    segmenter = question.load(model, run.device)
    targets.class_index(segmenter)
    return segmenter, paths, selection, run.pairs(paths, needs_truth=targets.pixels.name in NEEDS_TRUTH)


@dataclass(frozen=True, eq=False)
class Explanation:
    """The work for each image; plain values, so that it can go to Dask workers."""

    out: Path
    methods: tuple[str, ...]
    targets: TargetOptions
    settings: Mapping[str, Any]
    reading: Reading
    pairs: Mapping[Path, ImagePair]
    by_method: bool = True

    def __call__(self, segmenter: Segmenter, path: Path, progress: Progress | None) -> Any:
        """Explain one image, write its files, and give its rows of the table."""
        image, truth, prediction, target = self.read(segmenter, path)
        settings = {
            name: self.reading.image(segmenter, value) if isinstance(value, Path) else value
            for name, value in self.settings.items()
        }
        rows = []
        for name, attribution in explain_each(segmenter, image, target, self.methods, settings, progress):
            folder = self.out / path.stem / name if self.by_method else self.out / path.stem
            about = {"image": path.name} | ({"method": name} if self.by_method else {})
            rows.append(about | _write_files(folder, about, image, attribution, prediction, truth))
        return rows

    def read(self, segmenter: Segmenter, path: Path) -> tuple[np.ndarray, np.ndarray | None, Prediction, Target]:
        """The image, its ground truth where there is one, its prediction, and the target in it."""
        image = self.reading.image(segmenter, path)
        truth = true_mask(self.pairs, path)
        prediction = segmenter.predict(image)
        return image, truth, prediction, self.targets.target(segmenter, prediction, truth)

    def write_tables(
        self, segmenter: Segmenter, results: dict[Path, list[Row]], failures: dict[str, str], selection: str
    ) -> None:
        """Write statistics.csv and summary.json."""
        rows = [row for found in results.values() for row in found]
        settings = {
            name: {key: str(value) if isinstance(value, Path) else value for key, value in vars(own).items()}
            for name in self.methods
            for own in [METHODS[name].settings_from(self.settings)]
        }
        means = {name: averages([row for row in rows if row.get("method", name) == name]) for name in self.methods}
        (first,) = self.methods[:1]
        layers = sorted({row["layer"] for row in rows if "layer" in row})
        summary = {
            "schema_version": SUMMARY_VERSION,
            **({"methods": self.methods} if self.by_method else {"method": first}),
            **({"layers": layers} if layers else {}),
            "settings": {
                "model": segmenter.name,
                "weights_sha256": segmenter.weights_hash,
                "target": self.targets.describe(segmenter),
                **(settings if self.by_method else settings[first]),
                **asdict(self.reading),
            },
            "selection": selection,
            "images": len(results),
            "averages": means if self.by_method else means[first],
            "failed": failures,
        }
        if rows:
            write_atomically(self.out / "statistics.csv", csv_bytes(rows))
        write_atomically(self.out / "summary.json", json_bytes(summary))


def _write_files(
    folder: Path, about: Row, image: np.ndarray, attribution: Attribution, prediction: Prediction,
    truth: np.ndarray | None,
) -> Row:  # fmt: skip
    """Write the results, the manifest last, and return the numbers; a layer's map has no statistics of pixels."""
    numbers: Row = {}
    reading = {}
    if attribution.layer is None:
        found = statistics(attribution, prediction, truth)
        numbers |= found.as_dict()
        parts = {"predicted": found.predicted, "truth": found.truth}
        reading = {name: part.in_words() for name, part in parts.items() if part is not None}
    else:
        numbers["layer"] = attribution.layer
    if attribution.convergence_delta is not None:
        names = ("score_difference", "convergence_delta", "convergence_percent", "map_error_percent")
        numbers |= {name: getattr(attribution, name) for name in names}
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
        scale = magnitude_scale(colour_limit(shown, percentile=FULL_COLOUR_PERCENTILE))
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
