"""The page of class activation maps in a real Chromium: draw, look at the atlas, choose one of its panels."""

import re

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from skimage.draw import polygon2mask

from core import Target, load_segmenter, read_image
from core.attribution.cam import cam, gradient_methods, layer_advice
from core.attribution.registry import METHODS
from core.display.colours import magnitude_scale
from tests.browser.app import ROOT, eventually, wait_for_rest
from tests.browser.viewer import Viewer
from tests.pages.viewer_data import value_of

pytestmark = pytest.mark.browser

SCENE = ROOT / "sample_data" / "scenes" / "test" / "images" / "scene_00.png"
NOT_SQUARE = ROOT / "sample_data" / "formats" / "images" / "not_square.tiff"
SHAPE = (128, 256)
QUERY = "?model=scenes&image=scenes/scene_00&class=car"
CAR = 5


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter("scenes", "cpu")


@pytest.fixture(scope="module")
def image():
    return read_image(SCENE)


def open_cams(page: Page, address: str, query: str) -> Viewer:
    page.goto(f"{address}/cams{query}")
    return Viewer(page, "map").wait(live=False)


def drawn(page: Page, viewer: Viewer, *corners: tuple[int, int]) -> list[dict]:
    """Draw along (row, column) of the image's pixels; the parts of the region that the page takes."""
    before = viewer.run("viewer.scene.region")
    viewer.drag(*corners)

    def taken() -> list[dict]:
        region = viewer.run("viewer.scene.region")
        assert region != before
        return region

    region = eventually(page, taken)
    wait_for_rest(page)
    return region


def title(method: str, layer: str) -> str:
    return f"{METHODS[method].title} at {layer}"


def wait_for_map(page: Page, method: str, layer: str) -> None:
    """Until the large map is that of this method and layer."""
    page.locator(f"figure:has(canvas[data-panel=map]) .title:text-is('{title(method, layer)}')").wait_for()
    wait_for_rest(page)


def compare(page: Page, viewer: Viewer, segmenter, image, mask: np.ndarray, layer: str, method: str) -> None:
    expected = cam(segmenter, image, Target.region(mask, CAR, "logit", "mean"), layer, method)
    raw, positive = expected.values[0], expected.at_image_size()

    def check() -> None:
        assert viewer.number("Maximum") == pytest.approx(raw.max(), rel=1e-3)
        assert viewer.number("Minimum") == pytest.approx(raw.min(), rel=1e-3)
        np.testing.assert_allclose(viewer.values("positive", SHAPE), positive, atol=1e-4 * max(1e-6, positive.max()))

    eventually(page, check)


def test_lasso_atlas_panels_and_numbers(page, address, segmenter, image):
    viewer = open_cams(page, address, f"{QUERY}&pixel_set=A+lasso")
    page.get_by_text("No lasso yet").wait_for()
    assert page.locator("figure.choosable").count() == 0

    (lasso,) = drawn(page, viewer, (55, 85), (55, 125), (90, 125), (80, 85))
    mask = polygon2mask(SHAPE, np.array(lasso["points"]))
    assert 900 < mask.sum() < 1500
    expect(page.get_by_text(f"{mask.sum():,} pixels")).to_have_count(1)

    panels = page.locator("figure.choosable")

    def all_there() -> None:
        assert panels.count() >= 6 * len(gradient_methods())

    eventually(page, all_there)
    assert panels.count() % len(gradient_methods()) == 0
    expect(page.locator("figure.chosen")).to_have_count(1)
    for method, layer in (("layer_cam", "decoder.1"), ("seg_grad_cam", "encoder.2"), ("xgrad_cam", "decoder.1")):
        page.locator(f"canvas[data-panel='{title(method, layer)}']").click()
        wait_for_map(page, method, layer)
        compare(page, viewer, segmenter, image, mask, layer, method)
        pressed = page.locator("figure.chosen canvas[aria-pressed=true]")
        expect(pressed).to_have_attribute("data-panel", title(method, layer))
        expect(page).to_have_url(re.compile(f"layer={layer}.*method={method}|method={method}.*layer={layer}"))

    page.reload()
    viewer.wait(live=False)
    compare(page, viewer, segmenter, image, mask, "decoder.1", "xgrad_cam")

    viewer.canvas.focus()
    page.keyboard.press("Escape")
    page.get_by_text("No lasso yet").wait_for()
    page.wait_for_url(lambda url: "lasso=" not in url)


