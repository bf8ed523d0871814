"""Maps that follow the pointer, and a channel that is lost, in a real Chromium."""

import json
import re
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
from playwright.sync_api import expect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from core import Target, load_segmenter, read_image
from core.attribution import gradient, smoothgrad
from core.attribution.attribution import image_hash
from core.jacobian import jacobian
from core.receptive_field.known import learn_field
from tests.browser.app import PATIENCE, ROOT, VIEWPORT, eventually, running_app, wait_for_rest
from tests.browser.live import LiveViewer, assert_equal_maps, nearest, whole_map
from tests.browser.sessions import hover_at_once, largest_error

pytestmark = pytest.mark.browser

SIZE = (256, 256)
CHANNEL = re.compile(r"/api/live$")
STREAM = re.compile(r"/_stcore/stream$")
NOTICE = "No live connection: click a pixel"


@pytest.fixture(scope="module")
def segmenter():
    found = load_segmenter("vessmap", "cpu")
    learn_field(found, SIZE)
    return found


def image_of(name):
    return read_image(ROOT / "sample_data" / "vessels" / "images" / f"{name}.tiff")


def serial(segmenter, name, pixel, class_index=1, *, window=True):
    """The map of a pixel, one at a time, summed over channels as the viewer shows it."""
    target = Target.pixel(*pixel, class_index, "logit")
    return gradient(segmenter, image_of(name), target, window=window).values.sum(axis=0)


def check_painted(found, segmenter, name, class_index=1):
    """A painted map is the serial answer."""
    pixel, painted = (found["row"], found["column"]), whole_map(found, SIZE)
    answers = [serial(segmenter, name, pixel, class_index, window=window) for window in (True, False)]
    assert_equal_maps(painted, nearest(painted, answers))


@contextmanager
def tab_of(context):
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    yield page
    page.close()


def test_two_tabs_and_two_browsers_do_not_mix(browser, address, segmenter):
    """They hover at once, over the same pixels of other images and another class."""
    path = np.linspace((30, 40), (200, 210), 12).round().astype(int).tolist()
    with (
        browser.new_context(viewport=VIEWPORT) as one,
        browser.new_context(viewport=VIEWPORT) as other,
        tab_of(one) as first, tab_of(one) as second, tab_of(other) as third,
    ):  # fmt: skip
        shown = [("phantom_00", 1), ("phantom_01", 1), ("phantom_00", 0)]
        viewers = [
            LiveViewer(page, address, f"?image=vessels/{name}&class={segmenter.class_names[class_index]}")
            for page, (name, class_index) in zip((first, second, third), shown, strict=True)
        ]
        tokens = {viewer.token for viewer in viewers}
        assert len(tokens) == 3
        for pixel in path:
            for viewer in viewers:
                viewer.page.bring_to_front()  # the pointer is in one tab of a browser at a time
                viewer.page.mouse.move(*viewer.aim(*pixel))
        for viewer, (name, class_index) in zip(viewers, shown, strict=True):
            viewer.page.bring_to_front()
            viewer.wait_for_live()
            painted = viewer.paints()
            assert len(painted) > 1
            for found in painted:
                check_painted(found, segmenter, name, class_index)


def test_ten_sessions_that_hover_at_once_each_get_the_serial_answer(browser, address, segmenter):
    sessions, memory = hover_at_once(browser, address, 10, 10)
    assert all(len(session.answers) > 1 for session in sessions)
    assert largest_error(sessions, segmenter) <= 1e-6
    assert memory[1] < 1.2 * memory[0]


def test_smoothgrad_becomes_finer_while_the_pointer_rests(page, address, segmenter):
    viewer = LiveViewer(page, address, "?image=vessels/phantom_00&smooth=true")
    image, pixel = image_of("phantom_00"), viewer.hover(120, 90)
    expect(viewer.root).to_have_attribute("data-samples", "16")
    painted = [found for found in viewer.paints() if (found["row"], found["column"]) == pixel]
    assert list(dict.fromkeys(found["samples"] for found in painted)) == [1, 4, 16]
    expect(page.locator(".viewer .note", has_text="16 of 16 noisy copies")).to_be_visible()
    for found in painted:
        expected = smoothgrad(segmenter, image, Target.pixel(*pixel, 1, "logit"), found["samples"])
        assert_equal_maps(whole_map(found, SIZE), expected.values[0])


