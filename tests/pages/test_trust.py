"""The Trust page without a browser: what it shows is what the library says."""

import base64
import csv
import io
import json
import math
import re
import threading
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr
from streamlit.testing.v1 import AppTest

from core import Target, load_segmenter, read_image
from core.attribution.registry import METHODS, explain, importance
from core.data.images import read_mask
from core.pixel_sets import PixelSet
from core.trust import (
    Candidate,
    Comparison,
    Curve,
    EvaluationSettings,
    PerturbedRuns,
    RemovalSettings,
    candidates_of,
    compare,
    removal_curve,
)
from core.trust.benchmark.measurement import Measurement
from core.trust.benchmark.same_question import SameQuestion
from core.trust.controls import CONTROLS as NETWORKLESS
from core.trust.controls import controls
from core.trust.metrics.localisation import localisation
from core.trust.sanity import SanityCheck, sanity_check
from core.trust.similarity import top_overlap
from tests.pages.viewer_data import value_of, viewers
from tests.trust.made_up import made_up_metric
from widgets.shared import slow_work
from widgets.trust import tested
from widgets.trust.comparison import curves_csv, manifest_json, summary, table_csv, table_html
from widgets.trust.maps import colour_ends, faint
from widgets.trust.trial import TrustMap
from widgets.trust.verdict import agreement_words, verdict

ROOT = Path(__file__).resolve().parents[2]
SCENES = ROOT / "sample_data" / "scenes" / "test"
CAR = 5
CONTROLS = "Controls: made without the network, what an explanation has to beat"
QUICK = {"methods": ["Gradient", "LayerCAM"], "layer": "decoder.1", "tab": "Maps"}
TESTED = {**QUICK, "tab": "Tests", "metrics": ["Deletion", "Mass inside"], "test_steps": "2"}


def open_page(**query: object) -> AppTest:
    page = AppTest.from_file(str(ROOT / "main.py"), default_timeout=120)
    page.switch_page("pages/trust.py")
    for name, value in ({"model": "scenes", "image": "scenes/scene_00", "class": "car"} | query).items():
        page.query_params[name] = value
    return page.run()


def texts(page: AppTest) -> str:
    assert not page.exception
    return " ".join(
        element.value for element in (*page.markdown, *page.caption, *page.info, *page.warning, *page.success)
    )


def html(page: AppTest) -> str:
    return " ".join(element.proto.body for element in page.get("html"))


def ends_of(viewer: dict, title: str) -> tuple[float, float]:
    """Where the colours of a panel's map begin and end, with the viewer's settings."""
    (panel,) = (panel for panel in viewer["panels"] if panel["title"] == title)
    (layer,) = (layer for layer in panel["layers"] if layer["kind"] == "map")
    settings = (viewer["settings"][name] for name in layer["ends"]["settings"])
    end = layer["ends"]["values"][",".join(f"{value:g}" if isinstance(value, float) else value for value in settings)]
    return layer["scale"].get("low", -end), end


def usual_end(values: np.ndarray) -> float:
    """The 99.5th percentile of what is not 0."""
    return float(np.percentile(values[values != 0], 99.5))


def grouped(viewer: dict) -> dict[str, list[str]]:
    """The names of the panels by their heading."""
    return {
        heading: [panel["name"] for panel in panels]
        for heading, panels in groupby(viewer["panels"], lambda panel: panel["group"])
    }


def figure(page: AppTest, place: int = -1) -> dict:
    return json.loads(page.get("plotly_chart")[place].proto.spec)


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter("scenes", "cpu")


@pytest.fixture(scope="module")
def image():
    return read_image(SCENES / "images" / "scene_00.png")


@pytest.fixture(scope="module")
def target(segmenter, image):
    return PixelSet("class").target(segmenter.predict(image), CAR, "logit", "mean")


@pytest.fixture(scope="module")
def layer_cam(segmenter, image, target):
    return importance(explain(segmenter, image, target, "layer_cam", {"layer": "decoder.1"}))


