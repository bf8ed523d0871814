"""Retinas as a fundus camera shows them: a round, orange picture with the optic disc, the fovea and the vessels."""

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError

from .. import optics
from ..arcades import Eye, Vessel, grow_arcades
from ..optics import Field
from ..phantom import BLACK_AND_WHITE, Phantom, register
from ..tubes import Tube, render

# How strongly a unit of pigment dims red, green and blue light: blood and melanin absorb green and blue.
_BLOOD = np.array([0.42, 1.0, 0.85])
_MELANIN = np.array([0.55, 1.0, 1.1])


@register("fundus", BLACK_AND_WHITE, channels=3)
def fundus_phantom(seed: int, size: tuple[int, int] = (256, 256)) -> Phantom:
    """Draw a retina with its exact vessel mask, in the look of a colour fundus photograph with a field of about 45°.

    The mask holds the pixels in the field of view whose centre is nearer to a centre line than the local radius.
    Light that comes back is dimmed by pigment and blood as Lambert and Beer's law says, exp(-absorbance), in each
    channel. Haemorrhages and exudates, in about half of the eyes, are not in the mask.

    The landmarks "disc" and "fovea" are the centres of these.

    Raises:
        UserError: A side of `size` (H, W) is shorter than 96 pixels.
    """
    if min(size) < 96:
        raise UserError(f"A fundus phantom needs at least 96 x 96 pixels, not {size}.")
    rng = np.random.default_rng(seed)
    eye = _draw_eye(rng, size)
    vessels = grow_arcades(rng, eye, size)
    rows, columns = np.indices(size, dtype=np.float64)
    outwards = np.hypot(rows - eye.centre[0], columns - eye.centre[1]) / eye.radius
    light = _tissue(rng, eye, rows, columns) * np.exp(-_lesions(rng, eye, size))
    mask, light = _add_vessels(rng, vessels, light, eye)
    light = _add_veils(rng, light, outwards, eye)
    # The edge of the aperture is drawn over one pixel.
    aperture = np.clip((1.0 - outwards) * eye.radius + 0.5, 0.0, 1.0)
    scene = light * aperture + rng.uniform(0.004, 0.02) * np.array([1.2, 0.9, 0.8])[:, None, None]
    return Phantom(
        image=_photograph(rng, scene).astype(np.float32),
        mask=(mask & (outwards <= 1.0)).astype(np.uint8),
        class_names=tuple(BLACK_AND_WHITE),
        landmarks={"disc": tuple(eye.disc.tolist()), "fovea": tuple(eye.fovea.tolist())},
    )


def _draw_eye(rng: np.random.Generator, size: tuple[int, int]) -> Eye:
    """A left or a right eye, with the macula near the middle of the picture."""
    radius = min(size) * rng.uniform(0.475, 0.495)
    centre = (np.array(size) - 1) / 2 + rng.uniform(-0.5, 0.5, 2)
    side = rng.choice([-1.0, 1.0])
    fovea = centre + radius * np.array([rng.uniform(-0.06, 0.12), side * rng.uniform(-0.02, 0.16)])
    distance, tilt = radius * rng.uniform(0.62, 0.72), rng.uniform(0.02, 0.17)
    disc = fovea - distance * np.array([np.sin(tilt), side * np.cos(tilt)])
    return Eye(centre, radius, disc, radius * rng.uniform(0.125, 0.155), fovea)


