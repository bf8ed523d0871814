"""The tests of faithfulness: their settings, what they will cost, and the run."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import streamlit as st

from core.attribution import Attribution
from core.attribution.baselines import BaselineKind
from core.attribution.catalogue import MethodName, explain
from core.attribution.smoothgrad import Progress
from core.data.index_masks import IGNORED
from core.display.words import duration
from core.trust.faithfulness import (
    DEFAULT_METRICS,
    LOCALISATION_METRICS,
    METRIC_NAMES,
    METRICS,
    SCORE_KINDS,
    Candidate,
    Comparison,
    EvaluationSettings,
    MetricName,
    RemovalSettings,
    ScoreKind,
    candidate_of,
    compare,
    control_candidates,
    images_needed,
)
from widgets.cams.perturbation import seconds_per_image
from widgets.shared.results import results
from widgets.shared.slow_work import compute_in_background
from widgets.trust.comparison import show_comparison
from widgets.trust.trial import Trial, TrustMap, warn_if_empty

SCORE_TITLES: dict[ScoreKind, str] = {
    "target": "The one explained",
    "logit": "Logit",
    "probability": "Probability",
    "dice": "Dice with the original",
}
_FILLS: dict[BaselineKind, str] = {"mean": "The image's mean", "zero": "Black", "blur": "The image, blurred"}
_WANTED = "_wanted_tests"


def tests_panel(trial: Trial, maps: Mapping[str, TrustMap]) -> None:
    """Settings, an estimate and a button; then what came out."""
    st.caption(
        "A map says which pixels matter. Each test takes pixels away and looks whether the network agrees. The "
        "controls know nothing of the network: a method that does no better than they do has shown nothing here."
    )
    if warn_if_empty(trial):
        return
    object_mask, known = ground_truth(trial)
    metrics, settings = _pick(trial, has_object=object_mask is not None)
    ready = [name for name in trial.methods if name in maps]
    key: Hashable = ("comparison", trial.identity, settings, tuple(sorted(metrics)), tuple(ready), _hash(object_mask))
    if not _wanted(trial, maps, metrics, settings, key):
        return
    found = compute_in_background(
        "tests", key, "Images through the network",
        lambda progress: _compare(trial, maps, ready, metrics, settings, object_mask, known, progress),
    )  # fmt: skip
    if found is not None:
        show_comparison(trial, found, metrics, SCORE_TITLES[settings.removal.score])


def ground_truth(trial: Trial) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The true pixels of the class and those whose class is known, bool (H, W) each; None where there are none."""
    truth = trial.image.truth
    if truth is None or not (truth == trial.target.class_index).any():
        return None, None
    return truth == trial.target.class_index, truth != IGNORED


def candidates_of(
    trial: Trial,
    maps: Mapping[str, TrustMap],
    names: Sequence[MethodName],
    settings: EvaluationSettings,
    progress: Progress | None = None,
) -> dict[str, Candidate]:
    """The maps as candidates, the controls after them; `progress` is called while one of them is made once more."""
    removal = settings.removal
    image = trial.image.values
    fill = removal.fill_of(image)

    def again(name: MethodName, noisy: np.ndarray) -> Attribution:
        return explain(trial.segmenter, noisy, trial.target, name, trial.settings, progress)

    candidates = {}
    for name in names:
        attribution = maps[name].attribution
        assert attribution is not None  # noqa: S101 - only controls have none
        candidates[name] = candidate_of(
            attribution, maps[name].title, image, fill, lambda noisy, name=name: again(name, noisy)  # type: ignore[misc]
        )  # fmt: skip
    return candidates | control_candidates(image, trial.target)


def _compare(
    trial: Trial,
    maps: Mapping[str, TrustMap],
    names: Sequence[MethodName],
    metrics: Sequence[MetricName],
    settings: EvaluationSettings,
    object_mask: np.ndarray | None,
    known: np.ndarray | None,
    progress: Progress,
) -> Comparison:
    reached = (0, 1)

    def follow(done: int, total: int) -> None:
        nonlocal reached
        reached = done, total
        progress(done, total)

    # So that Cancel is heard within a map that is made once more, too.
    candidates = candidates_of(trial, maps, names, settings, lambda _done, _total: progress(*reached))
    given = trial.segmenter, trial.image.values, trial.target
    return compare(*given, candidates, metrics, settings, object_mask, known, follow)


