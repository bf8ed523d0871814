"""How close do vessel phantoms come to real images? Prints one table: VessMAP against phantoms.

Run as `python benchmarks/phantoms.py --vessmap DIR`, where DIR holds `images/`, `labels/` and `skeletons/`.
Each row shows the 5th, 50th and 95th percentile over the images of either set. The last column is the two-sample
Kolmogorov-Smirnov distance between the sets: 0 for the same distribution, 1 for two that do not overlap.
"""

import argparse
import itertools
import sys
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage, stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from phantoms import vessel_phantom

Field = NDArray[np.float64]
Mask = NDArray[np.bool_]


def measure(image: Field, mask: Mask, skeleton: Mask) -> dict[str, float]:
    """All the numbers compared, for one image (H, W) in [0, 1] with its mask and skeleton."""
    width = 2 * ndimage.distance_transform_edt(mask)[skeleton]
    vessel, background = image[mask].mean(), image[~mask].mean()
    values = {"mean": image.mean(), "standard deviation": image.std()}
    values |= {f"percentile {q}": np.percentile(image, q) for q in (1, 5, 25, 50, 75, 95, 99)}
    values |= {
        "mask fraction": mask.mean(),
        "skeleton per area (%)": 100 * skeleton.mean(),
        "width, 5 % (px)": np.percentile(width, 5),
        "width, median (px)": np.median(width),
        "width, 95 % (px)": np.percentile(width, 95),
        "mask components": ndimage.label(mask, np.ones((3, 3)))[1],
        "background components": ndimage.label(~mask)[1],
        "skeleton ends per 100 px": 100 * _ends(skeleton) / max(skeleton.sum(), 1),
        "contrast / noise": (vessel - background) / image[~mask].std(),
        "vessel / background": vessel / background,
        "spread inside vessels": image[mask].std() / (vessel - background),
    }
    return values | _noise(image, mask, vessel - background) | _profile(image, mask) | _spectrum(image)


def _ends(skeleton: Mask) -> int:
    """Number of skeleton pixels with exactly one neighbour."""
    neighbours = ndimage.convolve(skeleton.astype(int), np.ones((3, 3), dtype=int), mode="constant")[skeleton] - 1
    return int(np.sum(neighbours == 1))


def _noise(image: Field, mask: Mask, contrast: float) -> dict[str, float]:
    """Level and correlation of what is finer than 3 pixels, away from vessels."""
    far = ndimage.distance_transform_edt(~mask) > 6
    if far.sum() < 200:
        far = ~mask
    fine = image - ndimage.gaussian_filter(image, 3)
    values = {"noise / contrast": fine[far].std() / contrast}
    for down, right in ((0, 1), (1, 0), (1, 1), (0, 2)):
        height, width = image.shape
        first = (slice(0, height - down), slice(0, width - right))
        second = (slice(down, None), slice(right, None))
        both = far[first] & far[second]
        values[f"noise correlation {down},{right}"] = (fine[first] * fine[second])[both].mean() / fine[far].var()
    return values


def _profile(image: Field, mask: Mask) -> dict[str, float]:
    """Mean intensity at signed distances from the label's edge; 0 is the background, 1 the vessels' mean."""
    distance = ndimage.distance_transform_edt(~mask) - ndimage.distance_transform_edt(mask)
    background, vessel = image[~mask].mean(), image[mask].mean()
    values = {}
    for place in (-6, -4, -3, -2, -1, 1, 2, 3, 5, 8):
        there = np.abs(distance - place) < 0.5
        level = image[there].mean() if there.sum() >= 20 else np.nan
        values[f"profile at {place:+d} px"] = (level - background) / (vessel - background)
    return values


def _spectrum(image: Field) -> dict[str, float]:
    """Share of the power in octaves of spatial frequency (cycles per pixel), as log10."""
    window = np.hanning(image.shape[0])[:, None] * np.hanning(image.shape[1])[None, :]
    power = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(side) for side in image.shape), indexing="ij"))
    edges = [1 / 256, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2]
    total = power[frequency >= edges[0]].sum()
    return {
        f"log10 power, {low:.3f} to {high:.3f}": float(
            np.log10(power[(frequency >= low) & (frequency < high)].sum() / total)
        )
        for low, high in itertools.pairwise(edges)
    }


def read_real(folder: Path) -> list[tuple[Field, Mask, Mask]]:
    """All images of a VessMAP folder as (image, mask, skeleton)."""
    triples = []
    for path in sorted((folder / "images").glob("*.tiff")):
        image = tifffile.imread(path)
        label, skeleton = (
            np.asarray(Image.open(folder / kind / f"{path.stem}.png")) > 0 for kind in ("labels", "skeletons")
        )
        triples.append((image / np.iinfo(image.dtype).max, label, skeleton))
    return triples


def draw_phantoms(count: int, shape: tuple[int, int]) -> list[tuple[Field, Mask, Mask]]:
    """As many phantoms, their images rounded to 8 bits like the real ones."""
    phantoms = (vessel_phantom(seed, shape) for seed in range(count))
    return [(np.rint(p.image[0] * 255.0) / 255.0, p.mask > 0, np.asarray(p.skeleton)) for p in phantoms]


def main() -> None:
    """Read, draw, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vessmap", type=Path, required=True, help="folder with images/, labels/ and skeletons/")
    arguments = parser.parse_args()
    real = read_real(arguments.vessmap)
    if not real:
        parser.error(f"no images/*.tiff in {arguments.vessmap}")
    rows = [[measure(*triple) for triple in triples] for triples in (real, draw_phantoms(len(real), real[0][0].shape))]
    print(f"{len(real)} real images and as many phantoms; 5 %, 50 %, 95 % over the images\n")
    print(f"{'':28s}{'real':>27s}{'phantom':>27s}{'KS':>7s}")
    distances = []
    for name in rows[0][0]:
        columns = [np.array([row[name] for row in half]) for half in rows]
        columns = [column[np.isfinite(column)] for column in columns]
        distances.append(float(stats.ks_2samp(*columns).statistic))
        cells = ["".join(f"{value:9.3f}" for value in np.percentile(column, (5, 50, 95))) for column in columns]
        print(f"{name:28s}{cells[0]}{cells[1]}{distances[-1]:7.2f}")
    print(f"{'mean':28s}{'':54s}{np.mean(distances):7.2f}")


if __name__ == "__main__":
    main()
