"""Retinal vessel trees: arteries and veins that leave the optic disc, arch around the fovea, branch and taper."""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .centrelines import claim, smooth_walk, walk
from .optics import Field, direction

STEP = 1.2  # pixels between neighbouring points of a centre line
_GENERATIONS = 5
_ARTERY, _VEIN = 0, 1


@dataclass(frozen=True)
class Eye:
    """Landmarks of a picture of a retina, in pixels, (row, column).

    Attributes:
        centre: Centre of the round field of view.
        radius: Radius of the field of view.
        disc: Centre of the optic disc.
        disc_radius: Mean radius of the optic disc.
        fovea: Centre of the fovea.
    """

    centre: Field
    radius: float
    disc: Field
    disc_radius: float
    fovea: Field

    @property
    def axis(self) -> float:
        """Direction from the disc to the fovea, see `direction`."""
        return direction(self.fovea - self.disc)


@dataclass(frozen=True)
class Vessel:
    """One unbranched stretch of artery or vein.

    Attributes:
        points: Rows and columns, (N, 2), `STEP` pixels apart.
        radius: At each point, in pixels, (N,).
        artery: Artery or vein.
    """

    points: Field
    radius: Field
    artery: bool


@dataclass(frozen=True)
class _Sprout:
    point: Field
    heading: float
    turn: float
    length: float
    radius: float
    kind: int
    generation: int
    clear: int


def grow_arcades(rng: np.random.Generator, eye: Eye, shape: tuple[int, int]) -> list[Vessel]:
    """Grow the arteries and veins of one eye.

    Four pairs of trunks leave the disc; the temporal ones arch around the fovea, the nasal ones run straight. Where a
    branch leaves, the radii obey Murray's law, r³ = r₁³ + r₂³ (Murray 1926). Vessels of one kind never cross each
    other, an artery may cross a vein, and none enters the foveal avascular zone.

    Returns:
        The vessels in an image of `shape` (H, W), trunks first.
    """
    tortuosity = float(rng.uniform(0.06, 0.16))
    finest = 0.006 * eye.radius
    owners = np.full((2, *shape), -1, dtype=np.int64)
    vessels: list[Vessel] = []
    sprouts = deque(_trunks(rng, eye))
    while sprouts:
        sprout = sprouts.popleft()
        points = _stop(_wander(rng, sprout, tortuosity), sprout, eye, owners)
        if len(points) < (8 if sprout.generation else 4):
            continue
        exits = _exits(rng, len(points), eye, sprout)
        radius, shares = _taper(rng, sprout, len(points), exits)
        claim(owners[sprout.kind], points, len(vessels), reach=2)
        vessels.append(Vessel(points, np.maximum(radius, finest), sprout.kind == _ARTERY))
        if sprout.generation < _GENERATIONS:
            daughters = _daughters(rng, sprout, points, radius, exits, shares, eye)
            sprouts.extend(daughter for daughter in daughters if daughter.radius > 0.8 * finest)
    return vessels


def _trunks(rng: np.random.Generator, eye: Eye) -> list[_Sprout]:
    """An artery and a vein for each quadrant, and a few small vessels of the disc's own."""
    trunks = []
    calibre = eye.radius * float(rng.uniform(0.0165, 0.0205))
    for upwards in (-1.0, 1.0):
        for temporal in (True, False):
            middle = rng.uniform(1.15, 1.5) if temporal else rng.uniform(2.0, 2.45)
            spread = rng.choice([-1.0, 1.0]) * rng.uniform(0.1, 0.2)
            for kind in (_VEIN, _ARTERY):
                angle = middle + (spread if kind == _VEIN else -spread)
                # An arch: the temporal trunks end up running a little towards the raphe behind the fovea.
                turn = -(angle + rng.uniform(0.1, 0.45)) if temporal else rng.uniform(-0.15, 0.5)
                radius = calibre * (1.0 if kind == _VEIN else rng.uniform(0.68, 0.82)) * (1.0 if temporal else 0.82)
                root = eye.disc + eye.disc_radius * rng.uniform(-0.22, 0.22, 2)
                length = eye.radius * (rng.uniform(1.7, 1.95) if temporal else rng.uniform(1.0, 1.3))
                trunks.append(_Sprout(root, eye.axis + upwards * angle, upwards * turn, length, radius, kind, 0, 10**6))
    for angle in rng.uniform(-0.5, 0.5, int(rng.integers(1, 4))):  # cilioretinal and small macular vessels
        kind = int(rng.integers(2))
        start = eye.disc + 0.5 * eye.disc_radius * np.array([np.sin(eye.axis + angle), np.cos(eye.axis + angle)])
        trunks.append(
            _Sprout(start, eye.axis + 1.6 * angle, -1.2 * angle, 0.5 * eye.radius, 0.38 * calibre, kind, 2, 8)
        )
    return trunks


