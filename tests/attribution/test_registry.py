"""A method is added in one place: what registers itself is run, explained, estimated and shown with no other edit."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from core import Segmenter, Target, UserError
from core.attribution.attribution import make_attribution
from core.attribution.registry import (
    METHODS,
    Method,
    all_settings,
    explain,
    explain_each,
    importance,
    method_named,
    predicted_drops,
    quick_methods,
    quick_settings,
    quickest_first,
    register,
)
from core.attribution.settings import seed_setting, setting
from tests.networks import IMAGE_1_TO_9, TinySeg
from widgets.shared import slow_work

APP = Path(__file__).resolve().parents[2] / "app.py"
TARGET = Target.pixel(1, 1, 1, "logit")


class Brightness(Method):
    name, title, kind, aliases = "brightness", "Brightness", "contribution", ("bright",)
    sentence = "How bright a pixel is."

    @dataclass(frozen=True)
    class Settings:
        gain: float = setting(2.0, label="Gain of brightness", help="A factor.", low=0.0, high=9.0)
        seed: int = seed_setting()

    def run(self, segmenter, image, target, settings, progress):
        values = settings.gain * torch.as_tensor(image)
        return make_attribution(values, segmenter, image, target, self.name, {"gain": settings.gain}, 0.0)

    def passes(self, settings, segmenter, size):
        return 7


@pytest.fixture
def brightness() -> Iterator[Method]:
    register(Brightness)
    yield METHODS["brightness"]
    del METHODS["brightness"]


@pytest.fixture
def segmenter():
    return Segmenter(TinySeg(), in_channels=1)


@pytest.mark.usefixtures("brightness")
def test_a_registered_method_is_run_by_its_name_and_with_others(segmenter):
    assert list(METHODS)[-1] == "brightness"
    assert "brightness" in quick_methods()
    given = segmenter, IMAGE_1_TO_9, TARGET
    found = explain(*given, "brightness", {"gain": 3.0})
    np.testing.assert_array_equal(found.values, 3 * IMAGE_1_TO_9.numpy())
    assert explain(*given, "bright").method == "brightness"
    seen = []
    maps = dict(explain_each(*given, ["gradient", "brightness"], progress=lambda *at: seen.append(at)))
    assert list(maps) == ["gradient", "brightness"]
    np.testing.assert_array_equal(maps["brightness"].values, 2 * IMAGE_1_TO_9.numpy())
    assert (seen[0], seen[-1]) == ((1, 8), (8, 8))
    np.testing.assert_array_equal(importance(found), 3 * IMAGE_1_TO_9[0].numpy())
    drops = predicted_drops(found, IMAGE_1_TO_9, np.zeros((1, 3, 3)))
    np.testing.assert_array_equal(drops, 3 * IMAGE_1_TO_9[0].numpy())


def test_passes_settings_and_sign_follow_from_the_class(segmenter, brightness):
    assert quickest_first(["smoothgrad", "brightness", "gradient"], segmenter, (3, 3)) == [
        "gradient", "brightness", "smoothgrad",
    ]  # fmt: skip
    assert quickest_first(["brightness", "smoothgrad"], segmenter, (3, 3), {"n_samples": 2})[0] == "smoothgrad"
    gain = all_settings()["gain"]
    assert (gain.label, gain.help, gain.option, gain.key, gain.default) == (
        "Gain of brightness", "A factor.", "gain", "gain", 2.0,
    )  # fmt: skip
    assert gain.parse("0.5") == 0.5
    with pytest.raises(UserError, match=r'--gain is a number; "much" was given'):
        gain.parse("much")
    assert quick_settings()["gain"] == 2.0
    assert brightness.is_signed
    assert [name for name in METHODS if METHODS[name].is_signed] == [
        "gradient_x_input", "integrated_gradients", "occlusion", "brightness",
    ]  # fmt: skip


@pytest.mark.usefixtures("brightness")
def test_the_trust_page_offers_and_computes_it(monkeypatch):
    monkeypatch.setattr(slow_work, "PATIENCE", 120)
    page = AppTest.from_file(str(APP), default_timeout=120)
    page.switch_page("pages/trust.py")
    query = {
        "model": "scenes", "image": "scenes/scene_00", "class": "car", "layer": "decoder.1", "shown": "brightness",
        "methods": ["Gradient", "Brightness"],
    }  # fmt: skip
    for name, value in query.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception
    assert "Brightness" in page.multiselect(key="methods").options
    assert page.selectbox(key="shown").value == "brightness"
    assert page.number_input(key="gain").value == 2.0
    assert any("How bright a pixel is." in caption.value for caption in page.caption)
    limit = page.get("plotly_chart")[-1].proto.spec
    page.number_input(key="gain").set_value(4.0).run()
    assert not page.exception
    assert page.get("plotly_chart")[-1].proto.spec != limit


def test_unknown_names_list_what_there_is(segmenter):
    with pytest.raises(UserError, match="The method is one of gradient, gradient_x_input, smoothgrad"):
        method_named("brightness")
    with pytest.raises(UserError, match=r'The settings are n_samples, .*; "gain" was given'):
        explain(segmenter, IMAGE_1_TO_9, TARGET, "gradient", {"gain": 1.0})
    assert method_named("ig") is METHODS["integrated_gradients"]


@pytest.mark.parametrize(
    ("named", "settings", "message"),
    [
        ("gradient", {}, 'already a method "gradient"'),
        ("ig", {}, 'already a method "ig"'),
        ("other", {"n_steps": (float, setting(1.0))}, '"n_steps" of other clashes with "n_steps"'),
        ("other", {"seed": (str, setting("a"))}, '"seed" of other clashes with "seed"'),
        ("other", {"count": (int, setting(1, option="steps"))}, '"count" of other clashes with "n_steps"'),
    ],
)
def test_what_clashes_is_refused(named, settings, message):
    annotations = {name: annotation for name, (annotation, _) in settings.items()}
    defaults = {name: default for name, (_, default) in settings.items()}
    made = dataclass(frozen=True)(type("Settings", (), {"__annotations__": annotations, **defaults}))
    before = dict(METHODS)
    with pytest.raises(ValueError, match=message):
        register(type("Other", (Method,), {"name": named, "title": "Other", "kind": "layer", "Settings": made}))
    assert before == METHODS


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("n_steps", "auto", "auto"), ("n_steps", "20", 20), ("window", "4", 4), ("window", "2,8", (2, 8)),
        ("baseline", "blur", "blur"), ("noise", "0.2", 0.2), ("rule", "left", "left"), ("layer", "relu", "relu"),
        ("stride", "8", 8),
    ],
)  # fmt: skip
def test_settings_are_read_from_text(name, text, value):
    assert all_settings()[name].parse(text) == value


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("n_steps", '--steps is auto, or a whole number; "x" was given'),
        ("window", "--window is a whole number, or two whole numbers with a comma between them"),
        ("baseline", "--baseline is zero, mean, blur, random"),
        ("rule", "--rule is gausslegendre, midpoint, left, right, trapezoid"),
    ],
)
def test_what_a_text_must_be(name, message):
    with pytest.raises(UserError, match=message):
        all_settings()[name].parse("x")
