"""What stands and moves in a street: cars, persons, trees, lamps and signs."""

import numpy as np

from .street_view import (
    CAR,
    PERSON,
    POLE,
    VEGETATION,
    Canvas,
    Colour,
    Field,
    Point,
    facing,
    ground_quad,
    side_quad,
    upright_polygon,
    upright_quad,
)

_PAINTS = np.array([
    [0.82, 0.82, 0.8], [0.6, 0.62, 0.64], [0.12, 0.12, 0.14], [0.3, 0.32, 0.36],
    [0.55, 0.1, 0.1], [0.13, 0.22, 0.45], [0.62, 0.55, 0.2], [0.16, 0.3, 0.24],
])  # fmt: skip
_CLOTHES = np.array([
    [0.12, 0.13, 0.2], [0.5, 0.14, 0.16], [0.2, 0.26, 0.48], [0.62, 0.6, 0.55],
    [0.28, 0.24, 0.2], [0.7, 0.52, 0.2], [0.2, 0.34, 0.26], [0.1, 0.1, 0.11],
])  # fmt: skip
_GLASS = np.array([0.13, 0.16, 0.2])
_TYRE = np.array([0.05, 0.05, 0.06])


def draw_car(canvas: Canvas, rng: np.random.Generator, right: float, ahead: float, light: float) -> None:
    """A car along the street, `right` and `ahead` of the camera in metres, seen from behind or from the front."""
    paint = _PAINTS[rng.integers(len(_PAINTS))] * rng.uniform(0.85, 1.15) * light
    half, roof, length = rng.uniform(0.86, 0.95), rng.uniform(1.4, 1.75), rng.uniform(3.9, 4.7)
    belt = 0.58 * roof
    oncoming = rng.random() < 0.5
    canvas.darken(ground_quad(right - half - 0.15, right + half + 0.15, ahead - 0.15, ahead + length + 0.2), 0.45)
    side = right - np.sign(right) * half if abs(right) > half else None
    if side is not None:
        _car_side(canvas, paint, float(side), ahead, length, belt, roof, float(np.sign(right)))
    for wheel in (-1, 1):
        tyre = upright_quad(right + wheel * half * 0.98, right + wheel * half * 0.7, 0.0, 0.4, ahead + 0.05)
        canvas.paint(tyre, _TYRE, CAR)
    canvas.paint(upright_quad(right - half, right + half, 0.24, belt, ahead), paint, CAR, 0.02)
    canvas.paint(ground_quad(right - 0.97 * half, right + 0.97 * half, ahead, ahead + 0.35, belt), 1.08 * paint, CAR)
    canvas.paint(_trapezium(right, 0.93 * half, 0.72 * half, belt, roof, ahead + 0.3), 0.95 * paint, CAR)
    window = _trapezium(right, 0.82 * half, 0.64 * half, belt + 0.04, roof - 0.09, ahead + 0.3)
    canvas.paint(window, _GLASS * light * rng.uniform(0.8, 2.2), CAR, 0.06)
    canvas.paint(upright_quad(right - half, right + half, 0.24, 0.42, ahead), 0.5 * paint, CAR)
    lamp = np.array([0.95, 0.93, 0.82]) if oncoming else np.array([0.7, 0.08, 0.07])
    for end in (-1, 1):
        lights = upright_quad(right + end * 0.96 * half, right + end * 0.68 * half, belt - 0.26, belt - 0.08, ahead)
        canvas.paint(lights, lamp, CAR)
    if oncoming:
        canvas.paint(upright_quad(right - 0.5 * half, right + 0.5 * half, 0.46, 0.62, ahead), 0.3 * paint, CAR)
    canvas.paint(upright_quad(right - 0.26, right + 0.26, 0.42, 0.53, ahead), np.array([0.8, 0.8, 0.76]), CAR)


def _trapezium(right: float, below: float, above: float, low: float, high: float, ahead: float) -> list[Point]:
    """Half as wide as `below` at the bottom and as `above` at the top."""
    return facing(right, ahead, [(-below, low), (below, low), (above, high), (-above, high)])


