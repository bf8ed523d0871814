"""From a cold `streamlit run app.py` to the first map in headless Chromium: `python benchmarks/first_paint.py`.

Each round starts Python with `import torch` alone, then a new server, which a new browser profile opens as soon as the
server answers; then a second profile opens the same server, now warm. What is on screen is read from the browser's own
clock: the frame after the first one in which an element of a selector is visible, in the page or in a frame of it. CPU
time is that of the server's process; the browser has its own. The machine may be shared, so the best round counts.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types
from playwright.sync_api import Browser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.browser.app import PATIENCE, VIEWPORT, chromium, running_app

PICTURES = ".viewer[data-ready=true]"
"""A viewer that has painted all its layers so far."""
NUMBERS = ".viewer .numbers > div"
"""The numbers of the map, which come with it."""

_WATCH = """
const watched = SELECTORS
const roots = () => [document, ...[...document.querySelectorAll("[data-testid^=stBidiComponent]")]
    .flatMap(element => [element, ...element.querySelectorAll("*")]).map(element => element.shadowRoot).filter(Boolean)]
const look = () => {
    for (const [name, selector] of Object.entries(watched)) {
        if (roots().some(root => [...root.querySelectorAll(selector)].some(element => element.checkVisibility()))) {
            delete watched[name]
            requestAnimationFrame(() => window.reportSeen(name, performance.timeOrigin + performance.now()))
        }
    }
    requestAnimationFrame(look)
}
look()
"""


def seconds_of_import() -> tuple[float, float]:
    """Wall and CPU seconds of a Python process that imports torch and ends."""
    before, started = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    wall, after = time.perf_counter() - started, os.times()
    used = after.children_user - before.children_user + after.children_system - before.children_system
    return wall, used


def seconds_on_screen(
    browser: Browser, address: str, selectors: Mapping[str, str], started: float, cpu_seconds: Callable[[], float]
) -> dict[str, tuple[float, float]]:
    """Wall seconds from `started` until an element of each selector is on screen, and the server's CPU seconds then."""
    seen: dict[str, tuple[float, float]] = {}
    context = browser.new_context(viewport=VIEWPORT)
    context.expose_function("reportSeen", lambda name, at: seen.setdefault(name, (at / 1000 - started, cpu_seconds())))
    context.add_init_script(_WATCH.replace("SELECTORS", json.dumps(selectors)))
    page = context.new_page()
    page.goto(address)
    end = time.monotonic() + PATIENCE / 1000
    while seen.keys() != selectors.keys():
        if time.monotonic() > end:
            missing = ", ".join(f"{name} ({selectors[name]})" for name in selectors.keys() - seen.keys())
            raise SystemExit(f"Never on screen: {missing}.")
        page.wait_for_timeout(20)
    context.close()
    return seen


def measure(browser: Browser, query: str, selectors: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    """Wall and CPU seconds of one round by what they lead to."""
    found = {"import torch": seconds_of_import()}
    started = time.time()
    with running_app() as address:
        server = next(child for child in psutil.Process().children() if "streamlit" in child.cmdline())
        found["cold: server answers"] = time.time() - started, _cpu_seconds(server)
        cold = seconds_on_screen(browser, f"{address}/{query}", selectors, started, lambda: _cpu_seconds(server))
        found |= {f"cold: first {name}": seconds for name, seconds in cold.items()}
        before, started = _cpu_seconds(server), time.time()
        warm = seconds_on_screen(
            browser, f"{address}/{query}", selectors, started, lambda: _cpu_seconds(server) - before
        )
        found |= {f"warm: first {name}": seconds for name, seconds in warm.items()}
    return found


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--query", default="?image=vessels/phantom_00", help="what follows the address of the server")
    parser.add_argument("--picture", default=PICTURES, help="CSS selector of a picture; default: %(default)s")
    parser.add_argument("--map", default=NUMBERS, help="CSS selector of what comes with the map; default: %(default)s")
    options = parser.parse_args()
    selectors = {"picture": options.picture, "map": options.map}
    with chromium() as browser:
        browser.new_page().goto("about:blank")  # the browser's own start is not counted
        rounds = [measure(browser, options.query, selectors) for _ in range(options.rounds)]
    print(f"best of {len(rounds)} rounds; load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'':24}{'wall, s':>9}{'CPU, s':>9}{'÷ import torch':>16}{'÷ its CPU':>11}")
    lowest = {name: [min(each[name][i] for each in rounds) for i in range(2)] for name in rounds[0]}
    torch_wall, torch_cpu = lowest["import torch"]
    for name, (wall, used) in lowest.items():
        print(f"{name:24}{wall:9.2f}{used:9.2f}{wall / torch_wall:16.2f}{used / torch_cpu:11.2f}")


if __name__ == "__main__":
    main()
