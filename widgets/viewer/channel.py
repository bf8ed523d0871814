"""The channel: a WebSocket beside Streamlit's own, over which the network answers while the pointer moves.

A page opens it for a viewer under a token that nobody can guess. The browser sends the token first, then requests, as
JSON; an answer is a frame of bytes: the length of a JSON header (uint32), the header, and the values of its maps, each
of the number type that the header names. Each connection has one request in work and keeps only the latest of those
that wait.
"""

import asyncio
import json
import logging
import os
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import urlparse

import numpy as np
import streamlit as st
from starlette.websockets import WebSocket, WebSocketDisconnect
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.attribution.windowed import MapWindow
from core.errors import UserError, sentence_for_users
from widgets.shared.results import DaemonExecutor
from widgets.viewer.scene import Words

UNKNOWN_TOKEN = 4401
POLICY, TOO_BIG, NOT_UNDERSTOOD, TOO_MANY = 1008, 1009, 1007, 1013
"""Codes that a connection is closed with."""
_LARGEST_MESSAGE = 8192
_SECONDS_FOR_TOKEN = 10.0
_MOST_CONNECTIONS = 8
"""Connections under one token: a tab has one, and another while it reconnects."""
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What the browser asks.

    Attributes:
        row: Row of the pixel.
        column: Column of the pixel.
        settings: Values of the viewer's controls.
        samples: Number of noisy copies, for maps that are refined; None for others.
        action: What a hand that paints does; empty for a pointer that only looks.
    """

    row: int
    column: int
    settings: Mapping[str, Any]
    samples: int | None = None
    action: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Answer:
    """What the browser shows.

    Attributes:
        maps: Maps by the name of their layer; integers stay integers.
        words: What is said about the pixel and its map.
        state: Plain values for a hand that paints.
    """

    maps: Mapping[str, MapWindow]
    words: Words = field(default_factory=Words)
    state: Mapping[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Live:
    """What a pointer position means.

    Attributes:
        respond: Computes an answer; it makes no Streamlit call and may run in several threads.
        revision: Names the network, the image and the score: answers of another revision are not painted.
        refine: Numbers of noisy copies, one after the other, while the pointer rests.
    """

    respond: Callable[[Request], Answer]
    revision: str
    refine: Sequence[int] = ()


@dataclass
class Tokens:
    """What is open under which token. Safe to share between threads."""

    _live: dict[str, Live] = field(default_factory=dict)
    _connections: dict[str, list[Callable[[], None]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self, token: str, live: Live) -> None:
        """Let the token mean `live` from now on."""
        with self._lock:
            self._live[token] = live

    def close(self, token: str) -> None:
        """Forget the token, and wake its connections, which end."""
        with self._lock:
            self._live.pop(token, None)
            connections = list(self._connections.get(token, ()))
        for wake in connections:
            wake()

    def find(self, token: str) -> Live | None:
        """What the token means."""
        with self._lock:
            return self._live.get(token)

    def connect(self, token: object, wake: Callable[[], None]) -> int | None:
        """Count a connection, which `wake` wakes from any thread; the code to refuse it with, None for no refusal."""
        with self._lock:
            if not isinstance(token, str) or token not in self._live:
                return UNKNOWN_TOKEN
            connections = self._connections.setdefault(token, [])
            if len(connections) >= _MOST_CONNECTIONS:
                return TOO_MANY
            connections.append(wake)
            return None

    def disconnect(self, token: str, wake: Callable[[], None]) -> None:
        """Count a connection that ended."""
        with self._lock:
            self._connections[token].remove(wake)
            if not self._connections[token]:
                del self._connections[token]


TOKENS = Tokens()
_EXECUTOR = DaemonExecutor(max(2, os.cpu_count() or 1))


def _close_all(opened: Mapping[str, str]) -> None:
    for token in opened.values():
        TOKENS.close(token)


@st.cache_resource(scope="session", on_release=_close_all, show_spinner=False)
def _opened() -> dict[str, str]:
    """The tokens of this browser tab by the key of their viewer; closed when the tab is."""
    return {}


def open_channel(key: str, live: Live) -> str:
    """The token of a viewer in this browser tab, which means `live` from now on."""
    token = _opened().setdefault(key, secrets.token_urlsafe(24))
    TOKENS.open(token, live)
    context = get_script_run_ctx()
    if context is not None and runtime.exists() and not runtime.get_instance().is_active_session(context.session_id):
        TOKENS.close(token)  # the tab was closed while this run computed: nothing would release it
    return token


async def serve(socket: WebSocket) -> None:
    """Answer one viewer until it leaves, its token is closed, or it sends what cannot be understood."""
    if not _is_from_here(socket):
        await socket.close(POLICY)
        return
    with suppress(WebSocketDisconnect):
        await socket.accept()
        try:
            await _Connection(socket).run()
        except _RefusedError as error:
            with suppress(RuntimeError):  # the browser closed it meanwhile
                await socket.close(error.code)


class _RefusedError(Exception):
    """What ends the connection."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _Connection:
    """One viewer's connection: reads all requests, answers the latest."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._token = ""
        self._latest: dict[str, Any] | None = None
        self._has_news = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        try:
            token = (await asyncio.wait_for(self._receive(), _SECONDS_FOR_TOKEN)).get("token")
        except (_RefusedError, TimeoutError):
            raise _RefusedError(UNKNOWN_TOKEN) from None
        if (code := TOKENS.connect(token, self._wake)) is not None:
            raise _RefusedError(code)
        self._token = str(token)
        try:
            await self._socket.send_text(json.dumps({"ready": True}))
            await self._read_and_answer()
        finally:
            TOKENS.disconnect(self._token, self._wake)

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the server has stopped
            self._loop.call_soon_threadsafe(self._has_news.set)

    async def _read_and_answer(self) -> None:
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._answer())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()  # an answer that waits for its turn is not computed
            await asyncio.gather(*tasks, return_exceptions=True)
        done.pop().result()  # both end by an error only

    async def _read(self) -> None:
        while True:
            self._latest = await self._receive()
            self._has_news.set()
            await asyncio.sleep(0)  # a viewer that sends without end lets the others have their turn

    async def _answer(self) -> None:
        while True:
            await self._has_news.wait()
            self._has_news.clear()
            content, live = self._latest, TOKENS.find(self._token)
            if live is None:
                raise _RefusedError(UNKNOWN_TOKEN)
            if content is not None:
                self._latest = None
                frame = await asyncio.wrap_future(_EXECUTOR.submit(_frame, live, content))
                await self._socket.send_bytes(frame)

    async def _receive(self) -> dict[str, Any]:
        text = await _message(self._socket)
        try:
            content = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise _RefusedError(NOT_UNDERSTOOD) from error
        if not isinstance(content, dict):
            raise _RefusedError(NOT_UNDERSTOOD)
        return content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON.")


async def _message(socket: WebSocket) -> str:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    text = message.get("text")
    if text is None:
        raise _RefusedError(NOT_UNDERSTOOD)
    if len(text) > _LARGEST_MESSAGE:
        raise _RefusedError(TOO_BIG)
    return text


def _frame(live: Live, content: Mapping[str, Any]) -> bytes:
    """The answer to a request as bytes; a request that cannot be answered gets a sentence."""
    header: dict[str, Any] = {name: _whole(content.get(name)) for name in ("id", "row", "column", "samples")}
    header |= {"revision": live.revision, "maps": {}}
    values: list[bytes] = []
    try:
        if content.get("revision") == live.revision:
            answer = live.respond(_request(live, content))
            header["words"] = answer.words.describe()
            if answer.state is not None:
                header["state"] = answer.state
            for name, window in answer.maps.items():
                kind = window.values.dtype.str[1:] if window.values.dtype.kind == "u" else "f4"
                shape, corner = list(window.values.shape), [window.top, window.left]
                header["maps"][name] = {"shape": shape, "window": corner, "kind": kind}
                values.append(np.ascontiguousarray(window.values, dtype=f"<{kind}").tobytes())
        else:
            header["revision"] = None
    except Exception as error:  # the viewer is told, whatever happened, and stays connected
        sentence = sentence_for_users(error)
        if sentence is None:
            _LOGGER.exception("A live answer failed.")
        values, header["maps"] = [], {}
        header["error"] = sentence or "This pixel could not be explained; the server's log says why."
    text = json.dumps(header).encode()
    return len(text).to_bytes(4, "little") + text + b"".join(values)


def _request(live: Live, content: Mapping[str, Any]) -> Request:
    row, column = _whole(content.get("row")), _whole(content.get("column"))
    settings, samples = content.get("settings"), content.get("samples") if live.refine else None
    known = samples is None or (_whole(samples) is not None and samples in live.refine)
    if row is None or column is None or not isinstance(settings, dict) or not known:
        raise UserError("The request cannot be understood.")
    action = content.get("action", {})
    if not isinstance(action, dict):
        raise UserError("The request cannot be understood.")
    return Request(row, column, settings, samples, action)


def _whole(value: object) -> int | None:
    """A whole number that is not negative, as it is; None for anything else, True and False too."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _is_from_here(socket: WebSocket) -> bool:
    """Whether a page of this server, or of an origin that its configuration allows, opens the connection.

    Streamlit's own check also looks up the machine's addresses, over the network and while all others wait.
    """
    try:
        origin, host = urlparse(socket.headers.get("origin", "")), socket.headers.get("host")
    except ValueError:
        return False
    if not origin.netloc:
        return False
    allowed = [urlparse(text).netloc or text for text in st.get_option("server.corsAllowedOrigins") or ()]
    return origin.netloc in (host, *allowed) or not st.get_option("server.enableCORS")
