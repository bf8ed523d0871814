"""The smallest change that flips a label."""

from core.segmenter import Prediction
from widgets.shared.sidebar import Selection


def smallest_change_panel(selection: Selection, prediction: Prediction) -> None:
    """Draw the part of the page."""
