"""A metric that nobody needs, registered as a user would do it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from core.attribution.settings import setting
from core.trust import METRICS, Metric, register


@contextmanager
def made_up_metric() -> Iterator[None]:
    """Registers the metric `peak`, one of whose settings is named like one of SmoothGrad, and takes it out again."""

    @dataclass(frozen=True)
    class PeakSettings:
        factor: int = setting(2, label="Factor of peak", help="What the peak is multiplied by.", low=1, high=9)
        noise: float = setting(0.5, label="Noise of peak")

    @register
    class Peak(Metric):
        name, title, category, direction = "peak", "Peak", "specificity", "higher"
        question = "How large is the largest value, many times?"
        Settings = PeakSettings

        def measure(self, tested):
            return float(tested.candidate.importance.max()) * tested.settings.of(PeakSettings).factor

    try:
        yield
    finally:
        del METRICS["peak"]