def _wander(rng: np.random.Generator, sprout: _Sprout, tortuosity: float) -> Field:
    """A path that turns by the sprout's whole angle along its length, with smooth bends around that."""
    count = max(int(sprout.length / STEP), 4)
    share = np.linspace(0.0, 1.0, count)
    # Most of the turn is done early: an arcade leaves the disc steeply and then runs on almost straight.
    heading = sprout.heading + sprout.turn * (1.0 - (1.0 - share) ** 1.7)
    bends, wiggle = smooth_walk(rng, count, 14.0), smooth_walk(rng, count, 5.0)
    unrest = tortuosity * (1.0 + 0.35 * min(sprout.generation, 3))
    heading = heading + unrest * (1.3 * (bends - bends[0]) + 0.6 * (wiggle - wiggle[0]))
    return walk(sprout.point, heading, STEP)


def _stop(points: Field, sprout: _Sprout, eye: Eye, owners: NDArray[np.int64]) -> Field:
    """The path up to where it leaves the field, meets a vessel of its kind or nears the fovea."""
    away = np.hypot(*(points - eye.centre).T) > 1.03 * eye.radius
    blind = np.hypot(*(points - eye.fovea).T) < 0.13 * eye.radius
    rows, columns = np.rint(points).astype(int).T
    inside = (rows >= 0) & (rows < owners.shape[1]) & (columns >= 0) & (columns < owners.shape[2])
    rows, columns = rows.clip(0, owners.shape[1] - 1), columns.clip(0, owners.shape[2] - 1)
    met = owners[sprout.kind, rows, columns] >= 0
    met[: sprout.clear] = False
    stopped = away | blind | met | ~inside
    if stopped.any():
        points = points[: int(np.argmax(stopped))]
    # A branch that would run along inside a vessel of the other kind is not drawn at all.
    crossed = owners[1 - sprout.kind, rows, columns][: len(points)] >= 0
    return points[:0] if sprout.generation and crossed[4:].sum() > 0.3 * len(points) else points


def _exits(rng: np.random.Generator, count: int, eye: Eye, sprout: _Sprout) -> NDArray[np.int64]:
    """Where along a vessel its side branches leave, as indices of its points."""
    spacing = eye.radius * (0.13 if sprout.generation == 0 else 0.12) / STEP
    first = (1.5 * eye.disc_radius if sprout.generation == 0 else 0.05 * eye.radius) / STEP
    gaps = spacing * rng.uniform(0.45, 1.5, 40)
    places = (first + np.cumsum(gaps) - 0.5 * gaps[0]).astype(np.int64)
    return places[places < count - 6]


def _taper(rng: np.random.Generator, sprout: _Sprout, count: int, exits: NDArray[np.int64]) -> tuple[Field, Field]:
    """The radius along a vessel, and the share of r³ that each side branch takes."""
    shares = rng.uniform(0.06, 0.3, len(exits)) if sprout.generation < 2 else rng.uniform(0.15, 0.45, len(exits))
    cube = np.full(count, sprout.radius**3)
    for place, share in zip(exits, shares, strict=True):
        cube[place:] *= 1.0 - share
    radius = ndimage.gaussian_filter1d(np.cbrt(cube), 3.0, mode="nearest")
    radius *= np.linspace(1.0, 0.82, count) * np.exp(0.05 * smooth_walk(rng, count, 6.0))
    return radius, shares


def _daughters(
    rng: np.random.Generator,
    sprout: _Sprout,
    points: Field,
    radius: Field,
    exits: NDArray[np.int64],
    shares: Field,
    eye: Eye,
) -> list[_Sprout]:
    """Side branches, to the left and the right in turn, and the fork at the far end."""
    daughters = []
    generation = sprout.generation + 1
    side = rng.choice([-1.0, 1.0])
    for place, share in zip(exits, shares, strict=True):
        side = -side if rng.random() < 0.75 else side
        thin = float(radius[place]) * float(np.cbrt(share))
        turned = side * rng.uniform(0.6, 1.25)
        length = eye.radius * min(rng.uniform(0.5, 1.0), 32.0 * thin / eye.radius + 0.3 * rng.random())
        daughters.append(
            _Sprout(points[place], _heading(points, place) + turned, -turned * rng.uniform(0.1, 0.8), length, thin,
                    sprout.kind, generation, int(4 + 2 * radius[place] / STEP))
        )  # fmt: skip
    if np.hypot(*(points[-1] - eye.centre)) < 0.97 * eye.radius and len(points) * STEP > 0.8 * sprout.length:
        spread, share = rng.uniform(0.6, 1.1), rng.uniform(0.35, 0.5)
        for turned, part in ((side * spread * (1 - share), share), (-side * spread * share, 1 - share)):
            thin = float(radius[-1]) * float(np.cbrt(part))
            length = eye.radius * rng.uniform(0.3, 0.6)
            daughters.append(
                _Sprout(points[-1], _heading(points, len(points) - 1) + turned, -0.5 * turned, length, thin,
                        sprout.kind, generation, 7)
            )  # fmt: skip
    return daughters


def _heading(points: Field, place: int) -> float:
    return direction(points[min(place + 2, len(points) - 1)] - points[max(place - 2, 0)])
