"""The controls of the Jacobian page, inside its viewer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.jacobian import Threshold
from widgets.viewer.controls import Choice, Control, Switch
from widgets.viewer.settings import limit_slider, proportion_slider

MAPS = {"threshold": "Threshold map", "area": "Box area", "fulfilment": "Fulfilment"}
"""Maps over the output pixels."""
_PICTURES = MAPS | {"prediction": "Prediction", "image": "Image", "truth": "Truth"}


@dataclass(frozen=True)
class View:
    """Which maps are computed.

    Attributes:
        picture: The picture to click.
        threshold: Threshold of the maps.
        scaled: Whether the threshold map is shown between 0 and 1.
        within: Whether to leave out what is not predicted as the class.
    """

    picture: str
    threshold: Threshold
    scaled: bool
    within: bool

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "View":
        """The view that the values of the controls mean."""
        definition, source = settings["definition"], "rows" if settings.get("exact") else "histogram"
        return cls(
            settings["picture"],
            Threshold(float(settings["threshold"]), definition, source),  # type: ignore[arg-type]
            settings["scaled"] and definition == "absolute",
            settings["within"],
        )


def controls_of(*, has_rows: bool, has_truth: bool) -> list[Control]:
    """All controls, for a Jacobian whose rows can be read or not and an image with or without a ground truth."""
    exact = Switch(
        name="exact", label="Exact counts", default=False, below=True,
        help="Read every row from the store, which takes seconds for gigabytes. Without, histograms answer at once, at "
        "the edge of a bin next to the threshold (at most 7 % away; for boxes, one edge per octave).",
    )  # fmt: skip
    return [
        Choice(
            name="picture", label="Picture to click", default="threshold",
            options={name: title for name, title in _PICTURES.items() if name != "truth" or has_truth},
        ),
        Choice(
            name="definition", label="Threshold relative to", default="absolute",
            options={"absolute": "Max |J|", "original": "Max J"},
            help="Max |J|: the largest magnitude of all rows; the map holds counts. Max J: the largest signed value, "
            "with the map between its minimum and maximum, the definition of the first thresholded gradients.",
        ),
        Switch(
            name="scaled", label="0 to 1", default=False, when=("definition", ("absolute",)),
            help="Show the threshold map between its minimum and maximum, not as counts.",
        ),
        Switch(
            name="within", label="In prediction", default=False,
            help="Leave out the pixels that are not predicted as this class.",
        ),
        proportion_slider(),
        limit_slider(),
        *([exact] if has_rows else []),
    ]  # fmt: skip
