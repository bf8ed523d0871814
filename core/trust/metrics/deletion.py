"""Deletion: does the score fall when the most important pixels go first?"""

import numpy as np

from ...compute.progress import Progress
from ...segmenter import Image, Segmenter
from ...target import Target
from ..curves import DEFAULT_STEPS, Curve, CurveSettings, Spacing, removal_curve
from ..perturbed_runs import PLAIN, PerturbedRuns, RemovalSettings
from .evidence import DELETION_CURVE
from .registry import MapUnderTest, Metric, ShownCurve, register


@register
class Deletion(Metric):
    name = "deletion"
    title = "Deletion"
    category = "faithfulness"
    direction = "lower"
    question = "Does the score fall soon when the most important pixels go first? Area under the curve."
    is_default = True
    needs = (DELETION_CURVE,)
    curve = ShownCurve("deletion", DELETION_CURVE)
    Settings = CurveSettings

    def measure(self, tested: MapUnderTest) -> float:
        return tested.read(DELETION_CURVE).auc


def deletion(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    importance: np.ndarray,
    settings: RemovalSettings = PLAIN,
    n_steps: int = DEFAULT_STEPS,
    progress: Progress | None = None,
    spacing: Spacing = "even",
) -> Curve:
    """The score while the most important pixels are replaced first; a faithful map makes it fall early.

    Petsiuk, Das & Saenko, "RISE", 2018. A lower area is better.

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1].
        target: What the map explains.
        importance: (H, W) or (1, H, W), higher goes first; see `core.attribution.registry.importance`. Equal pixels go
            in an order that is drawn, not in that of the rows.
        settings: What a pixel becomes, which score is followed.
        n_steps: Number of steps of the curve.
        progress: See `Progress`; counts images.
        spacing: How the steps are spaced, see `removal_steps`.

    Raises:
        UserError: A map of another size or with values that are not finite, or fewer than one step.
    """
    runs = PerturbedRuns(segmenter, image, target, settings, progress, n_steps + 1)
    return removal_curve(runs, importance, n_steps, spacing)