def test_maps_of_all_chosen_methods_and_one_large(segmenter, image, target, layer_cam):
    page = open_page(**QUICK, shown="layer_cam", trust_percentile="100")
    assert "mean of the **car** logit over **1,620 pixels**" in texts(page)
    large, small = viewers(page)
    assert [panel["title"] for panel in large["panels"]] == ["Image", "LayerCAM"]
    assert large["controls"][0]["name"] == "overlay"
    assert {"prediction", "truth"} <= {layer["name"] for layer in large["panels"][0]["layers"]}
    assert ends_of(large, "LayerCAM") == pytest.approx((0, layer_cam.max()), rel=1e-5)
    assert large["words"]["sentence"].endswith("At decoder.1.")
    titles = ["Gradient", "LayerCAM", "Random", "Blurred random", "Edge detector", "Distance to the target"]
    assert [panel["title"] for panel in small["panels"]] == titles
    assert [panel["title"] for panel in small["panels"] if panel["chosen"]] == ["LayerCAM"]
    assert all(panel["choosable"] for panel in small["panels"])
    assert re.fullmatch(r"\d+ ms|\d+\.\d s|\d+ s", small["panels"][1]["note"])
    # Zoomed in one viewer, all follow.
    assert large["id"] == small["id"]
    # A control is there without any method.
    for family in ("sensitivity", "contribution", "layer"):
        page.pills(key=f"_methods_{family}").set_value([])
    page.session_state["_viewer_settings"] = {"shown": "edges"}
    page.run()
    edges = controls(image, target)["edges"]
    large, small = viewers(page)
    assert ends_of(large, "Edge detector") == pytest.approx((edges.min(), edges.max()), rel=1e-5)
    assert [panel["name"] for panel in small["panels"] if panel["chosen"]] == ["edges"]
    assert not page.error


def test_the_controls_stand_apart_and_methods_by_unit_where_they_share_a_scale(segmenter, image, target, layer_cam):
    query = {**QUICK, "methods": ["Gradient", "SmoothGrad", "LayerCAM"], "samples": "2"}
    page = open_page(**query, trust_percentile="100")
    small = viewers(page)[1]
    assert grouped(small).keys() == {"", CONTROLS}
    assert grouped(small)[CONTROLS] == ["random", "blurred_random", "edges", "centre_distance"]
    found = {
        name: importance(explain(segmenter, image, target, name, {"n_samples": 2}))
        for name in ("gradient", "smoothgrad")
    }
    page.session_state["_viewer_settings"] = {"trust_scale": "unit"}
    page.run()
    small = viewers(page)[1]
    assert grouped(small) == {
        "Logit per unit intensity: one scale": ["gradient", "smoothgrad"],
        "Logit per position of the layer: one scale": ["layer_cam"],
        CONTROLS: ["random", "blurred_random", "edges", "centre_distance"],
    }
    largest = max(values.max() for values in found.values())
    for title in ("Gradient", "SmoothGrad"):
        assert ends_of(small, title) == pytest.approx((0, largest), rel=1e-4)
    assert ends_of(small, "LayerCAM") == pytest.approx((0, layer_cam.max()), rel=1e-5)


def test_no_box_yet_is_an_invitation_and_a_drawn_one_is_the_question():
    page = open_page(**QUICK, pixel_set="A box")
    assert "No box yet" in texts(page)
    (only,) = viewers(page)
    assert only["tools"] == ["box", "lasso"]
    page.session_state["box"] = "10,20,29,59"
    page.run()
    large = viewers(page)[0]
    assert "mean of the **car** logit over **800 pixels**" in texts(page)
    assert [part["kind"] for part in large["region"]] == ["box"]


