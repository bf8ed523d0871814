"""Infidelity: how far are the drops that a map predicts from the real ones?"""

import numpy as np

from ..removals import Removals, SubsetSettings, residuals
from .evidence import REMOVALS
from .registry import MapUnderTest, Metric, register


@register
class Infidelity(Metric):
    name = "infidelity"
    title = "Infidelity"
    category = "faithfulness"
    direction = "lower"
    question = (
        "How far is what the map says of random patches from what happens without them? Scaled as suits the map best "
        "(a gradient is first multiplied by what is taken away): 0 is perfect, 1 says no more than a map that is the "
        "same everywhere."
    )
    is_default = True
    needs = (REMOVALS,)
    Settings = SubsetSettings

    def measure(self, tested: MapUnderTest) -> float:
        return infidelity(tested.candidate.predicted_drops, tested.read(REMOVALS), scaled=True)


def infidelity(drops: np.ndarray, removals: Removals, *, scaled: bool = False) -> float:
    """E[(what the map says - what happened)²] over the sets, in squared units of the score.

    Yeh et al., "On the (in)fidelity and sensitivity of explanations", 2019, with sets of pixels set to their fill as
    the perturbation. For all pixels at once, it is the squared convergence delta of Integrated Gradients.

    Args:
        drops: (H, W), by how much the map says the score drops when a pixel goes; see `predicted_drops`.
        removals: What `sample_removals` gives.
        scaled: For maps without a unit, such as CAMs: the map may be scaled by a factor that is not negative, and the
            same amount added at every pixel, as suits it best; the result is divided by that of the amount alone. 0 is
            a perfect map, 1 one that adds nothing to “every pixel matters the same”.

    Returns:
        NaN where it is scaled and nothing happened but what the number of pixels tells.
    """
    predicted = removals.predicted_by(np.asarray(drops, dtype=np.float64))
    happened = removals.drops
    if not scaled:
        return float(np.mean((predicted - happened) ** 2))
    counts = removals.predicted_by(np.ones(drops.shape))[:, None]
    ours, true = residuals(predicted, counts), residuals(happened, counts)
    if not true.any():
        return float("nan")
    length = float(ours @ ours)
    factor = max(0.0, float(ours @ true) / length) if length else 0.0
    return float(np.sum((factor * ours - true) ** 2) / (true @ true))
