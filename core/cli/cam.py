"""`python -m core cam`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..attribution.attribution import SCHEMA_VERSION, Attribution
from ..attribution.cam import LayerAdvice, cam_methods, cam_warnings, layer_advice, map_layers
from ..attribution.cam.layer_method import GRADIENT_CAMS, gradient_cams
from ..attribution.registry import METHODS
from ..compute.progress import Progress
from ..data.layout import ImagePair, read_pair
from ..display.colours import png_bytes
from ..errors import UserError
from ..io.files import npy_bytes, write_atomically
from ..io.tables import json_bytes
from ..models import load_segmenter
from ..segmenter import Segmenter
from ..target import Target
from .explain import overlay
from .many_images import Finished, work_through
from .method_options import MethodOptions
from .options import ImageRun, Model, Reading, chosen_names
from .target_options import Question, TargetOptions

_SPLITS = ("train", "training", "val", "validation", "test")
_DEFAULT_TARGET = TargetOptions("1", "class", space="logit")

Entries = dict[str, dict[str, Any]]
"""The entries of one image in the manifests, by layer."""
Advice = dict[tuple[int, int], LayerAdvice]
"""Advice by the size of the image."""


@dataclass(frozen=True)
class _DataSet(ImageRun):
    """A data set; its old name is kept."""

    images: Annotated[
        Path | None, typer.Option("--images", "--data", help="A folder of images, or one with images/ (and masks/).")
    ] = None


class _CamOptions(MethodOptions):
    """Settings of class activation maps, but the layer, of which there may be several."""

    @classmethod
    def methods(cls) -> Sequence[str]:
        """All class activation maps."""
        return cam_methods()

    @classmethod
    def parameters(cls) -> list[Parameter]:
        """One optional parameter per setting."""
        return [parameter for parameter in super().parameters() if parameter.name != "layer"]


def cam(
    model: Model,
    run: _DataSet,
    method: Annotated[
        str, typer.Option(help=f"How the map is made: {', '.join(cam_methods())}.")
    ] = "seg_hires_grad_cam",
    layer: Annotated[str | None, typer.Option(help="Name of a layer, or all. By default one is suggested.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results; made if it is not there.")] = Path("results"),
    targets: TargetOptions = _DEFAULT_TARGET,
    *,
    reading: Reading,
    options: _CamOptions,
) -> None:
    """Class activation maps of a data set, for one layer or all.

    For each image, in OUT/<model>/visualizations/<data set>/<method>_<pixel set>/<layer>: the raw signed values at the
    layer's size, and the positive map over the image; for each layer a manifest. An image that fails is listed, and
    the others go on.

    Example: python -m core cam --model vessmap --images sample_data/vessels --layer all
    """
    (name,) = chosen_names("method", method, cam_methods())[:1]
    options.check([name])
    paths, _ = run.chosen(options.values.get("seed"))
    segmenter = load_segmenter(model, run.device)
    question = targets.question(segmenter)
    pairs = run.pairs(paths, needs_truth=question.needs_truth)
    advice = {} if layer else _first_advice(segmenter, paths, reading)
    layer = layer or next((found.suggested for found in advice.values()), None)
    folder = out.absolute() / _as_file_name(segmenter.name) / "visualizations" / _data_set_name(run.images or paths[0])
    folder /= f"{name}_{question.pixel_set.name}"
    job = _Job(folder, question, name, options.values, layer, reading, pairs, advice)
    layers = 0

    def write_manifests(finished: Finished[Entries]) -> None:
        nonlocal layers
        layers = job.write_manifests(segmenter, finished)

    finished = work_through(segmenter, paths, job, write_manifests, run.scheduler, name=lambda path: path.name)
    typer.echo(f"{folder}: {len(finished.results)} of {len(paths)} images, {layers} layers")


@dataclass(frozen=True, eq=False)
class _Job:
    """What is done with each image; plain values, so that it can go to Dask workers."""

    folder: Path
    question: Question
    method: str
    settings: Mapping[str, Any]
    layer: str | None
    reading: Reading
    pairs: Mapping[Path, ImagePair]
    advice: Advice = field(default_factory=dict)

    def __call__(self, segmenter: Segmenter, path: Path, progress: Progress | None) -> Entries:
        """Explain one image, write what came out, and give its entry in each layer's manifest."""
        image = self.reading.image(segmenter, path)
        pair = self.pairs.get(path.absolute())
        prediction = segmenter.predict(image)
        target = self.question.target(segmenter, prediction, None if pair is None else read_pair(pair).mask)
        size = (image.shape[1], image.shape[2])
        if size not in self.advice:
            self.advice[size] = layer_advice(segmenter, size)
        layers = map_layers(segmenter, size) if self.layer == "all" else [self.layer or self.advice[size].suggested]
        pointwise = self.advice[size].pointwise
        return {
            str(found.layer): self._write(found, image, path) | {"warnings": cam_warnings(found, prediction, pointwise)}
            for found in self._maps(segmenter, image, target, layers, progress)
        }

    def write_manifests(self, segmenter: Segmenter, finished: Finished[Entries]) -> int:
        """One per layer: the settings, and for each image its files, warnings and all that makes them again."""
        images = finished.results.values()
        layers = list(dict.fromkeys(layer for entries in images for layer in entries))
        class_index = self.question.class_index
        for layer in layers:
            manifest = {
                "schema_version": SCHEMA_VERSION,
                "method": self.method,
                "layer": layer,
                **self.question.describe(),
                "class_name": None if class_index is None else segmenter.class_names[class_index],
                "images": [entries[layer] for entries in images if layer in entries],
                "failed": finished.failures,
            }
            path = self.folder / _as_file_name(layer) / f"class_{class_index}_manifest.json"
            write_atomically(path, json_bytes(manifest))
        return len(layers)

    def _maps(
        self, segmenter: Segmenter, image: np.ndarray, target: Target, layers: list[str], progress: Progress | None
    ) -> Iterator[Attribution]:
        method = METHODS[self.method]
        settings = method.settings_from(self.settings)
        if method.group == GRADIENT_CAMS:
            yield from gradient_cams(segmenter, image, target, layers, {self.method: settings}).values()
        else:
            for layer in layers:
                yield method.run(segmenter, image, target, replace(settings, layer=layer), progress)

    def _write(self, attribution: Attribution, image: np.ndarray, path: Path) -> dict[str, Any]:
        stem = f"{path.stem}_class_{self.question.class_index}"
        values, picture = f"{stem}_values.npy", f"{stem}_overlay.png"
        folder = self.folder / _as_file_name(str(attribution.layer))
        write_atomically(folder / values, npy_bytes(attribution.values))
        write_atomically(folder / picture, png_bytes(overlay(image, attribution)))
        return {"image": path.name, "values": values, "overlay": picture, **attribution.manifest()}


def _first_advice(segmenter: Segmenter, paths: Sequence[Path], reading: Reading) -> Advice:
    """Advice for the size of the first image that can be read, printed; empty where there is no such image."""
    for path in paths:
        try:
            height, width = reading.image(segmenter, path).shape[1:]
            advice = layer_advice(segmenter, (height, width))
        except (UserError, OSError):
            continue
        typer.echo(f"Layer {advice.suggested}: {advice.reason}", err=True)
        return {(height, width): advice}
    return {}


def _data_set_name(data: Path) -> str:
    """The folder's name, and where that is a split's the one above too: data/scenes/test is scenes_test."""
    folder = data.resolve()
    folder = folder.parent if folder.is_file() else folder
    folder = folder.parent if folder.name == "images" else folder
    name = f"{folder.parent.name}_{folder.name}" if folder.name in _SPLITS else folder.name
    return _as_file_name(name or "data")


def _as_file_name(name: str) -> str:
    kept = "".join(character if character.isalnum() or character in "._- " else "_" for character in name)
    return kept.strip(". ") or "unnamed"