def test_the_table_holds_the_librarys_numbers(segmenter, image, target, layer_cam):
    page = open_page(**TESTED, ranked_by="Deletion")
    assert re.search(r"About \*\*.+\*\* for 2 methods and 4 controls: 8 images", texts(page))
    page.button(key="run-tests").click().run()
    assert not page.error
    maps = {"Gradient": importance(explain(segmenter, image, target, "gradient")), "LayerCAM": layer_cam}
    titles = {"Random": "random", "Edge detector": "edges", "Distance to the target": "centre_distance"}
    maps |= {title: controls(image, target)[name] for title, name in titles.items()}
    truth = read_mask(SCENES / "masks" / "scene_00.png")
    table = html(page)
    assert "Faithfulness" in table
    assert "Localisation" in table
    for title, values in maps.items():
        row = re.search(rf"<tr[^>]*><td>(\d+)</td><td class=\"name\">{title}.*?</tr>", table)
        assert row is not None
        cells = re.findall(r"<td[^>]*>([^<]*)</td>", row.group(0))
        expected = removal_curve(PerturbedRuns(segmenter, image, target), values, 2, "quadratic").auc
        assert value_of(cells[-2]) == pytest.approx(expected, abs=0.0051)
        inside = localisation(values, truth == CAR, truth != 255).mass_inside
        assert cells[-1] == "–" if math.isnan(inside) else value_of(cells[-1]) == pytest.approx(inside, abs=0.0051)
        assert ("control" in row.group(0)) == (title in titles)
    # The curves start at the unchanged image, at the same score for every map.
    curves = figure(page)["data"]
    assert len(curves) == 6
    # The best map and the best control are bold, the controls dashed.
    methods = ["Gradient", "LayerCAM"]
    by_name = {curve["name"]: curve for curve in curves}
    ordered = re.findall(r'<td class="name">([^<]*)', table)
    best = next(name for name in ordered if name in methods), next(name for name in ordered if name not in methods)
    assert {name for name, curve in by_name.items() if curve["line"]["width"] == 3} == set(best), (
        "the best is also shown large"
    )
    assert {name for name, curve in by_name.items() if "dash" not in curve["line"]} == set(methods)
    # The page counts those below the best control.
    ranks = re.findall(r"<tr class=\"(method|control)\"", table)
    better = ranks.index("control")
    assert f"**{better} of 2**" in texts(page) if better else "none of the 2 methods" in texts(page)


def test_a_quick_test_runs_by_itself(segmenter, image, target, layer_cam):
    page = open_page(**{**QUICK, "tab": "Tests"})
    assert not any(button.key == "run-tests" for button in page.button)
    attributions = [(name, explain(segmenter, image, target, name, {"layer": "decoder.1"}))
                    for name in ("gradient", "layer_cam")]  # fmt: skip
    given = segmenter, image, target
    candidates = candidates_of(attributions, *given, RemovalSettings(), {})
    whole = compare(*given, candidates, ["deletion", "leakage"], EvaluationSettings(values={"n_steps": 8}))
    shown = dict(re.findall(r'<td class="name">([^<]*).*?<td class="[^"]* by">([^<]*)', html(page)))
    assert {title: value_of(number) for title, number in shown.items() if title in ("Gradient", "LayerCAM")} == {
        candidates[name].title: pytest.approx(whole.values[name]["deletion"], abs=0.0051)
        for name in ("gradient", "layer_cam")
    }
    colours = {True: "green", False: "red"}
    for name in ("gradient", "layer_cam"):
        colour = colours[whole.beats_controls(name, "deletion")]
        assert re.search(rf":{colour}-badge\[:material/\w+: {candidates[name].title}\]", texts(page))
    beating = sum(bool(whole.beats_controls(name, "deletion")) for name in ("gradient", "layer_cam"))
    assert (f"{beating} of 2 maps" if beating else "no map beats the controls") in texts(page)
    # The best one is shown large.
    best = min(("gradient", "layer_cam"), key=lambda name: whole.values[name]["deletion"])
    assert viewers(page)[0]["panels"][1]["title"] == candidates[best].title
    # Another choice of metrics is asked for first.
    page.multiselect(key="metrics").set_value(["insertion"]).run()
    assert any(button.key == "run-tests" for button in page.button)


def test_a_map_like_a_control_is_told(segmenter, image):
    like = PixelSet("class").target(segmenter.predict(image), 2, "logit", "mean")
    found = importance(explain(segmenter, image, like, "gradient"))
    correlation = spearmanr(found.ravel(), controls(image, like)["centre_distance"].ravel()).statistic
    assert correlation > 0.95, "else this image does not show it"
    page = open_page(**QUICK | {"class": segmenter.class_names[2], "tab": "Tests"})
    (warning,) = page.warning
    assert f"**Gradient** ({correlation:.2f})" in warning.value
    assert "“Distance to the target”" in warning.value
    assert "without the network" in warning.value
    assert ":orange-badge[:material/content_copy: Gradient]" in texts(page)
    assert re.search('class="like [^"]*by">', html(page))


