"""Screenshots of every page in three widths, two themes and with three networks: `make screenshots`.

They lie in the folder named on the command line; what is wrong with a layout is printed.
"""

import sys
from itertools import product
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from playwright.sync_api import Browser, Page, ViewportSize

from tests.browser.app import PATIENCE, chromium, running_app, wait_for_rest
from tests.browser.layout import faults_of

ColorScheme = Literal["light", "dark"]
PAGES = {
    "explorer": "",
    "jacobian": "jacobian",
    "integrated_gradients": "integrated_gradients",
    "cams": "cams",
    "trust": "trust",
    "what_if": "what_if",
}
SIZES: tuple[ViewportSize, ...] = (
    {"width": 1280, "height": 800},
    {"width": 1920, "height": 1080},
    {"width": 800, "height": 900},
)
SCHEMES: tuple[ColorScheme, ...] = ("light", "dark")
MODELS = ("vessmap", "scenes", "fundus")


def main() -> None:
    """Take them all."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    with running_app() as address, chromium() as browser:
        for name, model, scheme in product(PAGES, MODELS, SCHEMES):
            page = open_page(browser, f"{address}/{PAGES[name]}?model={model}", scheme)
            for size in SIZES:
                resize(page, size)
                path = folder / f"{name}-{model}-{size['width']}-{scheme}.png"
                page.screenshot(path=path)
                for fault in faults_of(page):
                    sys.stdout.write(f"{path.name}: {fault}\n")
            page.close()


def open_page(browser: Browser, address: str, scheme: ColorScheme = "light") -> Page:
    """A new tab with a page whose pictures are there."""
    page = browser.new_page(viewport=SIZES[0], color_scheme=scheme)
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.locator('.viewer[data-ready="true"], [data-testid=stMain] [data-testid=stImage]').first.wait_for(
        state="attached"
    )
    wait_for_rest(page)
    return page


def resize(page: Page, size: ViewportSize) -> None:
    """Change the size of the window, and wait until the page has laid itself out."""
    page.set_viewport_size(size)
    page.wait_for_function(
        """() => new Promise(done => {
            const sizes = () => [...document.querySelectorAll('.viewer, [data-testid=stMain], h1')]
                .map(node => JSON.stringify(node.getBoundingClientRect())).join()
            let before = sizes(), still = 0
            const look = () => {
                const now = sizes()
                still = now === before ? still + 1 : 0
                before = now
                still > 20 ? done(true) : requestAnimationFrame(look)
            }
            look()
        })"""
    )


if __name__ == "__main__":
    main()