def test_a_second_box_takes_the_place_of_the_first(page, address, segmenter, image):
    viewer = open_cams(page, address, f"{QUERY}&pixel_set=A+box&layer=decoder.2&method=layer_cam")
    drawn(page, viewer, (60, 10), (85, 60))
    (box,) = drawn(page, viewer, (50, 100), (95, 160))
    (top, left), (bottom, right) = np.sort(np.array(box["points"]), axis=0)
    assert (top, left, bottom, right) == pytest.approx((50, 100, 95, 160), abs=1.5)
    mask = polygon2mask(SHAPE, [(top, left), (top, right), (bottom, right), (bottom, left)])
    compare(page, viewer, segmenter, image, mask, "decoder.2", "layer_cam")


def test_a_click_explains_one_pixel(page, address, segmenter, image):
    viewer = open_cams(page, address, f"{QUERY}&pixel_set=One+pixel&layer=decoder.2&row=5&column=5")
    page.get_by_text("Explained: the car logit at row 5, column 5").wait_for()
    page.mouse.move(*viewer.aim(60, 108))
    row, column = eventually(page, lambda: tuple(map(int, viewer.run("[...viewer.hover]"))))
    page.mouse.down()
    page.mouse.up()
    viewer.wait_for_pixel(row, column)
    page.get_by_text(f"Explained: the car logit at row {row}, column {column}").wait_for()
    mask = np.zeros(SHAPE, dtype=bool)
    mask[row, column] = True
    compare(page, viewer, segmenter, image, mask, "decoder.2", "seg_hires_grad_cam")


def test_the_keyboard_chooses_a_panel_too(page, address, segmenter, image):
    viewer = open_cams(page, address, QUERY)
    page.locator(f"canvas[data-panel='{title('layer_cam', 'encoder.3')}']").focus()
    page.keyboard.press("Enter")
    wait_for_map(page, "layer_cam", "encoder.3")
    compare(page, viewer, segmenter, image, segmenter.predict(image).labels == CAR, "encoder.3", "layer_cam")


@pytest.mark.parametrize(
    ("query", "network", "path", "class_index", "layer"),
    [
        (f"{QUERY}&layer=encoder.4", "scenes", SCENE, CAR, "encoder.4"),
        ("?model=vessmap&image=formats/not_square&layer=resblock4", "vessmap", NOT_SQUARE, 1, "resblock4"),
    ],
)
def test_a_panel_of_the_atlas_holds_the_raw_map_over_the_area_of_its_layer(
    page, address, query, network, path, class_index, layer
):
    open_cams(page, address, query)
    other, values = load_segmenter(network, "cpu"), read_image(path)
    labels = other.predict(values).labels
    expected = cam(
        other, values, Target.region(labels == class_index, class_index, "logit", "mean"), layer, "layer_cam"
    )
    raw = expected.values[0]
    atlas = Viewer(page, title("layer_cam", layer)).wait(live=False)
    found = eventually(
        page,
        lambda: atlas.run(
            "(map => ({values: [...map.signed], shape: [map.height, map.width], covers: map.covers}))"
            "(viewer.scene.panels.find(panel => panel.name === argument).layers[0].map)",
            title("layer_cam", layer),
        ),
    )
    assert found["shape"] == list(raw.shape)
    assert found["covers"] == list(expected.padded_size)
    np.testing.assert_allclose(np.reshape(found["values"], raw.shape), raw, atol=1e-4 * np.abs(raw).max())
    # The value of the layer's position that holds the pixel's centre, by its place in the padded image.
    row, column = labels.shape[0] * 3 // 5, labels.shape[1] // 3
    at = [int((place + 0.5) * count / whole) for place, count, whole in
          zip((row, column), raw.shape, expected.padded_size, strict=True)]  # fmt: skip
    atlas.canvas.scroll_into_view_if_needed()
    page.keyboard.down("Control")  # the wheel alone scrolls the page
    atlas.zoom(8, row, column)
    page.keyboard.up("Control")
    page.mouse.move(*atlas.aim(row, column))

    def read() -> None:
        words = atlas.readout()
        assert f"row {row}, column {column}" in words
        assert title("layer_cam", layer) in words
        assert expected.unit in words
        value = value_of(words.split("map ", 1)[1].split()[0])
        assert value == pytest.approx(float(raw[tuple(at)]), rel=1e-3, abs=1e-4 * float(np.abs(raw).max()))
        colour = magnitude_scale(float(raw.max())).rgb(raw[at[0] : at[0] + 1, at[1] : at[1] + 1])[0, 0]
        np.testing.assert_allclose(atlas.colour(title("layer_cam", layer), row, column), colour, atol=12)

    eventually(page, read)


