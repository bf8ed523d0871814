"""The tests of faithfulness: their settings, what they will cost, and the run."""

from collections.abc import Mapping, Sequence

import streamlit as st

from core.attribution.settings import METRIC_PREFIX, settings_of
from core.display.words import duration
from core.target import PREDICTED
from core.trust import (
    METRICS,
    Comparison,
    EvaluationSettings,
    RemovalSettings,
    images_needed,
    remakes_needed,
)
from core.trust.metrics.registry import all_settings
from widgets.shared.results import results
from widgets.shared.setting_inputs import setting_inputs
from widgets.shared.slow_work import start_button
from widgets.shared.sources import seconds_per_image
from widgets.trust.comparison import show_comparison
from widgets.trust.maps import chosen_map
from widgets.trust.tested import QUICK_METRICS, QUICK_SETTINGS, QUICK_STEPS, comparison_key, object_sought, tested
from widgets.trust.trial import Trial, TrustMap, warn_if_empty


def tests_panel(trial: Trial, maps: Mapping[str, TrustMap], first: Comparison | None) -> None:
    """Settings, an estimate and a button; then what came out.

    Args:
        trial: What is tested.
        maps: The maps that are there.
        first: What the quick test found, whose settings are the defaults here.
    """
    st.caption(
        "A map says which pixels matter. Each test takes pixels away and checks whether the network agrees. The "
        "controls know nothing of the network: a method that does no better than they do has shown nothing here."
    )
    if warn_if_empty(trial):
        return
    metrics, settings = _pick(trial, has_object=object_sought(trial)[0] is not None)
    found: Comparison | None = None
    if (set(metrics), settings) == (set(QUICK_METRICS), QUICK_SETTINGS) and first is not None:
        found = first
    elif _is_wanted(trial, maps, metrics, settings):
        found = tested("tests", trial, maps, metrics, settings)
    if found is not None and found.candidates:
        show_comparison(trial, found, metrics, settings, chosen_map(trial, first)[1])


def _pick(trial: Trial, *, has_object: bool) -> tuple[list[str], EvaluationSettings]:
    offered = [name for name, metric in METRICS.items() if has_object or not metric.needs_object]
    questions = "\n".join(f"- **{METRICS[name].title}**: {METRICS[name].question}" for name in offered)
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    chosen = row.multiselect(
        "Metrics", offered, list(QUICK_METRICS), key="metrics", bind="query-params", wrap=True,
        format_func=lambda name: METRICS[name].title, help=questions,
    )  # fmt: skip
    if not has_object:
        index = trial.target.class_index
        name = "object of the class predicted" if index == PREDICTED else trial.segmenter.class_names[index]
        lacks = "This image has no ground truth" if trial.image.truth is None else f"The ground truth has no {name}"
        st.caption(f":material/info: {lacks}, so localisation cannot be measured.")
    more = row.popover("Settings of the tests", icon=":material/tune:")
    slots = more.columns(2, gap="small", vertical_alignment="bottom")
    removal = RemovalSettings(**setting_inputs(settings_of(RemovalSettings), {}, slots))
    if removal.score == "dice" and int(trial.question.mask.sum()) == 1:
        st.caption(
            "The Dice of one pixel is 0 or 1, which hardly tells maps apart; take more pixels, or another score."
        )
    values = setting_inputs(all_settings(chosen).values(), {"n_steps": QUICK_STEPS}, slots, METRIC_PREFIX)
    return list(chosen), EvaluationSettings(removal, values)


def _is_wanted(
    trial: Trial, maps: Mapping[str, TrustMap], metrics: Sequence[str], settings: EvaluationSettings
) -> bool:
    """Whether the tests were started or are done; if not, show the estimate and the button."""
    key = comparison_key(trial, maps, metrics, settings)
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
