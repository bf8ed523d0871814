"""Summaries of a store as maps over the output pixels, read on first use and updated during a run."""

import threading
from collections.abc import Callable

import numpy as np

from .row_summaries import STATISTICS
from .store import JacobianStore

_ARRAYS = ("statistics", "histogram", "boxes")


class SummaryMaps:
    """The summaries of the blocks of a store finished so far. Threads may share one."""

    def __init__(self, store: JacobianStore) -> None:
        self._store = store
        self._lock = threading.RLock()
        self._loaded: dict[str, set[int]] = {name: set() for name in _ARRAYS}
        self._arrays: dict[str, np.ndarray] = {}

    def statistic(self, name: str) -> np.ndarray:
        """One of `STATISTICS`, float32 (H, W); NaN where no row is computed."""
        index = STATISTICS.index(name)
        return self.gather("statistics", lambda values: values[..., index], np.nan)

    @property
    def computed(self) -> np.ndarray:
        """Bool (H, W): where a row is computed."""
        return ~np.isnan(self.statistic("maximum"))

    def gather(self, name: str, reduce: Callable[[np.ndarray], np.ndarray], empty: float) -> np.ndarray:
        """An array of summaries (passes, slots, …), reduced to (passes, slots, …), as a map (H, W, …)."""
        with self._lock:
            self._load(name)
            reduced = reduce(self._arrays[name])
            plan = self._store.plan
            values = reduced[plan.pass_of_pixel, plan.slot_of_pixel]
            # The block of a pixel without a pass is -1: none.
            blocks = plan.pass_of_pixel // self._store.manifest.passes_per_block
            values[~np.isin(blocks, list(self._loaded[name]))] = empty
            return values

    def _load(self, name: str) -> None:
        new = self._store.finished() - self._loaded[name]
        if len(new) == self._store.num_blocks:
            self._arrays[name] = self._store.read(name)
        else:
            self._arrays.setdefault(name, self._store.zeros(name))
            # Chunks of blocks that are not finished may be missing.
            for span in self._store.spans(new):
                self._arrays[name][span] = self._store.read(name, span)
        self._loaded[name] |= new
