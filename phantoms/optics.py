"""What lenses and cameras do to a scene: uneven light, specks, photon and read noise."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import make_interp_spline

Field = NDArray[np.float64]


def direction(step: Field) -> float:
    """Direction of a step (rows, columns), in radians from the column axis towards the row axis."""
    return float(np.arctan2(step[0], step[1]))


def correlated_noise(rng: np.random.Generator, shape: tuple[int, int], sigma: float | tuple[float, float]) -> Field:
    """Zero-mean Gaussian noise (H, W), blurred by `sigma` pixels (rows, columns) and brought back to unit variance."""
    white = rng.standard_normal(shape)
    rows, columns = (sigma, sigma) if isinstance(sigma, (int, float)) else sigma
    # A blur turns unit variance into the energy of its kernel; dividing by the expected rather than by the measured
    # value keeps the noise's level the same on small and on large images.
    gain = 1.0
    for axis, width in enumerate((rows, columns)):
        if width > 0:
            white = ndimage.gaussian_filter1d(white, width, axis=axis, mode="wrap")
            impulse = np.zeros(2 * int(4 * width + 0.5) + 3)
            impulse[impulse.size // 2] = 1.0
            gain *= float(np.sum(ndimage.gaussian_filter1d(impulse, width) ** 2))
    return np.asarray(white / np.sqrt(gain))


def smooth_field(rng: np.random.Generator, shape: tuple[int, int], knots: int) -> Field:
    """A slowly varying random field (H, W) of about unit variance.

    Standard normal values on a grid of `knots` points along each side are joined by cubic splines, so that the field
    varies over about side / knots pixels.
    """
    grid = rng.standard_normal((knots + 2, knots + 2))
    places = np.arange(knots + 2.0)
    rows, columns = (np.linspace(0.5, knots + 0.5, side) for side in shape)
    along_rows = make_interp_spline(places, grid, k=3)(rows)
    return np.asarray(make_interp_spline(places, along_rows, k=3, axis=1)(columns))


def illumination(rng: np.random.Generator, shape: tuple[int, int], strength: float) -> Field:
    """Uneven lighting: a gain (H, W) around 1 that varies over about half the image.

    `strength` is the standard deviation of the gain's logarithm.
    """
    return np.exp(strength * smooth_field(rng, shape, 2))


def add_spots(
    rng: np.random.Generator, canvas: Field, centres: Field, radii: Field, peaks: Field, longest: float
) -> None:
    """Draw elliptic Gaussian spots onto `canvas`, in place, keeping the brighter value where they overlap.

    Args:
        rng: Random generator of the spots' shapes.
        canvas: (H, W).
        centres: (N, 2) rows and columns, subpixel.
        radii: (N,) standard deviation of the short axis in pixels.
        peaks: (N,) intensity at the centre.
        longest: Largest ratio of the long to the short axis; each spot's is uniform in [1, longest].
    """
    height, width = canvas.shape
    elongation = rng.uniform(1.0, longest, len(radii))
    angles = rng.uniform(0.0, np.pi, len(radii))  # of the long axis
    for (row, column), radius, peak, ratio, angle in zip(centres, radii, peaks, elongation, angles, strict=True):
        reach = int(np.ceil(3 * radius * ratio))
        top, bottom = max(int(row) - reach, 0), min(int(row) + reach + 1, height)
        left, right = max(int(column) - reach, 0), min(int(column) + reach + 1, width)
        if top >= bottom or left >= right:
            continue
        rows = np.arange(top, bottom, dtype=np.float64)[:, None] - row
        columns = np.arange(left, right, dtype=np.float64)[None, :] - column
        along = rows * np.sin(angle) + columns * np.cos(angle)
        across = rows * np.cos(angle) - columns * np.sin(angle)
        spot = peak * np.exp(-0.5 * ((along / (radius * ratio)) ** 2 + (across / radius) ** 2))
        window = canvas[top:bottom, left:right]
        np.maximum(window, spot, out=window)


def detect(
    rng: np.random.Generator, scene: Field, photons: float, read_noise: float, correlation: tuple[float, float]
) -> Field:
    """Count photons and read them out: Poisson noise (as its Gaussian limit) plus Gaussian read noise.

    Scanning and resampling smear a detector's noise over its neighbours, so both parts share one spatial correlation.

    Args:
        rng: Random generator.
        scene: Expected intensity, (H, W).
        photons: Photons counted per unit of intensity.
        read_noise: Standard deviation of the read noise, in units of intensity.
        correlation: Blur of the noise over rows and columns, in pixels.

    Returns:
        The noisy image, (H, W), not yet clipped.
    """
    deviation = np.sqrt(np.maximum(scene, 0.0) / photons + read_noise**2)
    return np.asarray(scene + deviation * correlated_noise(rng, scene.shape, correlation))


def photograph(
    rng: np.random.Generator, scene: Field, blur: float, photons: float, read_noise: float, correlation: float
) -> Field:
    """Blur each channel of a scene (C, H, W) by `blur` pixels and detect it; see `detect`."""
    soft = (ndimage.gaussian_filter(channel, blur) for channel in scene)
    return np.stack([detect(rng, channel, photons, read_noise, (correlation, correlation)) for channel in soft])
