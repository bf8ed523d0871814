"""Infidelity and sensitivity-n: how well a map predicts the drops of the score without random sets of pixels."""

import numpy as np

from ..removals import Removals, SubsetSettings, residuals, sample_removals
from .registry import Evidence, MapUnderTest, Metric, register
from .removal_curves import UNCHANGED

_REMOVALS = Evidence(
    lambda tested: sample_removals(tested.runs, **vars(tested.settings.of(SubsetSettings))),
    images=lambda settings: settings.of(SubsetSettings).n_subsets,
    is_shared=True,
    needs=(UNCHANGED,),
)
"""Random sets of pixels taken away: the network runs once on them, however many maps there are."""


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
    needs = (_REMOVALS,)
    Settings = SubsetSettings

    def measure(self, tested: MapUnderTest) -> float:
        return infidelity(tested.candidate.predicted_drops, tested.read(_REMOVALS), scaled=True)


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
    needs = (_REMOVALS,)
    Settings = SubsetSettings

    def measure(self, tested: MapUnderTest) -> float:
        return sensitivity_n(tested.candidate.predicted_drops, tested.read(_REMOVALS))


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
