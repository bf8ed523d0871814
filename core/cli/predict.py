"""`python -m core predict`."""

from pathlib import Path

import numpy as np
import typer

from ..attribution.attribution import npy_bytes
from ..display.colours import intensity_rgb, labels_over, png_bytes
from ..io.files import write_atomically
from ..models import load_segmenter
from ..segmenter import Segmenter
from .options import (
    Device,
    Grey,
    ManyImages,
    OneImage,
    Out,
    Stretch,
    Weights,
    chosen_images,
    read_for,
    with_progress,
)


def predict(
    weights: Weights,
    out: Out,
    image: OneImage = None,
    images: ManyImages = None,
    device: Device = "auto",
    scaling: Stretch = "dtype",
    grey: Grey = False,
) -> None:
    """Segment images: labels, probabilities and a picture with the labels over the image.

    Example: python -m core predict --weights weights/vessmap.safetensors --image FILE --out results
    """
    paths = chosen_images(image, images)
    segmenter = load_segmenter(weights, device)
    for path in with_progress(paths, "Segmenting"):
        values, loaded = read_for(segmenter, path, scaling, grey=grey)
        shares = _write_prediction(segmenter, values, out, path.stem)
        typer.echo(f"{path.name}: {'; '.join(loaded.notes)}; {shares}")
    for note in segmenter.notes:
        typer.echo(f"{segmenter.name}: {note}")


def _write_prediction(segmenter: Segmenter, values: np.ndarray, out: Path, stem: str) -> str:
    prediction = segmenter.predict(values)
    write_atomically(out / f"{stem}_probabilities.npy", npy_bytes(prediction.probabilities))
    stored = np.uint8 if segmenter.num_classes <= 256 else np.uint16
    write_atomically(
        out / f"{stem}_labels.png",
        png_bytes(prediction.labels.astype(stored)),
    )
    picture = labels_over(intensity_rgb(values), prediction.labels, 0.5)
    write_atomically(out / f"{stem}_overlay.png", png_bytes(picture))
    counts = np.bincount(prediction.labels.ravel(), minlength=segmenter.num_classes) / prediction.labels.size
    return ", ".join(f"{name} {100 * share:.1f} %" for name, share in zip(segmenter.class_names, counts, strict=True))