def _car_side(
    canvas: Canvas, paint: Colour, side: float, near: float, length: float, belt: float, roof: float, sign: float
) -> None:
    """The flank that is turned to the middle of the street: body, windows, wheels."""
    far = near + length
    flank = 0.72 * paint
    canvas.paint(side_quad(side, 0.24, belt, near, far), flank, CAR, 0.02)
    inner = side + sign * 0.1
    cabin = [(side, belt, near + 0.15), (inner, roof, near + 0.5), (inner, roof, far - 1.7), (side, belt, far - 0.9)]
    canvas.paint(cabin, flank, CAR)
    for start, end in ((0.45, 1.35), (1.45, length - 1.45)):
        low, high = belt + 0.05, roof - 0.1
        pane = [(side, low, near + start), (inner, high, near + start + 0.15), (inner, high, near + end - 0.3)]
        canvas.paint([*pane, (side, low, near + end)], 1.3 * _GLASS, CAR)
    turn = np.linspace(0.0, 2 * np.pi, 18)
    for axle in (near + 0.8, far - 0.85):
        for radius, colour in ((0.34, _TYRE), (0.19, np.array([0.45, 0.45, 0.46]))):
            wheel = upright_polygon(axle, 0.33, side, radius, turn)  # turned by a quarter, along the street
            canvas.paint([(right, up, ahead) for ahead, up, right in wheel], colour, CAR)


def draw_crossing_car(canvas: Canvas, rng: np.random.Generator, right: float, ahead: float, light: float) -> None:
    """A car across the street, seen from the side."""
    paint = _PAINTS[rng.integers(len(_PAINTS))] * rng.uniform(0.85, 1.15) * light
    roof, half, way = rng.uniform(1.4, 1.6), rng.uniform(2.0, 2.3), rng.choice([-1.0, 1.0])
    canvas.darken(ground_quad(right - half, right + half, ahead - 0.2, ahead + 1.9), 0.45)

    def shape(*corners: tuple[float, float]) -> list[Point]:
        return facing(right, ahead, [(way * half * aside, roof * up) for aside, up in corners])

    body = [(-0.98, 0.2), (-1.0, 0.5), (-0.92, 0.64), (0.5, 0.62), (0.94, 0.5), (1.0, 0.36), (0.97, 0.2)]
    canvas.paint(shape(*body), paint, CAR, 0.02)
    canvas.paint(shape((-0.86, 0.62), (-0.6, 0.98), (0.1, 1.0), (0.5, 0.6)), 0.95 * paint, CAR)
    panes = (
        ((-0.74, 0.64), (-0.55, 0.92), (-0.26, 0.93), (-0.24, 0.63)),
        ((-0.18, 0.63), (-0.2, 0.93), (0.07, 0.93), (0.36, 0.62)),
    )
    for pane in panes:
        canvas.paint(shape(*pane), _GLASS * light * 1.6, CAR)
    turn = np.linspace(0.0, 2 * np.pi, 18)
    for axle in (-0.6, 0.64):
        for radius, colour in ((0.33, _TYRE), (0.18, np.array([0.5, 0.5, 0.52]))):
            canvas.paint(upright_polygon(right + way * half * axle, 0.33, ahead, radius, turn), colour, CAR)


