"""Writing what a store says of itself, and reading it back with nothing taken on trust."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import zarr
from zarr.storage import LocalStore

from .arrays import CONSTANTS, METADATA, SUMMARIES, ArrayLayout, constant_layouts, result_layouts
from .colouring import Plan
from .inspection import attributes_of, check_files, check_layout, check_schema, shapes_of_constants
from .manifest_checks import checked_manifest, hash_of_entries
from .plan_arrays import plan_of
from .store_layout import Manifest, hash_of

_KEY = "whypixel_jacobian"
_HASHES = "whypixel_hashes"
_MANIFEST = "manifest"


@dataclass(frozen=True, eq=False)
class Opened:
    """A store that was checked.

    Attributes:
        manifest: Of which model, image and target it is.
        image: Float32 (C, H, W).
        labels: Int32 (H, W), the predicted class of each pixel.
        plan: Of the passes.
        layouts: Of the arrays of results.
        arrays: Those arrays.
    """

    manifest: Manifest
    image: np.ndarray
    labels: np.ndarray
    plan: Plan
    layouts: dict[str, ArrayLayout]
    arrays: dict[str, zarr.Array]


def write_constants(path: Path, manifest: Manifest, values: Mapping[str, np.ndarray]) -> None:
    """Make a group with what is written once, the manifest and `CONSTANTS`, and their hashes."""
    layouts = constant_layouts(values["image"].shape, len(values["passes"]))
    constants = {layout.name: np.ascontiguousarray(values[layout.name], layout.dtype) for layout in layouts}
    entries = asdict(manifest)
    hashes = {_MANIFEST: hash_of_entries(entries)} | {name: hash_of(array) for name, array in constants.items()}
    group = zarr.open_group(path, mode="w", zarr_format=3, attributes={_KEY: entries, _HASHES: hashes})
    for layout in layouts:
        layout.create(group)[...] = constants[layout.name]


def open_checked(path: Path) -> Opened:
    """Open the store in a folder.

    Each step trusts only what the steps before it checked: the manifest, the names and kinds of all files, the shapes
    that the image and the passes give, the values of what is written once, and the layout that follows from them.

    Raises:
        UserError: A store of another version.
        ValueError: No store, or one that is damaged; the message names the part.
    """
    attributes = attributes_of(path)
    entries, hashes = attributes.get(_KEY), attributes.get(_HASHES)
    if not isinstance(entries, dict):
        raise ValueError(f"{METADATA} says nothing of a Jacobian")  # noqa: TRY004 - a store's fault, not a caller's
    check_schema(path, entries.get("schema"))
    if not isinstance(hashes, dict) or hashes.get(_MANIFEST) != hash_of_entries(entries):
        raise ValueError(f"its manifest in {METADATA} is damaged")
    manifest = checked_manifest(entries)
    check_files(path, {*CONSTANTS, *SUMMARIES, *(["rows"] if manifest.keep_rows else [])})
    image_shape, num_passes = shapes_of_constants(path)
    if image_shape[0] != manifest.channels or hashes.get("image") != manifest.image_hash:
        raise ValueError("its image is another one")
    files = LocalStore(path)
    constants = {}
    for layout in constant_layouts(image_shape, num_passes):
        check_layout(path, layout)
        constants[layout.name] = _constant(path, files, layout, hashes.get(layout.name))
    plan = plan_of(constants, manifest)
    layouts = {layout.name: layout for layout in result_layouts(manifest, plan)}
    for layout in layouts.values():
        check_layout(path, layout)
    arrays = {name: layout.open(files) for name, layout in layouts.items()}
    return Opened(manifest, constants["image"], constants["labels"], plan, layouts, arrays)


def _constant(path: Path, files: LocalStore, layout: ArrayLayout, expected: object) -> np.ndarray:
    """An array that is written once, if its hash is the expected one."""
    fault = layout.fault(layout.file_of(path, (0,) * len(layout.shape)))
    if fault:
        raise ValueError(f"its {layout.name} is {fault}")
    try:
        values = np.asarray(layout.open(files)[...])
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"its {layout.name} is damaged") from error
    if hash_of(values) != expected:
        raise ValueError(f"its {layout.name} is damaged")
    return values
