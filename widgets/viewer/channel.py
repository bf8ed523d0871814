"""The channel: a WebSocket beside Streamlit's own, over which the network answers while the pointer moves.

A page opens it for a viewer under a token that nobody can guess. The browser sends the token first, then requests, as
JSON; an answer is a frame of bytes: the length of a JSON header (uint32), the header, and the values of its maps as
float32. Each connection has one request in work and keeps only the latest of those that wait.
"""

import asyncio
import json
import os
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlparse

import numpy as np
import streamlit as st
from starlette.websockets import WebSocket, WebSocketDisconnect
from streamlit.web.server.server_util import is_url_from_allowed_origins

from core.attribution.windowed import MapWindow
from core.errors import UserError, is_out_of_memory
from widgets.shared.results import DaemonExecutor
from widgets.viewer.scene import Number

UNKNOWN_TOKEN = 4401
POLICY, TOO_BIG, NOT_UNDERSTOOD = 1008, 1009, 1007
"""Codes that a connection is closed with."""
_LARGEST_MESSAGE = 8192
_SECONDS_FOR_TOKEN = 10.0
_MOST_CONNECTIONS = 8
"""Of one token: a tab has one, and another while it reconnects."""


@dataclass(frozen=True)
class Request:
    """What the browser asks.

    Attributes:
        row: Row of the pixel.
        column: Column of the pixel.
        settings: Values of the viewer's controls.
        samples: Number of noisy copies, for maps that are refined; None for others.
    """

    row: int
    column: int
    settings: Mapping[str, Any]
    samples: int | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """What the browser shows.

    Attributes:
        maps: Maps by the name of their layer.
        numbers: Numbers about the pixel and its map.
        sentence: One sentence about them.
    """

    maps: Mapping[str, MapWindow]
    numbers: Sequence[Number] = ()
    sentence: str = ""


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
    _connections: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self, token: str, live: Live) -> None:
        """Let the token mean `live` from now on."""
        with self._lock:
            self._live[token] = live

    def close(self, token: str) -> None:
        """Forget the token; its connections end at their next request."""
        with self._lock:
            self._live.pop(token, None)

    def find(self, token: object) -> Live | None:
        """What the token means."""
        with self._lock:
            return self._live.get(token) if isinstance(token, str) else None

    def connect(self, token: str) -> bool:
        """Count a connection; whether there may be one more."""
        with self._lock:
            count = self._connections.get(token, 0)
            if token not in self._live or count >= _MOST_CONNECTIONS:
                return False
            self._connections[token] = count + 1
            return True

    def disconnect(self, token: str) -> None:
        """Count a connection that ended."""
        with self._lock:
            self._connections[token] -= 1
            if not self._connections[token]:
                del self._connections[token]

    def __len__(self) -> int:
        return len(self._live)


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
    return token


async def serve(socket: WebSocket) -> None:
    """Answer one viewer until it leaves, its token is closed, or it sends what cannot be understood."""
    if not _is_from_here(socket):
        await socket.close(POLICY)
        return
    await socket.accept()
    try:
        token = json.loads(await asyncio.wait_for(_message(socket), _SECONDS_FOR_TOKEN)).get("token")
    except (_RefusedError, ValueError, AttributeError, RecursionError, TimeoutError, WebSocketDisconnect):
        await _close(socket, UNKNOWN_TOKEN)
        return
    if TOKENS.find(token) is None or not TOKENS.connect(token):
        await _close(socket, UNKNOWN_TOKEN)
        return
    try:
        await socket.send_text(json.dumps({"ready": True}))
        await _Connection(socket, token).run()
    except WebSocketDisconnect:
        pass
    finally:
        TOKENS.disconnect(token)


class _RefusedError(Exception):
    """A message that ends the connection."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _Connection:
    """One viewer's connection: reads all requests, answers the latest."""

    def __init__(self, socket: WebSocket, token: str) -> None:
        self._socket, self._token = socket, token
        self._latest: dict[str, Any] | None = None
        self._has_request = asyncio.Event()

    async def run(self) -> None:
        reading, answering = asyncio.create_task(self._read()), asyncio.create_task(self._answer())
        done, pending = await asyncio.wait((reading, answering), return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for task in done:
            error = task.exception()
            if isinstance(error, _RefusedError):
                await _close(self._socket, error.code)
            elif error is not None and not isinstance(error, WebSocketDisconnect):
                raise error

    async def _read(self) -> None:
        while True:
            text = await _message(self._socket)
            try:
                content = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise _RefusedError(NOT_UNDERSTOOD) from error
            if not isinstance(content, dict):
                raise _RefusedError(NOT_UNDERSTOOD)
            self._latest = content
            self._has_request.set()

    async def _answer(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._has_request.wait()
            self._has_request.clear()
            content, live = self._latest or {}, TOKENS.find(self._token)
            if live is None:
                raise _RefusedError(UNKNOWN_TOKEN)
            frame = await asyncio.wrap_future(_EXECUTOR.submit(_frame, live, content), loop=loop)
            await self._socket.send_bytes(frame)


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


async def _close(socket: WebSocket, code: int) -> None:
    with suppress(RuntimeError):  # the browser closed it meanwhile
        await socket.close(code)


def _frame(live: Live, content: Mapping[str, Any]) -> bytes:
    """The answer to a request as bytes; a request that cannot be answered gets a sentence."""
    header: dict[str, Any] = {name: content.get(name) for name in ("id", "row", "column", "samples")}
    header |= {"revision": live.revision, "maps": {}}
    values: list[bytes] = []
    try:
        if content.get("revision") == live.revision:
            answer = live.respond(_request(content))
            header |= {"numbers": [number.describe() for number in answer.numbers], "sentence": answer.sentence}
            for name, window in answer.maps.items():
                header["maps"][name] = {"shape": list(window.values.shape), "window": [window.top, window.left]}
                values.append(np.ascontiguousarray(window.values, dtype="<f4").tobytes())
        else:
            header["revision"] = None
    except UserError as error:
        header["error"] = str(error)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        header["error"] = "Memory ran out; take a smaller image, or crop it."
    text = json.dumps(header).encode()
    return len(text).to_bytes(4, "little") + text + b"".join(values)


def _request(content: Mapping[str, Any]) -> Request:
    row, column, settings, samples = (content.get(name) for name in ("row", "column", "settings", "samples"))
    whole = isinstance(row, int) and isinstance(column, int) and row >= 0 and column >= 0
    if not whole or not isinstance(settings, dict) or not (samples is None or samples in range(1, 257)):
        raise UserError("The request cannot be understood.")
    return Request(row, column, settings, samples)  # type: ignore[arg-type]


def _is_from_here(socket: WebSocket) -> bool:
    """Whether a page of this server, or of one that Streamlit was told to allow, opens the connection."""
    origin, host = socket.headers.get("origin"), socket.headers.get("host")
    if origin is None or host is None:
        return False
    return urlparse(origin).netloc == host or is_url_from_allowed_origins(origin)
