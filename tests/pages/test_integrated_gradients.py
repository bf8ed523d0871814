"""The Integrated Gradients page without a browser: what it shows is what the library says."""

import io
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core import Target, load_segmenter, read_image
from core.attribution import Attribution, integrated_gradients
from core.attribution.statistics import statistics
from core.pixel_sets import PixelSet
from tests.pages.viewer_data import value_of, viewers
from widgets.integrated_gradients import baselines, settings
from widgets.integrated_gradients.words import error_chips
from widgets.shared import slow_work, uploader

ROOT = Path(__file__).resolve().parents[2]
FAST = {"image": "formats/not_square", "steps_are": "Fixed", "steps": "2"}


def open_page(**query: str) -> AppTest:
    page = AppTest.from_file(str(ROOT / "main.py"), default_timeout=180)
    page.switch_page("pages/integrated_gradients.py")
    for name, value in query.items():
        page.query_params[name] = value
    return page.run()


def numbers(page: AppTest) -> dict[str, str]:
    assert not page.exception
    assert not page.error, page.error[0].value
    found: dict[str, str] = {}
    for metric in page.metric:
        found.setdefault(metric.label, metric.value)
    return found


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter("vessmap", "cpu")


@pytest.fixture(scope="module")
def image():
    return read_image(ROOT / "sample_data/formats/images/not_square.tiff")


def test_the_whole_prediction(segmenter, image):
    page = open_page(**FAST)
    found = numbers(page)
    prediction = segmenter.predict(image)
    labels = prediction.labels
    attribution = integrated_gradients(segmenter, image, Target.prediction(labels, "logit", "mean"), n_steps=2)
    expected = statistics(attribution, prediction)
    assert value_of(found["Mean"]) == pytest.approx(expected.mean, rel=1e-3)
    assert found["Area"] == f"{(labels == 1).sum():,} px"
    assert found["Ratio"] == f"{expected.predicted.ratio:.4g}"
    shown = viewers(page)[0]
    start, end = (attribution.measured[name] for name in ("baseline_score", "score"))
    assert f"goes from {start:.4g} to {end:.4g} on average over {labels.size:,} pixels." in shown["words"]["sentence"]
    chips = [text for text, _ in shown["words"]["chips"]]
    assert chips == [
        f"sum {attribution.convergence_percent:.0f} % off", f"map ≈ {attribution.map_error_percent:.2g} % off"
    ]  # fmt: skip
    assert [panel["title"] for panel in shown["panels"]] == ["Image", "Attribution"]
    assert shown["settings"]["map"] == "signed"
    magnitude, signed = shown["panels"][1]["layers"]
    values = np.abs(attribution.values[0])
    ends = {name: np.percentile(values, float(name)) for name in ("95", "98", "99", "99.5", "99.9", "100")}
    assert magnitude["ends"] == {"settings": ["percentile"], "values": pytest.approx(ends, rel=1e-4)}
    assert signed["ends"]["values"] == pytest.approx(ends, rel=1e-4)
    assert magnitude["unit"] == attribution.unit


def test_every_overlay_is_a_choice_of_the_viewer():
    page = open_page(**FAST, overlay="both", overlay_opacity="0.6", overlay_from="0.25", map="Signed", percentile="98")
    assert numbers(page)
    shown = viewers(page)[0]
    expected = {"overlay": "both", "overlay_opacity": 0.6, "overlay_from": 0.25, "map": "signed", "percentile": 98.0}
    assert shown["settings"].items() >= expected.items()
    over = {layer["name"]: layer["shown"] for layer in shown["panels"][0]["layers"]}
    both = {"setting": "overlay", "in": ["attribution", "both"]}
    assert over["prediction"] == [{"setting": "overlay", "in": ["prediction", "both"]}]
    assert over["truth"] == [{"setting": "overlay", "in": ["truth"]}]
    assert over["magnitude"] == [{"setting": "map", "in": ["magnitude"]}, both]
    assert over["signed"] == [{"setting": "map", "in": ["signed"]}, both]
    (overlay,) = [control for control in shown["controls"] if control["name"] == "overlay"]
    assert [value for value, *_ in overlay["options"]] == [
        "none",
        "prediction",
        "attribution",
        "both",
        "baseline",
        "truth",
    ]


