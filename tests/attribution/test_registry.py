"""A method is added in one place: what registers itself is run, explained, estimated and shown with no other edit."""

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

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
from core.attribution.settings import (
    FIXED_KEYS,
    FIXED_OPTIONS,
    FIXED_OPTIONS_OF_EVALUATE,
    FIXED_PREFIXES,
    Setting,
    seed_setting,
    setting,
    settings_of,
)
from core.cli import _FILES as FILES
from core.cli import imported_command
from core.trust import RemovalSettings
from core.trust.metrics.registry import all_settings as metric_settings
from tests.networks import IMAGE_1_TO_9, TinySeg
from tests.pages.viewer_data import viewers
from widgets.shared import slow_work

ROOT = Path(__file__).resolve().parents[2]
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
    page = AppTest.from_file(str(ROOT / "main.py"), default_timeout=120)
    page.switch_page("pages/trust.py")
    query = {
        "model": "scenes", "image": "scenes/scene_00", "class": "car", "layer": "decoder.1", "shown": "brightness",
        "methods": ["Gradient", "Brightness"],
    }  # fmt: skip
    for name, value in query.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception
    assert "Brightness" in " ".join(str(pills.options) for pills in page.pills)
    assert page.number_input(key="gain").value == 2.0
    large = viewers(page)[0]
    assert large["settings"]["shown"] == "brightness"
    assert large["sentence"] == "How bright a pixel is."
    ends = _brightness_ends(large)
    page.number_input(key="gain").set_value(4.0).run()
    assert _brightness_ends(viewers(page)[0]) == {setting: pytest.approx(2 * end) for setting, end in ends.items()}


def _brightness_ends(viewer: dict) -> dict[str, float]:
    """Where the colours of the map end, by the settings of the colours."""
    (panel,) = (panel for panel in viewer["panels"] if panel["title"] == "Brightness")
    return panel["layers"][-1]["ends"]["values"]


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
        (
            "other",
            {"a": (int, setting(1, option="o")), "b": (int, setting(2, option="o"))},
            '"a" of other clashes .*"b"',
        ),
        *[
            ("other", {name: (int, setting(1, key="free"))}, f'"{name}" of other clashes with "{name}" of the commands')
            for name in ("space", "image", "out", "scaling", "method", "region", "class_name", "run", "help")
        ],
        ("other", {"way": (int, setting(1, option="pixel-set"))}, '"way" of other clashes with "pixel_set"'),
        ("other", {"weights_of": (int, setting(1, option="weights"))}, '"weights_of" of other clashes with "weights"'),
        *[
            ("other", {"way": (int, setting(1, key=key))}, f'The key "{key}" of the setting "way" of other')
            for key in ("shown", "tab", "score", "test_steps", "second_model", "_started", "run-tests")
        ],
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


def _fixed_options(command: str, settings: Iterable[Setting]) -> set[str]:
    """Names of a command's options, and of its parameters before groups are unfolded, without these settings."""
    options = imported_command(command).params
    names = {name for one in options for name in (one.name, *one.opts, *one.secondary_opts)}
    names |= {*inspect.signature(getattr(import_module(f"core.cli.{FILES.get(command, command)}"), command)).parameters}
    ours = {name for own in settings for name in (own.name, own.option)}
    return {name.lstrip("-").replace("-", "_") for name in {*names, "help"}} - {one.replace("-", "_") for one in ours}


def test_fixed_options_are_those_of_the_commands():
    methods = list(all_settings().values())
    found = set().union(*(_fixed_options(command, methods) for command in ("explain", "ig", "cam")))
    assert found == FIXED_OPTIONS
    assert _fixed_options("evaluate", [*methods, *metric_settings().values()]) | found <= FIXED_OPTIONS_OF_EVALUATE


def test_fixed_keys_are_those_of_the_trust_page():
    root = ROOT
    files = [root / "pages" / "trust.py", *(root / "widgets" / "trust").glob("*.py")]
    files += (root / "widgets" / "shared").glob("*.py")
    text = "".join(path.read_text() for path in files)
    found = set(re.findall(r'(?:\bkey=|restore_choice\(|in_url\()(?:f?")(?:\{place\})?([\w-]+)"', text))
    found |= set(re.findall(r'(?:(?:Choice|Slider|Switch)\(\s*name=|share_slider\()"(\w+)"', text))
    # What the viewer writes beside its controls, and the numbers of an uploaded network.
    found |= {"row", "column", "box", "lasso", "channels", "classes"}
    found |= {own.key for own in settings_of(RemovalSettings) if own.on_page}
    assert {key for key in found if key.isidentifier() and not key.startswith(FIXED_PREFIXES)} == FIXED_KEYS


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
    ("annotation", "text", "value"),
    [(bool, "false", False), (bool | None, "true", True), (Literal[1, 2, 4], "4", 4), (Literal["a"] | None, "a", "a")],
)
def test_a_text_gets_the_type_of_the_field(annotation, text, value):
    found = Setting(annotation=annotation).parse(text)
    assert found == value
    assert type(found) is type(value)


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