def test_methods_are_chosen_by_family_and_kept_in_the_address():
    page = open_page(**QUICK)
    families = {name: page.pills(key=f"_methods_{name}") for name in ("sensitivity", "contribution", "layer")}
    assert {name: family.value for name, family in families.items()} == {
        "sensitivity": ["gradient"], "contribution": [], "layer": ["layer_cam"],
    }  # fmt: skip
    assert sum(len(family.options) for family in families.values()) == len(METHODS)
    families["contribution"].set_value(["gradient_x_input"]).run()
    assert page.query_params["methods"] == ["Gradient", "Gradient × input", "LayerCAM"]
    assert [panel["title"] for panel in viewers(page)[1]["panels"]][:3] == page.query_params["methods"]


def test_several_images_at_once(segmenter):
    names = ["scenes/scene_00", "scenes/scene_01"]
    page = open_page(**QUICK | {"methods": ["Gradient"], "tab": "Several images"}, several_images=names)
    assert page.multiselect(key="several_images").value == names
    page.button(key="run-several").click().run()
    assert not page.error
    assert "2 images cannot tell a method from a control" in texts(page)
    (table,) = page.dataframe
    assert list(table.value["Image"]) == names
    second = read_image(SCENES / "images" / "scene_01.png")
    target = PixelSet("class").target(segmenter.predict(second), CAR, "logit", "mean")
    gradient = importance(explain(segmenter, second, target, "gradient"))
    expected = removal_curve(PerturbedRuns(segmenter, second, target), gradient, 8, "quadratic").auc
    assert table.value["Gradient"][1] == pytest.approx(expected, rel=1e-4)
    shown = re.search(r'<td class="name">Gradient.*?<td class="mean">(\S+)', html(page))
    assert shown is not None
    assert value_of(shown[1]) == pytest.approx(table.value["Gradient"].mean(), abs=0.0051)


def test_images_are_shown_as_they_come_and_kept_after_cancel(monkeypatch):
    names = ["scenes/scene_00", "scenes/scene_01"]
    one_is_there, go_on, asked = threading.Event(), threading.Event(), []

    def slowly(question: SameQuestion, segmenter: Any, file: Any, name: str, progress: Any) -> list[Measurement]:
        asked.append(name)
        if len(asked) == 2:
            one_is_there.set()
            assert go_on.wait(60)
        return measure(question, segmenter, file, name, progress)

    measure = SameQuestion.measure
    monkeypatch.setattr(SameQuestion, "measure", slowly)
    page = open_page(**QUICK | {"methods": ["Gradient"], "tab": "Several images"}, several_images=names, row="7")
    monkeypatch.setattr(slow_work, "PATIENCE", 0)
    page.segmented_control(key="over").set_value("sum").run()
    page.button(key="run-several").click().run()
    assert one_is_there.wait(60)
    page.run()
    assert "**1 of 2 images** so far" in texts(page)
    assert any("scenes_1_of_2_images" in button.proto.id for button in page.get("download_button"))
    assert list(page.dataframe[0].value["Image"]) == names[:1]
    claim = page.session_state["_claims"]["several"]
    claim.cancel()
    go_on.set()
    claim.computation.exception(60)
    page.run()
    assert "Cancelled after **1 of 2 images**" in texts(page)
    assert list(page.dataframe[0].value["Image"]) == names[:1]
    monkeypatch.setattr(slow_work, "PATIENCE", 120)
    page.button(key="again-several").click().run()
    assert list(page.dataframe[0].value["Image"]) == names
    assert asked == [*names, names[1]], "the first one is not asked again"
    assert "Cancelled" not in texts(page)
    assert any("scenes_images" in button.proto.id for button in page.get("download_button"))


def test_former_links_keep_their_scale():
    page = open_page(**QUICK, trust_scale="One a unit")
    assert not page.exception
    assert viewers(page)[0]["settings"]["trust_scale"] == "unit"


def test_a_metric_that_is_only_registered_is_offered_measured_and_shown(layer_cam):
    with made_up_metric():
        page = open_page(**{**TESTED, "metrics": ["Peak"]}, test_factor="3")
        assert "Peak" in page.multiselect(key="metrics").options
        assert page.number_input(key="test_factor").label == "Factor of peak"
        labels = {key: page.number_input(key=key).label for key in ("noise", "test_noise")}
        assert labels == {"noise": "Noise of SmoothGrad", "test_noise": "Noise of peak"}
        page.button(key="run-tests").click().run()
        assert not page.error
        table = html(page)
        assert "Peak ↑" in table
        row = re.search(r'<tr[^>]*><td>\d+</td><td class="name">LayerCAM.*?</tr>', table)
        assert row is not None
        value = value_of(re.findall(r"<td[^>]*>([^<]*)</td>", row.group(0))[-1].replace(",", ""))
        assert value == pytest.approx(3 * layer_cam.max(), rel=1e-2)
    assert "Peak" not in open_page(**TESTED).multiselect(key="metrics").options