def _tissue(rng: np.random.Generator, eye: Eye, rows: Field, columns: Field) -> Field:
    """Light that the eye's background sends back, (3, H, W): choroid, pigment, macula and optic disc."""
    shape = (rows.shape[0], rows.shape[1])
    colour = rng.uniform(0.62, 0.86) * np.array([1.0, rng.uniform(0.42, 0.57), rng.uniform(0.13, 0.25)])
    grain = eye.radius / 120
    mottle = optics.correlated_noise(rng, shape, 3.0 * grain) + 0.7 * optics.correlated_noise(rng, shape, 1.2 * grain)
    ridges = np.abs(optics.correlated_noise(rng, shape, 5.0 * grain))  # the choroid's own vessels shine through
    from_fovea = np.hypot(rows - eye.fovea[0], columns - eye.fovea[1]) / eye.radius
    periphery = np.clip(from_fovea - 0.25, 0.0, 1.0)
    pigment = (
        0.025 * mottle + rng.uniform(0.0, 0.17) * (0.8 - ridges) * periphery + 0.06 * optics.smooth_field(rng, shape, 5)
    )
    pigment = pigment + rng.uniform(0.28, 0.5) * np.exp(-0.5 * (from_fovea / rng.uniform(0.14, 0.2)) ** 2)
    pigment = pigment + rng.uniform(0.1, 0.35) * np.exp(-0.5 * (from_fovea / 0.05) ** 2)
    light = colour[:, None, None] * np.exp(-_MELANIN[:, None, None] * pigment)
    return _add_disc(rng, light, eye, rows, columns)


def _add_disc(rng: np.random.Generator, light: Field, eye: Eye, rows: Field, columns: Field) -> Field:
    """The optic disc: a bright, slightly upright oval with a paler cup, in a thin darker or paler ring."""
    down, right = rows - eye.disc[0], columns - eye.disc[1]
    tall = rng.uniform(1.0, 1.14)
    oval = np.hypot(down / tall, right * tall) / eye.disc_radius
    oval = oval + 0.03 * optics.smooth_field(rng, (rows.shape[0], rows.shape[1]), 9)
    softness = rng.uniform(0.05, 0.1)
    inside = 1.0 / (1.0 + np.exp(np.clip((oval - 1.0) / softness, -50.0, 50.0)))
    cup_place = eye.disc + eye.disc_radius * rng.uniform(-0.12, 0.12, 2)
    cup = np.hypot(rows - cup_place[0], columns - cup_place[1]) / (eye.disc_radius * rng.uniform(0.4, 0.62))
    cupped = 1.0 / (1.0 + np.exp(np.clip((cup - 1.0) / 0.22, -50.0, 50.0)))
    rim_colour = np.array([rng.uniform(0.93, 1.0), rng.uniform(0.66, 0.78), rng.uniform(0.36, 0.5)])
    cup_colour = np.array([1.0, rng.uniform(0.84, 0.93), rng.uniform(0.6, 0.76)])
    face = rim_colour[:, None, None] + (cup_colour - rim_colour)[:, None, None] * cupped
    ring = rng.uniform(-0.16, 0.12) * np.exp(-0.5 * ((oval - 1.18) / 0.1) ** 2)
    glow = rng.uniform(0.06, 0.16) * np.exp(-0.5 * (np.maximum(oval - 1.0, 0.0) / 0.9) ** 2)
    light = light * np.exp(ring + glow)
    texture = 1.0 + 0.02 * optics.correlated_noise(rng, (rows.shape[0], rows.shape[1]), 1.0)
    return np.asarray(light * (1 - inside) + face * inside * texture)


def _lesions(rng: np.random.Generator, eye: Eye, shape: tuple[int, int]) -> Field:
    """Absorbance (3, H, W) of haemorrhages (positive) and exudates (negative: they send more light back)."""
    absorbance = np.zeros((3, *shape))
    grain = eye.radius / 120
    if rng.random() < 0.5:
        count, dots = int(rng.integers(2, 16)), np.zeros(shape)
        centres = eye.centre + eye.radius * rng.normal(0.0, 0.36, (count, 2))
        radii = grain * np.minimum(rng.lognormal(np.log(1.1), 0.5, count), 4.0)
        optics.add_spots(rng, dots, centres, radii, rng.uniform(0.25, 0.7, count), 1.8)
        absorbance += 0.9 * _BLOOD[:, None, None] * np.minimum(1.4 * dots, 0.6)
    if rng.random() < 0.4:
        spots = np.zeros(shape)
        for _ in range(int(rng.integers(1, 5))):
            count = int(rng.integers(3, 14))
            distance, angle = eye.radius * rng.uniform(0.14, 0.5), rng.uniform(-np.pi, np.pi)
            middle = eye.fovea + distance * np.array([np.sin(angle), np.cos(angle)])
            centres = middle + eye.radius * 0.05 * rng.standard_normal((count, 2))
            radii = grain * rng.uniform(0.5, 1.5, count)
            optics.add_spots(rng, spots, centres, radii, rng.uniform(0.5, 1.0, count), 1.6)
        absorbance -= np.array([0.18, 0.62, 0.62])[:, None, None] * spots
    return absorbance


