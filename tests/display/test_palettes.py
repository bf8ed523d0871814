"""Colours that colour-blind people can tell apart: simulated, and measured in CIELAB."""

from itertools import combinations

import numpy as np
import pytest
from skimage.color import rgb2lab

from core.display.colours import CLASS_COLOURS, DIVERGING, SEQUENTIAL
from widgets.viewer.viewer import SCALES

# Machado, Oliveira & Fernandes 2009, "A Physiologically-based Model for Simulation of Color Vision Deficiency",
# table 1: matrices of severity 1.0 for linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
SAME = 20.0
"""Distance (CIE 1976) up to which two colours might be taken for one; 2.3 is just noticeable side by side."""


@pytest.fixture(params=DEFICIENCIES)
def seen(request):
    """The CIELAB values (N, 3) of sRGB colours in [0, 1], as someone with this deficiency sees them."""

    def lab(colours: np.ndarray) -> np.ndarray:
        linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
        linear = np.clip(linear @ DEFICIENCIES[request.param].T, 0, 1)
        return rgb2lab(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)[None])[0]

    return lab


def rgb(colours) -> np.ndarray:
    return np.array([list(bytes.fromhex(colour.removeprefix("#"))) for colour in colours]) / 255


def scale(name: str, *, is_dark: bool = False) -> np.ndarray:
    """255 colours of a scale, as the viewer interpolates them."""
    stops = rgb(SCALES[name][is_dark])
    places = np.linspace(0, len(stops) - 1, 255)
    return np.stack([np.interp(places, np.arange(len(stops)), channel) for channel in stops.T], axis=1)


def test_the_sequential_scale_rises_in_lightness(seen):
    lightness = seen(scale(SEQUENTIAL))[:, 0]
    assert (np.diff(lightness) > 0).all()
    assert lightness[-1] - lightness[0] > 70


@pytest.mark.parametrize("is_dark", [False, True])
def test_the_signs_of_the_diverging_scale_stay_apart(seen, is_dark):
    colours = seen(scale(DIVERGING, is_dark=is_dark))
    below, above = colours[126::-1], colours[128:]
    assert np.linalg.norm(below - above, axis=1)[31:].min() > SAME, "from a quarter of the limit on"
    for arm in (below, above):
        assert (np.diff(arm[:, 0]) * (1 if is_dark else -1) > 0).all(), "stronger is further from the ground"


def test_classes_stay_apart(seen):
    colours = seen(rgb(CLASS_COLOURS[1:]))
    assert min(np.linalg.norm(one - other) for one, other in combinations(colours, 2)) > SAME