def test_score_cam_shows_its_progress_and_is_cancelled(page, address):
    open_cams(page, address, f"{QUERY}&layer=encoder.4&method=score_cam")
    page.get_by_role("button", name="Compute Score-CAM").click()
    page.get_by_role("button", name="Cancel").wait_for()
    page.get_by_text("passes of the network").first.wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Start again").wait_for()
    wait_for_rest(page)
    assert page.get_by_role("button", name="Cancel").count() == 0


def test_a_stranger_meets_a_map_and_no_complaint(page, address):
    viewer = open_cams(page, address, "")
    page.locator("figure.chosen canvas[aria-pressed=true]").wait_for()
    assert viewer.run("viewer.named('positive').map.largest") > 0
    assert page.locator("[data-testid=stAlert]").count() == 0


def test_the_large_map_stays_in_view_beside_the_atlas_and_a_pinned_one_beside_it(page, address):
    page.set_viewport_size({"width": 1280, "height": 800})
    layers = layer_advice(load_segmenter("vessmap", "cpu"), (256, 256)).layers
    viewer = open_cams(page, address, f"?layers={','.join(layers)}")
    panels = page.locator("figure.choosable canvas[data-panel]")
    some = panels.nth(panels.count() // 2)
    some.scroll_into_view_if_needed()
    wait_for_rest(page)
    assert page.locator("[data-testid=stMain]").evaluate("main => main.scrollTop") > 100
    large, small = viewer.canvas.bounding_box(), some.bounding_box()
    assert large["x"] + large["width"] < small["x"]
    assert 0 <= large["y"] < large["y"] + large["height"] < 800

    pin = page.get_by_role("button", name="Pin this map")
    pin.click()
    page.get_by_role("button", name="Unpin this map").wait_for()
    viewer.root.locator(".panel, figure").get_by_text("pinned", exact=True).wait_for()
    assert viewer.root.locator("figure canvas[data-panel]").count() == 1, "the map chosen stands there once"
    page.locator(f"canvas[data-panel='{title('layer_cam', 'resblock3')}']").click()
    wait_for_map(page, "layer_cam", "resblock3")
    first, second = (box.bounding_box() for box in viewer.root.locator("figure canvas[data-panel]").all())
    assert first["y"] == second["y"]
    assert first["width"] == pytest.approx(second["width"], abs=1)
    expect(page).to_have_url(re.compile("pinned=seg_hires_grad_cam"))
    large, small = viewer.canvas.bounding_box(), panels.first.bounding_box()
    assert small["y"] > large["y"] + large["height"], "the atlas has the whole width"
    assert small["width"] > 60
    page.get_by_text("Activation times positive gradient at each position").wait_for()

    last = page.locator(f"canvas[data-panel='{title('grad_cam_plus_plus', list(layers)[-1])}']")
    last.scroll_into_view_if_needed()
    last.click()

    def comes_into_view() -> None:
        large = viewer.canvas.bounding_box()
        assert 0 < large["y"] < large["y"] + large["height"] < 800

    eventually(page, comes_into_view)
    wait_for_map(page, "grad_cam_plus_plus", list(layers)[-1])

    page.get_by_role("radio", name="Shared").click()
    page.get_by_text("too faint to be seen on this colour scale").wait_for()
