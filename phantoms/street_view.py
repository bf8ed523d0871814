"""A pinhole camera over a street, and the canvas that its pictures are painted on, far things first."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon as polygon_pixels

from . import optics
from .optics import Field

Colour = Field
Point = tuple[float, float, float]

FINER = 3  # sub-pixels along a pixel's side; odd, so that one of them lies at its centre
FAR = 400.0  # metres: where the ground ends
NEAR = 1.2  # metres: nothing is drawn nearer


@dataclass(frozen=True)
class Camera:
    """A level camera that looks along the street.

    Places are (x, y, z) in metres: right of the camera, above the ground, ahead.

    Attributes:
        focal: Focal length in pixels.
        height: Above the ground, in metres.
        horizon: Row of the horizon.
        vanishing: Column in which the street's lines meet.
    """

    focal: float
    height: float
    horizon: float
    vanishing: float

    def project(self, point: Point) -> tuple[float, float]:
        """Row and column of a place."""
        right, up, ahead = point
        ahead = max(ahead, NEAR)
        return self.horizon + self.focal * (self.height - up) / ahead, self.vanishing + self.focal * right / ahead


class Canvas:
    """Colour, class and depth of every sub-pixel.

    Args:
        rng: Source of the noise that textures are made of.
        camera: Projects what is painted.
        size: (H, W) of the picture in pixels.
        haze: Colour of things far away.
    """

    def __init__(self, rng: np.random.Generator, camera: Camera, size: tuple[int, int], haze: Colour) -> None:
        self.camera, self.size, self.haze = camera, size, haze
        self.shape = (FINER * size[0], FINER * size[1])
        self.colour = np.zeros((3, *self.shape))
        self.labels = np.zeros(self.shape, dtype=np.uint8)
        self.depth = np.full(self.shape, FAR)
        self.fine = optics.correlated_noise(rng, self.shape, 1.0)
        self.coarse = optics.correlated_noise(rng, self.shape, 5.0)

    def paint(
        self, points: Sequence[Point], colour: Colour, label: int, texture: float = 0.0, blotches: float = 0.0
    ) -> None:
        """Fill a flat polygon with a class and an RGB colour, with fine and coarse noise of these strengths on it."""
        rows, columns = self._inside(points)
        if not len(rows):
            return
        grain = 1.0 + texture * self.fine[rows, columns] + blotches * self.coarse[rows, columns]
        self.colour[:, rows, columns] = colour[:, None] * grain
        self.labels[rows, columns] = label
        self.depth[rows, columns] = float(np.mean([max(point[2], NEAR) for point in points]))

    def darken(self, points: Sequence[Point], factor: float) -> None:
        """Cast a shadow on whatever is there."""
        rows, columns = self._inside(points)
        self.colour[:, rows, columns] *= factor

    def upright(self, centre: Point, outline: Callable[[Field, Field], NDArray[np.bool_]], reach: float) -> "Window":
        """The sub-pixels of an upright shape that faces the camera, at most `reach` metres from its centre.

        `outline` says which places belong to the shape, given as metres right of and above the centre.
        """
        row, column = self.camera.project(centre)
        scale = self.camera.focal / max(centre[2], NEAR)
        top, bottom = (int(FINER * (row + sign * reach * scale)) for sign in (-1, 1))
        left, right = (int(FINER * (column + sign * reach * scale)) for sign in (-1, 1))
        rows = np.arange(np.clip(top, 0, self.shape[0]), np.clip(bottom + 2, 0, self.shape[0]))
        columns = np.arange(np.clip(left, 0, self.shape[1]), np.clip(right + 2, 0, self.shape[1]))
        up = -((rows - 1) / FINER - row)[:, None] / scale
        aside = ((columns - 1) / FINER - column)[None, :] / scale
        up, aside = np.broadcast_arrays(up, aside)
        found = np.nonzero(outline(aside, up) if up.size else up)
        return Window(rows[found[0]], columns[found[1]], aside[found], up[found])

    def fill(self, window: "Window", colour: Field, label: int, depth: float) -> None:
        """Give a window's sub-pixels colours (3, N) or (3, 1), a class and a depth."""
        self.colour[:, window.rows, window.columns] = colour
        self.labels[window.rows, window.columns] = label
        self.depth[window.rows, window.columns] = depth

    def picture(self, visibility: float) -> tuple[Field, NDArray[np.uint8]]:
        """Image (3, H, W), hazy from `visibility` metres on, and the class at the centre of each pixel (H, W)."""
        clear = np.exp(-self.depth / visibility)
        clear[self.labels == SKY] = 1.0
        seen = self.colour * clear + self.haze[:, None, None] * (1.0 - clear)
        height, width = self.size
        image = seen.reshape(3, height, FINER, width, FINER).mean(axis=(2, 4))
        middle = FINER // 2
        return image, self.labels[middle::FINER, middle::FINER].copy()

    def _inside(self, points: Sequence[Point]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        rows, columns = np.clip([self.camera.project(point) for point in points], -1e4, 1e4).T
        found = polygon_pixels(FINER * rows + 1, FINER * columns + 1, self.shape)
        return found[0], found[1]


@dataclass(frozen=True)
class Window:
    """Sub-pixels of a shape: where they are on the canvas, and in metres from the shape's centre."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    aside: Field
    up: Field


ROAD, SIDEWALK, BUILDING, VEGETATION, SKY, CAR, PERSON, POLE = range(8)


def facing(right: float, ahead: float, corners: Iterable[tuple[float, float]]) -> list[Point]:
    """A flat shape that faces the camera; its corners are given as metres right of `right`, and above the ground."""
    return [(right + aside, up, ahead) for aside, up in corners]


def upright_quad(left: float, right: float, low: float, high: float, ahead: float) -> list[Point]:
    """A rectangle that faces the camera."""
    return [(left, low, ahead), (right, low, ahead), (right, high, ahead), (left, high, ahead)]


def side_quad(right: float, low: float, high: float, near: float, far: float) -> list[Point]:
    """An upright rectangle along the street."""
    return [(right, low, near), (right, high, near), (right, high, far), (right, low, far)]


def upright_polygon(right: float, up: float, ahead: float, radius: float, turns: Field) -> list[Point]:
    """The corners, `turns` radians round a circle from the right upwards, of a shape that faces the camera."""
    return facing(right, ahead, [(radius * float(np.cos(turn)), up + radius * float(np.sin(turn))) for turn in turns])


def ground_quad(left: float, right: float, near: float, far: float, up: float = 0.0) -> list[Point]:
    """A rectangle that lies on the ground, or `up` metres above it."""
    return [(left, up, near), (right, up, near), (right, up, far), (left, up, far)]
