"""The channel, spoken to by a WebSocket client that may send anything."""

import json
import logging
import threading
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
import psutil
import pytest
import streamlit as st
import torch
from websockets.exceptions import InvalidStatus

from core.errors import UserError
from tests.widgets.viewer.conftest import PATIENCE, REVISION, map_of
from widgets.viewer import channel
from widgets.viewer.channel import NOT_UNDERSTOOD, TOKENS, TOO_BIG, TOO_MANY, UNKNOWN_TOKEN
from widgets.viewer.controls import Choice, Slider, Switch
from widgets.viewer.route import routes
from widgets.viewer.scene import Words
from widgets.viewer.viewer import _with_checked_settings

MEMORY = "Memory ran out; take a smaller image, or crop it."
FAILED = "This pixel could not be explained; the server's log says why."
DEEP = "[" * 4000 + "]" * 4000


def wait_until(holds):
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def check_well(server, opened):
    """Others are answered: over HTTP, and a viewer."""
    with urllib.request.urlopen(f"http://localhost:{server.port}/alive", timeout=PATIENCE) as answer:
        assert answer.read() == b"alive"
    with server.viewer(opened()) as client:
        client.ask(3, 4)
        header, values = client.answer()
        assert (header["row"], header["column"]) == (3, 4)
        np.testing.assert_array_equal(values, [3, 4, 0.5, -2])


def test_an_answer_holds_its_maps_numbers_and_sentence(server, opened):
    with server.viewer(opened()) as client:
        client.ask(7, 11, id=5)
        header, values = client.answer()
    assert header == {
        "id": 5, "row": 7, "column": 11, "samples": None, "revision": REVISION,
        "words": {"sentence": "At 7, 11.", "chips": [], "numbers": [], "unit": ""},
        "maps": {"map": {"shape": [1, 2, 2], "window": [7, 11], "kind": "f4"}},
    }  # fmt: skip
    np.testing.assert_array_equal(values, [7, 11, 0.5, -2])


# ---------------------------------------------------------------------------- who may speak


@pytest.mark.parametrize(
    "first",
    [{"token": "wrong"}, {"token": ""}, {}, {"token": 5}, {"token": None}, {"token": ["a"]}, {"token": {"a": 1}}, [],
     "token", 5, "null", b"bytes", DEEP, "{", "NaN", {"row": 1, "column": 1, "settings": {}, "revision": REVISION}],
)  # fmt: skip
def test_what_is_no_token_ends_the_connection(server, opened, first):
    opened()
    with server.opened(first) as client:
        assert client.code() == UNKNOWN_TOKEN
    check_well(server, opened)


def test_who_sends_no_token_is_sent_away(server, opened, monkeypatch):
    monkeypatch.setattr(channel, "_SECONDS_FOR_TOKEN", 0.05)
    with server.opened(None) as client:
        assert client.code() == UNKNOWN_TOKEN


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "file://", "", None, "http://[", "http://localhost:1", "http://localhost",
     "http://user@localhost:{port}", "http://localhost:{port}.evil.example"],
)  # fmt: skip
def test_a_foreign_page_is_refused_before_it_can_speak(server, opened, origin):
    token = opened()
    origin = origin and origin.format(port=server.port)
    with pytest.raises(InvalidStatus) as refused, server.opened({"token": token}, origin=origin):
        pass
    assert refused.value.response.status_code == 403
    check_well(server, opened)


@pytest.mark.parametrize(
    ("option", "value"), [("corsAllowedOrigins", ["http://friend.example"]), ("enableCORS", False)]
)
def test_an_origin_that_the_server_is_told_to_allow_may_speak(server, opened, option, value):
    before = st.get_option(f"server.{option}")
    st.config.set_option(f"server.{option}", value)
    try:
        with server.opened({"token": opened()}, origin="http://friend.example") as client:
            assert json.loads(client.socket.recv(timeout=PATIENCE)) == {"ready": True}
    finally:
        st.config.set_option(f"server.{option}", before)


