"""Settings of Integrated Gradients: what is explained, the baseline with its picture, the steps."""

import hashlib
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.attribution.baselines import DEFAULT_DRAWS, DEFAULT_SIGMA, BaselineKind, make_baseline
from core.attribution.integrated_gradients import DEFAULT_BUDGET, DEFAULT_STEPS
from core.attribution.quadrature import RULES, Rule
from core.data.images import load_image, with_channels
from core.display.colours import intensity_rgb
from widgets.shared.explained import pick_explained
from widgets.shared.sources import PickedImage

BASELINE_NAMES: dict[str, str] = {
    "zero": "Black", "random": "Noise", "blur": "Blurred", "mean": "Mean", "image": "Own image",
}  # fmt: skip
BASELINE_WORDS: dict[str, str] = {
    "zero": "a black image",
    "random": "uniform noise",
    "blur": "a blurred copy of the image",
    "mean": "the mean of each channel",
    "image": "your own image",
}
_RULE_NAMES = {
    "gausslegendre": "Gauss–Legendre", "midpoint": "Midpoint", "left": "Left", "right": "Right",
    "trapezoid": "Trapezoid",
}  # fmt: skip
_TOLERANCES = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05]


@dataclass(frozen=True, eq=False)
class Settings:
    """What the user chose.

    Attributes:
        baseline: A kind, or the user's own image (C, H, W).
        kind: Of the baseline.
        sigma: Of the blur.
        draws: Of the noise.
        n_steps: A number or "auto".
        rule: Of a fixed number of steps.
        tolerance: Of automatic steps.
    """

    baseline: BaselineKind | np.ndarray
    kind: str
    sigma: float
    draws: int
    n_steps: int | Literal["auto"]
    rule: Rule
    tolerance: float

    @property
    def key(self) -> tuple[object, ...]:
        """Tells these settings from any others."""
        own = "" if isinstance(self.baseline, str) else hashlib.sha256(self.baseline.tobytes()).hexdigest()
        return self.kind, own, self.sigma, self.draws, self.n_steps, self.rule, self.tolerance


def pick_settings(image: PickedImage) -> tuple[str, Settings | None]:
    """What is explained (see `EXPLAINED`) and the settings; None while the user's own image is still to come.

    Raises:
        UserError: That image does not fit.
    """
    left, right = st.columns([9, 1], vertical_alignment="center")
    with left:
        first = st.columns([4.6, 2.2, 3.2], vertical_alignment="bottom")
        second = st.columns([4.6, 5.4], vertical_alignment="bottom")
    with first[0]:
        explained = pick_explained()
    n_steps, rule, tolerance = _pick_steps(first[1], first[2])
    kind = str(
        second[0].segmented_control(
            "Baseline", list(BASELINE_NAMES), default="zero", required=True, key="baseline", bind="query-params",
            format_func=lambda name: BASELINE_NAMES[name], wrap=True,
            help="The image without information that the path starts from. Against black, dark pixels can never "
            "matter; against a blurred copy, what the blur keeps cannot. Compare several below.",
        )
    )  # fmt: skip
    sigma, draws = DEFAULT_SIGMA, DEFAULT_DRAWS
    baseline: BaselineKind | np.ndarray | None = cast("BaselineKind", kind)
    with second[1]:
        if kind == "blur":
            sigma = float(st.slider("Sigma in pixels", 0.5, 50.0, DEFAULT_SIGMA, 0.5, key="sigma", bind="query-params"))
        elif kind == "random":
            draws = int(st.slider("Draws", 1, 16, DEFAULT_DRAWS, key="draws", bind="query-params"))
        elif kind == "image":
            baseline = _own_image(image)
    if baseline is None:
        return explained, None
    shown = make_baseline(image.values, baseline, sigma=sigma, draws=1).images[0]
    right.image(intensity_rgb(shown), caption="Baseline", width="stretch")
    return explained, Settings(baseline, kind, sigma, draws, n_steps, rule, tolerance)


def _pick_steps(left: DeltaGenerator, right: DeltaGenerator) -> tuple[int | Literal["auto"], Rule, float]:
    automatic = left.segmented_control(
        "Steps", ["auto", "fixed"], default="auto", required=True, key="steps_are", bind="query-params",
        format_func=lambda name: {"auto": "Automatic", "fixed": "Fixed"}[name],
        help="Automatic: more where the map still changes or the score bends, until the map and its sum are right to "
        f"the tolerance, at most {DEFAULT_BUDGET}. Fixed: a quadrature rule.",
    ) == "auto"  # fmt: skip
    with right:
        if automatic:
            tolerance = st.select_slider(
                "Tolerance", _TOLERANCES, 0.02, key="tolerance", bind="query-params",
                format_func=lambda value: f"{100 * value:g} %",
            )  # fmt: skip
            return "auto", "gausslegendre", float(tolerance)
        columns = st.columns([3, 2])
        rule: Rule = columns[0].selectbox(
            "Rule", RULES, key="rule", bind="query-params", format_func=lambda name: _RULE_NAMES[name]
        )
        return int(columns[1].slider("Number", 2, 300, DEFAULT_STEPS, key="steps", bind="query-params")), rule, 0.01


def _own_image(image: PickedImage) -> np.ndarray | None:
    upload = st.file_uploader("Baseline image, of the same size", type=["png", "jpg", "jpeg", "tif", "tiff"])
    if upload is None:
        st.info("Upload the image to start the path from.")
        return None
    return with_channels(load_image(upload.getvalue(), name=upload.name).values, image.values.shape[0])
