"""`python -m core cam`."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress as ProgressBars

from ..attribution import Attribution
from ..attribution.attribution import SCHEMA_VERSION, npy_bytes
from ..attribution.cam import (
    LayerAdvice,
    Pooling,
    Window,
    cam_atlas,
    cam_methods,
    cam_warnings,
    gradient_methods,
    layer_advice,
    map_layers,
)
from ..attribution.cam import cam as class_activation_map
from ..compute.batches import Advance, each_image, json_bytes
from ..data.images import Scaling
from ..data.layout import ImagePair, find_pairs, read_pair
from ..display.colours import blend, intensity_rgb, png_bytes, sequential_rgb
from ..errors import UserError
from ..io.files import write_atomically
from ..models import load_segmenter
from ..pixel_sets import NEEDS_TRUTH, PixelSet, PixelSetName
from ..segmenter import Prediction, Segmenter
from ..target import Reduction, Space
from .choices import Scheduler, chosen_class
from .options import Device, Grey, Stretch, Weights, chosen_images, read_for

_SPLITS = ("train", "training", "val", "validation", "test")
_OPACITY = 0.75

Entries = dict[str, dict[str, Any]]
"""Of one image: by layer, its entry in the manifest."""


def cam(
    weights: Weights,
    data: Annotated[Path, typer.Option(help="A folder of images, or one with images/ (and masks/) in it.")],
    method: Annotated[
        str, typer.Option(help=f"How the map is made [{', '.join(cam_methods())}].")
    ] = "seg_hires_grad_cam",
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
    scheduler: Scheduler = None,
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
    if method not in cam_methods():
        raise UserError(f'The method is one of {", ".join(cam_methods())}; "{method}" was given.')
    paths = chosen_images(None, data)
    pairs = _pairs(data) if pixel_set in NEEDS_TRUTH else {}
    segmenter = load_segmenter(weights, device)
    advice = {} if layer else _first_advice(segmenter, paths, scaling, grey=grey)
    job = _Job(
        out.absolute()
        / _as_file_name(segmenter.name)
        / "visualizations"
        / _data_set_name(data)
        / f"{method}_{pixel_set}",
        chosen,
        chosen_class(segmenter, class_name),
        method,
        layer or next((found.suggested for found in advice.values()), None),
        space,
        reduction,
        _window(window),
        pooling,
        scaling,
        grey,
        pairs,
        advice,
    )
    done: dict[Path, Entries] = {}
    failed: dict[str, str] = {}
    try:
        with ProgressBars(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bars:
            images = bars.add_task("Images", total=len(paths))
            inside = method not in gradient_methods() and scheduler is None
            channels = bars.add_task("Channels", total=None, visible=inside)

            def advance(part: int, total: int) -> None:
                bars.update(channels, completed=part, total=total)

            for outcome in each_image(segmenter, paths, job, scheduler, advance):
                if outcome.result is None:
                    failed[outcome.path.name] = outcome.failure
                else:
                    done[outcome.path] = outcome.result
                bars.advance(images)
    finally:
        failed = {path.name: failed[path.name] for path in paths if path.name in failed}
        layers = job.write_manifests(segmenter, [done[path] for path in paths if path in done], failed)
    for name, sentence in failed.items():
        typer.echo(f"{name} failed: {sentence}", err=True)
    if not layers:
        raise UserError(f"None of the {len(paths)} images could be explained: {next(iter(failed.values()))}")
    typer.echo(f"{job.folder}: {len(paths) - len(failed)} of {len(paths)} images, {layers} layers")


@dataclass(frozen=True, eq=False)
class _Job:
    """What is done with every image; plain values, so that it can go to Dask workers."""

    folder: Path
    pixel_set: PixelSet
    class_index: int
    method: str
    layer: str | None
    space: Space
    reduction: Reduction
    window: Window | None
    pooling: Pooling
    scaling: Scaling
    grey: bool
    pairs: Mapping[Path, ImagePair]
    advice: dict[tuple[int, int], LayerAdvice] = field(default_factory=dict)

    def __call__(self, segmenter: Segmenter, path: Path, progress: Advance | None) -> Entries:
        """Explain one image, write what came out, and give its entry in each layer's manifest."""
        image, _ = read_for(segmenter, path, self.scaling, grey=self.grey)
        pair = self.pairs.get(path.absolute())
        truth = None if pair is None else read_pair(pair).mask
        prediction = segmenter.predict(image)
        return {
            str(attribution.layer): self._write(attribution, segmenter, image, prediction, path)
            for attribution in self._explain(segmenter, image, prediction, truth, progress)
        }

    def write_manifests(self, segmenter: Segmenter, images: Sequence[Entries], failed: Mapping[str, str]) -> int:
        """One a layer: the settings, and of each image its files, warnings and all that makes them again."""
        layers = list(dict.fromkeys(layer for entries in images for layer in entries))
        for layer in layers:
            manifest = {
                "schema_version": SCHEMA_VERSION,
                "method": self.method,
                "layer": layer,
                "pixel_set": self.pixel_set.describe(),
                "class_index": self.class_index,
                "class_name": segmenter.class_names[self.class_index],
                "space": self.space,
                "reduction": self.reduction,
                "images": [entries[layer] for entries in images if layer in entries],
                "failed": failed,
            }
            path = self.folder / _as_file_name(layer) / f"class_{self.class_index}_manifest.json"
            write_atomically(path, json_bytes(manifest))
        return len(layers)

    def _explain(
        self, segmenter: Segmenter, image: np.ndarray, prediction: Prediction, truth: np.ndarray | None,
        progress: Advance | None,
    ) -> Sequence[Attribution]:  # fmt: skip
        target = self.pixel_set.target(
            prediction, self.class_index, self.space, self.reduction, truth, segmenter.class_names
        )
        layers = self._layers(segmenter, (image.shape[1], image.shape[2]))
        if self.method in gradient_methods():
            found = cam_atlas(segmenter, image, target, layers, [self.method], self.window, self.pooling)
            return list(found.values())
        return [
            class_activation_map(
                segmenter, image, target, layer, self.method, self.window, self.pooling, progress=progress
            )
            for layer in layers
        ]

    def _layers(self, segmenter: Segmenter, size: tuple[int, int]) -> list[str]:
        if self.layer == "all":
            return map_layers(segmenter, size)
        return [self.layer or self._advice(segmenter, size).suggested]

    def _advice(self, segmenter: Segmenter, size: tuple[int, int]) -> LayerAdvice:
        if size not in self.advice:
            self.advice[size] = layer_advice(segmenter, size)
        return self.advice[size]

    def _write(
        self, attribution: Attribution, segmenter: Segmenter, image: np.ndarray, prediction: Prediction, path: Path
    ) -> dict[str, Any]:
        stem = f"{path.stem}_class_{self.class_index}"
        values, overlay = f"{stem}_values.npy", f"{stem}_overlay.png"
        target_folder = self.folder / _as_file_name(str(attribution.layer))
        write_atomically(target_folder / values, npy_bytes(attribution.values))
        write_atomically(target_folder / overlay, png_bytes(_overlay(image, attribution.at_image_size())))
        advice = self._advice(segmenter, (image.shape[1], image.shape[2]))
        warnings = cam_warnings(attribution, prediction, advice.pointwise)
        entry = {"image": path.name, "values": values, "overlay": overlay}
        return entry | {"warnings": warnings} | attribution.manifest()


def _first_advice(
    segmenter: Segmenter, paths: Sequence[Path], scaling: Scaling, *, grey: bool
) -> dict[tuple[int, int], LayerAdvice]:
    """By the first image that can be read, for its size, and told; empty where there is no such image."""
    for path in paths:
        try:
            image, _ = read_for(segmenter, path, scaling, grey=grey)
            size = (image.shape[1], image.shape[2])
            advice = layer_advice(segmenter, size)
        except (UserError, OSError):
            continue
        typer.echo(f"Layer {advice.suggested}: {advice.reason}", err=True)
        return {size: advice}
    return {}


def _overlay(image: np.ndarray, positive: np.ndarray) -> np.ndarray:
    limit = float(positive.max()) or 1.0
    return blend(intensity_rgb(image), sequential_rgb(positive, limit), _OPACITY * positive / limit)


def _pairs(data: Path) -> dict[Path, ImagePair]:
    return {pair.image.absolute(): pair for pair in find_pairs(data.parent if data.name == "images" else data)}


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