def test_an_image_without_truth_has_no_layer_of_it():
    page = open_page(image="Upload…", steps_are="Fixed", steps="2")
    content = (ROOT / "sample_data/formats/images/not_square.tiff").read_bytes()
    page.file_uploader[0].set_value(("mine.tiff", content, "image/tiff")).run()
    assert numbers(page)
    shown = viewers(page)[0]
    assert "truth" not in [layer["name"] for layer in shown["panels"][0]["layers"]]


def test_an_own_baseline_image_is_kept(tmp_path, monkeypatch, segmenter, image):
    monkeypatch.setattr(uploader, "browser_token", lambda: "one browser")
    monkeypatch.setenv("WHYPIXEL_FILES", str(tmp_path))
    dim, file = np.uint8(100 * image[0]), io.BytesIO()
    Image.fromarray(dim).save(file, "PNG")
    page = open_page(**FAST, baseline="Own image")
    assert page.info[0].value == "Upload the image to start the path from."
    uploaders = {found.label: found for found in page.file_uploader}
    own = uploaders["Baseline image, of the same size"]
    own.set_value(("broken.png", b"no image", "image/png")).run()
    assert any("broken.png" in error.value for error in page.error)
    own = next(found for found in page.file_uploader if found.label.startswith("Baseline"))
    own.set_value(("dim.png", file.getvalue(), "image/png")).run()
    target = Target.prediction(segmenter.predict(image).labels, "logit", "mean")
    attribution = integrated_gradients(segmenter, image, target, dim[None] / np.float32(255), 2)
    for shown in (page, open_page(**FAST, baseline="Own image")):
        assert numbers(shown)["Maximum"] == f"{attribution.magnitude().max():.4g}"
        assert any(caption.value == "Baseline image: dim.png" for caption in shown.caption)


def test_a_pixel_against_a_blurred_baseline(segmenter, image):
    page = open_page(**FAST, explain="Pixel", row="61", column="99", baseline="Blurred", sigma="3.0")
    attribution = integrated_gradients(segmenter, image, Target.pixel(61, 99, space="logit"), "blur", 2, sigma=3.0)
    assert numbers(page)["Maximum"] == f"{attribution.magnitude().max():.4g}"
    sentence = viewers(page)[0]["words"]["sentence"]
    assert "at row 61, column 99 goes from" in sentence
    assert "on average" not in sentence
    # A click elsewhere.
    page.session_state["row"], page.session_state["column"] = 80, 120
    page.run()
    attribution = integrated_gradients(segmenter, image, Target.pixel(80, 120, space="logit"), "blur", 2, sigma=3.0)
    assert numbers(page)["Maximum"] == f"{attribution.magnitude().max():.4g}"


def test_a_box(segmenter, image):
    page = open_page(**FAST, explain="Box", box="20,30,60,90")
    prediction = segmenter.predict(image)
    target = PixelSet("box", box=(20, 30, 60, 90)).target(prediction, 1, "logit", "mean")
    attribution = integrated_gradients(segmenter, image, target, n_steps=2)
    assert numbers(page)["Maximum"] == f"{attribution.magnitude().max():.4g}"


def test_nothing_drawn_yet_is_no_error():
    page = open_page(**FAST, explain="Lasso")
    assert not page.error
    assert not page.metric
    assert any("draw" in text.value for text in page.markdown)
    shown = viewers(page)[0]
    assert shown["tools"] == ["lasso", "box"]
    assert shown["panels"][1]["note"] == "no pixels yet"


