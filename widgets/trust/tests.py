"""The tests of faithfulness: their settings, what they will cost, and the run."""

from collections.abc import Hashable, Mapping, Sequence
from functools import partial

import numpy as np
import streamlit as st

from core.attribution.baselines import BaselineKind
from core.attribution.registry import explain
from core.compute.progress import Progress, repeatable
from core.data.index_masks import IGNORED
from core.display.words import duration
from core.trust import (
    METRICS,
    Candidate,
    Comparison,
    EvaluationSettings,
    RemovalSettings,
    candidate_of,
    compare,
    control_candidates,
    default_metrics,
    images_needed,
    remakes_needed,
)
from core.trust.followed_scores import SCORE_KINDS, ScoreKind
from core.trust.metrics.registry import all_settings
from widgets.shared.results import results
from widgets.shared.setting_inputs import setting_inputs
from widgets.shared.slow_work import compute_in_background, start_button
from widgets.shared.sources import seconds_per_image
from widgets.trust.comparison import show_comparison
from widgets.trust.trial import Trial, TrustMap, warn_if_empty

SCORE_TITLES: dict[ScoreKind, str] = {
    "target": "The one explained",
    "logit": "Logit",
    "probability": "Probability",
    "dice": "Dice with the original",
}
_FILLS: dict[BaselineKind, str] = {"mean": "The image's mean", "zero": "Black", "blur": "The image, blurred"}


def tests_panel(trial: Trial, maps: Mapping[str, TrustMap]) -> None:
    """Settings, an estimate and a button; then what came out."""
    st.caption(
        "A map says which pixels matter. Each test takes pixels away and looks whether the network agrees. The "
        "controls know nothing of the network: a method that does no better than they do has shown nothing here."
    )
    if warn_if_empty(trial):
        return
    region, known = ground_truth(trial)
    metrics, settings = _pick(trial, has_object=region is not None)
    methods = tuple(name for name in trial.methods if name in maps)
    truth = None if region is None else region.tobytes()
    key: Hashable = "comparison", trial.identity, settings, tuple(sorted(metrics)), methods, truth
    if not _is_wanted(trial, maps, metrics, settings, key):
        return

    def compute(progress: Progress) -> Comparison:
        report, again = repeatable(progress)
        candidates = _candidates(trial, maps, settings.removal, again)
        given = trial.segmenter, trial.image.values, trial.target
        return compare(*given, candidates, metrics, settings, region, known, report)

    found = compute_in_background("tests", key, "Images through the network", compute)
    if found is not None:
        show_comparison(trial, found, metrics, SCORE_TITLES[settings.removal.score])


def ground_truth(trial: Trial) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The true pixels of the class and those whose class is known, bool (H, W) each; None where there are none."""
    truth = trial.image.truth
    if truth is None or not (truth == trial.target.class_index).any():
        return None, None
    return truth == trial.target.class_index, truth != IGNORED


def _candidates(
    trial: Trial, maps: Mapping[str, TrustMap], removal: RemovalSettings, progress: Progress
) -> dict[str, Candidate]:
    """The maps as candidates, the controls after them; `progress` is called while one of them is made anew."""
    image, candidates = trial.image.values, {}
    for name, one in maps.items():
        if one.attribution is not None:
            again = partial(
                explain, trial.segmenter, target=trial.target, method=name, settings=trial.settings, progress=progress
            )
            candidates[name] = candidate_of(one.attribution, one.title, image, removal.fill_of(image), again)
    return candidates | control_candidates(image, trial.target)


def _pick(trial: Trial, *, has_object: bool) -> tuple[list[str], EvaluationSettings]:
    offered = [name for name, metric in METRICS.items() if has_object or not metric.needs_object]
    questions = "\n".join(f"- **{METRICS[name].title}**: {METRICS[name].question}" for name in offered)
    chosen = st.multiselect(
        "Metrics", offered, list(default_metrics()), key="metrics", bind="query-params", wrap=True,
        format_func=lambda name: METRICS[name].title, help=questions,
    )  # fmt: skip
    if not has_object:
        name = trial.segmenter.class_names[trial.target.class_index]
        lacks = "This image has no ground truth" if trial.image.truth is None else f"The ground truth has no {name}"
        st.caption(f":material/info: {lacks}, so it cannot be told whether a map lies on the object.")
    slots = st.columns([1.25, 1.25, 1, 1.25], gap="small", vertical_alignment="bottom")
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
    context = slots[3].toggle(
        "Context only", key="context_only", bind="query-params",
        help="The explained pixels themselves stay; only their surroundings are taken away.",
    )  # fmt: skip
    if score == "dice" and int(trial.question.mask.sum()) == 1:
        st.caption(
            "The Dice of one pixel is 0 or 1, which hardly tells maps apart; take more pixels, or another score."
        )
    removal = RemovalSettings(score, fill, float(sigma), context_only=context)
    offered_settings = all_settings(chosen)
    defaults = {name: own.default for name, own in offered_settings.items()}
    places = st.columns(4, gap="small", vertical_alignment="bottom")
    return list(chosen), EvaluationSettings(removal, setting_inputs(offered_settings.values(), defaults, places))


def _is_wanted(
    trial: Trial, maps: Mapping[str, TrustMap], metrics: Sequence[str], settings: EvaluationSettings, key: Hashable
) -> bool:
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
    ready = [name for name in trial.methods if name in maps]
    if key not in results() and len(ready) < len(trial.methods):
        st.info("The tests can start when all maps are there.", icon=":material/hourglass_top:")
        return False

    def describe() -> None:
        images = images_needed(metrics, settings, len(maps))
        took = [attribution.seconds for name in ready if (attribution := maps[name].attribution) is not None]
        seconds = images * seconds_per_image(trial.segmenter, trial.image)
        seconds += remakes_needed(metrics, settings) * sum(took)
        count = f"{len(ready)} methods and {len(maps) - len(ready)} controls"
        if images:
            st.markdown(f"About **{duration(seconds)}** for {count}: {images:,} images run through the network.")

    return start_button(key, "Run the tests", describe=describe, type="primary", key="run-tests")
