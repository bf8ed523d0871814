"""Backward passes: vector-Jacobian products of one image, several at once where that is faster."""

import contextlib
import time

import numpy as np
import torch
from torch import Tensor

from core.errors import is_out_of_memory
from core.jacobian.normalisation import batchable
from core.memory import ShrinkingBatches, free_bytes
from core.segmenter import Segmenter
from core.target import Space, class_scores

_MOST_PIXELS_AT_ONCE_ON_CPU = 2**18
"""Above, a single pass on a CPU runs near its arithmetic peak already."""
_MOST_PASSES_AT_ONCE = 1024
_STEP = 4
_WORTHWHILE = 0.95
_REPETITIONS = 3


class PassRunner:
    """Gradients of weighted sums of one image's scores, with one forward graph kept for all passes.

    Several passes at once go backward through the same graph as one pass alone would, with the same units active:
    running the image several times would round otherwise, and a unit on the brink of its ReLU could switch. Where
    memory runs out, the batch is halved and the passes are repeated; where an operation of the network cannot go
    backward for several at once, they go one by one.

    Args:
        segmenter: The network.
        image: Float32 (C, H, W).
        class_index: The class of the scores.
        space: The score space.
        batch_size: Passes run at once.
    """

    def __init__(
        self, segmenter: Segmenter, image: np.ndarray, class_index: int, space: Space, batch_size: int = 1
    ) -> None:
        self._segmenter = segmenter
        self._image = torch.from_numpy(np.ascontiguousarray(image)).to(segmenter.device)
        self._class_index = class_index
        self._space = space
        self._batches = ShrinkingBatches(batch_size, "a single backward pass")
        self._graph: tuple[Tensor, Tensor] | None = None

    @property
    def batch_size(self) -> int:
        """Passes run at once; fewer than asked for once memory ran out or the network refused."""
        return self._batches.size

    def __call__(self, outputs: np.ndarray) -> np.ndarray:
        """Gradient images (M, C, H, W) of Σ outputs · scores for each of the outputs (M, H, W).

        Raises:
            UserError: A single pass does not fit into memory.
        """
        done: list[np.ndarray] = []
        start = 0
        while start < len(outputs):

            def attempt(size: int, start: int = start) -> np.ndarray:
                return self._attempt(outputs[start : start + size])

            gradients, _ = self._batches.run(attempt)
            done.append(gradients)
            start += len(gradients)
        return done[0] if len(done) == 1 else np.concatenate(done)

    def _attempt(self, outputs: np.ndarray) -> np.ndarray:
        try:
            return self._run(torch.from_numpy(outputs))
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                self._graph = None
                raise
            if self.batch_size == 1:
                raise
            # Some operation of the network may know no several passes at once.
            self._batches.size = 1
            return self._attempt(outputs[:1])

    def _run(self, outputs: Tensor) -> np.ndarray:
        with torch.enable_grad(), exact_arithmetic(self._segmenter.device):
            if self._graph is None:
                self._graph = self._forward()
            image, scores = self._graph
            outputs = outputs.to(scores.device)
            if len(outputs) == 1:
                (gradients,) = torch.autograd.grad(scores, image, outputs[0], retain_graph=True)
                return gradients[None].cpu().numpy()
            (gradients,) = torch.autograd.grad(scores, image, outputs, retain_graph=True, is_grads_batched=True)
        return gradients.cpu().numpy()

    def _forward(self) -> tuple[Tensor, Tensor]:
        image = self._image.clone().requires_grad_()
        with (
            self._segmenter.lock,
            batchable(self._segmenter.module) if self.batch_size > 1 else contextlib.nullcontext(),
        ):
            logits = self._segmenter.unchecked_logits(image[None])
        return image, class_scores(logits, self._class_index, self._space)[0]


def exact_arithmetic(device: torch.device) -> contextlib.AbstractContextManager:
    """Float32 throughout on a GPU: without it cuDNN rounds the factors of every product to 10 bits (TF32)."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def fastest_batch_size(
    segmenter: Segmenter,
    image: np.ndarray,
    class_index: int,
    space: Space,
    graph_size: int,
    only: int | None = None,
) -> tuple[int, float]:
    """The number of passes at once that takes the least time a pass, and that time in seconds.

    Args:
        segmenter: The network.
        image: Float32 (C, H, W).
        class_index: The class of the scores.
        space: The score space.
        graph_size: Bytes of one graph. Sizes that would take more than half of the free memory are not tried.
        only: The one size to time; None tries several.
    """
    height, width = image.shape[1:]
    on_gpu = segmenter.device.type == "cuda"
    largest = _MOST_PASSES_AT_ONCE if on_gpu else max(1, _MOST_PIXELS_AT_ONCE_ON_CPU // (height * width))
    largest = min(largest, max(1, free_bytes(segmenter.device) // 2 // graph_size))
    outputs = np.zeros((1, height, width), np.float32)
    outputs[0, height // 2, width // 2] = 1.0
    best_size, best_seconds = 1, float("inf")
    if only is not None:
        runner = PassRunner(segmenter, image, class_index, space, only)
        seconds = _seconds_a_pass(runner, np.repeat(outputs, only, axis=0))
        return runner.batch_size, seconds
    size = 1
    while size <= largest:
        runner = PassRunner(segmenter, image, class_index, space, size)
        seconds = _seconds_a_pass(runner, np.repeat(outputs, size, axis=0))
        if runner.batch_size < size:
            break
        if seconds < _WORTHWHILE * best_seconds:
            best_size, best_seconds = size, seconds
        size *= _STEP
    return best_size, best_seconds


def _seconds_a_pass(runner: PassRunner, outputs: np.ndarray) -> float:
    runner(outputs)
    seconds = []
    for _ in range(_REPETITIONS):
        started = time.perf_counter()
        runner(outputs)
        seconds.append(time.perf_counter() - started)
    return min(seconds) / len(outputs)