def _pick(trial: Trial, *, has_object: bool) -> tuple[list[MetricName], EvaluationSettings]:
    offered = [name for name in METRIC_NAMES if has_object or name not in LOCALISATION_METRICS]
    questions = "\n".join(f"- **{METRICS[name].title}**: {METRICS[name].question}" for name in offered)
    chosen = st.multiselect(
        "Metrics", offered, list(DEFAULT_METRICS), key="metrics", bind="query-params", wrap=True,
        format_func=lambda name: METRICS[name].title, help=questions,
    )  # fmt: skip
    if not has_object:
        name = trial.segmenter.class_names[trial.target.class_index]
        lacks = "This image has no ground truth" if trial.image.truth is None else f"The ground truth has no {name}"
        st.caption(f":material/info: {lacks}, so it cannot be told whether a map lies on the object.")
    slots = st.columns([1.25, 1.25, 1, 1, 1.25], gap="small", vertical_alignment="bottom")
    score = slots[0].selectbox(
        "Score followed", SCORE_KINDS, key="score", bind="query-params", format_func=lambda name: SCORE_TITLES[name],
        help="What is measured while pixels go: the very score that the maps explain, that of the same pixels in "
        "another score space, or the Dice of the changed prediction with the original one.",
    )  # fmt: skip
    fill = slots[1].selectbox(
        "Pixels become", list(_FILLS), key="fill", bind="query-params", format_func=lambda name: _FILLS[name],
        help="What is put in place of a pixel that is taken away. ROAD does not use it: it makes pixels up from their "
        "neighbours.",
    )  # fmt: skip
    sigma = slots[2].number_input(
        "Sigma of the blur", 0.5, 200.0, 10.0, 0.5, key="fill_sigma", bind="query-params", disabled=fill != "blur",
        help="In pixels.",
    )  # fmt: skip
    steps = slots[3].number_input(
        "Steps",
        2,
        200,
        16,
        key="test_steps",
        bind="query-params",
        help="Of the curves of deletion and insertion, smaller at the beginning, where most happens.",
    )
    context = slots[4].toggle(
        "Context only", key="context_only", bind="query-params",
        help="The explained pixels themselves stay; only their surroundings are taken away.",
    )  # fmt: skip
    if score == "dice" and int(trial.question.mask.sum()) == 1:
        st.caption(
            "The Dice of one pixel is 0 or 1, which hardly tells maps apart; take more pixels, or another score."
        )
    removal = RemovalSettings(score, fill, float(sigma), context_only=context)
    return list(chosen), EvaluationSettings(removal, int(steps))


def _wanted(
    trial: Trial, maps: Mapping[str, TrustMap], metrics: Sequence[MetricName], settings: EvaluationSettings,
    key: Hashable,
) -> bool:  # fmt: skip
    """Whether the tests were asked for, or are known already; else the estimate and the button."""
    if not metrics:
        st.info("Choose at least one metric.", icon=":material/checklist:")
        return False
    if settings.removal.context_only and trial.question.mask.all():
        st.warning(
            "The target is the whole image, so there is no context to take away; switch off “Context only”, or explain "
            "fewer pixels.",
            icon=":material/select_all:",
        )
        return False
    if key in results() or st.session_state.get(_WANTED) == key:
        return True
    ready = [name for name in trial.methods if name in maps]
    if len(ready) < len(trial.methods):
        st.info("The tests can start when all maps are there.", icon=":material/hourglass_top:")
        return False
    images = images_needed(metrics, settings, len(maps))
    slots = st.columns([1, 3], vertical_alignment="center")
    slots[0].button("Run the tests", icon=":material/play_arrow:", type="primary", key="run-tests", width="stretch",
                    on_click=lambda: st.session_state.update({_WANTED: key}))  # fmt: skip
    seconds = images * seconds_per_image(trial.segmenter, trial.image)
    if "max_sensitivity" in metrics:
        took = [attribution.seconds for name in ready if (attribution := maps[name].attribution) is not None]
        seconds += settings.n_copies * sum(took)
    if images:
        count = f"{len(ready)} methods and {len(maps) - len(ready)} controls"
        slots[1].markdown(f"About **{duration(seconds)}** for {count}: {images:,} images run through the network.")
    return False


def _hash(mask: np.ndarray | None) -> Hashable:
    return None if mask is None else mask.tobytes()
