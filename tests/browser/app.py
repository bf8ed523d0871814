"""The app in a process of its own, and a headless Chromium to drive it."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from playwright.sync_api import Browser, Error, Locator, Page, ViewportSize, sync_playwright

Result = TypeVar("Result")
ROOT = Path(__file__).resolve().parents[2]
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
VIEWPORT: ViewportSize = {"width": 1440, "height": 1000}
PATIENCE = 120_000
"""Milliseconds: waits are for states, so only a test that fails takes so long."""


@contextmanager
def running_app(
    seconds: float = 120, script: str = "app.py", arguments: Sequence[str] = (), **environment: str
) -> Iterator[str]:
    """The address of the app, or of another script, on a free port of this machine.

    With arguments after `--`, and changes to the environment.
    """
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "streamlit", "run", script, "--server.headless", "true", "--server.port", str(port),
        "--", *arguments,
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)} | environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_until_healthy(f"http://localhost:{port}/_stcore/health", process, seconds)
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium where it is installed, else Playwright's own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_OPTIONS)
        try:
            yield browser
        finally:
            browser.close()


def eventually(page: Page, check: Callable[[], Result]) -> Result:
    """What `check` returns, once what it looks for is on screen: until then it raises."""
    deadline = time.monotonic() + PATIENCE / 1000
    while True:
        try:
            return check()
        except (AssertionError, Error, LookupError, ValueError):
            if time.monotonic() > deadline:
                raise
        page.wait_for_timeout(50)


def wait_for_rest(page: Page) -> None:
    """Until no script runs and nothing on screen is of an earlier run.

    A change reaches the server only after the browser has sent it: wait for something that the change shows first.
    """
    page.wait_for_function(
        """() => document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'
            && !document.querySelector('[data-stale=true]')"""
    )


def open_by_side_bar(page: Page, title: str) -> None:
    """Click the link to a page in the side bar."""
    page.get_by_test_id("stSidebarNavLink").filter(has_text=title).click()


def numbers(page: Page) -> dict[str, str]:
    """The numbers on screen by name."""
    return page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll('[data-testid=stMetric]')].map(metric =>
            ['Label', 'Value'].map(part => metric.querySelector(`[data-testid=stMetric${part}]`).innerText)))"""
    )


def wait_for_numbers(page: Page, **expected: str) -> None:
    """Until the screen shows these texts under these names."""

    def check() -> None:
        assert numbers(page).items() >= expected.items()

    eventually(page, check)


def clickable_picture(page: Page) -> Locator:
    """The picture that takes clicks."""
    # While a page changes, the iframe of its former picture may still stand beside that of the new one.
    return page.locator("iframe").last.content_frame.locator(".nsewdrag").first


def click(page: Page, aim: Callable[[], tuple[tuple[float, float], tuple[int, int] | None]]) -> tuple[int, int]:
    """Click the picture as a hand does: Plotly takes a click only where it has seen the pointer hover.

    Args:
        page: With a clickable picture.
        aim: Gives x and y on the page, and the row and column there or None for any; called again until the label
            under the pointer names them, since a page may still move.

    Returns:
        The row and column that the label names.
    """

    def hover() -> tuple[int, int]:
        place, expected = aim()
        page.mouse.move(0, 0)
        page.mouse.move(*place)
        label = page.locator("iframe").last.content_frame.locator(".hovertext").first.text_content(timeout=2000)
        row, column = map(int, re.findall(r"\d+", label or "")[:2])
        assert expected in {None, (row, column)}
        return row, column

    pixel = eventually(page, hover)
    page.mouse.down()
    page.mouse.up()
    return pixel


def _wait_until_healthy(url: str, process: subprocess.Popen, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"The app ended with exit code {process.returncode}.")
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - this machine's own address
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"The app did not answer within {seconds} seconds.")
