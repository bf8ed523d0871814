"""Integrated Gradients: which pixels make up the difference to a baseline."""

from functools import partial

import streamlit as st

from core.attribution import Attribution
from core.pixel_sets import PixelSetName
from core.segmenter import Prediction
from widgets.integrated_gradients import panels, settings, views
from widgets.integrated_gradients.settings import Settings
from widgets.shared.header import page_header
from widgets.shared.last_map import keep_last
from widgets.shared.pixel_set_picker import in_viewer, question_of
from widgets.shared.sidebar import SPACE_NAMES, Selection, pick_selection
from widgets.shared.slow_work import compute_in_background
from widgets.shared.user_errors import show_user_errors
from widgets.viewer.controls import settings_of
from widgets.viewer.viewer import viewer

TABS = ["Statistics", "Channels", "Compare baselines", "Error against steps", "Download"]


def main() -> None:
    page_header(
        "What makes the difference?",
        "Integrated Gradients share the score's difference to a baseline image among the pixels, to the last per cent.",
    )
    with show_user_errors():
        with st.sidebar:
            selection = pick_selection()
        explain(selection, selection.predict())


@st.fragment
@show_user_errors()
def explain(selection: Selection, prediction: Prediction) -> None:
    image = selection.image
    explained, chosen = settings.pick_settings(image)
    question = question_of(explained, selection, prediction)
    attribution = None
    st.html("<style>.st-key-lead {min-height: 3.5rem}</style>")  # the picture keeps its place while it is computed
    lead = st.container(key="lead")
    with lead:
        if question is not None and chosen is not None:
            attribution = compute_in_background(
                "ig", ("integrated gradients", selection.key, question.key, settings.settings_key(chosen)),
                "Integrated Gradients, gradients",
                partial(settings.attribute, selection, question.target, chosen),
            )  # fmt: skip
        if attribution is not None and chosen is not None:
            show_sentence(selection, attribution, explained, chosen)
    controls = views.controls_of(has_truth=image.truth is not None)
    shown = settings_of(controls)
    last = keep_last("integrated_gradients", selection.picture_key, attribution)
    viewer(
        "integrated_gradients",
        views.panels_of(selection, prediction, question, last, is_old=attribution is None),
        prediction.labels.shape,
        selection.picture_key,
        controls=controls,
        settings=shown,
        **in_viewer(explained, selection, prediction),
    )
    if image.truth is None:
        st.caption("This image has no ground truth.")
    if attribution is None or question is None or chosen is None:
        return
    display = views.display_of(shown)
    numbers, channels, baselines, steps, downloads = st.tabs(TABS)
    with numbers:
        names = views.channel_names(len(attribution.values))
        panels.statistics_panel(attribution, prediction, image.truth, names)
    with channels:
        views.show_channels(attribution, selection, shown)
    with baselines:
        panels.baselines_panel(selection, question, prediction, chosen, shown)
    with steps:
        panels.steps_panel(selection, question, chosen)
    with downloads:
        stem = image.name.rsplit(".", 1)[0].replace("/", "_")
        panels.downloads_panel(
            attribution, image, prediction, display, f"{stem}_integrated_gradients_{settings.kind_of(chosen)}"
        )


def show_sentence(selection: Selection, attribution: Attribution, explained: PixelSetName, chosen: Settings) -> None:
    target, measured = attribution.target, attribution.measured
    if explained == "prediction":
        what = f"{SPACE_NAMES[target.space].lower()} of the whole prediction"
    else:
        where = {"point": f"at row {target.row}, column {target.column}", "class": "over all pixels predicted so"}
        what = f"{selection.score_name} {where.get(explained, f'over the {settings.EXPLAINED[explained].lower()}')}"
    baseline = settings.BASELINE_WORDS[settings.kind_of(chosen)]
    start, end = f"{measured['baseline_score']:,.5g}", f"{measured['score']:,.5g}"
    sentence = (
        f"From {baseline} to this image, the {what} goes from **{start}** to **{end}**. The map "
        f"shares that difference of **{attribution.score_difference:,.5g}** among the pixels: "
        f"{panels.traffic_light(attribution.convergence_percent, attribution.map_error_percent)} "
    )
    steps = f"{measured['steps']} steps in {attribution.seconds:.1f} s"
    reason = {
        "tolerance": f"{steps}, enough for the tolerance.",
        "budget": f"{steps}, all that is allowed: the tolerance was not reached by the {measured['missed']}; read the "
        "map with care.",
        "fixed": f"{steps}.",
    }
    st.markdown(sentence + reason[measured["stopped"]], help=panels.ERROR_HELP)


main()
