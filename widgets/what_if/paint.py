"""Paint on the image."""

from core.segmenter import Prediction
from widgets.shared.sidebar import Selection


def paint_panel(selection: Selection, prediction: Prediction) -> None:
    """Draw the part of the page."""
