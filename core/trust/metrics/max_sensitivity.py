"""Max-sensitivity: how far a map moves when the image hardly does."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...attribution.settings import setting
from ...compute.progress import Progress
from ...errors import UserError
from .registry import Evidence, MapUnderTest, Metric, register

DEFAULT_RADIUS = 0.02
DEFAULT_COPIES = 5


@dataclass(frozen=True)
class NoiseSettings:
    """Settings of max-sensitivity."""

    radius: float = setting(
        DEFAULT_RADIUS, label="Noise", low=0.001, high=1.0, step=0.01,
        help="Largest noise of max-sensitivity, in units of intensity.",
    )  # fmt: skip
    n_copies: int = setting(
        DEFAULT_COPIES, label="Noisy copies", option="copies", low=1, high=100,
        help="Noisy copies of the image for max-sensitivity.",
    )  # fmt: skip


def _gather(tested: MapUnderTest) -> float:
    candidate, runs, settings = tested.candidate, tested.runs, tested.settings.of(NoiseSettings)
    if candidate.again is None:
        runs.advance(settings.n_copies)
        return float("nan")
    image, seed = runs.image.cpu().numpy(), runs.settings.seed
    return max_sensitivity(
        image, candidate.importance, candidate.again, **vars(settings), seed=seed, progress=lambda *_: runs.advance(1)
    )


_MOVED = Evidence(_gather, remakes=lambda settings: settings.of(NoiseSettings).n_copies)


@register
class MaxSensitivity(Metric):
    name = "max_sensitivity"
    title = "Max-sensitivity"
    category = "robustness"
    direction = "lower"
    question = (
        "How far does the map move under a little noise on the image? A map that ignores the network does not move at "
        "all, so this alone proves nothing."
    )
    against_controls = False
    needs = (_MOVED,)
    Settings = NoiseSettings

    def measure(self, tested: MapUnderTest) -> float:
        return tested.read(_MOVED)


def max_sensitivity(
    image: np.ndarray,
    importance: np.ndarray,
    again: Callable[[np.ndarray], np.ndarray],
    radius: float = DEFAULT_RADIUS,
    n_copies: int = DEFAULT_COPIES,
    seed: int = 0,
    progress: Progress | None = None,
) -> float:
    """Largest ‖map(image + noise) - map(image)‖ / ‖map(image)‖, over copies with uniform noise of ± `radius`.

    Yeh et al., "On the (in)fidelity and sensitivity of explanations", 2019, divided by the map's own norm, so that maps
    in other units can be compared. Lower is steadier; 0 does not move at all,
    as a control that does not look at the network: steadiness alone proves nothing.

    Args:
        image: (C, H, W) in [0, 1]; noisy copies may leave that range by the radius.
        importance: (H, W), the map of the image as it is.
        again: Makes the map of another image.
        radius: Largest noise, in units of intensity.
        n_copies: Number of noisy copies.
        seed: Seed of the noise.
        progress: See `Progress`; counts copies.

    Returns:
        NaN where the map is 0.

    Raises:
        UserError: No copies, or a radius that is not positive.
    """
    if n_copies < 1 or not 0 < radius < np.inf:
        raise UserError("Max-sensitivity needs at least one copy and a positive radius of the noise.")
    length = float(np.linalg.norm(importance))
    generator = np.random.default_rng(seed)
    moved = []
    for copy in range(n_copies):
        noise = generator.uniform(-radius, radius, image.shape).astype(np.float32)
        moved.append(float(np.linalg.norm(again(image + noise) - importance)))
        if progress is not None:
            progress(copy + 1, n_copies)
    return max(moved) / length if length else float("nan")
