"""Free memory, the memory that a network needs, and smaller batches when it runs out."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import psutil  # type: ignore[import-untyped]  # it ships no types
import torch
from torch import Tensor

from ..errors import UserError, is_out_of_memory
from ..segmenter import Segmenter

Result = TypeVar("Result")

_SHARE_OF_FREE = 0.4
"""Share of the free memory that a batch may take by estimate: allocators and other programs need some, too."""
_TRANSIENT = 1.5
"""Memory at the peak of a backward pass, as a multiple of the forward graph's."""
MOST_PIXELS_ON_CPU = 2**16
"""Pixels in a batch above which a CPU gains nothing from more."""
_LARGEST_BATCH = 256


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device; for the CPU, the main memory."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def graph_bytes(segmenter: Segmenter, image: np.ndarray) -> int:
    """Memory that one forward graph of the image keeps for its backward passes, the weights left out."""
    weights = {tensor.untyped_storage().data_ptr() for tensor in segmenter.module.state_dict().values()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # the tensor itself may hold the node that holds it: a cycle nobody collects

    with torch.enable_grad(), segmenter.lock, torch.autograd.graph.saved_tensors_hooks(note, lambda kept: kept):
        images = torch.from_numpy(np.ascontiguousarray(image[None])).to(segmenter.device).requires_grad_()
        logits = segmenter.unchecked_logits(images)
    return sum(kept.values()) + 4 * logits.numel()


def fitting_batch_size(segmenter: Segmenter, image: np.ndarray, most: int) -> int:
    """Number of images like this one (C, H, W) whose passes together fit well into the free memory, at most `most`."""
    limit = min(most, _LARGEST_BATCH)
    if segmenter.device.type == "cpu":
        limit = min(limit, MOST_PIXELS_ON_CPU // image[0].size)
    if limit <= 1:
        return 1
    one = _TRANSIENT * graph_bytes(segmenter, image)
    return max(1, min(limit, int(_SHARE_OF_FREE * free_bytes(segmenter.device) / one)))


class ShrinkingBatches:
    """Runs work in batches whose size is halved, for good, whenever memory runs out.

    Args:
        size: Size of the first batch.
        what: Name of a batch of one, for the error.
    """

    def __init__(self, size: int, what: str = "a single pass") -> None:
        self.size = size
        self._what = what

    def run(self, work: Callable[[int], Result]) -> Result:
        """Result of `work(size)` with the largest size that fits, which is kept as `size`.

        Raises:
            UserError: Not even a batch of one fits.
        """
        while True:
            try:
                return work(self.size)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self.size == 1:
                    raise UserError(
                        f"Memory ran out in {self._what}; crop the image, free some memory or take a smaller network."
                    ) from error
            self.size //= 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def run_each(self, count: int, work: Callable[[int, int], Result]) -> Iterator[tuple[int, int, Result]]:
        """`work(start, stop)` for all of `count` items, batch by batch: each batch's start, stop and result.

        Raises:
            UserError: As `run`.
        """
        start = 0
        while start < count:
            result = self.run(lambda size, start=start: work(start, min(start + size, count)))  # type: ignore[misc]
            stop = min(start + self.size, count)
            yield start, stop, result
            start = stop
