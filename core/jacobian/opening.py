"""Creating an empty store, and opening one with all of its contents checked."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..receptive_field import AxisSupport, ReceptiveField
from .array_layouts import (
    CONSTANTS,
    FACTORS,
    METADATA,
    SUMMARIES,
    ArrayLayout,
    constant_layouts,
    factor_layouts,
    result_layouts,
)
from .colouring import Plan, places
from .inspection import attributes_of, check_files, check_layout, check_schema, shapes_of_constants
from .manifest import Manifest, checked_manifest, hash_of_entries
from .request import hash_of

_KEY = "whypixel_jacobian"
_HASHES = "whypixel_hashes"
_MANIFEST = "manifest"
_MOST_SUMMARIES = 2**26
"""Passes times slots: above, the histograms alone would take 17 GB of memory."""


def write_empty_store(path: Path, manifest: Manifest, plan: Plan, image: np.ndarray, labels: np.ndarray) -> None:
    """Make a group with what is written once, the manifest and `CONSTANTS`, with their hashes, and empty results."""
    from zarr import open_group  # noqa: PLC0415 - slow to import

    values = {"image": image, "labels": labels, **_arrays_of(plan)}
    layouts = constant_layouts(values["image"].shape, len(plan))
    constants = {layout.name: np.ascontiguousarray(values[layout.name], layout.dtype) for layout in layouts}
    entries = asdict(manifest)
    hashes = {_MANIFEST: hash_of_entries(entries)} | {name: hash_of(array) for name, array in constants.items()}
    open_group(path, mode="w", zarr_format=3, attributes={_KEY: entries, _HASHES: hashes})
    for layout in layouts:
        layout.create(path)[...] = constants[layout.name]
    for layout in [*result_layouts(manifest, plan), *factor_layouts(manifest, plan.size)]:
        layout.create(path)


def open_checked(
    path: Path,
) -> tuple[Manifest, Plan, dict[str, np.ndarray], dict[str, ArrayLayout], dict[str, ArrayLayout]]:
    """Open the store in a folder.

    Each step trusts only what the steps before it checked: the manifest, the names and kinds of all files, the shapes
    that the image and the passes give, the values of what is written once, and the layout that follows from them.

    Returns:
        The manifest, the plan, the arrays of `CONSTANTS` by name, and the layouts by name of the arrays of results and
        of those of `FACTORS`.

    Raises:
        UserError: A store of another version.
        ValueError: No store, or one that is damaged; the message names the part.
    """
    manifest, hashes = read_manifest(path)
    factors = FACTORS if manifest.statistics else ()
    check_files(path, {*CONSTANTS, *SUMMARIES, *factors, *(["rows"] if manifest.keep_rows else [])})
    image_shape, num_passes = shapes_of_constants(path)
    if image_shape[0] != manifest.channels or hashes.get("image") != manifest.image_hash:
        raise ValueError("its image is another one")
    constants = {}
    for layout in constant_layouts(image_shape, num_passes):
        check_layout(path, layout)
        constants[layout.name] = _constant(path, layout, hashes.get(layout.name))
    plan = _plan_of(constants, manifest)
    layouts = {layout.name: layout for layout in result_layouts(manifest, plan)}
    of_factors = {layout.name: layout for layout in factor_layouts(manifest, plan.size)}
    for layout in (*layouts.values(), *of_factors.values()):
        check_layout(path, layout)
    return manifest, plan, constants, layouts, of_factors


def read_manifest(path: Path) -> tuple[Manifest, dict[str, object]]:
    """The manifest of a store and the hashes of what is written once, by name, from one small file.

    Raises:
        UserError: A store of another version.
        ValueError: No store, or one whose manifest is damaged.
    """
    attributes = attributes_of(path)
    entries, hashes = attributes.get(_KEY), attributes.get(_HASHES)
    if not isinstance(entries, dict):
        raise ValueError(f"{METADATA} says nothing of a Jacobian")  # noqa: TRY004 - a store's fault, not a caller's
    check_schema(path, entries.get("schema"))
    if not isinstance(hashes, dict) or hashes.get(_MANIFEST) != hash_of_entries(entries):
        raise ValueError(f"its manifest in {METADATA} is damaged")
    return checked_manifest(entries), hashes


def _constant(path: Path, layout: ArrayLayout, expected: object) -> np.ndarray:
    """An array that is written once, if its hash is the expected one."""
    fault = layout.fault(layout.file_of(path, (0,) * len(layout.shape)))
    if fault:
        raise ValueError(f"its {layout.name} is {fault}")
    try:
        values = np.asarray(layout.open(path)[...])
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"its {layout.name} is damaged") from error
    if hash_of(values) != expected:
        raise ValueError(f"its {layout.name} is damaged")
    return values


def _arrays_of(plan: Plan) -> dict[str, np.ndarray]:
    """The arrays that a plan is kept in."""
    return {
        "row_support": np.stack((plan.field.rows.first, plan.field.rows.last), axis=1),
        "column_support": np.stack((plan.field.columns.first, plan.field.columns.last), axis=1),
        "row_colour": places(plan.rows, plan.size[0])[0],
        "column_colour": places(plan.columns, plan.size[1])[0],
        "passes": plan.passes,
        "selected": plan.selected,
    }


def _plan_of(arrays: Mapping[str, np.ndarray], manifest: Manifest) -> Plan:
    """The plan that was kept in these arrays, of the right shapes and types.

    Raises:
        ValueError: They hold no plan that could be computed by.
    """
    rows, columns = (AxisSupport(*arrays[name].T) for name in ("row_support", "column_support"))
    _check_support("row_support", rows)
    _check_support("column_support", columns)
    plan = Plan(
        ReceptiveField(rows, columns, manifest.dense and not manifest.statistics),
        _positions_of_colour("row_colour", arrays["row_colour"], rows),
        _positions_of_colour("column_colour", arrays["column_colour"], columns),
        arrays["passes"],
        arrays["selected"],
        manifest.statistics,
    )
    _check_passes(plan)
    _check_blocks(plan, manifest)
    return plan


def _positions_of_colour(name: str, colour_of_position: np.ndarray, support: AxisSupport) -> tuple[np.ndarray, ...]:
    found = np.unique(colour_of_position[colour_of_position != -1])
    if len(found) == 0 or not np.array_equal(found, np.arange(len(found))):
        raise ValueError(f"its {name} holds numbers that are no colours")
    order = np.argsort(support.first, kind="stable")
    colours = tuple(order[colour_of_position[order] == colour] for colour in range(len(found)))
    if any((support.last[positions[:-1]] >= support.first[positions[1:]]).any() for positions in colours):
        raise ValueError(f"its {name} gives one colour to positions whose supports meet")
    return colours


def _check_support(name: str, support: AxisSupport) -> None:
    if support.first.min() < 0 or support.last.max() >= len(support) or (support.first > support.last).any():
        raise ValueError(f"its {name} leads out of the image")


def _check_passes(plan: Plan) -> None:
    num_colours = np.array([len(plan.rows), len(plan.columns)])
    if plan.passes.min() < 0 or (plan.passes >= num_colours).any():
        raise ValueError("its passes name colours that do not exist")
    if len(np.unique(plan.passes[:, 0] * num_colours[1] + plan.passes[:, 1])) != len(plan):
        raise ValueError("its passes hold one pass twice")
    # A byte of a stored bool can be any number.
    if plan.selected.view(np.uint8).max() > 1 or not plan.selected.any():
        raise ValueError("its selected is no choice of pixels")
    if (plan.pass_of_pixel[plan.selected] < 0).any():
        raise ValueError("its passes leave out pixels that were asked for")


def _check_blocks(plan: Plan, manifest: Manifest) -> None:
    block = manifest.passes_per_block
    if block > len(plan) or block & (block - 1) or manifest.batch_size > block:
        raise ValueError("its passes_per_block does not fit its passes")
    if len(plan) * plan.slots > _MOST_SUMMARIES:
        raise ValueError("its summaries would be too large to read")
