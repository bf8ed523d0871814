"""`python -m core cam`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..attribution.attribution import SCHEMA_VERSION, Attribution
from ..attribution.cam import LayerAdvice, cam_methods, cam_warnings, layer_advice, map_layers
from ..attribution.cam.layer_method import GRADIENT_CAMS, gradient_cams
from ..attribution.registry import METHODS
from ..compute.progress import Progress
from ..display.colours import png_bytes
from ..errors import UserError
from ..io.files import npy_bytes, write_atomically
from ..io.tables import json_bytes
from ..segmenter import Segmenter
from ..target import Target
from .explain import Explanation, overlay, prepared
from .many_images import work_through
from .options import ImageRun, Model, Question, Reading
from .setting_options import MethodOptions, chosen_methods
from .target_options import TargetOptions

_SPLITS = ("train", "training", "val", "validation", "test")
_DEFAULT_TARGET = TargetOptions("1", pixel_set="class")

Entries = dict[str, dict[str, Any]]
"""The entries of one image in the manifests, by layer."""
Advice = dict[tuple[int, int], LayerAdvice]
"""Advice by the size of the image."""


@dataclass(frozen=True)
class _DataSet(ImageRun):
    """A folder of images; the former option --data still works."""

    images: Annotated[
        Path | None, typer.Option("--images", "--data", help="A folder of images, or one with images/ (and masks/).")
    ] = None


class _CamOptions(MethodOptions):
    """Settings of class activation maps except the layer, as there may be several."""

    hidden = ("layer", "seed")

    @classmethod
    def methods(cls) -> tuple[str, ...]:
        """All class activation maps."""
        return cam_methods()


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
    question: Question,
) -> None:
    """Class activation maps of a data set, for one layer or all.

    For each image, in OUT/<model>/visualizations/<data set>/<method>_<pixel set>/<layer>: the raw signed values at the
    layer's size, and the positive map over the image; for each layer a manifest. An image that fails is listed, and
    the others go on.

    Example: python -m core cam --model vessmap --images sample_data/vessels --layer all
    """
    name, *others = chosen_methods(method, cam_methods())
    if others:
        raise UserError("Name one method for cam; the command explain takes several.")
    segmenter, paths, _, pairs = prepared(model, question, [name], run, targets, options)
    advice = {} if layer else _first_advice(segmenter, paths, reading)
    layer = layer or next((found.suggested for found in advice.values()), None)
    folder = out.absolute() / _as_file_name(segmenter.name) / "visualizations" / _data_set_name(run.images or paths[0])
    folder /= f"{name}_{targets.pixels.name}"
    job = _LayerMaps(folder, (name,), targets, options.values | run.seeds, reading, pairs, layer=layer, advice=advice)

    def write(results: dict[Path, Entries], failures: dict[str, str]) -> None:
        job.write_manifests(segmenter, list(results.values()), failures)

    done = work_through(segmenter, paths, job, write, run.scheduler, name=lambda path: path.name)
    layers = {layer for entries in done.values() for layer in entries}
    typer.echo(f"{folder}: {len(done)} of {len(paths)} images, {len(layers)} layers")


@dataclass(frozen=True, eq=False)
class _LayerMaps(Explanation):
    """The work for each image; plain values, so that it can go to Dask workers."""

    layer: str | None = None
    advice: Advice = field(default_factory=dict)

    def __call__(self, segmenter: Segmenter, path: Path, progress: Progress | None) -> Entries:
        """Explain one image, write the results, and return its entry in each layer's manifest."""
        image, _, prediction, target = self.read(segmenter, path)
        size = (image.shape[1], image.shape[2])
        if size not in self.advice:
            self.advice[size] = layer_advice(segmenter, size)
        layers = map_layers(segmenter, size) if self.layer == "all" else [self.layer or self.advice[size].suggested]
        pointwise, class_index = self.advice[size].pointwise, self.targets.class_index(segmenter)
        entries = {}
        for found in self._maps(segmenter, image, target, layers, progress):
            stem, folder = f"{path.stem}_class_{class_index}", self.out / _as_file_name(str(found.layer))
            files = {"image": path.name, "values": f"{stem}_values.npy", "overlay": f"{stem}_overlay.png"}
            write_atomically(folder / files["values"], npy_bytes(found.values))
            write_atomically(folder / files["overlay"], png_bytes(overlay(image, found)))
            warnings = {"warnings": cam_warnings(found, prediction, pointwise)}
            entries[str(found.layer)] = files | warnings | found.manifest()
        return entries

    def write_manifests(self, segmenter: Segmenter, images: Sequence[Entries], failures: dict[str, str]) -> None:
        """Write one manifest per layer: its settings, and per image the files, warnings and what reproduces them."""
        class_index = self.targets.class_index(segmenter)
        for layer in dict.fromkeys(layer for entries in images for layer in entries):
            manifest = {
                "schema_version": SCHEMA_VERSION,
                "method": self.methods[0],
                "layer": layer,
                **self.targets.describe(segmenter),
                "class_name": None if class_index is None else segmenter.class_names[class_index],
                "images": [entries[layer] for entries in images if layer in entries],
                "failed": failures,
            }
            path = self.out / _as_file_name(layer) / f"class_{class_index}_manifest.json"
            write_atomically(path, json_bytes(manifest))

    def _maps(
        self, segmenter: Segmenter, image: np.ndarray, target: Target, layers: list[str], progress: Progress | None
    ) -> Iterator[Attribution]:
        (name,) = self.methods
        method = METHODS[name]
        if method.group == GRADIENT_CAMS:
            yield from gradient_cams(
                segmenter, image, target, layers, {name: method.settings_from(self.settings)}
            ).values()
        else:
            for layer in layers:
                settings = method.settings_from({**self.settings, "layer": layer})
                yield method.run(segmenter, image, target, settings, progress)


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
    """The folder's name; a split's follows that of the data set: data/scenes/test is scenes_test."""
    folder = data.resolve()
    folder = folder.parent if folder.is_file() else folder
    folder = folder.parent if folder.name == "images" else folder
    name = f"{folder.parent.name}_{folder.name}" if folder.name in _SPLITS else folder.name
    return _as_file_name(name or "data")


def _as_file_name(name: str) -> str:
    kept = "".join(character if character.isalnum() or character in "._- " else "_" for character in name)
    return kept.strip(". ") or "unnamed"
