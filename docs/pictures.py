"""Makes the pictures of the README and of docs/ from the running app: `python docs/pictures.py`.

`hovering.webp` shows the pointer moving along a vessel of a synthetic image, with the gradient map that follows it.
"""

import io
import sys
from pathlib import Path

from PIL import Image, ImageDraw
from playwright.sync_api import FloatRect, Page, expect

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import itertools

from tests.browser.app import PATIENCE, chromium, running_app, wait_for_rest
from tests.browser.viewer import Viewer

HERE = Path(__file__).parent
PATH = ((52, 88), (74, 84), (100, 92), (128, 110), (141, 133), (130, 158), (112, 176), (96, 196), (84, 212))
STEPS = 5
FRAME_MILLISECONDS = 90
LARGEST_BYTES = 2_000_000
POINTER = 9


def main() -> None:
    """Make all of them."""
    with running_app() as address, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800}, device_scale_factor=1)
        page.set_default_timeout(PATIENCE)
        page.goto(f"{address}/?image=vessels/phantom_00&row=128&column=110&pins=74,84;128,110;112,176")
        viewer = Viewer(page).wait()
        page.screenshot(path=HERE / "pixel_explorer.png")
        frames = [frame for place in path() for frame in hovered(page, viewer, place)]
        save_animation(frames, HERE / "hovering.webp")
        for name, picture in (("cams", "class_activation_maps"), ("trust", "trust")):
            page.goto(f"{address}/{name}")
            Viewer(page).wait(live=False)
            page.locator(".st-key-running-work").wait_for(state="detached")
            wait_for_rest(page)
            expect(page.locator('.viewer:not([data-ready="true"])')).to_have_count(0)
            page.screenshot(path=HERE / f"{picture}.png")


def path() -> list[tuple[int, int]]:
    """Pixels along the way, evenly between its corners."""
    pixels = []
    for start, end in itertools.pairwise(PATH):
        for step in range(STEPS):
            share = step / STEPS
            row, column = (round(a + share * (b - a)) for a, b in zip(start, end, strict=True))
            pixels.append((row, column))
    return pixels


def hovered(page: Page, viewer: Viewer, pixel: tuple[int, int]) -> list[Image.Image]:
    """The panels with the pointer over a pixel, once its map is painted."""
    viewer.hover(*pixel)
    x, y = viewer.aim(*pixel)
    frame, below = (viewer.root.locator(part).bounding_box() for part in (".panels", ".line"))
    if frame is None or below is None:
        raise RuntimeError("The viewer is not on screen.")
    clip: FloatRect = {**frame, "height": below["y"] + 24 - frame["y"]}
    picture = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")
    return [with_pointer(picture, x - frame["x"], y - frame["y"])]


def with_pointer(picture: Image.Image, x: float, y: float) -> Image.Image:
    """The picture with a ring where the pointer is, which screenshots leave out."""
    draw = ImageDraw.Draw(picture)
    for colour, width in (((0, 0, 0), 4), ((255, 255, 255), 2)):
        draw.ellipse((x - POINTER, y - POINTER, x + POINTER, y + POINTER), outline=colour, width=width)
    return picture


def save_animation(frames: list[Image.Image], out: Path) -> None:
    """The frames forth and back, as an endless WebP of at most `LARGEST_BYTES`."""
    frames = [*frames, *reversed(frames[1:-1])]
    for quality in (70, 50, 35):
        frames[0].save(
            out, save_all=True, append_images=frames[1:], duration=FRAME_MILLISECONDS, loop=0, quality=quality, method=4
        )
        if out.stat().st_size <= LARGEST_BYTES:
            return
    raise RuntimeError(f"{out} takes {out.stat().st_size} bytes, more than {LARGEST_BYTES}.")


if __name__ == "__main__":
    main()