def test_what_is_tested_changes_with_the_settings():
    changed = {"metrics": ["Deletion"], "test_steps": "3", "context_only": "true", "score": "Dice with the original"}
    page = open_page(**(TESTED | changed))
    page.button(key="run-tests").click().run()
    assert not page.error
    curves = figure(page)["data"]
    assert curves[0]["y"]
    assert figure(page)["layout"]["yaxis"]["title"]["text"] == "Dice with the original"
    # With the target left alone and all its context gone, every map ends at the same score.
    assert len({round(curve["y"][-1], 6) for curve in curves}) == 1


def test_a_whole_image_has_no_context():
    page = open_page(**TESTED, pixel_set="The whole image", context_only="true")
    assert "no context to take away" in texts(page)
    assert not any(button.key == "run-tests" for button in page.button)


def test_no_pixel_is_no_question():
    for tab in ("Tests", "Sanity check"):
        page = open_page(**{**QUICK, "tab": tab}, pixel_set="No pixel (a check: its map is 0)", over="Sum")
        assert not page.error
        assert "The target has no pixel" in texts(page)


def test_without_a_ground_truth_nothing_is_localised():
    buffer = io.BytesIO()
    pixels = np.asarray(Image.open(SCENES / "images" / "scene_00.png"))
    Image.fromarray(pixels).save(buffer, "PNG")
    page = open_page(**{**QUICK, "tab": "Tests"})
    page.file_uploader[0].set_value(("street.png", buffer.getvalue(), "image/png"))
    page.run()
    assert "This image has no ground truth" in texts(page)
    assert not any("inside" in option.lower() for option in page.multiselect(key="metrics").options)


def test_agreement_with_the_controls(segmenter, image, target, layer_cam):
    page = open_page(**{**QUICK, "tab": "Agreement"}, agreement_of="Most important pixels", top_share="5")
    drawn = figure(page)["data"][0]
    names = drawn["x"]
    assert names == ["Gradient", "LayerCAM", "Random", "Blurred random", "Edge detector", "Distance to the target"]
    table = np.frombuffer(base64.b64decode(drawn["z"]["bdata"]), drawn["z"]["dtype"]).reshape(6, 6)
    np.testing.assert_array_equal(table, table.T)
    assert np.diag(table) == pytest.approx(1)
    expected = top_overlap(layer_cam, controls(image, target)["centre_distance"], 0.05)
    assert table[1, 5] == pytest.approx(expected)
    page.segmented_control(key="agreement_of").set_value("ranks").run()
    assert "Spearman" in texts(page)
    assert not page.error


def test_the_sanity_check_on_demand(segmenter, image, target, layer_cam):
    page = open_page(**{**QUICK, "tab": "Sanity check"}, sanity_method="LayerCAM", stages="2")
    assert "SSIM" not in texts(page)
    page.button(key="run-sanity").click().run()
    assert not page.error
    assert re.search(r"LayerCAM (passes|fails|cannot be judged)", texts(page))
    curves = {curve["name"]: curve["y"] for curve in figure(page)["data"]}
    assert [curve[0] for curve in curves.values()] == [1, 1, 1]
    (table,) = page.table
    assert list(table.value["Stage"]) == ["Stage 1", "Stage 2"]
    assert [float(value) for value in table.value["Spearman"]] == pytest.approx(curves["Spearman"][1:], abs=0.0051)
    for details, standing in zip(table.value["Details"], table.value["The map"], strict=True):
        assert standing in ("does not count", "changes" if abs(float(details)) <= 0.25 else "keeps its details")
    assert table.value["The map"].iloc[-1] != "does not count", "all layers are random"
    panels = viewers(page)[1]["panels"]
    titles = ["As learned", "Stage 1", "Stage 2"]
    assert [(panel["group"], panel["title"]) for panel in panels] == [
        (group, title) for group in ("Maps, each on its own scale", "Predictions") for title in titles
    ]
    learned = panels[0]["layers"][0]["scale"]
    assert (learned["low"], learned["high"]) == pytest.approx((0, usual_end(layer_cam)), rel=1e-5)


