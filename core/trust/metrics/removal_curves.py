"""Deletion, insertion and leakage: what is read off the curves of the score as pixels go, or come back."""

from functools import partial

from ..curves import Curve, CurveSettings, removal_curve
from .registry import EvaluationSettings, Evidence, MapUnderTest, Metric, ShownCurve, register

UNCHANGED = Evidence(lambda tested: tested.runs.unchanged, images=lambda _settings: 1, is_shared=True)
"""Scores of the image as it is."""
_ALL_GONE = Evidence(lambda tested: tested.runs.all_gone, images=lambda _settings: 1, is_shared=True)
"""Scores of the image with all that may go taken away."""


def _curve(tested: MapUnderTest, *, inserted: bool) -> Curve:
    settings = vars(tested.settings.of(CurveSettings))
    return removal_curve(tested.runs, tested.candidate.importance, **settings, inserted=inserted)


def _images_between(settings: EvaluationSettings) -> int:
    return settings.of(CurveSettings).n_steps - 1


_DELETION = Evidence(partial(_curve, inserted=False), images=_images_between, needs=(UNCHANGED, _ALL_GONE))
_INSERTION = Evidence(partial(_curve, inserted=True), images=_images_between, needs=(UNCHANGED, _ALL_GONE))


class CurveMetric(Metric):
    """The area under its curve."""

    is_default = True
    Settings = CurveSettings

    def measure(self, tested: MapUnderTest) -> float:
        return tested.read(self.needs[0]).auc


@register
class Deletion(CurveMetric):
    name = "deletion"
    title = "Deletion"
    category = "faithfulness"
    direction = "lower"
    question = "Does the score fall soon when the most important pixels go first? Area under the curve."
    needs = (_DELETION,)
    curve = ShownCurve("deletion", _DELETION)


@register
class Insertion(CurveMetric):
    name = "insertion"
    title = "Insertion"
    category = "faithfulness"
    direction = "higher"
    question = "Does the score come back soon when the most important pixels come first? Area under the curve."
    needs = (_INSERTION,)
    curve = ShownCurve("insertion", _INSERTION, "Pixels put back")


@register
class Leakage(CurveMetric):
    name = "leakage"
    title = "Leakage"
    category = "specificity"
    direction = "lower"
    question = (
        "How far has the prediction moved elsewhere when the target's score has gone half of its way under deletion? "
        "It needs pixels outside the target."
    )
    needs = (_DELETION,)
    curve = ShownCurve("deletion", _DELETION, values="leakage", heading="Change elsewhere", unit="Probability moved")

    def measure(self, tested: MapUnderTest) -> float:
        return tested.read(_DELETION).leakage_at_half
