"""The page of class activation maps without a browser: what it shows is what the library says."""

import io
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core import Target, load_segmenter, read_image
from core.attribution.cam import cam, cam_methods, gradient_methods, layer_advice
from core.attribution.registry import METHODS
from core.data.images import read_mask
from core.models.layers import layers
from core.pixel_sets import PixelSet
from tests.attribution.made_up_cams import made_up_cams
from tests.pages.viewer_data import value_of, viewers
from widgets.cams import atlas
from widgets.shared import slow_work

ROOT = Path(__file__).resolve().parents[2]
SCENES = ROOT / "sample_data" / "scenes" / "test"
CAR = 5


def open_page(**query: str) -> AppTest:
    page = AppTest.from_file(str(ROOT / "pages" / "cams.py"), default_timeout=120)
    for name, value in ({"model": "scenes", "image": "scenes/scene_00", "class": "car"} | query).items():
        page.query_params[name] = value
    return page.run()


def numbers(page: AppTest) -> dict[str, str]:
    assert not page.exception
    assert not page.error
    return {name: value for name, value, _ in viewers(page)[0]["words"]["numbers"]}


def texts(page: AppTest) -> str:
    return " ".join(element.value for element in (*page.markdown, *page.caption, *page.info))


def map_title(page: AppTest) -> str:
    (title,) = [panel["title"] for panel in viewers(page)[0]["panels"] if panel["name"] == "map"]
    return title


def warnings(page: AppTest) -> str:
    return " ".join(warning.value for warning in page.warning)


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter("scenes", "cpu")


@pytest.fixture(scope="module")
def image():
    return read_image(SCENES / "images" / "scene_00.png")


@pytest.fixture(scope="module")
def prediction(segmenter, image):
    return segmenter.predict(image)


def check(page: AppTest, segmenter, image, mask, layer: str, method="seg_hires_grad_cam", space="logit", **options):
    """The numbers on the page are those of the library's map of one layer."""
    target = Target.region(mask, CAR, space, options.pop("reduction", "mean"))
    raw = cam(segmenter, image, target, layer, method, **options)
    values, positive = raw.values[0], raw.at_image_size()
    found = numbers(page)
    assert value_of(found["Maximum"]) == pytest.approx(values.max(), rel=1e-3)
    assert value_of(found["Minimum"]) == pytest.approx(values.min(), rel=1e-3)
    assert value_of(found["Sum"]) == pytest.approx(values.sum(dtype=np.float64), rel=1e-3)
    assert "-" not in found["Minimum"], "a minus sign, no hyphen"
    assert found["Layer"].endswith(f"× {values.shape[0]}×{values.shape[1]}")
    if positive.any():
        share = 100 * positive[mask].sum() / positive.sum()
        assert float(found["Inside the pixels"].removesuffix(" %")) == pytest.approx(share, abs=0.1)


def test_first_sight_is_the_predicted_class_at_the_suggested_layer(segmenter, image, prediction):
    page = open_page()
    advice = layer_advice(segmenter, image.shape[1:])
    layer, reason = advice.suggested, advice.reason
    assert page.selectbox(key="layer").value == layer
    assert reason in texts(page)
    mask = prediction.labels == CAR
    assert f"**{mask.sum():,} pixels**" in texts(page)
    check(page, segmenter, image, mask, layer)
    assert "from one forward and one backward pass" in texts(page)


def test_every_choice_reaches_the_library(segmenter, image):
    page = open_page(
        layer="decoder.1", method="seg_xres_cam", space="Log-odds", over="Sum", pixel_set="A box",
        box="60,80,89.5,120", window="2", pooling="Max",
    )  # fmt: skip
    mask = np.zeros(image.shape[1:], dtype=bool)
    mask[60:90, 80:121] = True
    check(
        page, segmenter, image, mask, "decoder.1", "seg_xres_cam", "log_odds", reduction="sum", window=2, pooling="max"
    )


