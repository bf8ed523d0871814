"""Integrated Gradients: which pixels make up the difference to a baseline."""

from collections.abc import Hashable

import numpy as np
import streamlit as st

from core.attribution import Attribution, integrated_gradients
from core.segmenter import Prediction, Segmenter
from core.target import Space, Target
from widgets.integrated_gradients.panels import (
    ERROR_HELP,
    baselines_panel,
    channels_panel,
    downloads_panel,
    statistics_panel,
    steps_panel,
    traffic_light,
)
from widgets.integrated_gradients.settings import BASELINE_WORDS, Settings, pick_settings
from widgets.integrated_gradients.views import channel_names, pick_display, show_heat_map, show_labels, show_overlays
from widgets.shared.explained import EXPLAINED, explained_target, settle_explained
from widgets.shared.header import page_header
from widgets.shared.large_images import confirm_large_image
from widgets.shared.navigation import ensure_entered_through_app
from widgets.shared.score import SPACE_NAMES, pick_class_and_space
from widgets.shared.slow_work import compute_in_background
from widgets.shared.sources import PickedImage, pick_image, pick_model, predicted
from widgets.shared.user_errors import show_user_errors

PANEL_WIDTH = 262
TABS = ["Statistics", "Channels", "Compare baselines", "Error against steps", "Download"]


def main() -> None:
    ensure_entered_through_app()
    page_header(
        "What makes the difference?",
        "Integrated Gradients share the score's difference to a baseline image among the pixels, to the last per cent.",
    )
    with show_user_errors():
        with st.sidebar:
            segmenter = pick_model()
            image = pick_image(segmenter)
            class_index, space = pick_class_and_space(segmenter)
        confirm_large_image(segmenter, image)
        prediction = predicted(segmenter, image)
        explain(segmenter, image, prediction, class_index, space)


@st.fragment
@show_user_errors()
def explain(segmenter: Segmenter, image: PickedImage, prediction: Prediction, class_index: int, space: Space) -> None:
    picture_key = f"ig-{image.hash[:12]}-{segmenter.weights_hash[:12]}"
    height = int(np.clip(PANEL_WIDTH * prediction.labels.shape[0] / prediction.labels.shape[1], 130, 340))
    explained, settings = pick_settings(image)
    settle_explained(explained, image, prediction, picture_key)
    lead = st.container()
    panels = st.columns(4, gap="small")
    with panels[0], show_user_errors():
        target = explained_target(explained, segmenter, image, prediction, class_index, space, picture_key, height)
        if target is None or settings is None:
            return
    identity = (
        segmenter.weights_hash, str(segmenter.device), image.hash, tuple(sorted(target.describe().items()))
    )  # fmt: skip
    with lead:
        attribution = attribute(segmenter, image, target, settings, identity)
    if attribution is None:
        return
    display = pick_display()
    with lead:
        tell(segmenter, attribution, explained, settings)
    with panels[1]:
        show_heat_map(attribution, display, height)
    with panels[2]:
        show_labels(segmenter, prediction.labels, "Prediction")
    with panels[3]:
        show_labels(segmenter, image.truth, "Ground truth")
    show_overlays(attribution, image, prediction, display)
    stem = image.name.rsplit(".", 1)[0].replace("/", "_")
    numbers, channels, baselines, steps, downloads = st.tabs(TABS)
    with numbers:
        statistics_panel(attribution, prediction, image.truth, channel_names(len(attribution.values)))
    with channels:
        channels_panel(attribution, display)
    with baselines:
        baselines_panel(segmenter, image, prediction, target, settings, display, identity)
    with steps:
        steps_panel(segmenter, image, target, settings, identity)
    with downloads:
        downloads_panel(attribution, image, prediction, display, f"{stem}_integrated_gradients_{settings.kind}")


def attribute(
    segmenter: Segmenter, image: PickedImage, target: Target, settings: Settings, identity: Hashable
) -> Attribution | None:
    return compute_in_background(
        "ig", ("integrated gradients", identity, settings.key), "Gradients, at most" if settings.n_steps == "auto" else
        "Gradients",
        lambda progress: integrated_gradients(
            segmenter, image.values, target, settings.baseline, settings.n_steps, settings.rule, sigma=settings.sigma,
            draws=settings.draws, tolerance=settings.tolerance, progress=progress,
        ),
    )  # fmt: skip


def tell(segmenter: Segmenter, attribution: Attribution, explained: str, settings: Settings) -> None:
    target, measured = attribution.target, attribution.measured
    space = SPACE_NAMES[target.space].lower()
    if explained == "prediction":
        what = f"the {space} of the whole prediction"
    else:
        where = {"point": f"at row {target.row}, column {target.column}", "class": "over all pixels predicted so"}
        what = f"the {space} of **{segmenter.class_names[target.class_index]}** "
        what += where.get(explained, f"over the {EXPLAINED[explained].lower()}")
    start, end = f"{measured['baseline_score']:,.5g}", f"{measured['score']:,.5g}"
    sentence = (
        f"From {BASELINE_WORDS[settings.kind]} to this image, {what} goes from **{start}** to **{end}**. The map "
        f"shares that difference of **{attribution.score_difference:,.5g}** among the pixels: "
        f"{traffic_light(attribution.convergence_percent, attribution.map_error_percent)} "
    )
    steps = f"{measured['steps']} steps in {attribution.seconds:.1f} s"
    reason = {
        "tolerance": f"{steps}, enough for the tolerance.",
        "budget": f"{steps}, all that is allowed: the tolerance was not reached by the {measured['missed']}; read the "
        "map with care.",
        "fixed": f"{steps}.",
    }
    st.markdown(sentence + reason[measured["stopped"]], help=ERROR_HELP)


main()
