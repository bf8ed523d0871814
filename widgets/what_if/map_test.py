"""Put a map to the test: remove what it calls important, beside controls."""

from core.segmenter import Prediction
from widgets.shared.sidebar import Selection


def map_test_panel(selection: Selection, prediction: Prediction) -> None:
    """Draw the part of the page."""
