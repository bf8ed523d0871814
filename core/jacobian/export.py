"""A Jacobian as one dense tensor, as the original project stored it."""

import itertools
import os
import tempfile
from pathlib import Path

import numpy as np
import torch

from .disk_space import check_free_disk
from .store import JacobianStore
from .threshold import stored_rows


def write_dense(store: JacobianStore, path: Path) -> Path:
    """Write the whole Jacobian as a `.pt` file of a float32 tensor, (H, W, H, W) for one channel, else (H, W, C, H, W).

    The tensor is filled and written through a file, so memory stays small whatever its size.

    Raises:
        UserError: The disk has less than twice the tensor's bytes left.
    """
    size, image_shape = store.plan.size, store.image.shape
    shape = (*size, *(image_shape if image_shape[0] > 1 else size))
    check_free_disk(path, 8 * int(np.prod(shape, dtype=np.int64)))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        dense = np.lib.format.open_memmap(Path(folder) / "dense.npy", mode="w+", dtype=np.float32, shape=shape)
        rows = dense.reshape(*size, *image_shape)
        for block in range(store.num_blocks):
            for windows, gradient in stored_rows(store, block):
                for row, column in itertools.product(windows.rows.positions, windows.columns.positions):
                    window = (slice(None), *store.plan.reach.window(row, column))
                    rows[row, column][window] = gradient[window]
        torch.save(torch.from_numpy(dense), Path(folder) / "dense.pt")
        os.replace(Path(folder) / "dense.pt", path)  # noqa: PTH105 - the atomic step
    return path