def test_cancelled_maps_can_be_started_again(monkeypatch):
    monkeypatch.setattr(slow_work, "PATIENCE", 0)
    page = open_page(methods=["SmoothGrad"], tab="Maps", samples="40", row="70", column="20", pixel_set="One pixel")
    work = page.session_state["_claims"]["maps"]
    work.cancel()
    work.computation.exception(60)
    page.run()
    assert any(text.value == "Cancelled." for text in page.markdown)
    waiting = viewers(page)[1]["panels"][0]
    assert (waiting["name"], waiting["note"], waiting["choosable"]) == ("smoothgrad", "not there yet", False)
    monkeypatch.setattr(slow_work, "PATIENCE", 120)
    page.number_input(key="samples").set_value(2).run()
    assert not any(text.value == "Cancelled." for text in page.markdown)
    panels = {panel["name"]: panel for panel in viewers(page)[1]["panels"]}
    assert panels["smoothgrad"]["choosable"]
    # What is computed for a question that is gone ends with it.
    monkeypatch.setattr(slow_work, "PATIENCE", 0)
    page.number_input(key="samples").set_value(41).run()
    work = page.session_state["_claims"]["maps"]
    page.selectbox(key="pixel_set").set_value("box").run()
    assert work.is_cancelled


def test_stages_of_the_sanity_check_are_shown_as_they_come(monkeypatch):
    one_is_there, go_on = threading.Event(), threading.Event()

    def slowly(*given: Any, show: Callable[[SanityCheck], None], **settings: Any) -> SanityCheck:
        def show_and_wait(found: SanityCheck) -> None:
            show(found)
            one_is_there.set()
            assert go_on.wait(60)

        return sanity_check(*given, show=show_and_wait, **settings)

    monkeypatch.setattr("widgets.trust.sanity.sanity_check", slowly)
    page = open_page(
        **{**QUICK, "tab": "Sanity check"}, sanity_method="LayerCAM", stages="2", sanity_mode="One at a time"
    )
    monkeypatch.setattr(slow_work, "PATIENCE", 0)
    page.button(key="run-sanity").click().run()
    assert one_is_there.wait(60)
    page.run()
    assert "the verdict comes with the last one" in texts(page)
    assert list(page.table[0].value["Stage"]) == ["Stage 1"]
    claim = page.session_state["_claims"]["sanity"]
    go_on.set()
    assert len(claim.computation.result(60).stages) == 2
    page.run()
    assert list(page.table[0].value["Stage"]) == ["Stage 1", "Stage 2"]
    assert "the verdict comes" not in texts(page)


def test_the_large_map_stays_dimmed_while_the_next_one_is_computed(monkeypatch):
    page = open_page(methods=["SmoothGrad"], samples="2", row="70", column="20", pixel_set="One pixel")
    before = viewers(page)[0]["panels"][1]
    assert before["note"] == ""
    monkeypatch.setattr(slow_work, "PATIENCE", 0)
    page.number_input(key="samples").set_value(60).run()
    panel = viewers(page)[0]["panels"][1]
    assert panel["note"] == "of the settings before"
    assert panel["layers"][1]["opacity"] < 0.5
    assert panel["layers"][1]["array"] == before["layers"][1]["array"]
    page.session_state["_claims"]["maps"].cancel()
    page.run()
    assert "Start again" in [button.label for button in page.button]
    assert viewers(page)[0]["panels"][1]["note"] == "of the settings before"


OURS = {"ours": "Ours <1>", "theirs": "Theirs"}


def known_comparison(agreeing: dict[str, dict[str, float]] | None = None, **deletions: float) -> Comparison:
    """Two methods and two controls with the deletions given, and the controls that the methods agree with."""
    curve = Curve(np.array([0, 0.5, 1]), np.array([1, 0.5, 0]), np.array([0, np.nan, 0.5]))
    names = OURS | {"low": "Low", "high": "High"}
    candidates = {
        name: Candidate(
            title, np.zeros((2, 2)), is_control=name in ("low", "high"), agreeing=(agreeing or {}).get(name, {})
        )
        for name, title in names.items()
    }
    values = {name: {"deletion": deletions[name], "leakage": float("nan")} for name in names}
    return Comparison(candidates, values, {name: {"deletion": curve} for name in names})


