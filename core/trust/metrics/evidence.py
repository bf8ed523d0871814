"""Evidence that several metrics are read off."""

from functools import partial

from ..curves import Curve, CurveSettings, removal_curve
from ..localisation import Localisation, localisation
from ..removals import Removals, SubsetSettings, sample_removals
from .registry import EvaluationSettings, Evidence, MapUnderTest, Metric

UNCHANGED = Evidence(lambda tested: tested.runs.unchanged, images=lambda _settings: 1, is_shared=True)
"""Scores of the image as it is."""
ALL_GONE = Evidence(lambda tested: tested.runs.all_gone, images=lambda _settings: 1, is_shared=True)
"""Scores of the image with all that may go taken away."""


def _curve(tested: MapUnderTest, *, inserted: bool) -> Curve:
    settings, importance = tested.settings.of(CurveSettings), tested.candidate.importance
    return removal_curve(tested.runs, importance, settings.n_steps, settings.spacing, inserted=inserted)


def _images_between(settings: EvaluationSettings) -> int:
    return settings.of(CurveSettings).n_steps - 1


DELETION_CURVE = Evidence(partial(_curve, inserted=False), images=_images_between, needs=(UNCHANGED, ALL_GONE))
INSERTION_CURVE = Evidence(partial(_curve, inserted=True), images=_images_between, needs=(UNCHANGED, ALL_GONE))


def _removals(tested: MapUnderTest) -> Removals:
    settings = tested.settings.of(SubsetSettings)
    return sample_removals(tested.runs, n_subsets=settings.n_subsets, cell=settings.cell)


REMOVALS = Evidence(
    _removals, images=lambda settings: settings.of(SubsetSettings).n_subsets, is_shared=True, needs=(UNCHANGED,)
)
"""Random sets of pixels taken away: the network runs once on them, however many maps there are."""


def _localisation(tested: MapUnderTest) -> Localisation:
    assert tested.region is not None  # noqa: S101 - without an object, no metric that needs one is measured
    return localisation(tested.candidate.importance, tested.region, tested.known)


LOCALISATION = Evidence(_localisation)
"""How far the map lies on the object."""


class LocalisationMetric(Metric):
    """A metric of how far a map lies on the object: the field of `Localisation` that has the metric's name."""

    category = "localisation"
    direction = "higher"
    needs = (LOCALISATION,)
    needs_object = True

    def measure(self, tested: MapUnderTest) -> float:
        return float(getattr(tested.read(LOCALISATION), self.name))