def test_under_a_base_path_there_are_two_routes(monkeypatch):
    assert [route.path for route in routes()] == ["/api/live"]
    monkeypatch.setattr(st, "get_option", {"server.baseUrlPath": "/why/"}.get)
    assert [route.path for route in routes()] == ["/api/live", "/why/api/live"]


# ---------------------------------------------------------------------------- what may be said


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("x" * 10_000_000, TOO_BIG),
        (json.dumps({"settings": "é" * 4000 + "x" * 4200}), TOO_BIG),
        (b"\x00\x01", NOT_UNDERSTOOD),
        ("{", NOT_UNDERSTOOD),
        ("", NOT_UNDERSTOOD),
        (DEEP, NOT_UNDERSTOOD),
        ("[1, 2]", NOT_UNDERSTOOD),
        ("5", NOT_UNDERSTOOD),
        ("null", NOT_UNDERSTOOD),
        ('{"row": ' + "9" * 5000 + "}", NOT_UNDERSTOOD),
        ('{"row": 1, "settings": {"threshold": NaN}}', NOT_UNDERSTOOD),
        ('{"row": 1, "settings": {"threshold": -Infinity}}', NOT_UNDERSTOOD),
    ],
)
def test_what_no_viewer_sends_ends_the_connection(server, opened, message, code):
    with server.viewer(opened()) as client:
        client.send(message)
        assert client.code() == code
    check_well(server, opened)


@pytest.mark.parametrize(
    "changed",
    [{"row": -1}, {"row": True}, {"row": 1.0}, {"row": "1"}, {"row": None}, {"row": [1]}, {"column": -(10**400)},
     {"column": {}}, {"settings": None}, {"settings": [["a", 1]]}, {"settings": "x"}],
)  # fmt: skip
def test_a_request_of_wrong_types_gets_a_sentence_and_the_connection_stays(server, opened, changed):
    asked = []
    with server.viewer(opened(lambda request: asked.append(request) or map_of(request))) as client:
        client.ask(**{"row": 1, "column": 2} | changed)
        header, values = client.answer()
        assert header["error"] == "The request cannot be understood."
        assert header["maps"] == {}
        assert len(values) == 0
        assert not asked
        client.ask(5, 6)
        assert client.answer()[0]["row"] == 5


def test_an_answer_is_json_whatever_was_asked(server, opened):
    with server.viewer(opened()) as client:
        request = '"id": 1e999, "row": 1e999, "column": 2, "samples": -1e999, "settings": {}'
        client.send(f'{{{request}, "revision": "{REVISION}"}}')
        header, _ = client.answer()
        assert header["id"] is None
        assert header["error"]


@pytest.mark.parametrize("samples", [0, 2, 17, 10**9, -1, True, 4.0, "4", [4]])
def test_only_the_offered_numbers_of_copies_are_computed(server, opened, samples):
    asked = []
    respond = lambda request: asked.append(request.samples) or map_of(request)  # noqa: E731
    with server.viewer(opened(respond, (1, 4, 16))) as client:
        client.ask(1, 2, samples=samples)
        assert client.answer()[0]["error"] == "The request cannot be understood."
        client.ask(1, 2, samples=4)
        assert client.answer()[0]["samples"] == 4
    assert asked == [4]


@pytest.mark.parametrize("revision", ["another", None, 5, [REVISION]])
def test_a_request_about_another_image_is_not_computed(server, opened, revision):
    asked = []
    with server.viewer(opened(lambda request: asked.append(request) or map_of(request))) as client:
        client.ask(1, 2, revision=revision)
        header, values = client.answer()
        assert header["revision"] is None
        assert len(values) == 0
    assert not asked


# ---------------------------------------------------------------------------- what may go wrong