def test_the_address_names_no_pixel_of_an_image_that_was_left():
    page = open_page(**{**FAST, "image": "formats/not_square"}, row="190", column="300")
    assert {key: viewers(page)[0]["address"][key] for key in ("row", "column")} == {"row": "190", "column": "300"}
    page.session_state["image"] = page.session_state["_image_chosen"] = "vessels/phantom_00"
    page.run()
    address = viewers(page)[0]["address"]
    assert (int(address["row"]), int(address["column"])) == (page.session_state["row"], page.session_state["column"])
    assert int(address["column"]) < 256


def test_automatic_steps_say_so():
    page = open_page(image="formats/not_square", tolerance="5 %")
    sentence = viewers(page)[0]["words"]["sentence"]
    assert "enough for the tolerance" in sentence


def test_a_budget_that_is_used_up_says_what_was_not_reached(monkeypatch):
    monkeypatch.setattr(settings, "Settings", partial(settings.Settings, max_steps=9))
    page = open_page(image="formats/not_square", tolerance="0.1 %")
    words = viewers(page)[0]["words"]
    sentence = words["sentence"]
    assert dict(number[:2] for number in words["numbers"])["Steps"] == "9"
    assert "The tolerance was not reached by the map" in sentence


def test_baselines_and_steps_on_demand():
    page = open_page(**FAST, explain="Pixel", row="61", column="99")
    assert "**Agreement**" not in [text.value for text in page.markdown]
    next(button for button in page.button if button.label == "Compare").click().run()
    assert not page.exception
    assert "**Agreement**" in [text.value for text in page.markdown]
    assert list(page.table[0].value["Baseline"]) == ["Black", "Noise", "Blurred", "Mean"]
    next(button for button in page.button if button.label == "Measure").click().run()
    assert not page.exception
    assert not any(button.label == "Measure" for button in page.button)


def test_baselines_are_shown_as_they_come_and_end_with_their_question(monkeypatch):
    one_is_there, go_on, asked = threading.Event(), threading.Event(), []
    attribute = settings.attribute

    def wait_at_second(selection, target, chosen, report, show=None) -> Attribution:
        asked.append(settings.kind_of(chosen))
        if len(asked) == 2:
            one_is_there.set()
            assert go_on.wait(60)
        return attribute(selection, target, chosen, report, show)

    page = open_page(**FAST, explain="Pixel", row="61", column="98")
    monkeypatch.setattr(baselines, "attribute", wait_at_second)
    monkeypatch.setattr(slow_work, "PATIENCE", 0)
    next(button for button in page.button if button.label == "Compare").click().run()
    assert one_is_there.wait(60)
    page.run()
    assert asked == ["random", "blur"], "that of black is on the page"
    shown = {panel["title"]: len(panel["layers"]) for panel in viewers(page)[-1]["panels"]}
    assert shown == {"Black": 2, "Noise": 2, "Blurred": 0, "Mean": 0}
    assert list(page.table[0].value["Baseline"]) == ["Black", "Noise"]
    work = page.session_state["_claims"]["baselines"]
    draws = settings.Settings().draws
    assert (work.computation.steps_done, work.computation.steps) == (2 * draws, 2 * (draws + 2))
    page.segmented_control(key="explain").set_value("lasso").run()
    assert work.is_cancelled
    go_on.set()
    work.computation.exception(60)


def test_a_cancelled_computation_can_start_again(monkeypatch):
    monkeypatch.setattr(slow_work, "PATIENCE", 0)
    page = open_page(**FAST, explain="Pixel", row="40", column="41")
    assert not page.metric
    assert viewers(page)[0]["panels"][1]["note"] == "computing…"
    page.session_state["_claims"]["ig"].cancel()
    page.session_state["_claims"]["ig"].computation.exception(60)
    page.run()
    assert any(text.value == "Cancelled." for text in page.markdown)
    assert viewers(page)[0]["panels"][1]["note"] == "cancelled"
    monkeypatch.setattr(slow_work, "PATIENCE", 120)
    next(button for button in page.button if button.label == "Start again").click().run()
    assert numbers(page)