def test_a_method_has_to_beat_the_best_control():
    found = known_comparison(ours=0.2, theirs=0.4, low=0.3, high=0.9)
    assert summary(found, "deletion") == "At **Deletion** **1 of 2** methods beats every control: Ours <1>."
    table = table_html(found, ["deletion", "leakage"], "deletion")
    assert re.findall(r'<td class="name">([^<]*)', table)[:4] == ["Ours &lt;1&gt;", "Low", "Theirs", "High"]
    assert re.findall(r'class="beats[^"]*">([^<]*)', table) == ["0.200"]
    assert ">1 of 2</td>" in table
    assert "not defined" in summary(found, "leakage")
    tied = known_comparison(ours=0.3, theirs=0.4, low=0.3, high=0.9)
    assert "none of the 2 methods beats" in summary(tied, "deletion")


def test_the_controls_are_tested_first_so_that_no_map_beats_every_control_too_early(monkeypatch):
    names: list[str] = []

    def test_one(trial: Any, maps: Any, name: str) -> Comparison:
        names.append(name)
        return quick_test(trial, maps, name)

    quick_test = tested.quick_test
    monkeypatch.setattr(tested, "quick_test", test_one)
    page = open_page(methods=["Gradient", "LayerCAM"], row="71", column="21", pixel_set="One pixel")
    assert not page.exception
    assert list(dict.fromkeys(names)) == [*NETWORKLESS, "gradient", "layer_cam"]
    assert list(page.session_state["_claims"]) == [], "maps and tests are one work"


def test_the_verdict_in_words():
    sentence, chips = verdict(known_comparison(ours=0.2, theirs=0.4, low=0.3, high=0.9), OURS | {"later": "Later"})
    assert sentence.startswith("On this target **1 of 2 maps beats every control**")
    assert "the best control, Low." in sentence
    assert sentence.endswith("1 more to come.")
    known = [":green-badge[:material/check: Ours <1>]", ":red-badge[:material/close: Theirs]"]
    assert chips == [*known, ":gray-badge[:material/hourglass_empty: Later]"]
    sentence, chips = verdict(Comparison({}, {}, {}), OURS)
    assert sentence.startswith("Testing whether")
    assert len(chips) == 2, "the page does not jump when they come"
    sentence, _ = verdict(known_comparison(ours=0.3, theirs=0.4, low=0.3, high=0.9), OURS)
    assert sentence.startswith("On this target **no map beats the controls** (2 tested)")
    sentence, _ = verdict(known_comparison(ours=0.1, theirs=0.2, low=0.3, high=0.9), OURS)
    assert "**all 2 maps beat every control**" in sentence


def test_a_map_like_a_control_beats_none():
    found = known_comparison({"theirs": {"high": 0.97}}, ours=0.1, theirs=0.2, low=0.3, high=0.9)
    sentence, chips = verdict(found, OURS)
    assert sentence.startswith("On this target **1 of 2 maps beats every control**")
    assert sentence.endswith("1 more is like a control.")
    assert chips == [":green-badge[:material/check: Ours <1>]", ":orange-badge[:material/content_copy: Theirs]"]
    assert summary(found, "deletion") == "At **Deletion** **1 of 2** methods beats every control: Ours <1>."
    table = table_html(found, ["deletion"], "deletion")
    assert re.findall(r'class="(beats|like)[^"]*">([^<]*)', table) == [("beats", "0.100"), ("like", "0.200")]
    assert ">1 of 2</td>" in table
    assert found.in_words("theirs", "deletion") == "Ranks the pixels as a control does: High (0.97)."
    assert found.standing("high", "deletion") is None
    alone = known_comparison({"theirs": {"high": 0.97}}, ours=0.4, theirs=0.2, low=0.3, high=0.9)
    sentence, chips = verdict(alone, OURS)
    assert sentence.startswith("On this target **no map beats the controls without being like one** (2 tested)")
    assert chips == [":orange-badge[:material/content_copy: Theirs]", ":red-badge[:material/close: Ours <1>]"]
    (both,) = agreement_words(
        known_comparison({"ours": {"low": 0.951}, "theirs": {"low": 0.97}}, ours=0.1, theirs=0.2, low=0.3, high=0.9)
    )
    assert both.startswith("**Ours <1>** (0.95) and **Theirs** (0.97) rank the pixels as “Low” does")
    assert both.endswith("these maps could have been made without the network.")
    (one,) = agreement_words(found)
    assert one.startswith("**Theirs** (0.97) ranks the pixels as “High” does")


