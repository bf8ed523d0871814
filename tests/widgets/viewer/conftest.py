"""The channel on a server of its own, in a thread of the tests."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from core.attribution.windowed import MapWindow
from widgets.viewer.channel import TOKENS, Answer, Live, Request
from widgets.viewer.route import routes
from widgets.viewer.scene import Words

PATIENCE = 60
REVISION = "network-image"


def map_of(request: Request) -> Answer:
    """Values that tell which request they answer."""
    values = np.array([[[request.row, request.column], [0.5, -2]]], np.float32)
    return Answer(
        {"map": MapWindow(values, request.row, request.column)}, Words(f"At {request.row}, {request.column}.")
    )


class Client:
    """A browser's end of the channel."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def send(self, message: object) -> None:
        self.socket.send(message if isinstance(message, str | bytes) else json.dumps(message))

    def ask(self, row: int, column: int, **changed: Any) -> None:
        request = {"id": 1, "row": row, "column": column, "settings": {}, "revision": REVISION}
        self.send(request | changed)

    def answer(self) -> tuple[dict[str, Any], np.ndarray]:
        """The header of the next answer and all of its values."""
        frame = self.socket.recv(timeout=PATIENCE)
        length = int.from_bytes(frame[:4], "little")
        return json.loads(frame[4 : 4 + length]), np.frombuffer(frame[4 + length :], "<f4")

    def code(self) -> int:
        """The code with which the server ends the connection."""
        with pytest.raises(ConnectionClosed) as ended:
            self._read_to_the_end()
        assert ended.value.rcvd is not None, "the server did not say why"
        return ended.value.rcvd.code

    def _read_to_the_end(self) -> None:
        while True:
            self.socket.recv(timeout=PATIENCE)


class Server:
    """Where the channel is served."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.origin = f"http://localhost:{port}"

    @contextmanager
    def opened(self, first: object, **options: Any) -> Iterator[Client]:
        """A connection that has sent its first message, unless that is None."""
        options = {"origin": self.origin, "max_size": None, "compression": None} | options
        with connect(f"ws://localhost:{self.port}/api/live", **options) as socket:
            client = Client(socket)
            if first is not None:
                client.send(first)
            yield client

    @contextmanager
    def viewer(self, token: str, **options: Any) -> Iterator[Client]:
        """A connection that may ask."""
        with self.opened({"token": token}, **options) as client:
            assert json.loads(client.socket.recv(timeout=PATIENCE)) == {"ready": True}
            yield client


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    async def alive(_request: object) -> PlainTextResponse:
        return PlainTextResponse("alive")

    app = Starlette(routes=[*routes(), Route("/alive", alive)])
    config = uvicorn.Config(app, port=0, log_level="error", ws="websockets-sansio", ws_max_size=200 * 2**20)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        assert thread.is_alive()
    yield Server(running.servers[0].sockets[0].getsockname()[1])
    running.should_exit = True
    thread.join(PATIENCE)
    assert not thread.is_alive()


@pytest.fixture
def opened() -> Iterator[Callable[..., str]]:
    """Opens a token for what answers; all are closed after the test."""
    tokens: list[str] = []

    def open_token(respond: Callable[[Request], Answer] = map_of, refine: tuple[int, ...] = ()) -> str:
        tokens.append(f"token-{id(tokens)}-{len(tokens)}")
        TOKENS.open(tokens[-1], Live(respond, REVISION, refine))
        return tokens[-1]

    yield open_token
    for token in tokens:
        TOKENS.close(token)
