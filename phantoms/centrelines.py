"""Centre lines of a vessel bed: trees that wander, branch, taper, and grow together again."""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .optics import Field, direction

STEP = 1.5  # pixels between neighbouring points of a centre line: curves bend over more than ten times this


@dataclass(frozen=True)
class Place:
    """A point of a branch that is already there: where another one starts or ends on it."""

    branch: int
    index: int


@dataclass(frozen=True)
class Branch:
    """One unbranched stretch of vessel.

    Attributes:
        points: Rows and columns, (N, 2), about `STEP` pixels apart.
        radius: Radius at each point in pixels, (N,).
        start: Where it sprouts from another branch; None for a root.
        end: Where it grows into another branch; None if it does not.
        split: Whether the far end splits in two.
        generation: Number of branchings between this branch and its root.
        diving: Whether it runs steeply through the slab: short and contorted in the projection.
    """

    points: Field
    radius: Field
    start: Place | None
    end: Place | None
    split: bool
    generation: int
    diving: bool

    @property
    def open_end(self) -> bool:
        """Whether the far end leaves the focal slab instead of meeting another branch."""
        return self.end is None and not self.split


@dataclass(frozen=True)
class Bed:
    """How a vessel bed grows.

    Attributes:
        length: Total length of centre line to grow inside the image, in pixels.
        capillary_radius: Typical radius of the finest vessels, in pixels.
        root_radius: Typical radius at the thick end of a tree, in pixels.
        trees: Number of thick trees; the rest grows from capillaries.
        branch_length: Mean distance between branchings, in pixels.
        tortuosity: Standard deviation of the direction around a branch's mean direction, in radians.
        flare: How much a vessel widens where it meets another one, as a fraction.
        joining: Probability that a vessel that meets another one joins it rather than passing above or below.
        branching: Probability that a vessel's end splits in two rather than leaving the slab.
        diving: Probability that a new vessel runs steeply through the slab.
    """

    length: float
    capillary_radius: float
    root_radius: float
    trees: int
    branch_length: float
    tortuosity: float
    flare: float
    joining: float
    branching: float
    diving: float


@dataclass(frozen=True)
class _Bud:
    point: Field
    heading: float
    radius: float
    generation: int
    start: Place | None = None
    diving: bool = False


def smooth_walk(rng: np.random.Generator, count: int, memory: float) -> Field:
    """Unit-variance Gaussian noise of `count` values that forgets itself over about `memory` values."""
    padding = int(3 * memory) + 1
    white = rng.standard_normal(count + 2 * padding)
    smooth = ndimage.gaussian_filter1d(white, memory)[padding : padding + count]
    return np.asarray(smooth * np.sqrt(2 * memory * np.sqrt(np.pi)))


def walk(start: Field, heading: Field, step: float) -> Field:
    """The path that makes a step of `step` pixels in each direction, see `optics.direction`."""
    steps = step * np.stack([np.sin(heading), np.cos(heading)], axis=1)
    return np.concatenate([start[None], start + np.cumsum(steps, axis=0)])


def claim(owner: NDArray[np.int64], points: Field, index: int, reach: int) -> None:
    """Mark the pixels of a centre line, and those up to `reach` beside it, as taken by vessel `index`."""
    (height, width), (rows, columns) = owner.shape, np.rint(points).astype(int).T
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            owner[(rows + down).clip(0, height - 1), (columns + right).clip(0, width - 1)] = index


def grow(rng: np.random.Generator, bed: Bed, shape: tuple[int, int]) -> list[Branch]:
    """Grow a vessel bed.

    Where a vessel of radius r splits, the daughters' radii obey Murray's law, r³ = r₁³ + r₂³ (Murray 1926), and the
    thinner one turns away further, as the same law of least work asks.

    Returns:
        The branches; a branch's `start` and `end` point to branches before it in the list. They start inside an image
        of `shape` (H, W) or at its border, and are cut shortly beyond it.
    """
    branches: list[Branch] = []
    owner = np.full(shape, -1, dtype=np.int64)
    roots = (_border_bud(rng, shape, bed.root_radius * rng.uniform(0.75, 1.3)) for _ in range(bed.trees))
    buds: deque[_Bud] = deque(roots)
    grown, attempts = 0.0, 0
    while grown < bed.length and attempts < 600:
        attempts += 1
        bud = buds.popleft() if buds else _free_bud(rng, bed, owner, branches)
        branch = _grow_branch(rng, bed, bud, owner, branches)
        if branch is None:
            continue
        branches.append(branch)
        rows, columns = np.rint(branch.points).astype(int).T
        inside = _inside(rows, columns, shape)
        grown += STEP * float(inside.sum())
        claim(owner, branch.points[inside], len(branches) - 1, reach=1)
        if branch.split and inside[-1]:
            daughters = _split(rng, bed, branch, Place(len(branches) - 1, len(branch.points) - 1))
            buds.extend(bud for bud in daughters if _crowding(bud, bed, owner) < rng.uniform(0.2, 0.7))
    return branches


