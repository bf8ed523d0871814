"""ROAD: deletion with pixels imputed from their neighbours."""

import numpy as np
import torch
from torch import Tensor

from ...errors import UserError
from ..curves import Curve, removal_steps
from ..imputation import imputed
from ..perturbed_runs import PerturbedRuns
from .registry import Evidence, MapUnderTest, Metric, ShownCurve, register
from .removal_curves import UNCHANGED

ROAD_FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
_LEVELS = 2**15 - 1
_CURVE = Evidence(
    lambda tested: road(tested.runs, tested.candidate.importance),
    images=lambda _settings: len(ROAD_FRACTIONS),
    needs=(UNCHANGED,),
)


@register
class Road(Metric):
    name = "road"
    title = "ROAD"
    category = "faithfulness"
    direction = "lower"
    question = "Deletion with pixels imputed from their neighbours, so that the holes themselves say little."
    needs = (_CURVE,)
    curve = ShownCurve("road", _CURVE, "Pixels imputed")

    def measure(self, tested: MapUnderTest) -> float:
        return tested.read(_CURVE).auc


def road(
    runs: PerturbedRuns,
    importance: np.ndarray,
    fractions: tuple[float, ...] = ROAD_FRACTIONS,
    noise: float = 0.01,
) -> Curve:
    """The score as the most important pixels are imputed from what is left, most relevant first.

    Rong et al., "A consistent and efficient evaluation strategy for attribution methods", 2022. With a fixed fill, the
    shape of the hole itself tells the network something; here every missing pixel becomes the weighted mean of its
    neighbours, plus noise. A lower area is better. The area goes from 0 to the largest of the fractions.

    Args:
        runs: The target; its fill is not used.
        importance: (H, W), higher goes first.
        fractions: Fractions of the pixels that may go; rising, above 0, below 1: something must be left.
        noise: Standard deviation of the noise, in units of intensity.

    Returns:
        All NaN where the image has so few pixels that a fraction takes all.

    Raises:
        UserError: Fractions that do not rise from 0 to 1, or a map that does not fit.
    """
    if not fractions or list(fractions) != sorted(set(fractions)) or not 0 < fractions[0] <= fractions[-1] < 1:
        raise UserError("ROAD needs fractions that rise between 0 and 1, both left out.")
    count = int(runs.eligible.sum())
    rank_of, _ = removal_steps(importance, runs.eligible, min(count, _LEVELS), runs.settings.seed)
    last = int(rank_of.max()) + 1
    missing = np.stack([(rank_of >= 0) & (rank_of < max(1, round(fraction * last))) for fraction in fractions])
    if missing.all(axis=(1, 2)).any():
        return Curve(np.array([0.0, 1.0]), np.full(2, np.nan), np.full(2, np.nan))
    # Drawn by NumPy, so that they are the same on every device.
    generator = np.random.default_rng(runs.settings.seed)
    draws = generator.standard_normal((len(missing), *runs.image.shape), dtype=np.float32)

    def images(start: int, stop: int) -> Tensor:
        hidden = torch.from_numpy(missing[start:stop]).to(runs.image.device)
        return imputed(runs.image, hidden, noise * torch.from_numpy(draws[start:stop]).to(runs.image.device))

    scores = runs.run(images, len(missing))
    return Curve(
        np.concatenate(([0.0], missing.sum(axis=(1, 2)) / count)),
        *(np.concatenate((runs.unchanged[name], scores[name])) for name in ("score", "leakage")),
    )
