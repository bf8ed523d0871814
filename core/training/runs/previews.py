"""Predictions of a few fixed validation images along a training run, small enough to keep many epochs."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...io.files import write_atomically

IMAGES = 4
"""Largest number of images."""
LARGEST_SIDE = 256
"""Pixels of the longer side of what is kept."""
KEPT_EPOCHS = 100
"""About as many epochs are kept, evenly spread, and the last one."""

_FOLDER, _IMAGES = "previews", "images.npz"


@dataclass(frozen=True, eq=False)
class PreviewedImage:
    """One validation image and what the network said about it.

    Attributes:
        stem: Name of the image.
        image: float32 (C, h, w) in [0, 1], 256 pixels at most on the longer side.
        mask: uint8 (h, w), the classes of the ground truth; 255 where a pixel has none.
        labels: uint8 (h, w), the predicted classes.
        probability: float32 (h, w), the probability of class 1 in steps of 1/255, averaged where the image is reduced.
    """

    stem: str
    image: NDArray[np.float32]
    mask: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    probability: NDArray[np.float32]


def kept_epochs(run_folder: Path) -> list[int]:
    """The epochs whose predictions are kept, in order."""
    return sorted(int(path.stem) for path in (run_folder / _FOLDER).glob("[0-9]*.npz"))


def read_previews(run_folder: Path, epoch: int) -> list[PreviewedImage]:
    """The predictions after an epoch; empty where it is not kept."""
    try:
        with _opened(run_folder, _IMAGES) as fixed, _opened(run_folder, _name(epoch)) as found:
            return [
                PreviewedImage(
                    str(stem),
                    fixed[f"image_{index}"].astype(np.float32) / np.float32(255),
                    fixed[f"mask_{index}"],
                    found[f"labels_{index}"],
                    found[f"probability_{index}"].astype(np.float32) / np.float32(255),
                )
                for index, stem in enumerate(fixed["stems"])
            ]
    except FileNotFoundError:
        return []


def write_images(run_folder: Path, stems: Sequence[str], images: Sequence[NDArray], masks: Sequence[NDArray]) -> None:
    """Keep the fixed images: uint8 (C, h, w), with masks uint8 (h, w)."""
    arrays = _numbered("image", images) | _numbered("mask", masks)
    _write(run_folder, _IMAGES, {"stems": np.array(stems, dtype=str)} | arrays)


def write_predictions(
    run_folder: Path, epoch: int, epochs: int, labels: Sequence[NDArray], probabilities: Sequence[NDArray]
) -> None:
    """Keep the predictions after one of `epochs` epochs, all uint8 (h, w); what lies too close to others goes."""
    former = kept_epochs(run_folder)
    _write(run_folder, _name(epoch), _numbered("labels", labels) | _numbered("probability", probabilities))
    spacing = -(-epochs // KEPT_EPOCHS)
    for other in former:
        if other > epoch or (other < epoch and (other - 1) % spacing):
            (run_folder / _FOLDER / _name(other)).unlink(missing_ok=True)


def _name(epoch: int) -> str:
    return f"{epoch:06d}.npz"


def _opened(run_folder: Path, name: str) -> "np.lib.npyio.NpzFile":
    return np.load(run_folder / _FOLDER / name, allow_pickle=False)


def _numbered(name: str, arrays: Sequence[NDArray]) -> dict[str, NDArray]:
    return {f"{name}_{index}": array for index, array in enumerate(arrays)}


def _write(run_folder: Path, name: str, arrays: dict[str, NDArray]) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_atomically(run_folder / _FOLDER / name, buffer.getvalue())