@pytest.mark.parametrize(
    ("error", "sentence", "is_logged"),
    [
        (UserError("Row 999 lies outside."), "Row 999 lies outside.", False),
        (MemoryError(), MEMORY, False),
        (torch.OutOfMemoryError("CUDA out of memory"), MEMORY, False),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), MEMORY, False),
        (KeyError("threshold"), FAILED, True),
        (RuntimeError("shapes"), FAILED, True),
    ],
)  # fmt: skip
def test_an_error_becomes_a_sentence_and_the_connection_stays(server, opened, caplog, error, sentence, is_logged):
    def respond(request):
        if request.row == 999:
            raise error
        return map_of(request)

    with server.viewer(opened(respond)) as client, caplog.at_level(logging.ERROR):
        client.ask(999, 2, id=8)
        header, values = client.answer()
        assert (header["id"], header["error"]) == (8, sentence)
        assert len(values) == 0
        client.ask(5, 6)
        assert client.answer()[0]["row"] == 5
    assert [record.exc_info[1] for record in caplog.records] == ([error] if is_logged else [])


class Gate:
    """Answers wait here until they are let through."""

    def __init__(self):
        self.asked, self.let = [], threading.Semaphore(0)
        self.at_work, self.most_at_work, self._lock = 0, 0, threading.Lock()

    def __call__(self, request):
        with self._lock:
            self.asked.append(request.row)
            self.at_work += 1
            self.most_at_work = max(self.most_at_work, self.at_work)
        assert self.let.acquire(timeout=PATIENCE)
        with self._lock:
            self.at_work -= 1
        return map_of(request)


def test_the_latest_of_those_that_wait_is_answered(server, opened):
    gate = Gate()
    with server.viewer(opened(gate)) as client:
        client.ask(0, 0)
        wait_until(lambda: gate.asked == [0])
        for row in range(1, 1001):
            client.ask(row, 0)
        check_well(server, opened)
        gate.let.release()
        assert client.answer()[0]["row"] == 0
        wait_until(lambda: len(gate.asked) > 1)
        gate.let.release(10_000)
        rows = []
        while not rows or rows[-1] != 1000:
            rows.append(client.answer()[0]["row"])
    assert gate.most_at_work == 1
    assert rows == sorted(rows)
    assert len(rows) <= 2, "what waited behind a later request is left out"


def test_a_thousand_messages_a_second_cost_little(server, opened):
    """Only the latest are answered, memory is flat, and others are answered meanwhile."""
    answered = Counter()

    def respond(request):
        answered[request.row] += 1
        time.sleep(0.02)
        return map_of(request)

    process = psutil.Process()
    with server.viewer(opened(respond)) as client:
        padding = {"words": "x" * 6000}
        client.ask(0, 0, settings=padding)
        client.answer()
        before = process.memory_info().rss
        started = time.monotonic()
        for row in range(1, 3001):
            client.ask(row, 0, settings=padding)
            time.sleep(max(0.0, started + row / 1000 - time.monotonic()))
            if row % 1000 == 500:
                check_well(server, opened)
        while client.answer()[0]["row"] != 3000:
            pass
        seconds = time.monotonic() - started
    assert max(answered.values()) == 1
    assert sum(answered.values()) <= 2 + seconds / 0.02
    assert sum(answered.values()) < 1000
    assert process.memory_info().rss - before < 30 * 2**20


def test_one_who_never_stops_sending_and_never_reads_does_not_hold_up_the_others(server, opened):
    stop = threading.Event()
    big = np.zeros((1, 512, 512), np.float32)

    def respond(request):
        return channel.Answer({"map": channel.MapWindow(big, 0, 0)})

    token = opened(respond)

    def flood():
        with server.viewer(token, close_timeout=0.1) as client:
            while not stop.is_set():
                client.ask(1, 1, settings={"words": "x" * 6000})

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        for _ in range(5):
            check_well(server, opened)
        assert thread.is_alive()
    finally:
        stop.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()
    wait_until(lambda: token not in TOKENS._connections)


def test_eight_connections_under_one_token(server, opened):
    token, other = opened(), opened()
    with ExitStack() as stack:
        clients = [stack.enter_context(server.viewer(token)) for _ in range(8)]
        with server.opened({"token": token}) as ninth:
            assert ninth.code() == TOO_MANY
        stack.enter_context(server.viewer(other))
        clients[0].socket.close()
        wait_until(lambda: len(TOKENS._connections[token]) == 7)
        stack.enter_context(server.viewer(token))
        clients[1].ask(1, 2)
        assert clients[1].answer()[0]["row"] == 1
    wait_until(lambda: token not in TOKENS._connections)


