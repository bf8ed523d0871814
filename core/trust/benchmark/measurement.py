"""One image of a benchmark: its targets, their maps, and every metric of each."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...attribution.registry import METHODS, explain_each, quick_methods, quick_settings
from ...compute.progress import Progress, progress_of_part
from ...data.index_masks import IGNORED
from ...errors import UserError
from ...pixel_sets import check_truth
from ...segmenter import Segmenter
from ...target import PREDICTED, Target
from ..candidates import candidates_of
from ..comparison import compare
from ..controls import CONTROLS
from ..metrics.registry import METRICS, EvaluationSettings, default_metrics
from .targets import TargetSettings, draw_targets

_PARTS = 1000
"""Units of progress for one target's maps, and as many for its metrics."""


def _number(text: str) -> float:
    return float(text or "nan")


_COLUMNS: dict[str, Callable[[str], Any]] = {
    "image": str, "target": int, "description": str, "class_index": int, "pixels": int, "seed": int, "candidate": str,
    "is_control": {"True": True, "False": False}.__getitem__, "layer": str, "seconds": _number,
}  # fmt: skip
"""The columns of a table beside the metrics, and how each is read."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkSettings(TargetSettings):
    """What is compared, on which targets, and how thoroughly.

    Attributes:
        methods: Names in `core.attribution.registry.METHODS`; the controls always come with them.
        metrics: Names in `core.trust.METRICS`.
        explain: Settings of the methods by name; the seed is replaced by one of each target.
        evaluation: How thoroughly maps are tested; its seed is replaced too.
        seed: Seed of all that is drawn, together with the image's name: neither the order of the images matters nor
            where they are worked on.
    """

    methods: tuple[str, ...] = field(default_factory=quick_methods)
    metrics: tuple[str, ...] = field(default_factory=default_metrics)
    explain: Mapping[str, Any] = field(default_factory=quick_settings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed < 0:
            raise UserError(f"A seed is a whole number from 0 on; {self.seed} was given.")


@dataclass(frozen=True)
class Measurement:
    """The metrics of one candidate for one target.

    Attributes:
        image: Name of the image.
        target: Number of the target in the image, from 0 on.
        description: The target in words.
        class_index: Class of the target.
        pixels: Number of pixels of the target.
        seed: Seed of whatever was drawn for this target.
        candidate: Name of the candidate.
        title: Its name on screen.
        is_control: Whether it knows nothing of the network.
        layer: Layer of a class activation map; empty for others.
        seconds: Time that the map took; NaN for a control.
        values: Values by metric; NaN where it is not defined.
    """

    image: str
    target: int
    description: str
    class_index: int
    pixels: int
    seed: int
    candidate: str
    title: str
    is_control: bool
    layer: str
    seconds: float
    values: Mapping[str, float]

    def as_row(self) -> dict[str, Any]:
        """A line of a table."""
        return {name: getattr(self, name) for name in _COLUMNS} | dict(self.values)


def measurements_from(rows: Sequence[Mapping[str, str]]) -> list[Measurement]:
    """Measurements out of the rows of a targets.csv, so that tables can be made again without running the network.

    Runs are joined by joining their rows. Images are told apart by their names alone.

    Args:
        rows: As `csv.DictReader` gives them, the columns those of `Measurement.as_row`; an empty number is NaN, and
            columns that are no metric are left out.

    Raises:
        UserError: A row that lacks a column or has something else where a number belongs, or the same candidate twice
            for one target.
    """
    found = [_measurement(row, number) for number, row in enumerate(rows, start=1)]
    seen: set[tuple[str, int, int, str]] = set()
    for each in found:
        key = each.image, each.target, each.seed, each.candidate
        if key in seen:
            raise UserError(
                f"{each.title} is there twice for target {each.target} of {each.image}, which would count it twice; "
                "leave out the rows of one run."
            )
        seen.add(key)
    return found


def evaluate_image(
    segmenter: Segmenter,
    image: np.ndarray,
    name: str,
    settings: BenchmarkSettings = BenchmarkSettings(),
    truth: np.ndarray | None = None,
    progress: Progress | None = None,
) -> list[Measurement]:
    """Every metric of every method and control, for targets drawn in one image.

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1].
        name: Name of the image; targets are drawn by it and the seed.
        settings: What is compared.
        truth: The true class of each pixel, integers (H, W), 255 where it is not known; without it, metrics of
            localisation are NaN. They look for `DrawnTarget.object_in`.
        progress: See `Progress`; in parts of the whole, half for the maps and half for the metrics.

    Raises:
        UserError: There is nothing to explain, or what does not fit; see `draw_targets`, `explain_each` and `compare`.
    """
    prediction = segmenter.predict(image)
    size = prediction.labels.shape
    if truth is not None:
        check_truth(truth, size, segmenter.num_classes)
    generator = np.random.default_rng([settings.seed, zlib.crc32(name.encode())])
    drawn = draw_targets(prediction, segmenter.class_names, settings, generator)
    measured: list[Measurement] = []
    for number, chosen in enumerate(drawn):
        seed = int(generator.integers(2**31))
        removal = replace(settings.evaluation.removal, seed=seed)
        measured += measure_target(
            segmenter,
            image,
            chosen.target,
            replace(
                settings,
                explain={**settings.explain, "seed": seed},
                evaluation=replace(settings.evaluation, removal=removal),
            ),
            name=name,
            number=number,
            class_index=chosen.class_index,
            description=chosen.in_words(segmenter.class_names),
            region=None if truth is None else chosen.object_in(truth),
            known=None if truth is None else truth != IGNORED,
            progress=progress_of_part(progress, 2 * number * _PARTS, 2 * _PARTS, 2 * _PARTS * len(drawn)),
        )
    return measured


def measure_target(
    segmenter: Segmenter,
    image: np.ndarray,
    target: Target,
    settings: BenchmarkSettings,
    *,
    name: str,
    number: int = 0,
    class_index: int = PREDICTED,
    description: str = "",
    region: np.ndarray | None = None,
    known: np.ndarray | None = None,
    progress: Progress | None = None,
) -> list[Measurement]:
    """Every metric of every method and control for one target.

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1].
        target: The scalar explained.
        settings: Methods, metrics and their settings, with the seeds that they have; how targets are drawn is not used.
        name: Name of the image.
        number: Number of the target in the image.
        class_index: Class of the target.
        description: The target in words.
        region: Bool (H, W), the object that localisation looks for; without it, its metrics are NaN.
        known: Bool (H, W), the pixels at which the region is known; None knows all.
        progress: See `Progress`; in parts of the whole, half for the maps and half for the metrics.

    Raises:
        UserError: What does not fit; see `explain_each` and `compare`.
    """
    explained, tested = (progress_of_part(progress, half * _PARTS, _PARTS, 2 * _PARTS) for half in (0, 1))
    maps = explain_each(segmenter, image, target, settings.methods, settings.explain, explained)
    removal = settings.evaluation.removal
    candidates = candidates_of(maps, segmenter, image, target, removal, settings.explain)
    given = segmenter, image, target, candidates
    comparison = compare(*given, settings.metrics, settings.evaluation, region, known, tested)
    return [
        Measurement(
            name,
            number,
            description,
            class_index,
            int(target.pixels(image.shape[-2:]).sum()),
            removal.seed,
            key,
            candidate.title,
            candidate.is_control,
            candidate.layer,
            float("nan") if candidate.is_control else candidate.seconds,
            comparison.values[key],
        )
        for key, candidate in candidates.items()
    ]


def _measurement(row: Mapping[str, str], number: int) -> Measurement:
    try:
        found = {name: read(row[name]) for name, read in _COLUMNS.items()}
        known = METHODS.get(found["candidate"]) or CONTROLS.get(found["candidate"])
        return Measurement(
            **found,
            title=known.title if known else found["candidate"],
            values={metric: _number(row[metric]) for metric in METRICS if metric in row},
        )
    except (KeyError, ValueError) as error:
        raise UserError(f"Row {number} is not one of a targets.csv ({error}); give a file as it was written.") from None
