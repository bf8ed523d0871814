"""`python -m core predict`."""

from pathlib import Path

import numpy as np
import typer

from ..display.colours import intensity_rgb, labels_over, png_bytes
from ..io.files import npy_bytes, write_atomically
from ..segmenter import Segmenter
from .options import Device, Images, Model, Out, Question, Reading, with_progress


def predict(
    model: Model, out: Out, images: Images, device: Device = "auto", *, reading: Reading, question: Question
) -> None:
    """Segment images: labels, probabilities and a picture with the labels over the image.

    Example: python -m core predict --model vessmap --image FILE --out results
    """
    paths = images.paths()
    segmenter = question.load(model, device)
    for path in with_progress(paths, "Segmenting"):
        values, loaded = reading.load(segmenter, path)
        shares = _write_prediction(segmenter, values, out, path.stem)
        typer.echo(f"{path.name}: {'; '.join(loaded.notes)}; {shares}")
    for note in segmenter.notes:
        typer.echo(f"{segmenter.name}: {note}")


def _write_prediction(segmenter: Segmenter, values: np.ndarray, out: Path, stem: str) -> str:
    prediction = segmenter.predict(values)
    write_atomically(out / f"{stem}_probabilities.npy", npy_bytes(prediction.probabilities))
    stored = np.uint8 if segmenter.num_classes <= 256 else np.uint16
    write_atomically(out / f"{stem}_labels.png", png_bytes(prediction.labels.astype(stored)))
    picture = labels_over(intensity_rgb(values), prediction.labels, 0.5)
    write_atomically(out / f"{stem}_overlay.png", png_bytes(picture))
    counts = np.bincount(prediction.labels.ravel(), minlength=segmenter.num_classes) / prediction.labels.size
    return ", ".join(f"{name} {100 * share:.1f} %" for name, share in zip(segmenter.class_names, counts, strict=True))