def test_a_closed_token_ends_its_connections_at_once_and_no_other(server, opened):
    gate = Gate()
    token, other = opened(gate), opened()
    with server.viewer(token) as resting, server.viewer(token) as at_work, server.viewer(other) as stranger:
        at_work.ask(1, 1)
        wait_until(lambda: gate.asked == [1])
        TOKENS.close(token)
        assert resting.code() == UNKNOWN_TOKEN
        gate.let.release()
        assert at_work.code() == UNKNOWN_TOKEN
        stranger.ask(5, 6)
        assert stranger.answer()[0]["row"] == 5
    with server.opened({"token": token}) as late:
        assert late.code() == UNKNOWN_TOKEN
    wait_until(lambda: token not in TOKENS._connections)


def test_a_token_means_the_latest_page_run(server, opened):
    token = opened()
    with server.viewer(token) as client:
        TOKENS.open(token, channel.Live(lambda request: channel.Answer({}, Words("new")), "next"))
        client.ask(1, 2, revision="next")
        assert client.answer()[0]["words"]["sentence"] == "new"


def test_the_pool_is_bounded_and_shared_fairly(server, opened, monkeypatch):
    """Each viewer has one request in work or waiting for a thread, so a busy one waits behind all others."""
    monkeypatch.setattr(channel, "_EXECUTOR", channel.DaemonExecutor(2))
    gate, order = Gate(), []

    def respond_as(name):
        def respond(request):
            order.append(name)
            return gate(request)

        return respond

    with ExitStack() as stack:
        names = "abcde"
        clients = {name: stack.enter_context(server.viewer(opened(respond_as(name)))) for name in names}
        for turn in range(4):
            for client in clients.values():
                client.ask(turn, 0)
        wait_until(lambda: gate.at_work == 2)
        for _ in range(20):
            gate.let.release()
            for client in clients.values():  # all ask without rest
                client.ask(9, 0)
            time.sleep(0.01)
        wait_until(lambda: len(order) >= 15)
        gate.let.release(10_000)
        wait_until(lambda: gate.at_work == 0)
    assert gate.most_at_work == 2
    counts = Counter(order[:15])
    assert set(counts) == set(names)
    assert max(counts.values()) - min(counts.values()) <= 2


def test_a_viewer_that_vanishes_while_it_is_answered(server, opened):
    gate = Gate()
    token = opened(gate)
    with server.viewer(token) as client:
        client.ask(1, 1)
        wait_until(lambda: gate.asked == [1])
        client.ask(2, 2)
        client.socket.socket.close()  # no closing handshake
    wait_until(lambda: token not in TOKENS._connections)
    gate.let.release(2)
    wait_until(lambda: gate.at_work == 0)
    assert gate.asked == [1], "nothing more is computed for it"
    check_well(server, opened)


def test_many_who_come_and_go_leave_nothing(server, opened):
    token = opened()

    def visit(row):
        with server.viewer(token) as client:
            client.ask(row, 0)
            return client.answer()[0]["row"]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(visit, range(100))) == list(range(100))
    wait_until(lambda: not TOKENS._connections)


def test_settings_that_are_no_values_of_their_controls_are_as_python_knows_them():
    asked = []
    controls = [
        Slider(name="threshold", label="", default=0.01, values=(0.01, 0.1, 1.0)),
        Choice(name="view", label="", default="row", options={"row": "Row", "column": "Column"}),
        Switch(name="above", label="", default=True),
    ]
    known = {"threshold": 0.1, "view": "column", "above": True, "of page": 5}
    live = channel.Live(lambda request: asked.append(request.settings) or map_of(request), REVISION)
    checked = _with_checked_settings(live, controls, known)
    for given in ({}, {"threshold": 0.5, "view": ["row"], "above": {}}, {"threshold": float("inf"), "other": 1}):
        checked.respond(channel.Request(1, 2, given))
        assert asked.pop() == known
    checked.respond(channel.Request(1, 2, {"threshold": 1.0, "view": "row", "above": False, "of page": 6}))
    assert asked.pop() == {"threshold": 1.0, "view": "row", "above": False, "of page": 5}