def test_the_manifest_says_what_was_tested():
    found = known_comparison(ours=0.2, theirs=0.4, low=0.3, high=float("nan"))
    settings = EvaluationSettings(values={"n_steps": 5})
    trial = SimpleNamespace(
        segmenter=SimpleNamespace(name="net", weights_hash="abc", class_names=("a", "b")), settings={"layer": "x"},
        image=SimpleNamespace(name="one.png", hash="def"), target=Target.pixel(3, 4),
        question=SimpleNamespace(pixel_set=PixelSet("point", 3, 4)),
    )  # fmt: skip
    content = json.loads(manifest_json(trial, found, ["deletion", "leakage"], settings))  # type: ignore[arg-type]
    assert content["evaluation"]["n_steps"] == 5
    assert (content["weights_sha256"], content["image_sha256"], content["target"]["row"]) == ("abc", "def", 3)
    assert content["maps"]["ours"]["values"] == {"deletion": 0.2, "leakage": None}
    assert content["maps"]["ours"]["beats_every_control"]["deletion"] is True
    assert content["maps"]["high"]["values"]["deletion"] is None


def test_the_files_hold_every_number():
    found = known_comparison(ours=0.2, theirs=0.4, low=0.3, high=float("nan"))
    rows = list(csv.DictReader(io.StringIO(table_csv(found, ["deletion", "leakage"]).decode())))
    assert [row["deletion"] for row in rows] == ["0.2", "0.4", "0.3", ""]
    assert [row["control"] for row in rows] == ["0", "0", "1", "1"]
    points = list(csv.DictReader(io.StringIO(curves_csv(found).decode())))
    assert len(points) == 12
    assert [points[1][name] for name in ("name", "metric", "fraction", "score", "leakage")] == [
        "ours", "deletion", "0.5", "0.5", "",
    ]  # fmt: skip


def test_scales_are_shared_within_a_unit_only():
    def made(name: str, largest: float, unit: str) -> TrustMap:
        return TrustMap(name, name, np.array([[0, largest]], np.float32), unit, object())  # type: ignore[arg-type]

    maps = {
        "gradient": made("gradient", 2, "a"), "smoothgrad": made("smoothgrad", 4, "a"),
        "occlusion": made("occlusion", 7, "b"),
        "centre_distance": TrustMap("centre_distance", "", np.array([[-9, 0]], np.float32), "pixels", None),
    }  # fmt: skip
    found = colour_ends(maps, [100.0])
    own = {"gradient": 2, "smoothgrad": 4, "occlusion": 7, "centre_distance": 0}
    assert {name: ends["own", 100.0] for name, ends in found.items()} == own
    assert {name: ends["unit", 100.0] for name, ends in found.items()} == own | {"gradient": 4}
    assert faint(maps | {"weak": made("weak", 0.1, "a")}, colour_ends(maps | {"weak": made("weak", 0.1, "a")}, [100.0]),
                 100.0) == ["weak"]  # fmt: skip
    scales = {name: (scale.low, scale.high) for name, scale in ((name, one.scale()) for name, one in maps.items())}
    assert scales["occlusion"] == (-7, 7)
    assert scales["centre_distance"] == (-9, pytest.approx(-0.045))


def test_a_few_extreme_pixels_lie_beyond_the_percentile():
    values = np.zeros((40, 40), np.float32)
    values.flat[:1000] = np.arange(1, 1001)  # 600 zeros do not count
    one = TrustMap("gradient", "Gradient", values, "a", object())  # type: ignore[arg-type]
    assert one.ends([100.0, 99.0, 50.0]) == pytest.approx([1000, 990.01, 500.5])
    assert TrustMap("gradient", "", 0 * values, "a", object()).ends([99.0]) == [1]  # type: ignore[arg-type]
