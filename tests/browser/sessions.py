"""Many sessions that hover at once: each a browser tab of its own, which a client of the channel speaks for."""

import json
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]  # it ships no types
from playwright.sync_api import Browser
from websockets.sync.client import connect
from websockets.typing import Origin

from core import Segmenter, Target, read_image
from core.attribution import gradient
from tests.browser.app import PATIENCE, ROOT
from tests.browser.live import LiveViewer, nearest, whole_map

IMAGES = ("phantom_00", "phantom_01")
SIZE = (256, 256)
Pixel = tuple[int, int]


@dataclass
class Session:
    """A visitor.

    Attributes:
        image: Name of the sample that it looks at.
        token: Token of its viewer.
        request: What its viewer sends beside the pixel.
        answers: What it got: the pixel that it asked for, the header and the values.
    """

    image: str
    token: str
    request: dict[str, Any]
    answers: list[tuple[Pixel, dict[str, Any], np.ndarray]] = field(default_factory=list)

    def hover(self, address: str, pixels: Sequence[Pixel], seconds: float) -> None:
        """Ask for one pixel after another, as a pointer does that never rests."""
        deadline = time.monotonic() + seconds
        url = f"{address.replace('http', 'ws')}/api/live"
        with connect(url, origin=Origin(address), max_size=None) as socket:
            socket.send(json.dumps({"token": self.token}))
            assert json.loads(socket.recv(timeout=60)) == {"ready": True}
            while time.monotonic() < deadline:
                number = len(self.answers)
                row, column = pixels[number % len(pixels)]
                socket.send(json.dumps(self.request | {"id": number, "row": row, "column": column}))
                frame = socket.recv(timeout=60, decode=False)
                length = int.from_bytes(frame[:4], "little")
                values = np.frombuffer(frame[4 + length :], "<f4")
                self.answers.append(((row, column), json.loads(frame[4 : 4 + length]), values))


def hover_at_once(browser: Browser, address: str, number: int, seconds: float) -> tuple[list[Session], list[float]]:
    """Let sessions hover at once.

    Returns:
        The sessions, and the server's memory in MiB after a quarter of the time and at the end.
    """
    server = server_at(address)
    with ExitStack() as stack:
        sessions = []
        for index in range(number):
            page = stack.enter_context(browser.new_context()).new_page()
            page.set_default_timeout(PATIENCE)
            image = IMAGES[index % len(IMAGES)]
            viewer = LiveViewer(page, address, f"?image=vessels/{image}", with_maps=False)
            request = viewer.run("({settings: viewer.settings, revision: viewer.scene.revision})")
            sessions.append(Session(image, viewer.token, request))
        path = pixels_of_path()
        threads = [
            threading.Thread(target=session.hover, args=(address, path[index:] + path[:index], seconds))
            for index, session in enumerate(sessions)
        ]
        for thread in threads:
            thread.start()
        time.sleep(seconds / 4)
        memory = [server.memory_info().rss / 2**20]
        for thread in threads:
            thread.join()
        memory.append(server.memory_info().rss / 2**20)
    return sessions, memory


def pixels_of_path() -> list[Pixel]:
    """Pixels of a curve over the image, borders and corners too."""
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    curve = [(round(128 + 127 * np.cos(angle)), round(128 + 127 * np.sin(2 * angle))) for angle in angles]
    return [(min(row, 255), min(column, 255)) for row, column in curve]


def largest_error(sessions: Sequence[Session], segmenter: Segmenter) -> float:
    """Largest difference of any map from the serial answer, as a proportion of that map's maximum.

    Raises:
        AssertionError: An answer to another question, or an error.
    """
    expected: dict[tuple[str, Pixel], list[np.ndarray]] = {}
    worst = 0.0
    for session in sessions:
        image = read_image(ROOT / "sample_data" / "vessels" / "images" / f"{session.image}.tiff")
        for number, (pixel, header, values) in enumerate(session.answers):
            assert "error" not in header, header["error"]
            assert (header["id"], header["row"], header["column"]) == (number, *pixel)
            assert header["revision"] == session.request["revision"]
            (_, height, width), (top, left) = header["maps"]["map"]["shape"], header["maps"]["map"]["window"]
            found = whole_map(
                {"top": top, "left": left, "height": height, "width": width, "values": values}, SIZE
            )  # fmt: skip
            key = session.image, pixel
            if key not in expected:
                expected[key] = [
                    gradient(segmenter, image, Target.pixel(*pixel, space="logit"), window=window).values[0]
                    for window in (True, False)
                ]
            answer = nearest(found, expected[key])
            worst = max(worst, float(np.abs(found - answer).max() / np.abs(answer).max()))
    return worst


def server_at(address: str) -> psutil.Process:
    """The server's process, which this one has started."""
    port = address.rpartition(":")[2]
    return next(child for child in psutil.Process().children(recursive=True) if port in child.cmdline())
