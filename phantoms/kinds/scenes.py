"""Streets as a camera in a car sees them: road, pavements, houses, trees, sky, cars, persons and poles."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.errors import UserError

from .. import optics
from ..phantom import Phantom, register
from ..street_houses import draw_houses, draw_skyline
from ..street_objects import draw_bush, draw_car, draw_crossing_car, draw_lamp, draw_person, draw_sign, draw_tree
from ..street_view import FAR, NEAR, ROAD, SIDEWALK, SKY, VEGETATION, Camera, Canvas, Colour, Field, ground_quad

_PALETTE = {
    "road": "#6e6482",
    "sidewalk": "#d2a0c8",
    "building": "#966e5a",
    "vegetation": "#5a963c",
    "sky": "#78b4e6",
    "car": "#283ca0",
    "person": "#d2323c",
    "pole": "#f0c83c",
}
SCENE_CLASSES = tuple(_PALETTE)


@dataclass(frozen=True)
class _Street:
    """Where the kerbs and the fronts are, in metres right of the camera, and what the weather is like.

    Attributes:
        kerbs: Left and right edge of the road.
        fronts: Left and right line of the houses or of the park.
        built: Whether there are houses on the left, on the right; otherwise a park.
        sun: -1, 0 or 1: the sun stands left, behind clouds, right.
        light: Brightness of what the sun does not shine on directly.
    """

    kerbs: tuple[float, float]
    fronts: tuple[float, float]
    built: tuple[bool, bool]
    sun: int
    light: float


@register("scenes", _PALETTE, channels=3)
def scene_phantom(seed: int, size: tuple[int, int] = (128, 256)) -> Phantom:
    """Draw a street with the exact class of every pixel.

    The scene is laid out in metres, seen through a pinhole camera, and painted from far to near on a grid three times
    finer than the picture. A pixel's colour is the mean over its nine sub-pixels, its class that of the one at its
    centre. Tree trunks are vegetation, traffic signs and lights are poles, lane markings are road.

    Raises:
        UserError: A side of `size` (H, W) is shorter than 64 pixels.
    """
    if min(size) < 64:
        raise UserError(f"A scene phantom needs at least 64 x 64 pixels, not {size}.")
    rng = np.random.default_rng(seed)
    camera = Camera(
        focal=max(size) * rng.uniform(0.5, 0.68),
        height=rng.uniform(1.3, 1.9),
        horizon=size[0] * rng.uniform(0.4, 0.5),
        vanishing=size[1] * rng.uniform(0.4, 0.6),
    )
    street = _draw_street(rng)
    zenith, haze = _draw_weather(rng, street)
    canvas = Canvas(rng, camera, size, haze)
    _paint_sky(canvas, rng, zenith, haze)
    _paint_ground(canvas, rng, street)
    end = rng.uniform(60.0, 150.0)
    draw_skyline(canvas, rng, end, street.light)
    for front, built, side in zip(street.fronts, street.built, (-1, 1), strict=True):
        if built:
            draw_houses(canvas, rng, front, end, street.light * (1.25 if street.sun == -side else 0.85))
    things = _park(rng, street) + _furniture(rng, street) + _traffic(rng, street)
    for thing in sorted(things, key=lambda thing: -thing.ahead):
        thing.draw(canvas, rng, thing.right, thing.ahead, street.light)
    image, mask = canvas.picture(visibility=float(rng.uniform(90.0, 500.0)))
    return Phantom(_photograph(rng, image).astype(np.float32), mask, SCENE_CLASSES)


@dataclass(frozen=True)
class _Thing:
    """Something that stands `right` and `ahead` of the camera, in metres."""

    ahead: float
    right: float
    draw: Callable[[Canvas, np.random.Generator, float, float, float], None]


def _draw_street(rng: np.random.Generator) -> _Street:
    kerbs = (-rng.uniform(4.5, 7.5), rng.uniform(2.6, 4.6))
    fronts = (kerbs[0] - rng.uniform(2.2, 4.5), kerbs[1] + rng.uniform(2.2, 4.5))
    built = (bool(rng.random() < 0.75), bool(rng.random() < 0.75))
    return _Street(kerbs, fronts, built, int(rng.integers(-1, 2)), float(rng.uniform(0.75, 1.0)))


def _draw_weather(rng: np.random.Generator, street: _Street) -> tuple[Colour, Colour]:
    """Colours of the sky above and at the horizon."""
    if street.sun == 0:
        grey = rng.uniform(0.68, 0.9)
        return grey * np.array([0.94, 0.97, 1.0]), 1.04 * grey * np.array([0.98, 0.99, 1.0])
    zenith = np.array([rng.uniform(0.25, 0.45), rng.uniform(0.48, 0.64), rng.uniform(0.78, 0.95)])
    warm = rng.uniform(0.0, 1.0) ** 2
    return zenith, np.array([0.78 + 0.14 * warm, 0.84 - 0.04 * warm, 0.9 - 0.2 * warm])


def _paint_sky(canvas: Canvas, rng: np.random.Generator, zenith: Colour, haze: Colour) -> None:
    rows = np.arange(canvas.shape[0]) / (canvas.shape[0] * canvas.camera.horizon / canvas.size[0])
    low = np.clip(rows, 0.0, 1.0)[None, :, None] ** 1.6
    sky = zenith[:, None, None] * (1.0 - low) + haze[:, None, None] * low
    veil = optics.smooth_field(rng, canvas.shape, 6) + 0.6 * optics.smooth_field(rng, canvas.shape, 14)
    clouds = np.clip(0.55 * veil - rng.uniform(-0.2, 0.7), 0.0, 1.0) * (1.0 - 0.5 * low[0])
    white = np.array([0.95, 0.95, 0.96])[:, None, None] * (1.0 - 0.1 * np.clip(veil - 1.0, 0.0, 1.0))
    canvas.colour[:] = sky + (white - sky) * 0.85 * clouds
    canvas.labels[:] = SKY


def _paint_ground(canvas: Canvas, rng: np.random.Generator, street: _Street) -> None:
    light = street.light * (1.12 if street.sun else 0.95)
    asphalt = rng.uniform(0.27, 0.42) * np.array([1.0, 1.0, rng.uniform(1.0, 1.08)]) * light
    slabs = rng.uniform(0.46, 0.6) * np.array([1.05, 1.0, rng.uniform(0.88, 0.97)]) * light
    grass = np.array([rng.uniform(0.26, 0.36), rng.uniform(0.36, 0.46), 0.16]) * light
    for side, kerb, front, built in zip((-1, 1), street.kerbs, street.fronts, street.built, strict=True):
        outer = side * 300.0
        surface = (slabs, SIDEWALK, 0.05, 0.04) if built else (grass, VEGETATION, 0.16, 0.12)
        canvas.paint(ground_quad(front, outer, NEAR, FAR), *surface)
        canvas.paint(ground_quad(kerb, front, NEAR, FAR), slabs, SIDEWALK, 0.04, 0.04)
        for joint in np.arange(NEAR, 25.0, 1.0):
            canvas.paint(ground_quad(kerb, front, joint, joint + 0.04), 0.8 * slabs, SIDEWALK)
        for joint in np.arange(0.8, abs(front - kerb), 0.8):
            gap = ground_quad(kerb + side * joint, kerb + side * (joint + 0.03), NEAR, 30.0)
            canvas.paint(gap, 0.82 * slabs, SIDEWALK)
    canvas.paint(ground_quad(*street.kerbs, NEAR, FAR), asphalt, ROAD, 0.045, 0.045)
    for side, kerb in zip((-1, 1), street.kerbs, strict=True):
        canvas.paint(ground_quad(kerb, kerb - side * 0.35, NEAR, FAR), 0.8 * asphalt, ROAD, 0.05)
        canvas.paint(ground_quad(kerb, kerb + side * 0.22, NEAR, FAR), 1.18 * slabs, SIDEWALK, 0.03)
    _paint_markings(canvas, rng, street, np.array([0.85, 0.85, 0.82]) * light)
    if street.sun and street.built[0 if street.sun < 0 else 1]:
        front, reach = street.fronts[0 if street.sun < 0 else 1], rng.uniform(1.0, 8.0)
        canvas.darken(ground_quad(front, front - street.sun * reach, NEAR, FAR), rng.uniform(0.5, 0.68))


def _paint_markings(canvas: Canvas, rng: np.random.Generator, street: _Street, white: Colour) -> None:
    """A dashed or solid middle line, sometimes edge lines and a zebra crossing."""
    middle = sum(street.kerbs) / 2
    dash, gap = rng.uniform(2.0, 4.0), rng.choice([0.0, 2.5, 4.0])
    start = NEAR + rng.uniform(0.0, 4.0)
    while start < 110:
        canvas.paint(ground_quad(middle - 0.08, middle + 0.08, start, start + dash), white, ROAD, 0.06)
        start += dash + gap
    if rng.random() < 0.5:
        for side, kerb in zip((-1, 1), street.kerbs, strict=True):
            canvas.paint(ground_quad(kerb - side * 0.6, kerb - side * 0.74, NEAR, 110.0), white, ROAD, 0.06)
    if rng.random() < 0.3:
        near = rng.uniform(6.0, 14.0)
        for left in np.arange(street.kerbs[0] + 0.3, street.kerbs[1] - 0.5, 1.0):
            canvas.paint(ground_quad(left, left + 0.5, near, near + 3.0), white, ROAD, 0.08)


def _park(rng: np.random.Generator, street: _Street) -> list[_Thing]:
    """Bushes and trees where there are no houses."""
    things: list[_Thing] = []
    for side, front, built in zip((-1, 1), street.fronts, street.built, strict=True):
        if not built:
            count = int(rng.integers(14, 26))
            aheads, behind = rng.uniform(6.0, 80.0, count), 0.6 + rng.exponential(7.0, count)
            kinds = rng.random(count) < 0.5
            things += [
                _Thing(ahead, front + side * right, draw_tree if tree else draw_bush)
                for ahead, right, tree in zip(aheads, behind, kinds, strict=True)
            ]
    return things


def _furniture(rng: np.random.Generator, street: _Street) -> list[_Thing]:
    """Trees, lamps, signs and persons on the pavements, and sometimes persons on the road."""
    things: list[_Thing] = []
    for side, kerb, front in zip((-1, 1), street.kerbs, street.fronts, strict=True):
        lane = kerb + side * 0.55
        if rng.random() < 0.55:
            rows = np.arange(rng.uniform(6.0, 14.0), 70.0, rng.uniform(7.0, 13.0))
            things += [_Thing(ahead, lane + side * 0.4, draw_tree) for ahead in rows]
        lamps = np.arange(rng.uniform(5.0, 14.0), 23.0, rng.uniform(9.0, 16.0))
        things += [_Thing(ahead, lane, draw_lamp) for ahead in lamps]
        signs = rng.uniform(4.5, 14.0, int(rng.integers(0, 3)))
        things += [_Thing(ahead, lane, draw_sign) for ahead in signs]
        walk = min(kerb, front) + 0.4, max(kerb, front) - 0.4
        things += _persons(rng, int(rng.poisson(2.4)), (4.5, 17.0), walk)
    if rng.random() < 0.3:
        things += _persons(rng, int(rng.integers(1, 3)), (7.0, 15.0), street.kerbs)
    return things


def _persons(
    rng: np.random.Generator, count: int, aheads: tuple[float, float], rights: tuple[float, float]
) -> list[_Thing]:
    return [_Thing(rng.uniform(*aheads), rng.uniform(*rights), draw_person) for _ in range(count)]


def _traffic(rng: np.random.Generator, street: _Street) -> list[_Thing]:
    """Parked cars at the kerbs, cars in both lanes, now and then one across the street."""
    things: list[_Thing] = []
    for side, kerb in zip((-1, 1), street.kerbs, strict=True):
        if rng.random() < 0.65:
            ahead = rng.uniform(4.0, 12.0)
            while ahead < 60:
                if rng.random() < 0.7:
                    things.append(_Thing(ahead, kerb - side * 1.1, draw_car))
                ahead += rng.uniform(5.3, 8.0)
    middle = sum(street.kerbs) / 2
    oncoming = middle - 1.9 if middle < -1.0 else street.kerbs[0] + 2.0
    things += [_Thing(ahead, oncoming, draw_car) for ahead in rng.uniform(8.0, 60.0, int(rng.integers(0, 3)))]
    things += [_Thing(ahead, 0.0, draw_car) for ahead in rng.uniform(8.0, 50.0, int(rng.integers(0, 2)))]
    if rng.random() < 0.15:
        things.append(_Thing(rng.uniform(9.0, 18.0), rng.uniform(*street.kerbs), draw_crossing_car))
    return things


def _photograph(rng: np.random.Generator, image: Field) -> Field:
    """Exposure, colour cast, vignetting, blur and noise of a camera."""
    shape = (image.shape[1], image.shape[2])
    rows, columns = np.indices(shape, dtype=np.float64)
    outwards = np.hypot(rows / shape[0] - 0.5, columns / shape[1] - 0.5)
    cast = np.exp(rng.normal(0.0, 0.05, 3))[:, None, None] * rng.uniform(0.82, 1.12)
    image = np.maximum(image, 0.0) * cast * (1.0 - rng.uniform(0.0, 0.35) * outwards**2)
    blur, noise = rng.uniform(0.15, 0.5), rng.uniform(0.004, 0.018)
    return np.clip(optics.photograph(rng, image, blur, 1.0 / noise**2, 0.6 * noise, 0.4), 0.0, 1.0)