def test_a_run_of_the_page_does_not_take_the_numbers_from_the_pixel_under_the_pointer(page, address, segmenter):
    viewer = LiveViewer(page, address)
    chosen = viewer.hover(100, 90)
    page.mouse.down()
    page.mouse.up()
    page.mouse.move(*viewer.aim(150, 60))
    under = viewer.wait_for_live()
    viewer.wait_for_pixel(*chosen)

    def is_shown(pixel: tuple[int, int]) -> None:
        assert f"row {pixel[0]}, column {pixel[1]}" in viewer.readout()
        largest = np.abs(serial(segmenter, "phantom_00", pixel)).max()
        assert viewer.number("Maximum") == pytest.approx(largest, rel=1e-3)

    eventually(page, partial(is_shown, under))
    viewer.leave()
    eventually(page, partial(is_shown, chosen))


def test_a_stored_row_is_read_and_any_other_computed(browser, tmp_path, segmenter):
    """The stored rows are doubled behind the app's back: so only what is read from them is."""
    image = image_of("phantom_00")
    hashes = f"{segmenter.weights_hash[:8]}{image_hash(image)[:8]}"
    path = tmp_path / f"vessmap_phantom_00_vessel_logit_stride64_float32_{hashes}.zarr"
    stored = jacobian(segmenter, image, space="logit", out=path, stride=64)
    doubled = {pixel: 2 * stored.row(*pixel)[0] for pixel in ((64, 128), (192, 64))}
    rows = stored._store._arrays["rows"]
    rows[...] = 2 * rows[...]
    with running_app(WHYPIXEL_RUNS=str(tmp_path)) as url, browser.new_context(viewport=VIEWPORT) as context:
        viewer = LiveViewer(context.new_page(), url)
        for pixel in ((64, 128), (65, 128), (192, 64), (255, 255)):
            assert viewer.hover(*pixel) == pixel
            found = viewer.paints()[-1]
            if pixel in doubled:
                assert_equal_maps(whole_map(found, SIZE), doubled[pixel])
            else:
                check_painted(found, segmenter, "phantom_00")


# ---------------------------------------------------------------------------- the channel is lost


def test_a_channel_that_is_dropped_comes_back_and_answers_what_was_asked(page, address, segmenter):
    served = []

    def pass_on(socket):
        server = socket.connect_to_server()
        served.append(socket)
        socket.on_message(server.send)
        if len(served) > 1:
            server.on_message(socket.send)
        else:  # the first connection dies with a request in flight
            server.on_message(lambda message: socket.send(message) if isinstance(message, str) else socket.close())

    page.route_web_socket(CHANNEL, pass_on)
    viewer = LiveViewer(page, address)
    viewer.hover(100, 90)
    assert len(served) == 2
    served[1].close(code=1012, reason="the server starts anew")
    eventually(page, lambda: served[2])
    viewer.wait()
    last = viewer.hover(101, 140)
    for found in viewer.paints():
        check_painted(found, segmenter, "phantom_00")
    assert (found["row"], found["column"]) == last
    assert len(served) == 3
    expect(page.get_by_text(NOTICE)).to_have_count(0)


def test_a_map_of_another_pixel_fades_while_the_right_one_is_late(page, address, segmenter):
    held, waits = [], []

    def pass_on(socket):
        server = socket.connect_to_server()
        socket.on_message(server.send)
        server.on_message(
            lambda message: (
                held.append(lambda: socket.send(message))
                if waits and not isinstance(message, str)
                else socket.send(message)
            )
        )

    page.route_web_socket(CHANNEL, pass_on)
    viewer = LiveViewer(page, address)
    viewer.hover(100, 90)
    expect(viewer.root).not_to_have_class(re.compile(r"\blate\b"))
    zero, vivid = viewer.colour("Gradient map", 2, 2), viewer.colour("Gradient map", 100, 90)
    waits.append(True)
    page.mouse.move(*viewer.aim(101, 140))
    expect(viewer.root).to_have_class(re.compile(r"\blate\b"))
    expect(viewer.root.locator("figure", has_text="Gradient map").locator(".note")).to_have_text("computing…")
    assert viewer.readout().endswith("gradient …"), "the number of another pixel's map would be wrong"
    faded = viewer.colour("Gradient map", 100, 90)
    assert np.abs(np.subtract(faded, zero)).sum() < 0.5 * np.abs(np.subtract(vivid, zero)).sum()
    eventually(page, lambda: held[0])
    waits.clear()
    held[0]()
    last = viewer.wait_for_live()
    expect(viewer.root).not_to_have_class(re.compile(r"\blate\b"))
    found = viewer.paints()[-1]
    check_painted(found, segmenter, "phantom_00")
    assert (found["row"], found["column"]) == last