def test_the_mean_over_the_pixels_differs_from_their_sum_by_their_number_alone(prediction):
    count = int((prediction.labels == CAR).sum())
    mean, total, of_former_link = (open_page(**query) for query in ({}, {"over": "Sum"}, {"reduction": "Sum"}))
    assert "mean of the **car** logit" in texts(mean)
    assert "sum of the **car** logit" in texts(total)
    found, expected = numbers(mean), numbers(total)
    assert numbers(of_former_link) == expected
    assert value_of(expected["Maximum"]) == pytest.approx(count * value_of(found["Maximum"]), rel=1e-3)
    assert found["Inside the pixels"] == expected["Inside the pixels"]


@pytest.mark.parametrize(
    ("query", "pixel_set"),
    [
        ({"pixel_set": "One pixel", "row": "70", "column": "20"}, PixelSet("point", 70, 20)),
        ({"pixel_set": "The connected part at a pixel", "row": "70", "column": "20"}, PixelSet("component", 70, 20)),
        ({"pixel_set": "The border of the class", "border_width": "2"}, PixelSet("border", width=2)),
        ({"pixel_set": "The whole image"}, PixelSet("image")),
        ({"pixel_set": "False negatives"}, PixelSet("false_negatives")),
        (
            {"pixel_set": "A lasso", "lasso": "60,80 60,120 90.5,100"},
            PixelSet("lasso", lasso=[(60, 80), (60, 120), (90.5, 100)]),
        ),
    ],
)
def test_every_pixel_set(segmenter, image, prediction, query, pixel_set):
    truth = read_mask(SCENES / "masks" / "scene_00.png")
    page = open_page(layer="decoder.2", method="layer_cam", **query)
    check(page, segmenter, image, pixel_set.mask(prediction, CAR, truth), "decoder.2", "layer_cam")


def test_no_pixel_gives_a_map_of_zeros_and_says_so():
    page = open_page(pixel_set="No pixel (a check: its map is 0)")
    found = numbers(page)
    assert [found[name] for name in ("Maximum", "Minimum", "Sum", "Inside the pixels")] == ["0", "0", "0", "none"]
    assert "Empty: the pixel set has no pixel" in warnings(page)


def test_a_perturbation_method_ends_with_its_question(monkeypatch):
    go_on, explain = threading.Event(), atlas.explain

    def wait(*given):
        assert go_on.wait(60)
        return explain(*given)

    monkeypatch.setattr(atlas, "explain", wait)
    monkeypatch.setattr(slow_work, "PATIENCE", 0)
    page = open_page(layer="decoder.2", method="ablation_cam", pixel_set="The whole image")
    page.button(key="run-cam").click().run()
    work = page.session_state["_claims"]["cam"]
    page.selectbox(key="method").set_value("layer_cam").run()
    assert not work.is_cancelled, "the question is the same"
    page.selectbox(key="class").set_value("sky").run()
    assert work.is_cancelled
    go_on.set()
    work.computation.exception(60)


def test_a_perturbation_method_waits_to_be_asked(segmenter, image, prediction):
    page = open_page(layer="decoder.2", method="ablation_cam", pixel_set="The whole image")
    channels = next(one.channels for one in layers(segmenter, image.shape[1:]) if one.name == "decoder.2")
    assert f"Ablation-CAM runs {channels} images through the network for decoder.2" in texts(page)
    assert not numbers(page)
    page.button(key="run-cam").click().run()
    check(page, segmenter, image, np.ones_like(prediction.labels, dtype=bool), "decoder.2", "ablation_cam")


def test_a_registered_layer_method_is_offered_and_drawn():
    with made_up_cams():
        page = open_page(layer="decoder.1", method="squared_cam")
        assert map_title(page) == "Squared CAM at decoder.1"
        assert {"Squared CAM", "Brightness CAM"} <= {*page.selectbox(key="method").options}
        assert {"Squared CAM", "Brightness CAM"} <= {*page.selectbox(key="minus").options}
        page.selectbox(key="method").set_value("brightness_cam").run()
        assert "Brightness CAM runs 1 image through the network" in texts(page)
        page.button(key="run-cam").click().run()
        assert map_title(page) == "Brightness CAM at input"
        assert numbers(page)["Minimum"]


