"""The tests of the maps: those that are asked for, and a quick one that runs by itself."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from core.compute.progress import Progress, progress_of_part, repeatable
from core.data.index_masks import IGNORED
from core.segmenter import Segmenter
from core.target import Target
from core.trust import Candidate, Comparison, EvaluationSettings, candidates_of, compare, images_needed
from core.trust.controls import CONTROLS
from core.trust.similarity import agreeing_controls, rank_correlations
from widgets.shared.results import results
from widgets.shared.slow_work import compute_in_background
from widgets.trust.trial import Trial, TrustMap

QUICK_METRICS = ("deletion", "leakage")
QUICK_STEPS = 8
QUICK_SETTINGS = EvaluationSettings(values={"n_steps": QUICK_STEPS})
"""The test that runs by itself."""
_LABEL = "Tests, images through the network"


def object_sought(trial: Trial) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The object that localisation looks for and where it is known, both bool (H, W); None where there is none."""
    truth = trial.image.truth
    if truth is None or not (truth == trial.target.class_index).any():
        return None, None
    return truth == trial.target.class_index, truth != IGNORED


def comparison_key(
    trial: Trial, maps: Mapping[str, TrustMap], metrics: Sequence[str], settings: EvaluationSettings
) -> Hashable:
    """Key of the result of `tested`."""
    region, _ = object_sought(trial)
    place = None if region is None else region.tobytes()
    return "comparison", trial.identity, settings, tuple(sorted(metrics)), tuple(maps), place


def tested(
    place: str, trial: Trial, maps: Mapping[str, TrustMap], metrics: Sequence[str], settings: EvaluationSettings
) -> Comparison | None:
    """The comparison of all maps; None while it is computed, see `compute_in_background`."""

    def compute(progress: Progress) -> Comparison:
        report, again = repeatable(progress)
        candidates = _candidates(trial, maps, settings, again)
        return compare(*_given(trial), candidates, metrics, settings, *object_sought(trial), report)

    return compute_in_background(place, comparison_key(trial, maps, metrics, settings), _LABEL, compute)


def quickly_tested(place: str, trial: Trial, maps: Mapping[str, TrustMap]) -> Comparison:
    """The quick test of the maps tested so far; the others are tested meanwhile, one by one.

    Each map's result is kept by itself, so that one more map costs only its own test. The controls come first: no map
    beats every control before all of them are known.
    """
    quick = QUICK_METRICS, QUICK_SETTINGS
    keys = {name: ("quick", trial.identity, name) for name in sorted(maps, key=lambda name: name not in CONTROLS)}

    def compute(progress: Progress) -> Comparison:
        candidates = _candidates(trial, maps, QUICK_SETTINGS)
        images, parts = images_needed(*quick, 1), {}
        for index, (name, key) in enumerate(keys.items()):
            part = progress_of_part(progress, index * images, images, len(keys) * images)
            test = partial(compare, *_given(trial), {name: candidates[name]}, *quick, progress=part)
            parts[name] = results().get_or_compute(key, test)
            part(1, 1)
        return merged([parts[name] for name in maps])

    def there() -> list[str]:
        return [name for name, key in keys.items() if key in results()]

    whole = compute_in_background(place, ("quick", trial.identity, tuple(maps)), _LABEL, compute, there)
    return whole or merged([found for name in maps if (found := results().get(keys[name])) is not None])


def _given(trial: Trial) -> tuple[Segmenter, np.ndarray, Target]:
    return trial.segmenter, trial.image.values, trial.target


def _candidates(
    trial: Trial, maps: Mapping[str, TrustMap], settings: EvaluationSettings, progress: Progress | None = None
) -> dict[str, Candidate]:
    attributions = [(name, one.attribution) for name, one in maps.items() if one.attribution is not None]
    found = candidates_of(attributions, *_given(trial), settings.removal, trial.settings, progress)
    agreeing = {
        name: results().get_or_compute(("agreeing", trial.identity, name), partial(controls_like, name, maps))
        for name, _ in attributions
    }
    return {name: replace(one, agreeing=agreeing.get(name, {})) for name, one in found.items()}


def controls_like(name: str, maps: Mapping[str, TrustMap]) -> dict[str, float]:
    """The controls that a map agrees with, and its rank correlation with each."""
    names = [name, *CONTROLS]
    table = rank_correlations([maps[each].values for each in names])
    return {control: correlation for _, control, correlation in agreeing_controls(table, names, CONTROLS)}


def merged(parts: Sequence[Comparison]) -> Comparison:
    """Comparisons of different maps of one target as one."""
    return Comparison(
        {name: one for part in parts for name, one in part.candidates.items()},
        {name: one for part in parts for name, one in part.values.items()},
        {name: one for part in parts for name, one in part.curves.items()},
    )
