"""A run of a network whose activations are kept, so that only what a change of the image reaches is computed again.

As in Nakandala, Kumar & Papakonstantinou, "Incremental and approximate inference for faster occlusion-based deep CNN
explanations", 2019, but for any network: its operations are watched while it runs.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ..receptive_field.windows import Box
from .local_operations import LOCAL, NotRecordableError, Part, Spans, cut, tensors_in, writes

Network = Callable[[Tensor], Tensor]


@dataclass(eq=False)
class Step:
    """An operation as it ran.

    Attributes:
        operation: Which one.
        result: What it gave; its tensors are brought up to date in place.
        is_view: Whether it shows the memory of an input.
        before: For an operation that writes to its first input: that input as it was.
    """

    operation: Any
    result: Any
    is_view: bool
    before: Tensor | None


def record(network: Network, images: Tensor, most_bytes: int) -> "tuple[Tensor, RecordedRun | None]":
    """Run a network and keep its activations.

    Args:
        network: Gives the output for images; each time by the same operations.
        images: (1, C, h, w).
        most_bytes: That the activations may take.

    Returns:
        The output; the run, or None where the activations take more or the network does something that cannot be
        repeated in parts.
    """
    images = images.clone()
    recorder = _Recorder(images, most_bytes)
    with torch.no_grad(), recorder:
        output = network(images)
    return output, None if recorder.reason else RecordedRun(network, images, output, recorder.steps)


@dataclass(eq=False)
class RecordedRun:
    """A network's run on one image; see `record`.

    Attributes:
        network: Gives the output for images.
        images: (1, C, h, w), as they are now.
        output: What the network gives for them.
        steps: What it did.
        share: Of all values of the activations, those that the last `renew` computed again.
    """

    network: Network
    images: Tensor
    output: Tensor
    steps: Sequence[Step]
    share: float = 0.0
    _stale: set[int] = field(default_factory=set)
    _values: int = 0

    def __post_init__(self) -> None:
        firsts = [tensors_in(step.result)[:1] for step in self.steps if not step.is_view]
        self._values = sum(tensor.numel() for first in firsts for tensor in first)

    def renew(self, values: Tensor, box: Box) -> Box | None:
        """Put new values (C, h, w) into a box of the image and bring the output up to date.

        Returns:
            Rows and columns of the output that have been computed again; None where the change reaches none.

        Raises:
            NotRecordableError: It cannot be done in parts; the run is of no use any more.
        """
        self.images[0][(..., *box)] = values
        repeat = _Repeat(self.steps, {id(self.images): (_span(box[0]), _span(box[1]))}, self._stale)
        with torch.no_grad(), repeat:
            output = self.network(self.images)
        if _memory(output) != _memory(self.output):
            raise NotRecordableError("another output")
        self.share = repeat.computed / max(self._values, 1)
        changed = repeat.changed.get(id(output))
        return None if changed is None else (slice(*changed[0]), slice(*changed[1]))

    def difference(self) -> float:
        """The largest difference of the output to that of a whole run, as a share of the largest value."""
        with torch.no_grad():
            whole = self.network(self.images)
        return float((whole - self.output).abs().max() / whole.abs().max().clamp(min=1e-30))


class _Recorder(TorchDispatchMode):
    """Keeps what each operation gives.

    Attributes:
        steps: The operations.
        reason: Why they are of no use; empty where they are.
    """

    def __init__(self, images: Tensor, most_bytes: int) -> None:
        super().__init__()
        self.steps: list[Step] = []  # they keep all tensors, which are known by their `id`, alive
        self.reason = ""
        self._left = most_bytes
        self._of_image = {id(images)}  # and what was computed from it
        self._made = Counter({_memory(images): 2})  # tensors of a memory; that of the image must not be written to

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # it would import PyTorch's compiler, which takes seconds

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        inputs = tensors_in((*args, *kwargs.values()))
        self.reason = self.reason or self._objection(func, inputs)
        if self.reason:
            self.steps.clear()
            return func(*args, **kwargs)
        before = inputs[0].clone() if func in LOCAL and LOCAL[func].needs_before else None
        result = func(*args, **kwargs)
        made = [tensor for tensor in tensors_in(result) if tensor.numel()]
        if any(id(tensor) in self._of_image for tensor in inputs):
            self._of_image |= {id(tensor) for tensor in made}
        memories = [] if writes(func) else [_memory(tensor) for tensor in made]
        is_view = any(_memory(tensor) in memories for tensor in inputs)
        self._left -= (0 if before is None else before.nbytes) + sum(
            tensor.nbytes for tensor, memory in zip(made, memories, strict=False) if memory not in self._made
        )
        self._made.update(memories)
        self.steps.append(Step(func, result, is_view, before))
        return result

    def _objection(self, func: Any, inputs: Sequence[Tensor]) -> str:
        """Why the run cannot be recorded."""
        if self._left < 0:
            return "the activations take too much memory"
        if func not in LOCAL and any(id(tensor) in self._of_image for tensor in inputs):
            return f"{func} is not known to be local"
        if writes(func) and (func not in LOCAL or self._made[_memory(inputs[0])] != 1):
            return f"{func} writes to memory that others read"
        return ""


class _Repeat(TorchDispatchMode):
    """Runs the same operations again, each only where its inputs have changed.

    Attributes:
        changed: Where, by the `id` of the tensor.
        computed: Number of values that were computed again.
    """

    def __init__(self, steps: Sequence[Step], changed: Mapping[int, Spans], stale: set[int]) -> None:
        super().__init__()
        self.changed = dict(changed)
        self.computed = 0
        self._steps: Iterator[Step] = iter(steps)
        self._stale = stale
        self._kept: list[Any] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        step, kwargs = next(self._steps, None), kwargs or {}
        if step is None or step.operation is not func:
            raise NotRecordableError("other operations than before")
        inputs = tensors_in((*args, *kwargs.values()))
        if any(id(tensor) in self._stale for tensor in inputs):
            raise NotRecordableError(f"{func} reads what is not kept up to date")
        result = func(*args, **kwargs) if step.is_view else step.result  # a view cannot be returned twice
        self._kept.append(result)  # while it is known by its `id`
        if not any(id(tensor) in self.changed for tensor in inputs):
            return result
        if func not in LOCAL:
            raise NotRecordableError(f"{func} is not known to be local")
        first, *others = tensors_in(result)
        changed = LOCAL[func].renew(Part(self.changed, first, step.before, args, kwargs))
        if changed is not None:
            self.changed[id(first)] = changed
            self.computed += 0 if step.is_view else cut(first, changed).numel()
        self._stale.update(id(other) for other in others)
        return result


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _span(part: slice) -> tuple[int, int]:
    return part.start, part.stop