def _inside(rows: NDArray[np.int_], columns: NDArray[np.int_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which pixels lie in the image."""
    return np.asarray((rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1]))


def _border_bud(rng: np.random.Generator, shape: tuple[int, ...], radius: float) -> _Bud:
    """A root that enters the image through its border, pointing inwards."""
    side, place = rng.integers(4), rng.uniform(0.04, 0.96)
    height, width = shape
    row, column, inwards = [
        (-3.0, place * width, np.pi / 2),
        (height + 2.0, place * width, -np.pi / 2),
        (place * height, -3.0, 0.0),
        (place * height, width + 2.0, np.pi),
    ][side]
    return _Bud(np.array([row, column]), inwards + rng.normal(0, 0.5), radius, 0)


def _free_bud(rng: np.random.Generator, bed: Bed, owner: NDArray[np.int64], branches: list[Branch]) -> _Bud:
    """The one of a few candidate buds that points into the emptiest tissue: vessels grow where oxygen is short."""
    candidates = [_new_bud(rng, bed, owner.shape, branches) for _ in range(6)]
    return min(candidates, key=lambda bud: _crowding(bud, bed, owner))


def _crowding(bud: _Bud, bed: Bed, owner: NDArray[np.int64]) -> float:
    """How much of what lies ahead of a bud, in a fan of three rays, is taken or outside the image: 0 to 1."""
    reach = np.arange(6.0, 0.8 * bed.branch_length + 10.0, 3.0)[:, None]
    turned = bud.heading + np.array([-0.45, 0.0, 0.45])[None, :]
    rows = np.rint(bud.point[0] + reach * np.sin(turned)).astype(int).ravel()
    columns = np.rint(bud.point[1] + reach * np.cos(turned)).astype(int).ravel()
    inside = _inside(rows, columns, owner.shape)
    taken = float(np.sum(owner[rows[inside], columns[inside]] >= 0))
    # A ray across a mesh of vessels three pixels wide is mostly free, so what is taken counts more than what is out.
    return min(1.0, (2.5 * taken + 0.7 * float(np.sum(~inside))) / len(inside))


def _new_bud(rng: np.random.Generator, bed: Bed, shape: tuple[int, ...], branches: list[Branch]) -> _Bud:
    """A further vessel: a sprout from a branch that is there, one from the border, or one rising out of the depth."""
    kind = rng.random()
    radius = bed.capillary_radius * rng.lognormal(0.0, 0.3)
    diving = bool(rng.random() < bed.diving)
    if branches and kind < (0.85 if diving else 0.6):
        parent = int(rng.integers(len(branches)))
        points = branches[parent].points
        if len(points) > 12:
            index = int(rng.integers(4, len(points) - 4))
            turned = rng.choice([-1.0, 1.0]) * rng.uniform(0.8, 1.5)
            heading = direction(points[index + 1] - points[index - 1]) + turned
            radius = min(radius, 0.95 * float(branches[parent].radius[index]))
            generation = branches[parent].generation + 1
            return _Bud(points[index], heading, radius, generation, Place(parent, index), diving)
    if kind < 0.93 and not diving:
        return _border_bud(rng, shape, radius)
    return _Bud(rng.uniform(0.0, 1.0, 2) * shape, rng.uniform(-np.pi, np.pi), radius, 1, None, diving)


def _wander(rng: np.random.Generator, bed: Bed, bud: _Bud) -> Field:
    """A smooth random walk from a bud: long bends and small wiggles around a mean direction that turns slowly."""
    length = bed.branch_length * (0.7 + 0.8 * rng.gamma(2.0, 1.0 / 2.0)) * (1.6 if bud.generation == 0 else 1.0)
    if bud.diving:
        length *= 0.3
    count = max(int(length / STEP), 6)
    bends, wiggle = smooth_walk(rng, count, 10.0), smooth_walk(rng, count, 3.0)
    turning = np.linspace(0.0, rng.normal(0.0, 0.012) * STEP * count, count)
    heading = bud.heading + turning + bed.tortuosity * (bends - bends[0] + (2.0 if bud.diving else 0.35) * wiggle)
    return walk(bud.point, heading, STEP)


def _grow_branch(
    rng: np.random.Generator, bed: Bed, bud: _Bud, owner: NDArray[np.int64], branches: list[Branch]
) -> Branch | None:
    """Let a bud grow until it leaves the image, meets another vessel, or has run its length."""
    shape = owner.shape
    points = _wander(rng, bed, bud)
    outside = np.any((points < -4) | (points > np.array(shape) + 3), axis=1)
    if outside.any():
        points = points[: int(np.argmax(outside)) + 1]
    if len(points) < 6:
        return None
    rows, columns = np.rint(points).astype(int).T
    found = owner[rows.clip(0, shape[0] - 1), columns.clip(0, shape[1] - 1)]
    found[~_inside(rows, columns, shape)] = -1
    clear = max(6, int(2.5 * bud.radius / STEP))  # a sprout is still inside its parent for this many steps
    found[:clear] = -1
    end: Place | None = None
    if (found >= 0).any():
        first = int(np.argmax(found >= 0))
        alongside = float(np.mean(found[clear:] >= 0))
        if rng.random() < bed.joining or alongside > 0.2:  # vessels do not run inside one another
            if first < 8 and bud.start is not None:
                return None
            target = branches[int(found[first])].points
            nearest = int(np.argmin(np.sum((target - points[first]) ** 2, axis=1)))
            points = _bend_towards(points[: first + 1], target[nearest])
            end = Place(int(found[first]), nearest)
    split = end is None and not outside.any() and not bud.diving and rng.random() < bed.branching
    radius = bud.radius * _beading(rng, len(points)) * np.linspace(1.0, rng.uniform(0.75, 1.0), len(points))
    for here, backwards in ((bud.start is not None, False), (end is not None or split, True)):
        if here:
            arc = STEP * np.arange(len(points))
            widening = 1 + bed.flare * np.exp(-arc / (1.2 * bud.radius))
            radius = radius * (widening[::-1] if backwards else widening)
    return Branch(points, radius, bud.start, end, split, bud.generation, bud.diving)


def _bend_towards(points: Field, end: Field) -> Field:
    """Shift a path's last stretch smoothly so that it ends exactly at `end`."""
    count = min(len(points), 12)
    weight = np.zeros(len(points))
    ramp = np.linspace(0.0, 1.0, count)
    weight[-count:] = ramp**2 * (3 - 2 * ramp)
    return np.asarray(points + weight[:, None] * (end - points[-1]))


def _beading(rng: np.random.Generator, count: int) -> Field:
    """Relative swelling and narrowing along a vessel, about ±15 % over some ten pixels."""
    return np.exp(0.14 * smooth_walk(rng, count, 5.0) + 0.07 * smooth_walk(rng, count, 1.2))


def _split(rng: np.random.Generator, bed: Bed, branch: Branch, place: Place) -> list[_Bud]:
    """Two daughters at a branch's far end, radii by Murray's law, the thinner one turning further."""
    # The flared end is wider than the vessel that the law speaks of.
    radius = float(np.min(branch.radius[-15:]))
    share = rng.uniform(0.2, 0.5)  # of r³ that the thinner daughter takes
    heading = direction(branch.points[-1] - branch.points[-4])
    spread = rng.choice([-1.0, 1.0]) * rng.uniform(0.9, 1.8)
    floor = 0.75 * bed.capillary_radius  # no vessel is finer than a red blood cell needs
    return [
        _Bud(branch.points[-1], turned, max(radius * part ** (1 / 3), floor), branch.generation + 1, place)
        for part, turned in ((share, heading + spread * (1 - share)), (1 - share, heading - spread * share))
    ]