@pytest.mark.parametrize(
    ("percent", "tone"), [(0.3, "good"), (1.0, "good"), (3.0, "plain"), (9.0, "bad"), (np.nan, "plain")]
)
def test_the_error_of_the_sum_has_a_tone(percent, tone):
    (chip,) = error_chips(percent)
    assert chip.tone == tone


def test_the_error_of_the_map_counts_half():
    assert [(chip.text, chip.tone) for chip in error_chips(7.0, 1.8)] == [
        ("sum 7 % off", "bad"), ("map ≈ 1.8 % off", "good")
    ]  # fmt: skip
    assert [chip.tone for chip in error_chips(0.02, 3.2)] == ["good", "plain"]
    assert error_chips(np.nan, 3.2) == error_chips(np.nan)


def test_while_a_map_is_computed_the_last_one_stays_dimmed(monkeypatch):
    page = open_page(**FAST, explain="Pixel", row="42", column="43")
    assert viewers(page)[0]["panels"][1]["note"] == ""
    monkeypatch.setattr(slow_work, "PATIENCE", 0)
    page.session_state["row"] = 44
    page.run()
    panel = viewers(page)[0]["panels"][1]
    assert panel["note"] == "of the settings before"
    assert panel["layers"][0]["opacity"] < 0.5
    assert not page.metric
    page.session_state["_claims"]["ig"].computation.result(60)  # before Python ends


def test_the_map_of_the_steps_so_far_is_shown_as_such(monkeypatch, segmenter, image):
    shown, is_shown, go_on = [], threading.Event(), threading.Event()
    attribute = settings.attribute

    def wait_halfway(selection, target, chosen, report, show) -> Attribution:
        # The first only: on a busy machine a later one may be of all steps.
        found = attribute(selection, target, chosen, report, lambda part: shown or (shown.append(part), show(part)))
        is_shown.set()
        assert go_on.wait(60)
        return found

    monkeypatch.setattr(settings, "attribute", wait_halfway)
    monkeypatch.setattr(slow_work, "PATIENCE", 0)
    page = open_page(**FAST | {"steps": "24"}, explain="Pixel", row="45", column="50")
    assert is_shown.wait(60)
    page.run()
    part = shown[-1]
    assert part.measured["steps"] < 24
    (panel, words, recipe) = (viewers(page)[0][name] for name in ("panels", "words", "recipe"))
    steps = f"{part.measured['steps']} steps so far"
    assert (panel[1]["title"], panel[1]["note"]) == ("Attribution", "coarse, sharpening")
    limit = np.abs(part.values[0]).max()
    assert panel[1]["layers"][1]["ends"]["values"]["100"] == pytest.approx(limit, rel=1e-4)
    assert panel[1]["layers"][1]["opacity"] == 1
    assert words["chips"][0][0] == "coarse map, sharpening"
    assert part.convergence_percent > 100
    assert words["chips"][1][0] == "error: not known yet"
    assert "%" not in str(words["numbers"])
    assert recipe is None
    assert not page.metric
    assert not page.download_button
    claim = page.session_state["_claims"]["ig"]
    claim.cancel()
    page.run()
    words, panel = (viewers(page)[0][name] for name in ("words", "panels"))
    assert "coarse map" in words["sentence"]
    assert words["chips"][0][0] == steps
    assert words["chips"][1][0] == f"sum {part.convergence_percent:.0f} % off so far"
    assert panel[1]["note"] == f"{steps}, cancelled"
    go_on.set()
    found = claim.computation.result(60)
    next(button for button in page.button if button.label == "Start again").click().run()
    assert viewers(page)[0]["panels"][1]["note"] == ""
    assert numbers(page)["Maximum"] == f"{found.magnitude().max():.4g}"
    expected = integrated_gradients(segmenter, image, Target.pixel(45, 50, space="logit"), n_steps=24)
    np.testing.assert_allclose(found.values, expected.values, atol=1e-5 * np.abs(expected.values).max())
