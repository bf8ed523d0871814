"""Insertion: does the score come back when the most important pixels come first?"""

import numpy as np

from ...compute.progress import Progress
from ...segmenter import Image, Segmenter
from ...target import Target
from ..curves import DEFAULT_STEPS, Curve, CurveSettings, Spacing, removal_curve
from ..perturbed_runs import PLAIN, PerturbedRuns, RemovalSettings
from .evidence import INSERTION_CURVE
from .registry import MapUnderTest, Metric, ShownCurve, register


@register
class Insertion(Metric):
    name = "insertion"
    title = "Insertion"
    category = "faithfulness"
    direction = "higher"
    question = "Does the score come back soon when the most important pixels come first? Area under the curve."
    is_default = True
    needs = (INSERTION_CURVE,)
    curve = ShownCurve("insertion", INSERTION_CURVE, "Pixels put back")
    Settings = CurveSettings

    def measure(self, tested: MapUnderTest) -> float:
        return tested.read(INSERTION_CURVE).auc


def insertion(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    importance: np.ndarray,
    settings: RemovalSettings = PLAIN,
    n_steps: int = DEFAULT_STEPS,
    progress: Progress | None = None,
    spacing: Spacing = "even",
) -> Curve:
    """The score while the most important pixels come back first; a faithful map makes it rise early.

    A higher area is better. Source, arguments and errors as `deletion`; there, pixels come back onto a blurred image.
    """
    runs = PerturbedRuns(segmenter, image, target, settings, progress, n_steps + 1)
    return removal_curve(runs, importance, n_steps, spacing, inserted=True)
