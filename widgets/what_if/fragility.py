"""The distance to the flip at every n-th pixel."""

from core.segmenter import Prediction
from widgets.shared.sidebar import Selection


def fragility_panel(selection: Selection, prediction: Prediction) -> None:
    """Draw the part of the page."""
