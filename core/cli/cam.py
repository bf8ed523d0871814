"""`python -m core cam`."""

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress as ProgressBars

from core.attribution import Attribution
from core.attribution.cam import (
    PERTURBATION_METHODS,
    Method,
    Pooling,
    Window,
    cam_atlas,
    cam_warnings,
    map_layers,
    pointwise_layers,
    suggested_layer,
)
from core.attribution.cam import cam as class_activation_map
from core.attribution.result import SCHEMA_VERSION, npy_bytes
from core.cli.options import Device, Grey, Stretch, Weights, chosen_images, read_for
from core.colours import blend, intensity_rgb, png_bytes, sequential_rgb
from core.data.images import Scaling
from core.data.layout import ImagePair, find_pairs, read_pair
from core.errors import UserError, is_out_of_memory
from core.files import write_atomically
from core.models import load_segmenter
from core.pixel_sets import NEEDS_TRUTH, PixelSet, PixelSetName
from core.segmenter import Segmenter
from core.target import Reduction, Space

_SPLITS = ("train", "training", "val", "validation", "test")
_OPACITY = 0.75

Advance = Callable[[int, int], object]


def cam(
    weights: Weights,
    data: Annotated[Path, typer.Option(help="A folder of images, or one with images/ (and masks/) in it.")],
    method: Annotated[Method, typer.Option(help="How the map is made.")] = "seg_hires_grad_cam",
    pixel_set: Annotated[PixelSetName, typer.Option(help="The pixels whose scores are explained.")] = "class",
    class_name: Annotated[str, typer.Option("--class", help="The class, by its number or its name.")] = "1",
    layer: Annotated[str | None, typer.Option(help="A layer's name, or all. By default one is suggested.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results; made if it is not there.")] = Path("results"),
    space: Annotated[Space, typer.Option(help="Of the scores.")] = "logit",
    reduction: Annotated[Reduction, typer.Option(help="Of the scores over the pixels.")] = "sum",
    window: Annotated[str | None, typer.Option(help="Of seg_xres_cam: 4, or rows and columns such as 2,8.")] = None,
    pooling: Annotated[Pooling, typer.Option(help="Of seg_xres_cam.")] = "mean",
    row: Annotated[int | None, typer.Option(help="Of the pixel, for point and component.")] = None,
    column: Annotated[int | None, typer.Option(help="Of the pixel, for point and component.")] = None,
    box: Annotated[str | None, typer.Option(help="First row, first column, last row, last column: 0,0,9,9.")] = None,
    lasso: Annotated[str | None, typer.Option(help="Corners as row,column: '0,0 0,9.5 9,9'.")] = None,
    border_width: Annotated[int, typer.Option(help="Of border, in pixels.")] = 1,
    device: Device = "auto",
    scaling: Stretch = "dtype",
    grey: Grey = False,
) -> None:
    """Class activation maps of a data set, in OUT/<model>/visualizations/<data set>/<method>_<pixel set>/<layer>.

    For each image: the raw signed values at the layer's size, and the positive map over the image; for each layer a
    manifest. An image that fails is listed, and the others go on.

    Example: python -m core cam --weights weights/vessmap.safetensors --data sample_data/vessels --layer all
    """
    chosen = PixelSet(pixel_set, row, column, _numbers(box, "box", 4), _corners(lasso), border_width)  # type: ignore[arg-type]
    paths = chosen_images(None, data)
    pairs = _pairs(data) if pixel_set in NEEDS_TRUTH else {}
    segmenter = load_segmenter(weights, device)
    class_index = _class_index(segmenter, class_name)
    job = _Job(segmenter, chosen, class_index, method, layer, space, reduction, _window(window), pooling)
    folder = out / _as_file_name(segmenter.name) / "visualizations" / _data_set_name(data) / f"{method}_{pixel_set}"
    try:
        with ProgressBars(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bars:
            images = bars.add_task("Images", total=len(paths))
            channels = bars.add_task("Channels", total=None, visible=method in PERTURBATION_METHODS)
            for path in paths:
                job.run(
                    path,
                    pairs.get(path),
                    folder,
                    lambda done, total: bars.update(channels, completed=done, total=total),
                    scaling,
                    grey=grey,
                )
                bars.advance(images)
    finally:
        job.write_manifests(folder)
    for name, sentence in job.failed.items():
        typer.echo(f"{name} failed: {sentence}", err=True)
    if not job.done:
        raise UserError(f"None of the {len(paths)} images could be explained: {next(iter(job.failed.values()))}")
    typer.echo(f"{folder}: {len(paths) - len(job.failed)} of {len(paths)} images, {len(job.done)} layers")


@dataclass(eq=False)
class _Job:
    segmenter: Segmenter
    pixel_set: PixelSet
    class_index: int
    method: Method
    layer: str | None
    space: Space
    reduction: Reduction
    window: Window | None
    pooling: Pooling
    done: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    failed: dict[str, str] = field(default_factory=dict)
    pointwise: dict[tuple[int, int], frozenset[str]] = field(default_factory=dict)

    def run(
        self, path: Path, pair: ImagePair | None, folder: Path, advance: Advance, scaling: Scaling, *, grey: bool
    ) -> None:
        """Explain one image and write what came out; what goes wrong is noted."""
        try:
            image, _ = read_for(self.segmenter, path, scaling, grey=grey)
            truth = None if pair is None else read_pair(pair).mask
            maps = self._explain(image, truth, advance)
        except UserError as error:
            self.failed[path.name] = str(error)
        except OSError as error:
            self.failed[path.name] = f"{error.strerror or error}."
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self.failed[path.name] = "Memory ran out; take a smaller image, or one layer at a time."
        else:
            for attribution in maps:
                self._write(attribution, image, path, folder)

    def write_manifests(self, folder: Path) -> None:
        """One a layer: the settings, and of each image its files, warnings and all that makes them again."""
        for layer, entries in self.done.items():
            manifest = {
                "schema_version": SCHEMA_VERSION,
                "method": self.method,
                "layer": layer,
                "pixel_set": self.pixel_set.describe(),
                "class_index": self.class_index,
                "class_name": self.segmenter.class_names[self.class_index],
                "space": self.space,
                "reduction": self.reduction,
                "images": entries,
                "failed": self.failed,
            }
            path = folder / _as_file_name(layer) / f"class_{self.class_index}_manifest.json"
            write_atomically(path, (json.dumps(manifest, indent=2) + "\n").encode())

    def _explain(self, image: np.ndarray, truth: np.ndarray | None, advance: Advance) -> Sequence[Attribution]:
        prediction = self.segmenter.predict(image)
        target = self.pixel_set.target(
            prediction, self.class_index, self.space, self.reduction, truth, self.segmenter.class_names
        )
        layers = self._layers((image.shape[1], image.shape[2]))
        if self.method not in PERTURBATION_METHODS:
            found = cam_atlas(self.segmenter, image, target, layers, [self.method], self.window, self.pooling)
            return list(found.values())
        return [
            class_activation_map(
                self.segmenter, image, target, layer, self.method, self.window, self.pooling, progress=advance
            )
            for layer in layers
        ]

    def _layers(self, size: tuple[int, int]) -> list[str]:
        if self.layer == "all":
            return map_layers(self.segmenter, size)
        if self.layer is None:
            self.layer, reason = suggested_layer(self.segmenter, size)
            typer.echo(f"Layer {self.layer}: {reason}", err=True)
        return [self.layer]

    def _write(self, attribution: Attribution, image: np.ndarray, path: Path, folder: Path) -> None:
        layer = attribution.parameters["layer"]
        stem = f"{path.stem}_class_{self.class_index}"
        values, overlay = f"{stem}_values.npy", f"{stem}_overlay.png"
        target_folder = folder / _as_file_name(layer)
        write_atomically(target_folder / values, npy_bytes(attribution.values))
        write_atomically(target_folder / overlay, png_bytes(_overlay(image, attribution.at_image_size())))
        size = (image.shape[1], image.shape[2])
        if size not in self.pointwise:
            self.pointwise[size] = pointwise_layers(self.segmenter, size)
        warnings = cam_warnings(attribution, self.pointwise[size])
        entry = {"image": path.name, "values": values, "overlay": overlay}
        self.done[layer].append(entry | {"warnings": warnings} | attribution.manifest())


def _overlay(image: np.ndarray, positive: np.ndarray) -> np.ndarray:
    limit = float(positive.max()) or 1.0
    return blend(intensity_rgb(image), sequential_rgb(positive, limit), _OPACITY * positive / limit)


def _class_index(segmenter: Segmenter, name: str) -> int:
    names = segmenter.class_names
    if name in names:
        return names.index(name)
    if name.isdecimal() and int(name) < len(names):
        return int(name)
    known = ", ".join(f"{index} {known}" for index, known in enumerate(names))
    raise UserError(f'The network {segmenter.name} has no class "{name}"; its classes are {known}.')


def _pairs(data: Path) -> dict[Path, ImagePair]:
    return {pair.image: pair for pair in find_pairs(data.parent if data.name == "images" else data)}


def _data_set_name(data: Path) -> str:
    """The folder's name, and where that is a split's the one above too: data/scenes/test is scenes_test."""
    folder = data.resolve()
    folder = folder.parent if folder.name == "images" else folder
    name = f"{folder.parent.name}_{folder.name}" if folder.name in _SPLITS else folder.name
    return _as_file_name(name or "data")


def _as_file_name(name: str) -> str:
    kept = "".join(character if character.isalnum() or character in "._- " else "_" for character in name)
    return kept.strip(". ") or "unnamed"


def _window(text: str | None) -> Window | None:
    if text is None:
        return None
    numbers = _numbers(text, "window", None)
    if len(numbers or ()) not in (1, 2):
        raise UserError(f'The window is one number or rows,columns; "{text}" was given.')
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])  # type: ignore[index,arg-type]


def _numbers(text: str | None, what: str, count: int | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or count not in (None, len(numbers)):
        wanted = "whole numbers" if count is None else f"{count} whole numbers"
        raise UserError(f'The {what} is {wanted} with commas between them; "{text}" was given.')
    return numbers


def _corners(text: str | None) -> list[tuple[float, float]] | None:
    if text is None:
        return None
    try:
        corners = [tuple(float(part) for part in corner.split(",")) for corner in text.split()]
    except ValueError:
        corners = [()]
    if any(len(corner) != 2 for corner in corners):
        raise UserError(f'The lasso is corners row,column with spaces between them; "{text}" was given.')
    return [(corner[0], corner[1]) for corner in corners]
