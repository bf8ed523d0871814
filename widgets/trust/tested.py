"""The tests of the maps: those that are asked for, and a quick one that runs by itself."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from core.attribution.registry import explain_each, importance, quickest_first
from core.compute.progress import Progress, repeatable
from core.data.index_masks import IGNORED
from core.segmenter import Segmenter
from core.target import Target
from core.trust import Candidate, Comparison, EvaluationSettings, candidates_of, compare, images_needed
from core.trust.controls import CONTROLS
from core.trust.similarity import agreeing_controls, rank_correlations
from widgets.shared.results import results
from widgets.shared.slow_work import compute_in_background
from widgets.shared.user_errors import show_user_errors
from widgets.trust.trial import Trial, TrustMap, map_key, maps_there

QUICK_METRICS = ("deletion", "leakage")
QUICK_STEPS = 8
QUICK_SETTINGS = EvaluationSettings(values={"n_steps": QUICK_STEPS})
"""The test that runs by itself."""
_LABEL = "Tests, images through the network"
_MAPS_LABEL = "Maps and their quick test, passes of the network"


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


def compute_maps(trial: Trial) -> tuple[dict[str, TrustMap], Comparison | None]:
    """The maps computed so far, the controls last, and what the quick test says of them; None without one to test.

    The others are computed and tested meanwhile, under one bar with one Cancel. A map is tested as soon as it is there,
    after the controls: no map beats every control before all of them are known. Each result is kept by itself, so that
    one more map costs only its own passes.
    """
    names = [*CONTROLS, *trial.methods] if trial.methods and trial.question.mask.any() else []
    missing = [name for name in trial.methods if map_key(trial, name) not in results()]
    untested = [name for name in names if _quick_key(trial, name) not in results()]
    steps = _Steps(images_needed(QUICK_METRICS, QUICK_SETTINGS, 1) * len(untested))

    def test_those_there(progress: Progress) -> None:
        maps = maps_there(trial)
        for name in [name for name in untested if name in maps]:
            untested.remove(name)
            quick_test(trial, maps, name)
            steps.count_test(progress)

    def compute(progress: Progress) -> int:
        size = trial.prediction.labels.shape
        order = quickest_first(missing, trial.segmenter, (size[0], size[1]), trial.settings)
        of_maps = partial(steps.count_passes, progress)
        for name, attribution in explain_each(*_given(trial), order, trial.settings, of_maps):
            kept = attribution, importance(attribution)
            results().get_or_compute(map_key(trial, name), lambda kept=kept: kept)  # type: ignore[misc]
            test_those_there(progress)
        test_those_there(progress)
        return len(missing)

    def there() -> int:
        maps = sum(map_key(trial, name) in results() for name in trial.methods)
        return maps + sum(_quick_key(trial, name) in results() for name in names)

    whole = not missing and not untested
    if not whole:
        key = "maps", trial.identity, trial.methods
        with show_user_errors():
            whole = compute_in_background("maps", key, _MAPS_LABEL, compute, there) is not None
    maps = maps_there(trial, whole=whole)
    tested_so_far = [name for name in maps if name in names and (whole or _quick_key(trial, name) in results())]
    return maps, merged([quick_test(trial, maps, name) for name in tested_so_far]) if names else None


def quick_test(trial: Trial, maps: Mapping[str, TrustMap], name: str) -> Comparison:
    """The quick test of one of the maps, kept."""

    def compute() -> Comparison:
        candidates = _candidates(trial, {name: maps[name]} | {one: maps[one] for one in CONTROLS}, QUICK_SETTINGS)
        return compare(*_given(trial), {name: candidates[name]}, QUICK_METRICS, QUICK_SETTINGS)

    return results().get_or_compute(_quick_key(trial, name), compute)


def _quick_key(trial: Trial, name: str) -> Hashable:
    return "quick", trial.identity, name


class _Steps:
    """The steps of the maps, whose number is known once they have begun, and those of the `tests` together."""

    def __init__(self, tests: int) -> None:
        self._tests, self._tested, self._done, self._passes = tests, 0, 0, 0

    def count_passes(self, progress: Progress, done: int, passes: int) -> None:
        self._done, self._passes = done, passes
        self._report(progress)

    def count_test(self, progress: Progress) -> None:
        self._tested += images_needed(QUICK_METRICS, QUICK_SETTINGS, 1)
        self._report(progress)

    def _report(self, progress: Progress) -> None:
        progress(self._done + self._tested, type(self._passes)(self._passes + self._tests))


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
