"""The controls of the Pixel Explorer, inside its viewer."""

from widgets.viewer.controls import Choice, Control, Switch
from widgets.viewer.settings import above_switch, limit_slider, opacity_slider, overlay_choice, threshold_sliders

DIRECTIONS = {"row": "What drives this pixel", "column": "What this pixel drives"}


def controls_of(*, has_truth: bool) -> list[Control]:
    """All controls, for an image with or without a ground truth."""
    overlays = {"prediction": "Prediction", "probability": "Probability"}
    return [
        Choice(
            name="view", label="Question", default="row", options=DIRECTIONS,
            help="What drives this pixel: the gradient of its score, one row of the Jacobian. What this pixel drives: "
            "every output score that this input pixel moves, one column.",
        ),
        overlay_choice("Overlay", "prediction", overlays, has_truth=has_truth),
        opacity_slider(),
        Switch(
            name="smooth", label="SmoothGrad", default=False, when=("view", ("row",)),
            help="The mean gradient over 16 copies of the image with 10 % noise: steadier, and 16 times the work. "
            "Under the pointer it begins with one copy and becomes finer while the pointer rests.",
        ),
        *threshold_sliders(),
        limit_slider(),
        above_switch(),
    ]  # fmt: skip
