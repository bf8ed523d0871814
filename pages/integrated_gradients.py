"""Integrated Gradients: which pixels make up the difference to a baseline."""

import numpy as np
import streamlit as st

from core.attribution import Attribution
from core.display.colours import intensity_rgb, labels_over
from core.pixel_sets import PixelSetName
from core.segmenter import Prediction
from widgets.integrated_gradients import panels, settings, views
from widgets.integrated_gradients.settings import Settings
from widgets.shared.header import page_header
from widgets.shared.pixel_set_picker import draw_pixel_set
from widgets.shared.sidebar import SPACE_NAMES, Selection, pick_selection
from widgets.shared.slow_work import compute_in_background
from widgets.shared.user_errors import show_user_errors

PANEL_WIDTH = 262
PREDICTION_OPACITY = 0.35
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
    image, labels = selection.image, prediction.labels
    height = int(np.clip(PANEL_WIDTH * labels.shape[0] / labels.shape[1], 130, 340))
    explained, chosen = settings.pick_settings(image)
    lead = st.container()
    slots = st.columns(4, gap="small")
    with slots[0]:
        base = labels_over(intensity_rgb(image.values), labels, PREDICTION_OPACITY)
        question = draw_pixel_set(explained, selection, prediction, height, base=base)
    if question is None or chosen is None:
        return
    with lead:
        attribution = compute_in_background(
            "ig", ("integrated gradients", selection.key, question.key, settings.settings_key(chosen)),
            "Gradients, at most" if chosen.n_steps == "auto" else "Gradients",
            lambda progress: settings.attribute(selection, question.target, chosen, progress),
        )  # fmt: skip
    if attribution is None:
        return
    display = views.pick_display()
    with lead:
        show_sentence(selection, attribution, explained, chosen)
    with slots[1]:
        views.show_heat_map(attribution, display, height)
    with slots[2]:
        views.show_labels(selection.segmenter, labels, "Prediction")
    with slots[3]:
        views.show_labels(selection.segmenter, image.truth, "Ground truth")
    views.show_overlays(attribution, image, prediction, display)
    stem = image.name.rsplit(".", 1)[0].replace("/", "_")
    names = views.channel_names(len(attribution.values))
    numbers, channels, baselines, steps, downloads = st.tabs(TABS)
    with numbers:
        panels.statistics_panel(attribution, prediction, image.truth, names)
    with channels:
        views.show_channels(attribution, display, names)
    with baselines:
        panels.baselines_panel(selection, question, prediction, chosen, display)
    with steps:
        panels.steps_panel(selection, question, chosen)
    with downloads:
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
