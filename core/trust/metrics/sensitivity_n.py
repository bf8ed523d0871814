"""Sensitivity-n: do the drops that a map predicts correlate with the real ones?"""

import numpy as np

from ..removals import Removals, SubsetSettings, residuals
from .evidence import REMOVALS
from .registry import MapUnderTest, Metric, register


@register
class SensitivityN(Metric):
    name = "sensitivity_n"
    title = "Sensitivity-n"
    category = "faithfulness"
    direction = "higher"
    question = (
        "Does the map's sum over random patches go with the drop of the score without them? Correlation; a gradient is "
        "first multiplied by what is taken away."
    )
    is_default = True
    needs = (REMOVALS,)
    Settings = SubsetSettings

    def measure(self, tested: MapUnderTest) -> float:
        return sensitivity_n(tested.candidate.predicted_drops, tested.read(REMOVALS))


def sensitivity_n(drops: np.ndarray, removals: Removals) -> float:
    """Pearson's correlation of what the map says and what happened, in [-1, 1]; 1 is perfect.

    Ancona et al., "Towards better understanding of gradient-based attribution methods", 2018. Taken among the sets of
    the same number of cells, and averaged over these numbers; what the number of pixels alone tells is taken out of
    both first, as cells at the image's edge, or cut by what may not go, are smaller. NaN where nothing is left of one.
    """
    predicted = removals.predicted_by(np.asarray(drops, dtype=np.float64))
    counts = removals.predicted_by(np.ones(drops.shape))
    found = []
    for fraction in np.unique(removals.fractions):
        these = removals.fractions == fraction
        known = np.column_stack((np.ones(these.sum()), counts[these]))
        ours, true = residuals(predicted[these], known), residuals(removals.drops[these], known)
        if ours.any() and true.any():
            found.append(ours @ true / (np.linalg.norm(ours) * np.linalg.norm(true)))
    return float(np.mean(found)) if found else float("nan")