def draw_person(canvas: Canvas, rng: np.random.Generator, right: float, ahead: float, light: float) -> None:
    """A person who stands or walks, in long or short clothes."""
    tall = rng.uniform(1.55, 1.88)
    coat, trousers = (_CLOTHES[rng.integers(len(_CLOTHES))] * rng.uniform(0.8, 1.3) * light for _ in range(2))
    skin = np.array([0.78, 0.58, 0.47]) * rng.uniform(0.5, 1.1) * light
    hair = np.array([0.2, 0.14, 0.1]) * rng.uniform(0.3, 2.5) * light
    stride, lean = rng.uniform(0.03, 0.24), rng.normal(0.0, 0.03)
    hem = tall * rng.choice([0.44, 0.46, 0.3])
    canvas.darken(ground_quad(right - 0.35, right + 0.35, ahead - 0.2, ahead + 0.25), 0.6)

    def limb(start: tuple[float, float], end: tuple[float, float], width: float, colour: Colour) -> None:
        (a, low), (b, high) = start, end
        corners = [(a - width, low), (a + width, low), (b + width, high), (b - width, high)]
        canvas.paint(facing(right, ahead, corners), colour, PERSON, 0.05)

    for leg in (-1, 1):
        limb((leg * stride, 0.0), (leg * 0.09, 0.5 * tall), 0.085, trousers * (1.0 if leg < 0 else 0.85))
        limb((leg * stride, 0.0), (leg * stride * 0.97, 0.06), 0.1, np.array([0.08, 0.07, 0.07]))
    for arm in (-1, 1):
        hand = arm * (0.27 + 0.5 * stride) + lean
        limb((hand, 0.45 * tall), (arm * 0.21 + lean, 0.8 * tall), 0.065, 0.85 * coat)
        limb((hand, 0.42 * tall), (hand, 0.46 * tall), 0.05, skin)
    shoulders = [(0.2, 0.66), (0.24, 0.79), (0.08, 0.845), (-0.08, 0.845), (-0.24, 0.79), (-0.2, 0.66)]
    body = [(-0.19, hem), (0.19, hem), *((aside + lean, up * tall) for aside, up in shoulders)]
    canvas.paint(facing(right, ahead, body), coat, PERSON, 0.06)
    head = canvas.upright(
        (right + lean, 0.925 * tall, ahead), lambda aside, up: (aside / 0.105) ** 2 + (up / 0.135) ** 2 < 1, 0.14
    )
    canvas.fill(head, skin[:, None] * np.ones(len(head.rows)), PERSON, ahead)
    covered = head.up > 0.03 + 0.3 * np.abs(head.aside)
    canvas.colour[:, head.rows[covered], head.columns[covered]] = hair[:, None]


def draw_tree(canvas: Canvas, rng: np.random.Generator, right: float, ahead: float, light: float) -> None:
    """A tree: a trunk and a crown of many clumps of leaves, brighter above."""
    stem, width = rng.uniform(1.9, 3.2), rng.uniform(0.13, 0.22)
    size = rng.uniform(1.2, 2.3)
    bark = np.array([0.3, 0.23, 0.17]) * rng.uniform(0.6, 1.1) * light
    canvas.darken(ground_quad(right - 0.8 * size, right + 0.8 * size, ahead - 0.8, ahead + 0.8), 0.62)
    canvas.paint(upright_quad(right - width, right + width, 0.0, stem + 0.6 * size, ahead), bark, VEGETATION, 0.2)
    _leaves(canvas, rng, (right, stem + 0.9 * size, ahead), (size, 1.15 * size), _leaf_colour(rng) * light)


def draw_bush(canvas: Canvas, rng: np.random.Generator, right: float, ahead: float, light: float) -> None:
    """A bush, as wide as it is high."""
    size = rng.uniform(0.9, 2.2)
    _leaves(canvas, rng, (right, 0.45 * size, ahead), (0.6 * size, 0.55 * size), 0.8 * _leaf_colour(rng) * light)


def _leaf_colour(rng: np.random.Generator) -> Colour:
    return np.array([rng.uniform(0.2, 0.38), rng.uniform(0.33, 0.47), rng.uniform(0.1, 0.2)]) * rng.uniform(0.75, 1.1)


