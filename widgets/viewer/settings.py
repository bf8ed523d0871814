"""Controls that viewers of several pages share; controls of one name share their value."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from widgets.viewer.controls import Choice, Control, Shown, Slider, Switch
from widgets.viewer.scene import Labels

ZOOMING = "Scroll to zoom, drag to move, double-click to see all."
"""Explanation of a picture that is large enough to look into."""
PROPORTIONS = tuple(float(f"{10**exponent:.2g}") for exponent in np.linspace(-4, 0, 41))
"""Thresholds offered, as proportions of a maximum."""
THRESHOLDS = tuple(float(f"{10**exponent:.2g}") for exponent in np.linspace(-6, 2, 81))
OF_THIS_MAP = "of this map's maximum"
_LIMITS = (0.01, 0.03, 0.1, 0.3, 1.0)
_PERCENT = "{:g} %"


def share_slider(name: str, label: str, default: float, **more: Any) -> Slider:
    """A share in steps of 5 %, such as an opacity; `more` are fields of `Control`."""
    values = tuple(step / 20 for step in range(21))
    return Slider(name=name, label=label, default=default, values=values, form="{:.0f} %", factor=100, **more)


def opacity_slider(when: tuple[str, Sequence[str]] | None = None, *, below: bool = False) -> Slider:
    """Opacity of what lies over the image; shown `when` a control has one of some values."""
    return share_slider("opacity", "Opacity", 0.4, when=when, below=below)


def overlay_choice(label: str, default: str, layers: Mapping[str, str], *, has_truth: bool) -> Choice:
    """What lies over the image: nothing, one of some layers by their words on screen, or the ground truth."""
    options = {"none": "None", **layers} | ({"truth": "Truth"} if has_truth else {})
    return Choice(name="overlay", label=label, default=default, options=options, is_menu=True)


def overlaid_labels(
    name: str,
    labels: np.ndarray,
    class_names: Sequence[str],
    choices: str | Sequence[str] | None = None,
    opacity: float | str = "$opacity",
) -> Labels:
    """Classes over the image while `overlay_choice` has one of `choices`, by default the layer's name."""
    return Labels(
        name=name, title=name, labels=labels, class_names=class_names, opacity=opacity,
        shown=Shown("overlay", name if choices is None else choices),
    )  # fmt: skip


def threshold_sliders() -> list[Control]:
    """The threshold on magnitudes, relative to a map's largest one or absolute."""
    return [
        Choice(
            name="threshold_of", label="Threshold", default="relative", below=True,
            options={"relative": "Relative", "absolute": "Absolute"},
            help="Relative to the largest magnitude of this map, or a value in its unit, the same for every pixel.",
        ),
        proportion_slider(
            OF_THIS_MAP,
            "Of the largest magnitude of this pixel's own map, so that the threshold differs from pixel to pixel. The "
            "Jacobian page takes the largest of all maps, so its counts differ.",
            when=("threshold_of", ("relative",)),
        ),
        Slider(
            name="absolute", label="Magnitude", default=1e-3, values=THRESHOLDS, form="{:.2g}", below=True,
            when=("threshold_of", ("absolute",)),
        ),
    ]  # fmt: skip


def proportion_slider(of_what: str, help_: str, when: tuple[str, Sequence[str]] | None = None) -> Slider:
    """The threshold on magnitudes as a proportion of a maximum; `of_what` says of which, in a few words."""
    return Slider(
        name="threshold", label=f"Threshold, {of_what}", default=0.01, values=PROPORTIONS, form=_PERCENT,
        factor=100, below=True, when=when, help=help_,
    )  # fmt: skip


def limit_slider(default: float = 0.1) -> Slider:
    """Where the colours of a map end, as a proportion of its largest magnitude."""
    return Slider(
        name="limit", label=f"Colour limit, {OF_THIS_MAP}", default=default, values=_LIMITS, form="±{:g} %", factor=100,
        below=True, help="Of the largest magnitude of the map, of several channels their norm. Lower it to see faint "
        "gradients; what lies beyond is drawn in the end colour.",
    )  # fmt: skip


def above_switch() -> Switch:
    """Whether the pixels above the threshold are tinted in the image."""
    return Switch(
        name="above", label="Tint pixels above", default=True, below=True,
        help="Tint the pixels above the threshold in the image: red where the score rises as the pixel brightens, blue "
        "where it falls.",
    )  # fmt: skip


def threshold_of(settings: Mapping[str, Any]) -> dict[str, float]:
    """The threshold as keyword arguments of `core.display.footprint.footprint`."""
    if settings.get("threshold_of") == "absolute":
        return {"threshold": float(settings["absolute"])}
    return {"proportion": float(settings["threshold"])}
