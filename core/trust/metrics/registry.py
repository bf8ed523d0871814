"""The registry of metrics: what a metric is, what it costs, and what an interface has to know of it."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Generic, Literal, TypeVar, get_args

import numpy as np

from ...attribution.settings import FIXED_OPTIONS_OF_EVALUATE, NoSettings, Setting, refuse_clashes, settings_of
from ...errors import UserError
from ..candidates import Candidate
from ..curves import Curve
from ..perturbed_runs import PerturbedRuns, RemovalSettings

Category = Literal["faithfulness", "specificity", "robustness", "localisation"]
Direction = Literal["lower", "higher"]
Result = TypeVar("Result")
SettingsType = TypeVar("SettingsType")


@dataclass(frozen=True)
class EvaluationSettings:
    """How thoroughly maps are tested.

    Attributes:
        removal: How pixels are taken away, and which score is followed.
        values: Values of the metrics' settings by name, see `all_settings`; what it leaves out has its default.

    Raises:
        UserError: A setting that no metric has, or a value that makes no sense.
    """

    removal: RemovalSettings = field(default_factory=RemovalSettings)
    values: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        known = all_settings()
        for name in self.values:
            if name not in known:
                raise UserError(f'The settings of the metrics are {", ".join(known)}; "{name}" was given.')
        for metric in METRICS.values():
            self.of(metric.Settings)

    def of(self, settings_class: type[SettingsType]) -> SettingsType:
        """The settings of one kind, such as a metric's `Settings`."""
        names = {each.name for each in fields(settings_class)}  # type: ignore[arg-type]
        return settings_class(**{name: value for name, value in self.values.items() if name in names})

    def describe(self) -> dict[str, Any]:
        """All values as plain ones, the defaults among them."""
        return {
            "removal": asdict(self.removal),
            **{name: self.values.get(name, own.default) for name, own in all_settings().items()},
        }


@dataclass(frozen=True, eq=False)
class Evidence(Generic[Result]):
    """Something that metrics are read off, gathered once however many of them ask for it.

    Attributes:
        gather: Gathers it for a map.
        images: Number of images that run through the network for it, those of `needs` left out.
        remakes: Number of times that the map itself is computed again for it.
        is_shared: Whether all maps of a target share it; else every map has its own.
        needs: Other evidence that it rests on.
    """

    gather: Callable[["MapUnderTest"], Result]
    images: Callable[[EvaluationSettings], int] = lambda _settings: 0
    remakes: Callable[[EvaluationSettings], int] = lambda _settings: 0
    is_shared: bool = False
    needs: tuple["Evidence[Any]", ...] = ()

    def with_needs(self) -> set["Evidence[Any]"]:
        """This evidence and all that it rests on."""
        return {self}.union(*(other.with_needs() for other in self.needs))


@dataclass(frozen=True, eq=False)
class MapUnderTest:
    """A map that metrics measure, and the evidence that they share.

    Attributes:
        candidate: The map.
        runs: The network on changed copies of the image.
        settings: How thoroughly it is tested.
        region: Bool (H, W), the object that localisation looks for; None where it is not known.
        known: Bool (H, W), the pixels at which the region is known; None knows all.
        shared: The evidence that all maps of the target share, by what it is.
    """

    candidate: Candidate
    runs: PerturbedRuns
    settings: EvaluationSettings
    region: np.ndarray | None
    known: np.ndarray | None
    shared: dict[Evidence[Any], Any]
    _own: dict[Evidence[Any], Any] = field(default_factory=dict)

    def read(self, evidence: Evidence[Result]) -> Result:
        """The evidence, gathered when the first metric asks for it."""
        gathered = self.shared if evidence.is_shared else self._own
        if evidence not in gathered:
            gathered[evidence] = evidence.gather(self)
        return gathered[evidence]