def _leaves(
    canvas: Canvas, rng: np.random.Generator, centre: Point, reach: tuple[float, float], colour: Colour
) -> None:
    clumps = int(rng.integers(9, 15))
    turns, out = rng.uniform(0.0, 2 * np.pi, clumps), 0.62 * np.sqrt(rng.uniform(0.0, 1.0, clumps))
    asides, ups = reach[0] * out * np.cos(turns), reach[1] * out * np.sin(turns)
    radii = rng.uniform(0.36, 0.55, clumps) * max(reach)
    waves = rng.uniform(2.0, 6.0, 4) * np.pi / max(reach)
    phases = rng.uniform(0.0, 2 * np.pi, 4)

    def outline(aside: Field, up: Field) -> np.ndarray:
        gaps = [np.hypot(aside - a, up - u) / radius for a, u, radius in zip(asides, ups, radii, strict=True)]
        ragged = np.sin(waves[0] * aside + phases[0]) * np.sin(waves[1] * up + phases[1])
        ragged += 0.6 * np.sin(2.3 * waves[2] * aside + phases[2]) * np.sin(2.3 * waves[3] * up + phases[3])
        return np.asarray(np.min(gaps, axis=0) + 0.13 * ragged < 1)

    window = canvas.upright(centre, outline, 1.25 * max(reach))
    grain = 0.2 * canvas.fine[window.rows, window.columns] + 0.22 * canvas.coarse[window.rows, window.columns]
    lit = 0.85 + 0.3 * window.up / max(reach)
    canvas.fill(window, colour[:, None] * np.clip(lit + grain, 0.15, 1.9), VEGETATION, centre[2])


def draw_lamp(canvas: Canvas, rng: np.random.Generator, right: float, ahead: float, light: float) -> None:
    """A street lamp, its arm over the road."""
    colour = np.array([0.36, 0.37, 0.37]) * rng.uniform(0.45, 1.25) * light
    width, top = rng.uniform(0.09, 0.13), rng.uniform(4.2, 6.5)
    arm = -np.sign(right) * rng.uniform(0.9, 1.8)
    canvas.paint(upright_quad(right - width, right + width, 0.0, top, ahead), colour, POLE, 0.04)
    canvas.paint(upright_quad(right - 1.6 * width, right + 1.6 * width, 0.0, 0.9, ahead), colour, POLE, 0.04)
    bar = [(right, top - 0.1, ahead), (right + arm, top + 0.25, ahead), (right + arm, top + 0.42, ahead)]
    canvas.paint([*bar, (right, top + 0.1, ahead)], colour, POLE)
    head = upright_quad(right + arm - 0.35, right + arm + 0.35, top + 0.18, top + 0.42, ahead)
    canvas.paint(head, 1.25 * colour, POLE)


def draw_sign(canvas: Canvas, rng: np.random.Generator, right: float, ahead: float, light: float) -> None:
    """A post with a round, three-cornered or square traffic sign, or with a traffic light."""
    post = np.array([0.5, 0.51, 0.52]) * rng.uniform(0.6, 1.15) * light
    width, middle = rng.uniform(0.07, 0.1), rng.uniform(2.2, 2.9)
    kind = int(rng.integers(4))
    canvas.paint(upright_quad(right - width, right + width, 0.0, middle, ahead), post, POLE)
    if kind == 3:
        box = np.array([0.09, 0.1, 0.1])
        canvas.paint(upright_quad(right - 0.2, right + 0.2, middle - 0.1, middle + 0.95, ahead), box, POLE)
        burning = int(rng.integers(3))
        for number, colour in enumerate(np.array([[0.1, 0.85, 0.4], [0.95, 0.7, 0.1], [0.95, 0.12, 0.1]])):
            glow = colour * (1.0 if number == burning else 0.22)
            lamp = canvas.upright((right, middle + 0.1 + 0.32 * number, ahead), lambda a, u: a**2 + u**2 < 0.016, 0.13)
            canvas.fill(lamp, glow[:, None], POLE, ahead)
        return
    corners = (32, 3, 4)[kind]
    turn = 2 * np.pi * np.arange(corners) / corners + (np.pi / 4 if kind == 2 else np.pi / 2)
    red, blue, white = np.array([0.75, 0.08, 0.1]), np.array([0.08, 0.22, 0.6]), np.array([0.92, 0.92, 0.9])
    face, border = (blue, white) if kind == 2 or rng.random() < 0.3 else (white, red)
    for radius, paint in ((0.42, border), (0.31, face)):
        canvas.paint(upright_polygon(right, middle, ahead, radius, turn), paint * light, POLE)
