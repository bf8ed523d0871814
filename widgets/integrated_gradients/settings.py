"""Settings of Integrated Gradients: what is explained, the baseline with its picture, the steps."""

from collections.abc import Hashable
from typing import Any, cast

import numpy as np
import streamlit as st

from core.attribution import Attribution
from core.attribution.attribution import image_hash
from core.attribution.baselines import DEFAULT_DRAWS, DEFAULT_SIGMA, BaselineKind, make_baseline
from core.attribution.integrated_gradients import DEFAULT_BUDGET, DEFAULT_STEPS, IntegratedGradients, Show
from core.attribution.path_integral import RULES
from core.compute.progress import Progress
from core.data.images import with_channels
from core.pixel_sets import PixelSetName
from core.target import Target
from widgets.shared.links import value_in_url
from widgets.shared.pixel_set_picker import Question
from widgets.shared.sidebar import Selection
from widgets.shared.sources import PickedImage
from widgets.shared.uploads import upload_baseline

EXPLAINED: dict[PixelSetName, str] = {
    "prediction": "Whole prediction", "class": "Class", "point": "Pixel", "box": "Box", "lasso": "Lasso",
}  # fmt: skip
BASELINE_NAMES: dict[BaselineKind, str] = {
    "zero": "Black", "random": "Noise", "blur": "Blurred", "mean": "Mean", "image": "Own image",
}  # fmt: skip
_TOLERANCES = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05]
_SLIDER_WIDTH, _UPLOAD_WIDTH = 180, 320


Settings = IntegratedGradients.Settings


def result_key(kind: str, selection: Selection, question: Question, settings: Settings) -> tuple[Hashable, ...]:
    """Key of a result of this kind: the same for the same kind, network, image, score and settings."""
    values = vars(settings).values()
    described = tuple(image_hash(value) if isinstance(value, np.ndarray) else value for value in values)
    return kind, (selection.key, question.key, described)


def kind_of(settings: Settings) -> BaselineKind:
    """Kind of the baseline, one of `BASELINE_NAMES`."""
    return settings.baseline if isinstance(settings.baseline, str) else "image"


def baseline_words(settings: Settings) -> str:
    """The baseline, as it follows "From"."""
    return {
        "zero": "a black image",
        "random": f"uniform noise, {settings.draws} draws,",
        "blur": f"a blurred copy of the image (sigma {settings.sigma:g} pixels)",
        "mean": "the mean of each channel",
        "image": "your own image",
    }[kind_of(settings)]


def draws_of(settings: Settings) -> int:
    """Number of baselines over which the map is a mean."""
    return settings.draws if kind_of(settings) == "random" else 1


def attribute(
    selection: Selection, target: Target, settings: Settings, progress: Progress, show: Show | None = None
) -> Attribution:
    """Integrated Gradients with these settings."""
    run = IntegratedGradients().run
    return run(selection.segmenter, selection.image.values, target, settings, progress, show)


def has_class() -> bool:
    """Whether a class can be chosen for what is explained, known before it is picked; the whole prediction has none."""
    in_url = value_in_url("explain")
    named = next((name for name, label in EXPLAINED.items() if label == in_url), "prediction")
    return st.session_state.get("explain", named) != "prediction"


def pick_settings(image: PickedImage) -> tuple[PixelSetName, Settings | None]:
    """The pixel set explained, one of `EXPLAINED`, and the settings; None while the user's own image is missing.

    Raises:
        UserError: That image does not fit.
    """
    sigma, draws = DEFAULT_SIGMA, DEFAULT_DRAWS
    with st.container(horizontal=True, vertical_alignment="bottom"):
        explained = st.segmented_control(
            "Explain", list(EXPLAINED), default="prediction", required=True, key="explain", bind="query-params",
            format_func=lambda name: EXPLAINED[name], wrap=True, width="content",
            help="Whole prediction: the mean over all pixels of the score of the class predicted there. Class: the "
            "mean score of the class at the left over the pixels predicted to be it. Pixel, box, lasso: its score "
            "there; choose them on the image.",
        )  # fmt: skip
        kind = str(
            st.segmented_control(
                "Baseline", list(BASELINE_NAMES), default="zero", required=True, key="baseline", bind="query-params",
                format_func=lambda name: BASELINE_NAMES[name], wrap=True, width="content",
                help="The image without information that the path starts from; “Baseline” over the image shows it. "
                "Against black, dark pixels can never matter; against a blurred copy, what the blur keeps cannot. "
                "Compare several below.",
            )
        )  # fmt: skip
        with st.popover("Settings"):
            if kind == "blur":
                sigma = float(
                    st.slider(
                        "Sigma of the blur, in pixels", 0.5, 50.0, DEFAULT_SIGMA, 0.5, key="sigma",
                        bind="query-params", width=_SLIDER_WIDTH,
                    )
                )  # fmt: skip
            elif kind == "random":
                draws = int(
                    st.slider(
                        "Draws of the noise", 1, 16, DEFAULT_DRAWS, key="draws", bind="query-params",
                        width=_SLIDER_WIDTH,
                    )
                )  # fmt: skip
            steps = _pick_steps()
    baseline: BaselineKind | np.ndarray | None = cast("BaselineKind", kind)
    if kind == "image":
        with st.container(width=_UPLOAD_WIDTH):
            baseline = _own_image(image)
    if baseline is None:
        return explained, None
    return explained, Settings(baseline=baseline, sigma=sigma, draws=draws, **steps)


def baseline_picture(image: PickedImage, settings: Settings) -> np.ndarray:
    """The baseline (C, H, W), of noise the first draw."""
    return make_baseline(image.values, settings.baseline, sigma=settings.sigma, draws=1).images[0]


def _pick_steps() -> dict[str, Any]:
    automatic = st.segmented_control(
        "Steps", ["auto", "fixed"], default="auto", required=True, key="steps_are", bind="query-params",
        format_func=lambda name: {"auto": "Automatic", "fixed": "Fixed"}[name], wrap=True, width="content",
        help="Automatic: more where the map still changes or the score bends, until the map and its sum are right to "
        f"the tolerance, at most {DEFAULT_BUDGET}. Fixed: a quadrature rule.",
    ) == "auto"  # fmt: skip
    if automatic:
        tolerance = st.select_slider(
            "Tolerance", _TOLERANCES, 0.02, key="tolerance", bind="query-params", width=_SLIDER_WIDTH,
            format_func=lambda value: f"{100 * value:g} %",
        )  # fmt: skip
        return {"n_steps": "auto", "tolerance": float(tolerance)}
    names = {rule: rule.capitalize() for rule in RULES} | {"gausslegendre": "Gauss–Legendre"}
    rule = st.selectbox(
        "Rule", RULES, key="rule", bind="query-params", width=_SLIDER_WIDTH, format_func=lambda name: names[name]
    )
    number = st.slider("Number", 2, 300, DEFAULT_STEPS, key="steps", bind="query-params", width=_SLIDER_WIDTH)
    return {"n_steps": int(number), "rule": rule}


def _own_image(image: PickedImage) -> np.ndarray | None:
    own = upload_baseline("Baseline image, of the same size")
    if own is None:
        st.info("Upload the image to start the path from.")
        return None
    return with_channels(own.values, image.values.shape[0])
