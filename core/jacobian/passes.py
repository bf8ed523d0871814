"""Backward passes: vector-Jacobian products of one image, several at once where that is faster."""

import contextlib
import time

import numpy as np
import torch
from torch import Tensor

from ..compute.memory import ShrinkingBatches, free_bytes
from ..errors import explained_differentiation, is_out_of_memory
from ..segmenter import Segmenter
from ..segmenter.differentiation import exact_arithmetic
from ..segmenter.image_statistics import HoldStatistics, Statistics
from ..target import Score
from .batchable import Batchable
from .request import ImageRequest
from .scores import scores_of_image

_MOST_PIXELS_AT_ONCE_ON_CPU = 2**18
"""Above, a single pass on a CPU runs near its arithmetic peak already."""
_MOST_PASSES_AT_ONCE = 1024
_STEP = 4
_WORTHWHILE = 0.95
_REPETITIONS = 3
BATCH_TOLERANCE = 1e-3
"""How far a gradient image from a batch may lie from the same one computed alone, as a share of its largest value. The
two round differently, and a saturated probability multiplies that."""


class PassRunner:
    """Gradients of weighted sums of one image's scores, with one forward graph kept for all passes.

    Several passes at once go backward through the same graph as one pass alone would, with the same units active:
    running the image several times would round otherwise, and a unit on the brink of its ReLU could switch. Where
    memory runs out, the batch is halved and the passes are repeated. A gradient image of the first batch is computed
    alone, too, through a graph that torch makes by itself: where the two differ, or where an operation of the network
    cannot go backward for several at once, passes go one by one.

    Args:
        segmenter: The network.
        image: Float32 (C, H, W).
        score: The score at each pixel.
        batch_size: Passes run at once.
        labels: Int (H, W), the predicted class of each pixel, for the score of the class predicted there; None takes
            those of this run.
        statistics: Statistics over the image to hold; None runs the network as it is.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        image: np.ndarray,
        score: Score,
        batch_size: int = 1,
        labels: np.ndarray | None = None,
        statistics: Statistics | None = None,
    ) -> None:
        self._segmenter = segmenter
        self._image = torch.from_numpy(np.ascontiguousarray(image)).to(segmenter.device)
        self._score = score
        self._labels = None if labels is None else torch.from_numpy(labels.astype(np.int64)).to(segmenter.device)
        self._statistics = statistics
        self._unheld = None if statistics is None else PassRunner(segmenter, image, score, labels=labels)
        self._batches = ShrinkingBatches(batch_size, "a single backward pass")
        self._graph: tuple[Tensor, Tensor] | None = None
        self._batches_are_proven = False

    @property
    def batch_size(self) -> int:
        """Passes run at once; smaller than at first once memory ran out or the network refused."""
        return self._batches.size

    @property
    def reference(self) -> "PassRunner":
        """Runs the same passes through the network as it is."""
        return self._unheld or self  # not kept as an attribute: in a cycle the graph would outlive its runner

    def __call__(self, outputs: np.ndarray) -> np.ndarray:
        """Gradient images (M, C, H, W) of Σ outputs · scores for each of the outputs (M, H, W).

        Raises:
            UserError: A single pass does not fit into memory.
        """
        done: list[np.ndarray] = []
        start = 0
        while start < len(outputs):
            remaining = outputs[start:]
            gradients = self._batches.run(lambda size, remaining=remaining: self._attempt(remaining[:size]))  # type: ignore[misc]
            done.append(gradients)
            start += len(gradients)
        return done[0] if len(done) == 1 else np.concatenate(done)

    def row(self, row: int, column: int) -> np.ndarray:
        """∂score(row, column) / ∂image, float32 (C, H, W)."""
        outputs = np.zeros((1, *self._image.shape[1:]), np.float32)
        outputs[0, row, column] = 1
        return self(outputs)[0]

    def alone(self, outputs: np.ndarray) -> np.ndarray:
        """The gradient image (C, H, W) of Σ outputs · scores by a single pass.

        Where passes run several at once, it goes through a graph of its own.

        Args:
            outputs: Float32 (H, W).
        """
        if self.batch_size == 1:
            return self(outputs[None])[0]
        return self._run(outputs[None], in_own_graph=True)[0]

    def _attempt(self, outputs: np.ndarray) -> np.ndarray:
        try:
            if len(outputs) > 1 and not self._batches_are_proven:
                return self._first_batch(outputs)
            return self._run(outputs)
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                self._graph = None
                raise
            if self.batch_size == 1:
                raise
            # Some operation of the network may not go backward for several passes at once.
            self._go_one_by_one()
            return self._attempt(outputs[:1])

    def _first_batch(self, outputs: np.ndarray) -> np.ndarray:
        """A batch, compared with one of its passes computed alone."""
        gradients = self._run(outputs)
        index = int(np.abs(gradients).max(axis=(1, 2, 3)).argmax())  # what is largest has lost least to rounding
        alone = self.alone(outputs[index])
        if np.abs(gradients[index] - alone).max() > BATCH_TOLERANCE * np.abs(alone).max():
            self._go_one_by_one()
            return self._attempt(outputs[:1])
        self._batches_are_proven = True
        return gradients

    def _go_one_by_one(self) -> None:
        self._batches.size = 1
        self._graph = None

    def _run(self, outputs: np.ndarray, *, in_own_graph: bool = False) -> np.ndarray:
        with torch.enable_grad(), exact_arithmetic(self._segmenter.device):
            if in_own_graph:
                image, scores = self._forward(batchable=False)
            else:
                self._graph = self._graph or self._forward(batchable=self.batch_size > 1)
                image, scores = self._graph
            vectors = torch.from_numpy(outputs).to(scores.device)
            if len(vectors) == 1:
                return _gradient(scores, image, vectors[0])[None].cpu().numpy()
            return _gradient(scores, image, vectors, is_grads_batched=True).cpu().numpy()

    def _forward(self, *, batchable: bool) -> tuple[Tensor, Tensor]:
        image = self._image.clone().requires_grad_()
        held = self._statistics
        with (
            Batchable() if batchable else contextlib.nullcontext(),
            contextlib.nullcontext() if held is None else HoldStatistics(held),
        ):
            return image, scores_of_image(self._segmenter, image, self._score, self._labels)


def _gradient(scores: Tensor, image: Tensor, outputs: Tensor, *, is_grads_batched: bool = False) -> Tensor:
    """Σ outputs · ∂scores / ∂image; the graph is kept."""
    if not scores.requires_grad:  # nothing that the image reaches
        return image.new_zeros((*outputs.shape[:-2], *image.shape))
    with explained_differentiation():
        (gradient,) = torch.autograd.grad(
            scores, image, outputs, retain_graph=True, is_grads_batched=is_grads_batched, materialize_grads=True
        )
    return gradient


def fastest_batch_size(
    segmenter: Segmenter, asked: ImageRequest, graph_size: int, only: int | None = None
) -> tuple[int, float]:
    """The number of passes at once that takes the least time per pass, and that time in seconds.

    Args:
        segmenter: The network.
        asked: The request.
        graph_size: Bytes of one graph. Sizes that would take more than half of the free memory are not tried.
        only: The one size to time; None tries several.
    """
    height, width = asked.image.shape[1:]
    on_gpu = segmenter.device.type == "cuda"
    largest = _MOST_PASSES_AT_ONCE if on_gpu else max(1, _MOST_PIXELS_AT_ONCE_ON_CPU // (height * width))
    largest = min(largest, max(1, free_bytes(segmenter.device) // 2 // graph_size))
    outputs = np.zeros((1, height, width), np.float32)
    outputs[0, height // 2, width // 2] = 1.0
    best_size, best_seconds = 1, float("inf")
    size = only or 1
    while size <= (only or largest):
        runner = PassRunner(segmenter, asked.image, asked.request.score, size)
        seconds = _seconds_per_pass(runner, np.repeat(outputs, size, axis=0))
        if only is not None:
            return runner.batch_size, seconds
        if runner.batch_size < size:
            break
        if seconds < _WORTHWHILE * best_seconds:
            best_size, best_seconds = size, seconds
        size *= _STEP
    return best_size, best_seconds


def _seconds_per_pass(runner: PassRunner, outputs: np.ndarray) -> float:
    runner(outputs)
    seconds = []
    for _ in range(_REPETITIONS):
        started = time.perf_counter()
        runner(outputs)
        seconds.append(time.perf_counter() - started)
    return min(seconds) / len(outputs)
