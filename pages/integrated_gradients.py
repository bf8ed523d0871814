"""Integrated Gradients: which pixels make up the difference to a baseline."""

from functools import partial

import streamlit as st

from core.segmenter import Prediction
from widgets.integrated_gradients import baselines, panels, settings, views
from widgets.integrated_gradients.words import words_of
from widgets.shared.header import page_header
from widgets.shared.last_map import keep_last
from widgets.shared.pixel_set_picker import in_viewer, question_of
from widgets.shared.recipes import attribution_recipe
from widgets.shared.send_pixel import send_pixel
from widgets.shared.sidebar import Selection, pick_selection, side_bar
from widgets.shared.slow_work import cancel_others, compute_in_background, part_at, was_cancelled
from widgets.shared.user_errors import show_user_errors
from widgets.viewer.controls import settings_of
from widgets.viewer.scene import Words
from widgets.viewer.viewer import viewer

PLACES = "ig", "baselines", "convergence"
"""Of the work for one question, whatever of it was asked for."""
TABS = ["Statistics", "Channels", "Compare baselines", "Error against steps", "Download"]


def main() -> None:
    page_header(
        "What makes the difference?",
        "Integrated Gradients share the score's difference to a baseline image among the pixels, to the last per cent.",
    )
    with show_user_errors():
        with side_bar() as files:
            with_class = settings.has_class()
            selection = pick_selection(files, with_class=with_class)
        explain(selection, selection.predict(), with_class=with_class)


@st.fragment
@show_user_errors()
def explain(selection: Selection, prediction: Prediction, *, with_class: bool) -> None:
    image = selection.image
    explained, chosen = settings.pick_settings(image)
    if settings.has_class() != with_class:
        st.rerun(scope="app")  # the side bar shows the class or hides it
    question = question_of(explained, selection, prediction, "mean")
    attribution, so_far, is_cancelled = None, None, False
    if question is None or chosen is None:
        cancel_others(None, PLACES)
    else:
        key = settings.result_key("integrated gradients", selection, question, chosen)
        cancel_others(key[1], PLACES)
        attribution = compute_in_background(
            "ig", key, "Integrated Gradients, steps",
            lambda report: settings.attribute(selection, question.target, chosen, report, report.show),
            partial(part_at, "ig"),
        )  # fmt: skip
        so_far, is_cancelled = part_at("ig"), was_cancelled("ig")
    baseline = None if chosen is None else settings.baseline_picture(image, chosen)
    controls = views.controls_of(has_truth=image.truth is not None)
    shown = settings_of(controls)
    last = keep_last("integrated_gradients", selection.picture_key, attribution)
    current = attribution or so_far
    viewer(
        "integrated_gradients",
        views.panels_of(
            selection,
            prediction,
            question,
            baseline,
            current or last,
            is_old=current is None and last is not None,
            is_cancelled=is_cancelled,
        ),
        prediction.labels.shape,
        selection.picture_key,
        name=image.name,
        controls=controls,
        settings=shown,
        words=words_of(selection, current, explained, chosen, is_cancelled=is_cancelled)
        if current and chosen
        else Words(),
        recipe=None
        if attribution is None or question is None or chosen is None
        else attribution_recipe(
            selection, question.pixel_set, question.target.score, "integrated_gradients", vars(chosen), "mean"
        ),
        **in_viewer(explained, selection, prediction),
    )
    send_pixel("integrated_gradients", is_pixel=explained == "point")
    if attribution is None or question is None or chosen is None:
        if so_far is not None:
            st.caption("Numbers and downloads come here once the map is finished.")
        return
    display = views.display_of(shown)
    numbers, channels, compared, steps, downloads = st.tabs(TABS)
    with numbers:
        names = views.channel_names(len(attribution.values))
        panels.statistics_panel(attribution, prediction, image.truth, names, selection.segmenter.class_names)
    with channels:
        views.show_channels(attribution, selection, shown)
    with compared:
        baselines.baselines_panel(selection, question, prediction, chosen, attribution, shown)
    with steps:
        panels.steps_panel(selection, question, chosen)
    with downloads:
        panels.downloads_panel(
            attribution, image, prediction, display, f"{image.stem}_integrated_gradients_{settings.kind_of(chosen)}"
        )


main()
