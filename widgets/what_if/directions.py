"""The directions that matter most."""

from core.segmenter import Prediction
from widgets.shared.sidebar import Selection


def directions_panel(selection: Selection, prediction: Prediction) -> None:
    """Draw the part of the page."""