def _add_vessels(
    rng: np.random.Generator, vessels: list[Vessel], light: Field, eye: Eye
) -> tuple[NDArray[np.bool_], Field]:
    """The mask of all vessels, and the light after it has passed through them."""
    shape = (light.shape[1], light.shape[2])
    sharpness = eye.radius / 120 * rng.uniform(0.5, 0.75)
    depth = rng.uniform(0.62, 0.9)
    contrast = {False: depth, True: depth * rng.uniform(0.66, 0.84)}
    inside = np.zeros(shape, dtype=bool)
    calibre = max(float(vessel.radius.max()) for vessel in vessels)
    for artery in (False, True):
        kind = [vessel for vessel in vessels if vessel.artery == artery]
        tubes = [
            # A thin vessel holds less blood along the line of sight, so it is paler.
            Tube(v.points, v.radius, contrast[artery] * (0.42 + 0.58 * np.sqrt(v.radius / calibre)),
                 np.full(len(v.points), sharpness))
            for v in kind
        ]  # fmt: skip
        rendering = render(tubes, shape)
        inside |= rendering.distance < 0
        hue = _BLOOD * np.array([0.75 if artery else 1.0, 1.0, 1.0])
        light = light * np.exp(-hue[:, None, None] * rendering.intensity)
        wide = [v for v in kind if v.radius.max() > (0.45 if artery else 0.6) * calibre]
        if wide:
            strength = rng.uniform(0.26, 0.45) if artery else rng.uniform(0.03, 0.12)
            streaks = [
                Tube(v.points, 0.24 * v.radius, strength * np.clip(3.2 * v.radius / calibre - 1.2, 0.0, 1.0),
                     np.full(len(v.points), 0.9 * sharpness))
                for v in wide
            ]  # fmt: skip
            reflex = render(streaks, shape).intensity
            light = light * np.exp(np.array([0.6, 1.0, 0.7])[:, None, None] * reflex)
    return inside, light


def _add_veils(rng: np.random.Generator, light: Field, outwards: Field, eye: Eye) -> Field:
    """Uneven lighting, vignetting, and stray light from the lens at one side."""
    shape = (light.shape[1], light.shape[2])
    shadow = 1.0 - rng.uniform(0.25, 0.55) * np.clip(outwards, 0.0, 1.2) ** rng.uniform(2.0, 3.2)
    gain = shadow * optics.illumination(rng, shape, rng.uniform(0.03, 0.09))
    angle = rng.uniform(-np.pi, np.pi)
    rows, columns = np.indices(shape, dtype=np.float64)
    slope = ((rows - eye.centre[0]) * np.sin(angle) + (columns - eye.centre[1]) * np.cos(angle)) / eye.radius
    gain = gain * (1.0 + rng.uniform(0.0, 0.12) * slope)
    haze = rng.uniform(0.0, 0.05) * np.exp(4.0 * (outwards - 1.0)) * np.clip(0.6 + 0.6 * slope, 0.0, 1.0)
    stray = np.array([1.0, 0.75, 0.6])[:, None, None] * haze
    return np.asarray(light * gain + stray)


def _photograph(rng: np.random.Generator, scene: Field) -> Field:
    """Blur, noise and a soft shoulder instead of hard clipping."""
    blur, noise = rng.uniform(0.2, 0.55), rng.uniform(0.006, 0.02)
    exposed = optics.photograph(rng, scene, blur, 1.5 / noise**2, 0.5 * noise, 0.45)
    knee = 0.82
    over = np.maximum(exposed - knee, 0.0)
    return np.clip(np.minimum(exposed, knee) + (1 - knee) * np.tanh(over / (1 - knee)), 0.0, 1.0)
