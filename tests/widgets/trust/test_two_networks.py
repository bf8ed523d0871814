import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest
from torch import nn

from core.attribution.attribution import image_hash
from core.display.colours import colour_limit
from core.segmenter import Segmenter
from core.target import Target
from tests.pages.viewer_data import value_of, viewers
from widgets.shared import slow_work
from widgets.shared.sources import PickedImage
from widgets.trust.two_networks import FULL_COLOUR_PERCENTILE, UNTRAINED, same_class, same_pixels, scaled


class Line(nn.Module):
    """Logits (0, slope · pixel, 0, …)."""

    def __init__(self, slope: float, classes: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, classes, 1, bias=False)
        with torch.no_grad():
            self.convolution.weight.zero_()
            self.convolution.weight[1] = slope

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.convolution(images)


def network(slope: float, names: tuple[str, ...]) -> Segmenter:
    return Segmenter(Line(slope, len(names)), in_channels=1, class_names=names, name=f"line {slope:g}")


def test_shares_add_up_to_one_and_a_map_of_zeros_stays_one():
    values = np.array([[3.0, -1.0]])
    np.testing.assert_array_equal(scaled(values, as_shares=False), values)
    np.testing.assert_array_equal(scaled(values, as_shares=True), [[0.75, -0.25]])
    np.testing.assert_array_equal(scaled(np.zeros((2, 2)), as_shares=True), 0)


def test_one_scale_holds_the_largest_map():
    assert colour_limit(np.full((4, 4), 2.0), np.full((4, 4), -3.0), percentile=FULL_COLOUR_PERCENTILE) == 3
    assert colour_limit(np.zeros((2, 2)), percentile=FULL_COLOUR_PERCENTILE) == 1
    alone = np.zeros((100, 100))
    alone[5, 5] = 7
    assert colour_limit(alone, percentile=FULL_COLOUR_PERCENTILE) == 7


def test_a_class_is_found_by_its_name():
    first, second = network(1, ("ground", "vessel")), network(1, ("sky", "road", "vessel"))
    assert same_class(first, second, 1) == 2
    assert same_class(first, second, 0) == 0
    assert same_class(second, first, 0) == 0
    assert same_class(network(1, ("a", "b", "c")), first, 2) == 1


def test_the_second_network_is_asked_about_the_same_pixels():
    labels = np.zeros((2, 2), np.int64)
    mask = np.array([[1, 0], [0, 2.0]])
    pixel = same_pixels(Target.pixel(1, 0, 1, "logit"), 2, labels)
    assert (pixel.row, pixel.column, pixel.class_index, pixel.space) == (1, 0, 2, "logit")
    region = same_pixels(Target.region(mask, 1, "log_odds", "mean"), 0, labels)
    np.testing.assert_array_equal(region.mask, mask)
    assert (region.class_index, region.reduction) == (0, "mean")
    whole = same_pixels(Target.prediction(labels + 1), 0, labels)
    np.testing.assert_array_equal(whole.labels, labels)


def _page():
    import streamlit as st

    from tests.widgets.trust.test_two_networks import network, picked
    from widgets.trust.two_networks import two_networks_panel

    first, image = network(2, ("ground", "vessel")), picked()
    two_networks_panel(first, image, first.predict(image.values), st.session_state["target"], {})


def picked() -> PickedImage:
    values = np.random.default_rng(0).random((1, 64, 64), np.float32)
    return PickedImage(values, None, "noise", (), image_hash(values))


@pytest.fixture
def page(monkeypatch):
    monkeypatch.setattr(slow_work, "PATIENCE", 120)
    page = AppTest.from_function(_page, default_timeout=120)
    page.session_state["target"] = Target.pixel(10, 12, 1, "logit")
    return page


def test_both_scores_are_those_of_the_library(page):
    page.run()
    assert not page.exception
    assert page.selectbox(key="second_model").value == UNTRAINED
    score = 2 * picked().values[0, 10, 12]
    assert page.metric[0].label == "Score, line 2"
    assert value_of(page.metric[0].value) == pytest.approx(score, rel=1e-3)
    assert page.metric[1].label == "Score, line 2, untrained"
    assert value_of(page.metric[1].value) != pytest.approx(score, rel=1e-3)


def test_predictions_and_maps_are_linked_panels_and_the_maps_share_one_scale(page):
    page.run()
    (viewer,) = viewers(page)
    assert viewer["size"] == [64, 64]
    assert [(panel["group"].split(",")[0], panel["title"]) for panel in viewer["panels"]] == [
        ("Predictions", "line 2"), ("Predictions", "line 2, untrained"), ("Predictions", "Labels that differ"),
        ("Maps", "line 2"), ("Maps", "line 2, untrained"), ("Maps", "line 2, untrained less line 2"),
    ]  # fmt: skip
    scales = [panel["layers"][0]["scale"] for panel in viewer["panels"][3:]]
    assert scales[0] == scales[1] == scales[2]
    assert scales[0]["low"] == -scales[0]["high"]
    # The gradient of the first network is its slope at one pixel; no common scale ends below it.
    assert scales[0]["high"] >= 2
    page.segmented_control(key="second_scale").set_value("share").run()
    (viewer,) = viewers(page)
    assert {panel["layers"][0]["unit"] for panel in viewer["panels"][3:]} == {"share of the map"}
    # Each map holds one pixel, which is all of it: shares of 1 or -1, and a difference of 0 or 2.
    assert viewer["panels"][3]["layers"][0]["scale"]["high"] in (1, 2)


def test_a_network_of_other_classes_and_channels_is_told_apart(page):
    page.run()
    page.selectbox(key="second_model").set_value("scenes").run()
    assert not page.exception
    assert any("turned into 3 channels for scenes" in caption.value for caption in page.caption)
    assert [metric.value for metric in page.metric][3] == "–"
    assert any("know different classes" in info.value for info in page.info)
    assert not any(panel["title"] == "Labels that differ" for panel in viewers(page)[0]["panels"])
