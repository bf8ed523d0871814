"""Trust: every method's map of one pixel set, compared with the network, with controls and with each other."""

from typing import Any

import streamlit as st

from core.attribution.cam import LayerAdvice
from core.attribution.registry import METHODS, all_settings, quick_settings
from core.segmenter import Prediction
from core.target import Reduction
from widgets.shared.header import page_header
from widgets.shared.layer_picker import layer_choices, pick_layer
from widgets.shared.pixel_set_picker import pick_pixel_set, pick_reduction, question_of
from widgets.shared.send_pixel import send_pixel
from widgets.shared.setting_inputs import setting_inputs
from widgets.shared.sidebar import Selection, pick_selection, side_bar
from widgets.shared.slow_work import cancel_others
from widgets.shared.user_errors import show_user_errors
from widgets.trust.agreement import agreement_panel
from widgets.trust.maps import maps_panel, show_question
from widgets.trust.methods import pick_methods
from widgets.trust.sanity import sanity_panel
from widgets.trust.several_images import several_images_panel
from widgets.trust.tested import compute_maps
from widgets.trust.tests import tests_panel
from widgets.trust.trial import Trial
from widgets.trust.two_networks import two_networks_panel
from widgets.trust.verdict import show_agreement, show_verdict

_PICKER_WIDTH = 265
PLACES = "maps", "tests", "ranks", "sanity"
"""Of the work for one question."""
TABS = ["Tests", "Maps", "Agreement", "Sanity check", "Several images", "Two networks"]


def main() -> None:
    page_header(
        "Can it be trusted?",
        "One target, explained by every method. Which maps does the network confirm, which could be made without it?",
    )
    with show_user_errors():
        with side_bar() as files:
            selection = pick_selection(files)
            reduction = pick_reduction()
        prediction = selection.predict()
        explore(selection, prediction, layer_choices(selection.segmenter, prediction.labels.shape), reduction)


@st.fragment
@show_user_errors()
def explore(selection: Selection, prediction: Prediction, choices: LayerAdvice, reduction: Reduction) -> None:
    size = prediction.labels.shape[0], prediction.labels.shape[1]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        with st.container(width=_PICKER_WIDTH):
            name = pick_pixel_set(has_truth=selection.image.truth is not None)
        with st.container(width=_PICKER_WIDTH):
            layer = pick_layer(choices, selection.segmenter, "Layer of class activation maps")
        methods = pick_methods()
        with st.popover("Settings", icon=":material/tune:"):
            settings = pick_settings(layer.name, size)
    question = question_of(name, selection, prediction, reduction)
    if question is None:
        cancel_others(None, ("several", *PLACES))
        show_question(selection, prediction, name, None)
        st.info("The maps and their tests come below, once there are pixels to explain.", icon=":material/verified:")
        return
    trial = Trial(selection.segmenter, selection.image, prediction, question, methods, settings)
    cancel_others(trial.identity, PLACES)
    st.markdown(f"Explained: the {question.in_words(selection)}.")
    conclusion, picture = st.container(border=True), st.container()
    maps, first = compute_maps(trial)
    with picture:
        show_question(selection, prediction, name, question, trial, maps, first)
        send_pixel("trust", is_pixel=name == "point")
    with conclusion:
        show_verdict(trial, first)
    if first is not None:
        show_agreement(first)
    panels = (
        lambda: tests_panel(trial, maps, first),
        lambda: maps_panel(trial, maps, first),
        lambda: agreement_panel(trial, maps),
        lambda: sanity_panel(trial, maps),
        lambda: several_images_panel(trial, maps),
        lambda: two_networks_panel(trial.segmenter, trial.image, trial.prediction, trial.target, trial.settings),
    )
    for tab, panel in zip(st.tabs(TABS, key="tab", bind="query-params"), panels, strict=True):
        if tab.open:
            with tab, show_user_errors():
                panel()


def pick_settings(layer: str, size: tuple[int, int]) -> dict[str, Any]:
    defaults = quick_settings()
    for method in METHODS.values():
        defaults |= method.suited_to(size)
    return defaults | {"layer": layer} | setting_inputs(all_settings().values(), defaults, st.columns(2))


main()