@dataclass(frozen=True)
class ShownCurve:
    """A curve that a metric is read off, and how it is drawn.

    Attributes:
        name: Its name in tables of curves; metrics that are read off the same curve give the same name.
        evidence: The curve.
        change: Title of the axis of the changed pixels.
        values: What is drawn over them.
        heading: Title above it; empty for the metric's own.
        unit: Title of the axis of the values; empty for the score followed.
    """

    name: str
    evidence: Evidence[Curve]
    change: str = "Pixels taken away"
    values: Literal["scores", "leakage"] = "scores"
    heading: str = ""
    unit: str = ""


class Metric:
    """A metric. A new one is a subclass with these attributes and `measure`, decorated with `register`.

    Attributes:
        name: Name in code, files and URLs.
        title: Name on screen.
        category: What kind of question it asks.
        direction: Which way is better.
        question: What it asks, in one sentence.
        against_controls: Whether doing better than a control means anything.
        is_default: Whether it is measured by default.
        needs: The evidence that it is read off, from which its cost follows.
        needs_object: Whether it has to know where the object is; without it, it is not defined.
        curve: The curve that it is read off; None where it is none.
        Settings: A frozen dataclass whose fields are made with `core.attribution.settings.setting`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    category: ClassVar[Category]
    direction: ClassVar[Direction]
    question: ClassVar[str]
    against_controls: ClassVar[bool] = True
    is_default: ClassVar[bool] = False
    needs: ClassVar[tuple[Evidence[Any], ...]] = ()
    needs_object: ClassVar[bool] = False
    curve: ClassVar[ShownCurve | None] = None
    Settings: ClassVar[type] = NoSettings

    def measure(self, tested: MapUnderTest) -> float:
        """The value for a map whose importance is finite; NaN where it is not defined."""
        raise NotImplementedError

    @property
    def heading(self) -> str:
        """The title, and an arrow for which way is better."""
        return f"{self.title} {'↓' if self.direction == 'lower' else '↑'}"

    def better(self, first: float, second: float) -> bool:
        """Whether the first value is strictly better; never where one of them is NaN."""
        return first < second if self.direction == "lower" else first > second

    def ranked(self, values: Mapping[str, float]) -> list[str]:
        """The names of the values, the best first; those without a value (NaN) last."""
        sign = 1 if self.direction == "lower" else -1
        return sorted(values, key=lambda name: (math.isnan(values[name]), sign * values[name]))


METRICS: dict[str, Metric] = {}
"""All metrics by name, in the order of display: category by category."""

MetricClass = TypeVar("MetricClass", bound=type[Metric])


def register(metric_class: MetricClass) -> MetricClass:
    """Add a metric to `METRICS`; a decorator for its class.

    Raises:
        ValueError: Its name is taken, or it has a setting that another metric defines otherwise, or one that is named
            like a fixed option.
    """
    metric = metric_class()
    if metric.name in METRICS:
        raise ValueError(f'There is already a metric "{metric.name}".')
    refuse_clashes(metric.name, settings_of(metric.Settings), all_settings(), FIXED_OPTIONS_OF_EVALUATE)
    categories = get_args(Category)
    ordered = sorted((*METRICS.values(), metric), key=lambda each: categories.index(each.category))
    METRICS.clear()
    METRICS.update({each.name: each for each in ordered})
    return metric_class


def metrics_named(names: Collection[str]) -> list[Metric]:
    """The metrics of these names.

    Raises:
        UserError: One is unknown; the message lists the names.
    """
    unknown = [name for name in names if name not in METRICS]
    if unknown:
        raise UserError(f'The metric is one of {", ".join(METRICS)}; "{unknown[0]}" was given.')
    return [METRICS[name] for name in names]


def default_metrics(*, with_object: bool = False) -> tuple[str, ...]:
    """Names of the metrics measured by default; with an object, also those that need it."""
    return tuple(name for name, metric in METRICS.items() if metric.is_default or (with_object and metric.needs_object))


def all_settings(metrics: Sequence[str] | None = None) -> dict[str, Setting]:
    """The settings of all metrics, or of those named, by name; one that several metrics share comes once."""
    chosen = METRICS.values() if metrics is None else metrics_named(metrics)
    return {own.name: own for metric in chosen for own in settings_of(metric.Settings)}
