"""The sanity check: the network's weights are randomised; a map that stays the same does not depend on them."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import streamlit as st

from core.attribution.registry import METHODS, explain, importance
from core.compute.progress import repeatable
from core.display.charts import curve_figure
from core.segmenter import Image, Segmenter
from core.target import Target
from core.trust.randomisation import layers_from_the_top
from core.trust.sanity import THRESHOLD, Mode, SanityCheck, Stage, sanity_check
from widgets.shared.results import Report, results
from widgets.shared.slow_work import compute_in_background, part_at, start_button
from widgets.trust.trial import Trial, TrustMap, warn_if_empty
from widgets.viewer.scene import Labels, Panel, Picture, ScalarMap
from widgets.viewer.viewer import viewer

_MODES: dict[Mode, str] = {"cascading": "From the output down", "independent": "One at a time"}
_LIKENESS = {"details": "Details", "rank_correlation": "Spearman", "ssim": "SSIM"}
"""What the verdict goes by comes first."""
_MAPS = "Maps, each on its own scale"
_LABEL_OPACITY = 0.5


def sanity_panel(trial: Trial, maps: Mapping[str, TrustMap]) -> None:
    """Settings and a button; then the maps of the changed networks, beside the original one."""
    st.caption(
        "The weights of the network are replaced by random ones, layer after layer, until it has learned nothing. An "
        "explanation of what the network has learned must then change. One that stays shows the image, not the network."
    )
    if warn_if_empty(trial):
        return
    if not trial.methods:
        st.info("Choose a method above first.", icon=":material/checklist:")
        return
    method, mode, stages = _pick(trial)
    if method not in maps:
        st.info("Its map of the network itself comes first; see above how far that is.", icon=":material/hourglass:")
        return
    key = "sanity", trial.identity, method, mode, stages
    if not start_button(key, "Run the sanity check", type="primary", key="run-sanity"):
        return

    def check(report: Report) -> SanityCheck:
        progress, again = repeatable(report)

        def important(segmenter: Segmenter, image: Image, target: Target) -> np.ndarray:
            return importance(explain(segmenter, image, target, method, trial.settings, again))

        given = trial.segmenter, trial.image.values, trial.target
        return sanity_check(
            *given, important, mode, stages, progress=progress, name=maps[method].title, show=report.show
        )

    found = compute_in_background("sanity", key, "Sanity check, stages", check, lambda: part_at("sanity"))
    so_far = part_at("sanity") if found is None else found
    if so_far is not None:
        _show(trial, so_far, maps[method], is_whole=found is not None)


def _pick(trial: Trial) -> tuple[str, Mode, int]:
    slots = st.columns([1.3, 1.4, 1], vertical_alignment="bottom", gap="medium")
    method = slots[0].selectbox(
        "Method", trial.methods, key="sanity_method", bind="query-params", format_func=lambda name: METHODS[name].title
    )
    mode = slots[1].segmented_control(
        "Layers", list(_MODES), default="cascading", required=True, key="sanity_mode", bind="query-params",
        format_func=lambda name: _MODES[name], width="stretch",
        help="From the output down: at each stage more layers are random, drawn again each time. One at a time: only "
        "the layers of one stage are random, all others as learned.",
    )  # fmt: skip
    size = trial.prediction.labels.shape
    names = results().get_or_compute(
        ("layers from the top", trial.segmenter.weights_hash, size),
        lambda: layers_from_the_top(trial.segmenter, (size[0], size[1])),
    )
    most = max(2, min(24, len(names)))
    stages = slots[2].slider(
        "Stages", 1, most, min(5, most), key="stages", bind="query-params",
        help=f"The {len(names)} layers with weights are divided among the stages.",
    )  # fmt: skip
    return method, mode, int(stages)


def _show(trial: Trial, found: SanityCheck, original: TrustMap, *, is_whole: bool) -> None:
    box, icon = {
        "passed": (st.success, "check_circle"), "failed": (st.warning, "warning"), "undecided": (st.info, "help"),
    }[found.verdict]  # fmt: skip
    if is_whole:
        box(found.in_words(), icon=f":material/{icon}:")
    else:
        st.info("The stages so far; the verdict comes with the last one.", icon=":material/hourglass_top:")
    height, width = trial.prediction.labels.shape
    viewer(
        "trust-sanity-maps", panels_of(trial, found, original), (height, width), trial.picture_key, tools=(),
        is_compact=True,
    )  # fmt: skip
    st.table(
        {
            "Stage": [f"Stage {index}" for index in range(1, len(found.stages) + 1)],
            **({"The map": [_standing(stage, found) for stage in found.stages]} if found.mode == "cascading" else {}),
            **{
                title: [_number(getattr(stage.likeness, name)) for stage in found.stages]
                for name, title in _LIKENESS.items()
            },
            "Random": [_count(stage) for stage in found.stages],
        },
        hide_index=True,
    )
    verdict = f"; the verdict goes by their size, over the stages that count, and up to {THRESHOLD} is a change"
    st.caption(
        "Details: how alike the maps are once the fading with the distance is taken out"
        f"{verdict if found.mode == 'cascading' else ''}. Spearman compares the order of the pixels and SSIM the "
        "pictures with that fading, so both can stay high. 1 is the original map, 0 nothing in common."
    )
    places = list(range(len(found.stages) + 1))
    figure = curve_figure(
        {
            title: (places, [1.0, *(getattr(stage.likeness, name) for stage in found.stages)])
            for name, title in _LIKENESS.items()
        },
        ("Stage", "Likeness to the original map"),
    )
    figure.update_xaxes(dtick=1)
    st.plotly_chart(figure, height=300, theme=None, config={"displayModeBar": False}, key="trust-sanity")


def panels_of(trial: Trial, found: SanityCheck, original: TrustMap) -> list[Panel]:
    """The maps of the network itself and of each stage, then what these networks predict."""
    states: list[tuple[str, Stage | None]] = [("As learned", None)]
    states += [(f"Stage {index}", stage) for index, stage in enumerate(found.stages, 1)]
    maps, predictions = [], []
    for title, stage in states:
        values, labels = original.values, trial.prediction.labels
        note, layers = "the network itself", ""
        if stage is not None:
            values, labels = stage.importance, stage.labels
            note, layers = f"{_count(stage)} random", ", ".join(stage.layers)
        one = replace(original, values=values)
        is_finite = bool(np.isfinite(values).all())
        maps.append(
            Panel(
                title,
                [ScalarMap(name=title, values=values, scale=one.scale(), unit=one.unit)] if is_finite else [],
                help=layers, note=note if is_finite else "no map: not all values are finite", group=_MAPS,
            )
        )  # fmt: skip
        shown = Labels(
            name=f"prediction of {title}", title="prediction", labels=labels,
            class_names=trial.segmenter.class_names, opacity=_LABEL_OPACITY,
        )  # fmt: skip
        predictions.append(
            Panel(
                title,
                [Picture(image=trial.image.values), *([shown] if labels.min() >= 0 else [])],
                help=layers, note="" if labels.min() >= 0 else "no prediction", name=f"{title}, prediction",
                group="Predictions",
            )
        )  # fmt: skip
    return maps + predictions


def _count(stage: Stage) -> str:
    return f"{len(stage.layers)} layer{'s' * (len(stage.layers) != 1)}"


def _standing(stage: Stage, found: SanityCheck) -> str:
    details = stage.likeness.details
    if stage not in found.counted or np.isnan(details):
        return "does not count"
    return "changes" if abs(details) <= THRESHOLD else "keeps its details"


def _number(value: float) -> str:
    return "none" if np.isnan(value) else f"{round(value, 2) + 0.0:.2f}"
