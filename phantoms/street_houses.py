"""Houses along a street, with windows, doors and shop fronts, and the skyline at its end."""

import numpy as np

from .street_view import BUILDING, NEAR, VEGETATION, Canvas, Colour, facing, side_quad, upright_quad

_WALLS = np.array([
    [0.66, 0.6, 0.5], [0.62, 0.46, 0.38], [0.5, 0.32, 0.26], [0.72, 0.69, 0.63],
    [0.55, 0.55, 0.55], [0.7, 0.6, 0.4], [0.5, 0.52, 0.56], [0.64, 0.52, 0.47],
])  # fmt: skip
_WINDOW = np.array([0.17, 0.2, 0.25])
_STOREY = 3.1  # metres


def draw_houses(canvas: Canvas, rng: np.random.Generator, front: float, end: float, light: float) -> None:
    """A row of houses whose fronts stand `front` metres right of the camera, up to `end` metres ahead."""
    side = 1.0 if front > 0 else -1.0
    houses = []
    near = -rng.uniform(0.0, 10.0)
    while near < end:
        far = near + rng.uniform(7.0, 18.0)
        houses.append((near, far, int(rng.integers(2, 7)), _WALLS[rng.integers(len(_WALLS))] * rng.uniform(0.8, 1.15)))
        near = far + (rng.uniform(2.0, 7.0) if rng.random() < 0.18 else 0.0)
    for near, far, storeys, wall in reversed(houses):
        if far <= NEAR + 0.2:
            continue
        top = storeys * _STOREY + 0.8
        if near > NEAR:
            gable = upright_quad(front, front + side * 14.0, 0.0, top, near)
            canvas.paint(gable, 0.8 * wall * light, BUILDING, 0.04, 0.03)
        _draw_front(canvas, rng, front, max(near, NEAR), far, storeys, wall * light)


def _draw_front(
    canvas: Canvas, rng: np.random.Generator, front: float, near: float, far: float, storeys: int, wall: Colour
) -> None:
    """A front along the street: wall, plinth, cornice, rows of windows and what is on the ground floor."""
    top = storeys * _STOREY + 0.8
    canvas.paint(side_quad(front, 0.0, top, near, far), wall, BUILDING, 0.035, 0.03)
    canvas.paint(side_quad(front, 0.0, 0.5, near, far), 0.72 * wall, BUILDING, 0.03)
    canvas.paint(side_quad(front, top - 0.45, top, near, far), 0.7 * wall, BUILDING, 0.03)
    canvas.paint(side_quad(front, 0.0, top, far - 0.12, far), 0.7 * wall, BUILDING)
    if near > 70:
        return
    spacing, width, high = rng.uniform(1.9, 3.0), rng.uniform(0.9, 1.3), rng.uniform(1.3, 1.9)
    shop = rng.random() < 0.4
    frame = np.clip(wall * rng.choice([0.55, 1.3]), 0.0, 1.0)
    for left in np.arange(near + 0.6, far - width - 0.3, spacing):
        for storey in range(1 if shop else 0, storeys):
            low = storey * _STOREY + 1.0
            around = side_quad(front, low - 0.12, low + high + 0.12, left - 0.1, left + width + 0.1)
            canvas.paint(around, frame, BUILDING)
            glass = _WINDOW * rng.uniform(0.6, 2.2) * rng.choice([1.0, 1.0, 1.0, 1.6])
            canvas.paint(side_quad(front, low, low + high, left, left + width), glass, BUILDING, 0.04, 0.05)
    if shop:
        awning = np.array([rng.uniform(0.2, 0.7), rng.uniform(0.15, 0.5), rng.uniform(0.12, 0.5)])
        canvas.paint(side_quad(front, 0.5, 2.5, near + 0.4, far - 0.4), 1.2 * _WINDOW, BUILDING, 0.06, 0.12)
        canvas.paint(side_quad(front, 2.5, 3.1, near + 0.2, far - 0.2), awning, BUILDING, 0.05)
    else:
        door = rng.uniform(near + 0.5, max(far - 1.6, near + 0.6))
        canvas.paint(side_quad(front, 0.0, 2.2, door, door + 1.1), 0.4 * wall, BUILDING)


def draw_skyline(canvas: Canvas, rng: np.random.Generator, end: float, light: float) -> None:
    """What closes the view `end` metres ahead: houses seen from the front, or trees."""
    wooded = rng.random() < 0.45
    left = -2.2 * end
    while left < 2.2 * end:
        width = rng.uniform(8.0, 22.0)
        ahead = end * rng.uniform(1.0, 1.15)
        if wooded:
            green = np.array([rng.uniform(0.2, 0.3), rng.uniform(0.3, 0.4), 0.16]) * light
            middle, up = left + width / 2, rng.uniform(4.0, 9.0)
            turn = np.linspace(0.0, np.pi, 14)
            hump = [(0.75 * width * float(np.cos(t)), up * float(np.sin(t))) for t in turn]
            canvas.paint(facing(middle, ahead, hump), green, VEGETATION, 0.2, 0.15)
            width *= 0.6
        elif rng.random() < 0.85:
            wall = _WALLS[rng.integers(len(_WALLS))] * rng.uniform(0.7, 1.1) * light
            storeys = int(rng.integers(2, 7))
            canvas.paint(upright_quad(left, left + width, 0.0, storeys * _STOREY, ahead), wall, BUILDING, 0.04)
            for low in np.arange(1.0, storeys * _STOREY - 1.5, _STOREY):
                for window in np.arange(left + 0.8, left + width - 1.5, 2.6):
                    canvas.paint(upright_quad(window, window + 1.2, low, low + 1.6, ahead), _WINDOW * 1.3, BUILDING)
        left += width