def test_where_no_channel_gets_through_a_click_still_shows_map_and_numbers(page, address, segmenter):
    page.route_web_socket(CHANNEL, lambda socket: socket.close(code=1011))
    viewer = LiveViewer(page, address, live=False)
    expect(page.get_by_text(NOTICE)).to_be_visible()
    pixels = []
    for aim in ((61, 100), (150, 33)):
        page.mouse.move(*viewer.aim(*aim))
        page.mouse.down()
        page.mouse.up()
        pixels.append(tuple(viewer.run("viewer.hover")))
        viewer.leave()
        viewer.wait_for_pixel(*pixels[-1])
        row, column = pixels[-1]
        expected = serial(segmenter, "phantom_00", (row, column))

        def is_shown(expected=expected):
            assert_equal_maps(viewer.values("map", SIZE), expected)
            assert viewer.number("Maximum") == pytest.approx(np.abs(expected).max(), rel=1e-3)

        eventually(page, is_shown)
        card = page.get_by_role("listitem").filter(has=page.get_by_label(f"Show pin {len(pixels)}, row {row}, column"))
        expect(card.locator("dd").first).not_to_be_empty()
        assert f"row {row}, column {column}" in viewer.readout()
        expect(page.get_by_text(NOTICE)).to_be_visible()
    assert viewer.paints() == []
    assert page.url.endswith("pins=" + "%3B".join(f"{row}%2C{column}" for row, column in pixels))


def test_a_channel_that_was_refused_is_tried_again_by_the_next_run_of_the_page(page, address):
    refused = [True]

    def pass_on(socket):
        if refused[0]:
            return socket.close(code=4401)  # after this the viewer does not try again by itself
        return socket.connect_to_server()

    page.route_web_socket(CHANNEL, pass_on)
    viewer = LiveViewer(page, address, live=False)
    expect(page.get_by_text(NOTICE)).to_be_visible()
    refused[0] = False
    page.mouse.click(*viewer.aim(61, 100))
    viewer.wait(live=True)
    expect(page.get_by_text(NOTICE)).to_have_count(0)
    viewer.hover(64, 120)


def test_when_streamlit_loses_its_own_connection_the_viewer_is_live_again(page, address, segmenter):
    streams = []

    def pass_on(socket):
        streams.append(socket)
        socket.connect_to_server()

    page.route_web_socket(STREAM, pass_on)
    viewer = LiveViewer(page, address)
    token = viewer.token
    streams[0].close(code=1012)
    eventually(page, lambda: streams[1])
    wait_for_rest(page)
    page.mouse.click(*viewer.aim(61, 100))  # a run of the page, at the latest

    def is_live_with_a_new_token():
        assert viewer.token != token
        assert viewer.root.get_attribute("data-live") == "on"

    eventually(page, is_live_with_a_new_token)
    page.evaluate("window.paints = []")
    viewer.hover(66, 120)
    check_painted(viewer.paints()[-1], segmenter, "phantom_00")


# ---------------------------------------------------------------------------- the tab's end


def test_closing_the_tab_closes_its_token(browser, address):
    with browser.new_context(viewport=VIEWPORT) as context:
        page = context.new_page()
        token = LiveViewer(page, address).token
        socket = f"{address.replace('http', 'ws')}/api/live"
        with connect(socket, origin=address) as thief:
            thief.send(json.dumps({"token": token}))
            assert json.loads(thief.recv(timeout=60)) == {"ready": True}
            page.close()
            with pytest.raises(ConnectionClosed) as ended:
                thief.recv(timeout=10)
            assert ended.value.rcvd.code == 4401
        with connect(socket, origin=address) as late:
            late.send(json.dumps({"token": token}))
            with pytest.raises(ConnectionClosed) as ended:
                late.recv(timeout=10)
            assert ended.value.rcvd.code == 4401
