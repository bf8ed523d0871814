"""How gradient values are stored: float32 as they are, float16 and uint8 relative to a scale for each row."""

from typing import Literal, get_args

import numpy as np

from .row_summaries import STATISTICS, PassWindows

StoredType = Literal["float32", "float16", "uint8"]

STORED_TYPES: tuple[StoredType, ...] = get_args(StoredType)
ZERO = {"float32": 0, "float16": 0, "uint8": 128}
"""The stored value of 0."""

_SCALE = STATISTICS.index("scale")
_ERROR_BOUND = STATISTICS.index("error_bound")


def encode(gradient: np.ndarray, windows: PassWindows, statistics: np.ndarray, dtype: StoredType) -> np.ndarray:
    """The stored form of a pass's gradient image float32 (C, H, W); the error bounds are put into its statistics.

    float16 holds value / scale; uint8 holds 128 + 127 · value / scale. The error bound of a row is its largest actual
    error.
    """
    if dtype == "float32":
        return gradient
    scale = windows.spread(statistics[..., _SCALE])
    scale = np.where(scale > 0, scale, np.float32(1))
    relative = gradient / scale
    stored = relative.astype(np.float16) if dtype == "float16" else (np.rint(relative * 127) + 128).astype(np.uint8)
    errors = np.abs(decode(stored, scale, dtype) - gradient).max(axis=0)
    statistics[..., _ERROR_BOUND] = windows.reduce(np.maximum, errors)
    return stored


def decode(stored: np.ndarray, scale: np.ndarray | np.float32, dtype: StoredType) -> np.ndarray:
    """Float32 values of stored ones (…, H, W); `scale` is one number or (H, W)."""
    if dtype == "float32":
        return stored
    scale = np.asarray(scale, np.float32)
    if dtype == "float16":
        return stored.astype(np.float32) * scale
    return (stored.astype(np.float32) - 128) * (scale / np.float32(127))
