"""The controls of the Jacobian page, inside its viewer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.jacobian import Threshold
from widgets.viewer.controls import Choice, Control, Switch
from widgets.viewer.settings import limit_slider, proportion_slider

MAPS = {"threshold": "Threshold map", "area": "Box area", "fulfilment": "Box filled"}
"""Maps over the output pixels."""
COUNTS = ("threshold", "area")
"""Those of them that count pixels."""
LARGE_RANGE = 1000
"""Pixels in a receptive field from which on counts are coloured on a logarithmic scale at first."""
PICTURES = MAPS | {"prediction": "Prediction", "image": "Image", "truth": "Truth"}
"""Pictures to click."""


@dataclass(frozen=True)
class View:
    """Which maps are computed.

    Attributes:
        picture: The picture to click.
        threshold: Threshold of the maps.
        scaled: Whether the threshold map is shown between 0 and 1.
        within: Whether to leave out what is not predicted as the class.
        log: Whether counts are coloured on a logarithmic scale.
    """

    picture: str
    threshold: Threshold
    scaled: bool
    within: bool
    log: bool = False

    @property
    def counts(self) -> tuple[str, ...]:
        """The maps that hold counts of pixels, by name; a normalised threshold map does not."""
        is_normalised = self.scaled or self.threshold.definition == "original"
        return tuple(name for name in COUNTS if name != "threshold" or not is_normalised)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "View":
        """The view that the values of the controls mean."""
        definition, source = settings["definition"], "rows" if settings.get("exact") else "histogram"
        return cls(
            settings["picture"],
            Threshold(float(settings["threshold"]), definition, source),  # type: ignore[arg-type]
            settings["scaled"] and definition == "absolute",
            settings["within"],
            settings["log"],
        )


def controls_of(*, has_rows: bool, has_truth: bool, has_large_range: bool) -> list[Control]:
    """All controls.

    Args:
        has_rows: Whether the rows of the Jacobian can be read.
        has_truth: Whether the image has a ground truth.
        has_large_range: Whether counts may reach `LARGE_RANGE`.
    """
    exact = Switch(
        name="exact", label="Exact counts", default=False, below=True,
        help="Read every row from the store, which takes seconds for gigabytes. Without, histograms answer at once, at "
        "the edge of a bin next to the threshold (at most 7 % away; for boxes, one edge per octave).",
    )  # fmt: skip
    return [
        Choice(
            name="picture", label="Picture to click", default="threshold",
            options={name: title for name, title in PICTURES.items() if name != "truth" or has_truth},
        ),
        Switch(
            name="outline", label="Outline of prediction", default=True, when=("picture", tuple(MAPS)),
            help="Outline of what is predicted as this class; as predicted, the borders between all classes.",
        ),
        Switch(
            name="log", label="Log colours", default=has_large_range, when=("picture", COUNTS),
            help="Colour counts on a logarithmic scale, so that small ones can be told apart beside large ones. The "
            "ticks of the colour bar are the counts themselves.",
        ),
        proportion_slider(
            "of all maps' maximum",
            "Of the largest value in all pixels' maps: one threshold for all, so that their counts can be compared. "
            "The Pixel Explorer takes the maximum of each map, so its counts differ."
        ),
        limit_slider(),
        Choice(
            name="definition", label="Threshold relative to", default="absolute", below=True,
            options={"absolute": "Max |J|", "original": "Max J"},
            help="J holds the gradient maps of all pixels, one in each row. Max |J|: its largest magnitude; the map "
            "holds counts. Max J: its largest signed value, "
            "with the map between its minimum and maximum, the definition of the first thresholded gradients.",
        ),
        Switch(
            name="scaled", label="Scale to 0 to 1", default=False, below=True, when=("definition", ("absolute",)),
            help="Show the threshold map between its minimum and maximum, not as counts.",
        ),
        Switch(
            name="within", label="Predicted pixels only", default=False, below=True,
            help="Leave out the pixels that are not predicted as this class.",
        ),
        *([exact] if has_rows else []),
    ]  # fmt: skip
