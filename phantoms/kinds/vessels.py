"""Capillary beds as a fluorescence microscope shows them: maximum projections of a slab of brain tissue."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import skeletonize

from core.errors import UserError

from .. import optics
from ..centrelines import STEP, Bed, Branch, grow, smooth_walk
from ..optics import Field
from ..phantom import BLACK_AND_WHITE, Phantom, register
from ..tubes import Tube, render


@dataclass(frozen=True)
class Staining:
    """Brightness and optics of an image; intensities are fractions of full scale, widths are pixels.

    Attributes:
        background: Level of the empty tissue.
        contrast: Brightness that a typical vessel adds.
        spread: Standard deviation of the logarithm of brightness between vessels.
        texture: Relative strength of the mottling on the vessels.
        rim: How much brighter the wall is than the lumen, as a fraction.
        sharpness: Blur in focus.
        noise: Standard deviation of the noise at the background's level.
        correlation: Blur of the noise over rows and columns.
        nuclei: Number of bright spots in the vessels' walls per 100 pixels of length.
        dust: Number of specks per 10 000 pixels.
        blobs: Number of larger bright bodies in the image.
        shading: Standard deviation of the logarithm of the illumination.
        haze: Strength of the out-of-focus light, relative to the contrast.
    """

    background: float
    contrast: float
    spread: float
    texture: float
    rim: float
    sharpness: float
    noise: float
    correlation: tuple[float, float]
    nuclei: float
    dust: float
    blobs: int
    shading: float
    haze: float


@register("vessels", BLACK_AND_WHITE)
def vessel_phantom(seed: int, size: tuple[int, int] = (256, 256), channels: int = 1) -> Phantom:
    """Draw a vessel bed with its exact mask and skeleton, in the look of fluorescence microscopy of mouse cortex.

    The mask holds the pixels whose centre is nearer to a centre line than the local radius. The skeleton is the mask
    thinned to one pixel (Lee 1994), the convention of the VessMAP data set (Viana da Silva et al. 2024).

    The first channel shows the vessels; further ones show other tissue, with a weak bleed-through of the vessels.

    Raises:
        UserError: A side of `size` (H, W) is shorter than 32 pixels, or there is no channel.
    """
    if min(size) < 32 or channels < 1:
        raise UserError(f"A vessel phantom needs at least 32 x 32 pixels and 1 channel, not {size} and {channels}.")
    rng = np.random.default_rng(seed)
    # Everything up to the last line is float64: what differs between machines is then lost in the final rounding.
    bed, staining = _draw_bed(rng, size), _draw_staining(rng)
    tubes = _stain(rng, grow(rng, bed, size), staining)
    rendering = render(tubes, size, margin=1.2, rim=staining.rim)
    mask = rendering.distance < 0
    scene = _scene(rng, rendering.intensity, mask, staining)
    scenes = [scene, *(_other_tissue(rng, rendering.intensity, staining) for _ in range(channels - 1))]
    return Phantom(
        image=np.stack([_detect(rng, scene, staining) for scene in scenes]).astype(np.float32),
        mask=mask.astype(np.uint8),
        class_names=tuple(BLACK_AND_WHITE),
        skeleton=skeletonize(mask, method="lee") > 0,
    )


def _draw_bed(rng: np.random.Generator, shape: tuple[int, int]) -> Bed:
    """A bed between sparse with wide vessels (high magnification) and dense with thin ones."""
    capillary = float(np.clip(rng.lognormal(np.log(3.3), 0.22), 2.2, 5.0))
    density = float(np.clip(rng.lognormal(np.log(4.5 * (3.3 / capillary)), 0.42), 1.5, 11.0))
    return Bed(
        length=density / 100 * shape[0] * shape[1],
        capillary_radius=capillary,
        root_radius=capillary * rng.uniform(1.2, 1.8),
        trees=int(rng.integers(0, 4)),
        branch_length=float(np.clip(rng.lognormal(np.log(50 * capillary / 3.3), 0.2), 25, 100)),
        tortuosity=float(rng.uniform(0.2, 0.6)),
        flare=float(rng.uniform(0.1, 0.6)),
        joining=float(rng.uniform(0.55, 0.9)),
        branching=float(rng.uniform(0.35, 0.75)),
        diving=float(rng.uniform(0.0, 0.25)),
    )


def _draw_staining(rng: np.random.Generator) -> Staining:
    """A preparation between clean and dusty, quiet and noisy, dim and bright."""
    background = float(np.clip(rng.lognormal(np.log(0.095), 0.55), 0.025, 0.3))
    contrast = float(np.clip(0.11 * (background / 0.095) ** 0.3 * rng.lognormal(0.0, 0.45), 0.03, 0.4))
    smear = float(rng.uniform(0.1, 0.75))
    # One preparation in a dozen lies partly out of focus: wider blur, more stray light.
    defocus = float(rng.uniform(1.3, 1.8)) if rng.random() < 0.08 else 1.0
    return Staining(
        background=background,
        contrast=contrast,
        spread=float(rng.uniform(0.25, 0.5)),
        texture=float(rng.uniform(0.1, 0.35)),
        rim=float(rng.uniform(0.0, 0.45)),
        sharpness=defocus * float(rng.uniform(0.55, 0.9)),
        noise=contrast * float(np.clip(rng.lognormal(np.log(0.075 * (background / 0.095) ** 0.5), 0.4), 0.03, 0.28)),
        correlation=(smear * float(rng.uniform(0.7, 1.0)), smear),
        nuclei=float(rng.uniform(0.0, 2.0)),
        dust=float(rng.choice([0.0, 1.5, 6.0, 35.0], p=[0.25, 0.35, 0.2, 0.2])),
        blobs=int(rng.poisson(1.2)),
        shading=float(rng.uniform(0.01, 0.12)),
        haze=defocus * float(rng.uniform(0.02, 0.15)),
    )


def _stain(rng: np.random.Generator, branches: list[Branch], staining: Staining) -> list[Tube]:
    """Give each branch a depth, and with it a brightness and a blur, that vary along it and join up at branchings."""
    depths: list[Field] = []
    levels: list[Field] = []
    tubes = []
    for branch in branches:
        count = len(branch.points)
        arc: Field = STEP * np.arange(float(count))
        depth: Field = rng.normal(0.0, 0.6) + 0.5 * smooth_walk(rng, count, 15.0)
        level = staining.spread * (rng.standard_normal() + 0.7 * smooth_walk(rng, count, 6.0))
        depths.append(_join_up(depth, branch, depths))
        levels.append(_join_up(level, branch, levels))
        focus = np.clip(np.abs(depths[-1]), 0.0, 2.0)
        brightness: Field = staining.contrast * np.exp(levels[-1] - 0.3 * focus) * _accidents(rng, arc, staining)
        radius = branch.radius
        if branch.diving:  # seen end-on, the projection adds its whole course up
            brightness = brightness * rng.uniform(1.0, 2.2) * np.exp(0.35 * smooth_walk(rng, count, 2.0))
        elif branch.open_end:
            brightness, radius = _end(rng, arc, brightness, radius)
        blur = staining.sharpness * (1.0 + 0.6 * focus**2 / (1 + focus))
        tubes.append(Tube(branch.points, radius, brightness, blur))
    return tubes


def _join_up(values: Field, branch: Branch, earlier: list[Field]) -> Field:
    """Shift the first and the last dozen of points towards the value of the branch they touch."""
    ramp = np.exp(-((np.arange(len(values)) / 8.0) ** 2))
    for place, weight in ((branch.start, ramp), (branch.end, ramp[::-1])):
        if place is not None:
            edge = values[0] if weight is ramp else values[-1]
            values = values + weight * (earlier[place.branch][place.index] - edge)
    return values


def _accidents(rng: np.random.Generator, arc: Field, staining: Staining) -> Field:
    """Relative brightness along a vessel: cell nuclei in its wall shine, and some stretches hardly took the stain."""
    factor = np.ones_like(arc)
    for _ in range(rng.poisson(staining.nuclei * arc[-1] / 100)):
        middle, width = rng.uniform(0.0, arc[-1]), rng.uniform(2.0, 4.5)
        factor += rng.exponential(0.7) * np.exp(-0.5 * ((arc - middle) / width) ** 2)
    if rng.random() < 0.25:
        middle, width = rng.uniform(0.1, 0.9) * arc[-1], rng.uniform(3.0, 9.0)
        factor *= 1.0 - rng.uniform(0.4, 0.9) * np.exp(-0.5 * ((arc - middle) / width) ** 2)
    return factor


def _end(rng: np.random.Generator, arc: Field, brightness: Field, radius: Field) -> tuple[Field, Field]:
    """How a vessel leaves the slab: end-on, where the projection adds it up, or fading and thinning out."""
    left = arc[-1] - arc
    if rng.random() < 0.5:
        return brightness * (1.0 + rng.exponential(0.8) * np.exp(-((left / rng.uniform(4.0, 12.0)) ** 2))), radius
    reach = rng.uniform(8.0, 25.0)
    fading = np.clip(left / reach, 0.0, 1.0)
    return brightness * (0.35 + 0.65 * fading), radius * (0.5 + 0.5 * np.sqrt(np.clip(left / 10.0, 0.0, 1.0)))


def _scene(rng: np.random.Generator, vessels: Field, mask: NDArray[np.bool_], staining: Staining) -> Field:
    """Expected intensity: mottled vessels over tissue, debris and haze, unevenly lit."""
    shape = mask.shape
    mottle = 0.85 * optics.correlated_noise(rng, shape, 0.7) + 0.5 * optics.correlated_noise(rng, shape, 1.6)
    light = np.maximum(vessels, _debris(rng, shape, staining)) * np.exp(staining.texture * mottle)
    # Vessels far above and below the slab shine through it, blurred beyond recognition; the bed itself, turned round,
    # stands in for them.
    glow = 1.5 * ndimage.gaussian_filter(light, 2.5) + ndimage.gaussian_filter(light[::-1, ::-1], 7.0)
    haze = staining.haze * (glow + 0.3 * staining.contrast * optics.smooth_field(rng, shape, 5))
    tissue = 1.0 + 0.03 * optics.correlated_noise(rng, shape, 1.3)
    scene = staining.background * tissue + haze + light
    return np.asarray(scene * optics.illumination(rng, shape, staining.shading))


def _debris(rng: np.random.Generator, shape: tuple[int, int], staining: Staining) -> Field:
    """Bright things that are no vessel: specks of dust and a few lumpy bodies."""
    canvas = np.zeros(shape)
    specks = int(rng.poisson(staining.dust * shape[0] * shape[1] / 1e4))
    centres, radii = rng.uniform(0.0, 1.0, (specks, 2)) * shape, rng.uniform(0.6, 1.0, specks)
    peaks = staining.contrast * rng.lognormal(np.log(0.5), 0.5, specks)
    optics.add_spots(rng, canvas, centres, radii, peaks, 1.6)
    for _ in range(staining.blobs):
        lumps = int(rng.integers(2, 7))
        size, peak = rng.uniform(1.0, 2.2), staining.contrast * rng.lognormal(np.log(1.6), 0.5)
        centres = rng.uniform(0.0, 1.0, 2) * shape + 1.3 * size * rng.standard_normal((lumps, 2))
        radii, peaks = size * rng.uniform(0.5, 1.2, lumps), peak * rng.uniform(0.4, 1.0, lumps)
        optics.add_spots(rng, canvas, centres, radii, peaks, 1.8)
    return canvas


def _other_tissue(rng: np.random.Generator, vessels: Field, staining: Staining) -> Field:
    """A second stain: cell bodies scattered through the tissue, with a little of the vessels shining through."""
    shape = vessels.shape
    count = int(rng.poisson(rng.uniform(6.0, 18.0) * shape[0] * shape[1] / 1e4))
    canvas = np.zeros(shape)
    centres, radii = rng.uniform(0.0, 1.0, (count, 2)) * shape, rng.uniform(1.6, 3.2, count)
    optics.add_spots(rng, canvas, centres, radii, staining.contrast * rng.lognormal(0.0, 0.5, count), 1.7)
    scene = staining.background + canvas + 0.12 * vessels
    return np.asarray(scene * optics.illumination(rng, shape, staining.shading))


def _detect(rng: np.random.Generator, scene: Field, staining: Staining) -> Field:
    """Photon and read noise, half of the variance each at the background's level, clipped to full scale."""
    photons = 2.0 * staining.background / staining.noise**2
    image = optics.detect(rng, scene, photons, staining.noise / np.sqrt(2), staining.correlation)
    lines = 0.15 * staining.noise * rng.standard_normal((scene.shape[0], 1))  # line by line scanning
    return np.clip(image + lines, 0.0, 1.0)