def test_the_atlas_has_a_panel_per_method_and_layer_and_marks_the_chosen_one(segmenter, image, prediction):
    page = open_page(layer="decoder.2", method="layer_cam", layers="encoder.1,encoder.4,final")
    numbers(page)
    atlas = viewers(page)[1]
    found = ["encoder.1", "encoder.4", "decoder.2", "final"]
    names = [panel["name"] for panel in atlas["panels"]]
    assert names == [f"{METHODS[method].title} at {layer}" for layer in found for method in gradient_methods()]
    assert [panel["name"] for panel in atlas["panels"] if panel["chosen"]] == ["LayerCAM at decoder.2"]
    assert all(panel["choosable"] for panel in atlas["panels"])
    assert "Degenerate" in atlas["panels"][names.index("LayerCAM at final")]["warning"]
    assert not atlas["panels"][names.index("LayerCAM at decoder.2")]["warning"]
    heads = [(head["help"], head["note"]) for head in atlas["grid"]["rows"]]
    assert heads[:2] == [("encoder.1", "64×128"), ("encoder.4", "8×16")]
    raw = {
        layer: cam(
            segmenter, image, Target.region(prediction.labels == CAR, CAR, "logit", "mean"), layer, "layer_cam"
        ).values
        for layer in found
    }
    for layer in found:
        positive, signed = atlas["panels"][names.index(f"LayerCAM at {layer}")]["layers"]
        assert positive["array"]["shape"] == [*raw[layer].shape]
        assert positive["covers"] == [*image.shape[1:]]
        assert positive["ends"]["values"]["own"] == pytest.approx(raw[layer].max(), rel=1e-4)
        assert signed["ends"]["values"]["own"] == pytest.approx(np.abs(raw[layer]).max(), rel=1e-4)
        assert positive["ends"]["values"]["method"] == pytest.approx(max(one.max() for one in raw.values()), rel=1e-4)


def test_while_a_map_waits_the_last_one_stays_and_says_so():
    page = open_page(layer="decoder.2", method="layer_cam")
    assert [panel["note"] for panel in viewers(page)[0]["panels"]] == [""]
    page.selectbox(key="method").set_value("score_cam").run()
    (panel,) = viewers(page)[0]["panels"]
    assert (panel["title"], panel["note"]) == ("LayerCAM at decoder.2", "of the settings before")
    assert panel["layers"][1]["opacity"] < 0.5
    page.session_state["image"] = "scenes/scene_01"
    page.run()
    assert viewers(page)[0]["panels"][0]["note"] == "no map yet"


@pytest.mark.parametrize(("former", "scale"), [("One for all", "all"), ("One a method", "method"), ("Shared", "all")])
def test_former_links_keep_their_scale(former, scale):
    page = open_page(scale=former)
    assert not page.exception
    assert viewers(page)[0]["settings"]["scale"] == scale


def test_the_difference_of_two_methods_is_named():
    page = open_page(minus="LayerCAM")
    numbers(page)
    assert map_title(page) == f"{METHODS['seg_hires_grad_cam'].title} − {METHODS['layer_cam'].title}"


def test_a_layer_that_is_not_there_gets_the_nearest_name(segmenter, image):
    page = open_page(layer="encodr.3")
    assert 'did you mean "encoder.3"?' in warnings(page)
    assert page.selectbox(key="layer").value == layer_advice(segmenter, image.shape[1:]).suggested
    numbers(page)


def test_a_layer_before_the_head_is_called_degenerate():
    page = open_page(layer="final")
    numbers(page)
    assert "Degenerate" in warnings(page)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"pixel_set": "A lasso", "lasso": "5.2,5.2 5.3,5.6 5.6,5.3"}, "no pixel's centre inside the lasso"),
        ({"pixel_set": "A lasso", "lasso": "5,5 9,9"}, "is no region"),
        ({"pixel_set": "A box", "box": "5.1,5.1,5.8,5.8"}, "no pixel's centre inside the region"),
        ({"pixel_set": "A box", "box": "900,5,950,9"}, "no pixel's centre inside the region"),
        ({"pixel_set": "A box", "box": "somewhere"}, '"somewhere" is no region'),
    ],
)
def test_pixels_that_are_none_get_one_sentence(query, sentence):
    page = open_page(**query)
    assert not page.exception
    assert len(page.error) == 1
    assert sentence in page.error[0].value
    assert [panel["title"] for panel in viewers(page)[0]["panels"]] == ["Image"]


def test_a_class_that_is_not_predicted_is_told_and_the_picture_stays():
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((64, 64), dtype=np.uint8)).save(buffer, "PNG")
    page = open_page(model="vessmap", **{"class": "vessel"})
    page.file_uploader[0].set_value(("black.png", buffer.getvalue(), "image/png"))
    page.run()
    assert not page.exception
    assert "No pixel is predicted as class 1 (vessel)" in page.error[0].value
    assert viewers(page)[0]["panels"][0]["title"] == "Image"


def test_nothing_drawn_yet_is_an_invitation():
    page = open_page(pixel_set="A lasso")
    assert not page.exception
    assert not page.error
    assert "No lasso yet" in texts(page)


def test_another_model_brings_a_layer_of_its_own_and_an_image_with_its_channels():
    page = open_page(layer="decoder.1", layers="encoder.0,decoder.1")
    page.selectbox(key="model").set_value("vessmap").run()
    numbers(page)
    assert page.text_input(key="image").value.startswith("vessels/")
    assert page.selectbox(key="layer").value == "resblock4"
    assert "encoder.0" not in page.multiselect(key="layers").value


def test_pinned_maps_stand_beside_the_chosen_one_and_stay_in_the_address(segmenter, image, prediction):
    page = open_page(
        layer="decoder.2",
        method="layer_cam",
        layers="encoder.1",
        pinned="nonsense,xgrad_cam:encoder.4,gradient:encoder.4",
    )
    page.button(key="pin_map").click().run()
    first, beside = viewers(page)[0]["panels"]
    assert first["title"] == f"{METHODS['layer_cam'].title} at decoder.2", "drawn once, though it is pinned"
    assert [first["note"], beside["note"]] == ["pinned", "pinned"]
    page.selectbox(key="method").set_value("seg_grad_cam").run()
    titles = [panel["title"] for panel in viewers(page)[0]["panels"]]
    assert titles == [
        f"{METHODS[method].title} at {layer}"
        for method, layer in (("seg_grad_cam", "decoder.2"), ("xgrad_cam", "encoder.4"), ("layer_cam", "decoder.2"))
    ]
    assert page.query_params["pinned"] == "xgrad_cam:encoder.4,layer_cam:decoder.2"
    assert page.button(key="pin_map").label == "Replace the oldest pin"
    positive = viewers(page)[0]["panels"][2]["layers"][1]
    target = Target.region(prediction.labels == CAR, CAR, "logit", "mean")
    largest = cam(segmenter, image, target, "decoder.2", "layer_cam").values.max()
    assert positive["ends"]["values"]["own"] == pytest.approx(largest, rel=1e-4)
    page.selectbox(key="method").set_value("layer_cam").run()
    page.button(key="pin_map").click().run()
    assert [panel["title"] for panel in viewers(page)[0]["panels"]] == titles[2:0:-1]
    assert page.query_params["pinned"] == "xgrad_cam:encoder.4"


def test_a_pinned_map_that_waits_to_be_asked_stands_beside_one_of_its_method():
    page = open_page(layer="decoder.2", method="score_cam", layers="encoder.1", pinned="score_cam:encoder.4")
    assert not page.exception
    labels = [button.label for button in page.button if button.key.startswith("run-")]
    assert labels == ["Compute Score-CAM at decoder.2", "Compute Score-CAM at encoder.4"]


def test_maps_too_faint_for_the_scale_are_told():
    assert "too faint" not in texts(open_page())
    page = open_page(scale="Shared", layer="final", method="layer_cam")
    ends = [panel["layers"][0]["ends"]["values"] for panel in viewers(page)[1]["panels"]]
    faint = sum(end["own"] < 0.02 * end["all"] for end in ends)
    assert faint > 0
    assert f"{faint} of {len(ends)} maps are too faint" in texts(page)


def test_each_method_says_what_it_is():
    sentences = [METHODS[name].sentence for name in cam_methods()]
    assert len({*sentences}) == len(sentences)
    assert METHODS["layer_cam"].sentence in texts(open_page(method="layer_cam"))
