"""Runs a network to determine how its result is to be read, and whether it can be explained at all.

A result that is read wrongly still gives maps: probabilities taken for logits, an auxiliary head, the rows of an image
taken for classes. So a network is first run on two sizes and on two images at once. What that proves is kept, with a
sentence that says so; what it cannot prove is an error that names the argument to give.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import UserError, is_out_of_memory
from .canvas import rounded_up
from .findings import Asked, Findings, decided
from .grid import Grid, OffGridError, Size, UnusualSizeError, grid_of
from .identity import OperationRecorder
from .image_batch import counted
from .output_reading import Entry, candidate_entries, entry_of
from .queries import QUERIES

REFUSALS = (RuntimeError, ValueError, AssertionError, IndexError, TypeError, ArithmeticError, KeyError)
"""What networks raise for an image that they cannot take."""

_SIZES = ((64, 96), (128, 192), (256, 384), (512, 768))
_SQUARES = (64, 96, 112, 128, 160, 192, 224, 256, 384, 448, 512)
_TOLERANCE = 1e-3
"""How far two runs of one image may differ by rounding, as a fraction of the largest score."""

Run = Callable[[Tensor], object]
"""The network on images (B, C, H, W) in [0, 1] of just this size: its raw result."""


@dataclass(frozen=True, eq=False)
class Examination:
    """Runs a network on noise to find out how to read it.

    Attributes:
        module: The network, which may state the image sizes that it takes.
        run: Runs it.
        in_channels: Channels of its images.
        asked: What the user stated.
        name: Name of the network, for messages.
        size_multiple: What heights and widths must be multiples of, if that is known.
    """

    module: nn.Module
    run: Run
    in_channels: int
    asked: Asked
    name: str
    size_multiple: int | None

    def findings(self, size: Size | None = None) -> Findings:
        """The findings, as `Segmenter.findings` describes them.

        The sizes tried are the same whatever image comes first, so that what is found does not depend on it. Only a
        network that refuses them all is run at the size of the image.
        """
        reason: Exception | None = None
        size = None if size is None else rounded_up(size, self.size_multiple)
        for first, second in self._sizes(size):
            try:
                return self._findings_at(first, second)
            except OffGridError:
                if size is None:
                    raise
                return self._findings_at(size, None)  # a network for images of just the size of its result
            except REFUSALS as error:
                if isinstance(error, UserError):
                    raise
                reason = error
        assert reason is not None  # noqa: S101 - some sizes are always tried
        if size is None:
            raise UnusualSizeError(
                f"The network {self.name} takes none of the usual image sizes ({_first_line(reason)}); run it on an "
                "image first, or say with `size_multiple` what heights and widths must be multiples of."
            ) from reason
        if self.size_multiple is not None:
            raise reason
        raise size_refused(self.name, size, self.in_channels, reason) from reason

    def _findings_at(self, size: Size, second: Size | None) -> Findings:
        """Findings from runs at one size and a second one; without a second one, the result must have this size."""
        images = self._noise(size)
        first = images[:1]
        with torch.enable_grad(), OperationRecorder(self.module) as recorder:
            image = first.clone().requires_grad_()
            recorder.number(image)
            alone = self.run(image)
        if recorder.random:
            raise UserError(
                f"The network {self.name} draws random numbers in eval mode ({recorder.random}), so it has no one "
                "answer to explain; turn that off, as F.dropout with training=self.training does."
            )
        other = images[1:2]
        if (beyond := self._tried(other)) is None:
            other = images[2:]
            beyond = self.run(other)
        both = self._tried(torch.cat((first, other)))
        turned = self._tried(self._noise(second)[:1]) if second is not None else None
        entry, grid = self._entry(alone, turned, [size] if second is None else [size, second])
        findings = Findings(entry, grid, operations=recorder.digest.hexdigest())
        own = findings.scores(alone)
        scores = torch.cat((own.detach(), findings.scores(beyond).detach()))
        independent = both is not None and all(
            _same(findings.scores(both)[i : i + 1], scores[i : i + 1]) for i in range(2)
        )
        if not independent and not _same(findings.scores(self.run(first)), scores[:1]):
            raise UserError(f"The network {self.name} gives another answer each time; make it repeatable.")
        notes = list(grid.notes)
        if self.asked.entry is None and entry not in (None, "out", "logits") and _number_of_maps(alone) > 1:
            notes.insert(0, f"the output {entry!r} is explained, the only map of its result that is not auxiliary")
        if entry == QUERIES:
            formula = "log Σ softmax(classes) · sigmoid(mask), no-object left out"
            notes.insert(0, f"it answers with queries: the score of a class is {formula}")
        if self.asked.label is not None:
            self._check_label(scores.shape[1], entry)
            notes.insert(0, f"one of its {scores.shape[1]} labels is explained against its absence")
        if both is None:
            notes.append("it takes one image at a time")
        elif not independent:
            notes.append("images in a batch change each other's scores (statistics of the batch), so each is run alone")
        if not own.requires_grad and bool((own.amax(dim=(0, 2, 3)) > own.amin(dim=(0, 2, 3))).any()):
            raise UserError(
                f"No gradient reaches the image through {self.name}: its result is labels rather than scores, or it "
                "runs under torch.no_grad; return its logits instead."
            )
        findings = replace(
            findings, num_channels=scores.shape[1], label=self.asked.label, independent=independent, notes=tuple(notes)
        )
        return decided(findings, scores, self.asked, self.name)

    def _check_label(self, num_labels: int, entry: Entry) -> None:
        """Refuse a label where there is none, or not this one."""
        if entry == QUERIES:
            raise UserError(f"The classes of {self.name} exclude each other; leave out the label.")
        if not 0 <= (self.asked.label or 0) < num_labels:
            raise UserError(f"{self.name} has no label {self.asked.label}; its labels are 0 to {num_labels - 1}.")

    def _sizes(self, last: Size | None) -> Iterator[tuple[Size, Size]]:
        """Pairs of sizes to try, the second one turned or larger."""
        oblong = [rounded_up(size, self.size_multiple) for size in _SIZES]
        squares = [(side, side) for side in _SQUARES]
        for height, width in (oblong[0], *_stated_sizes(self.module), *oblong[1:], *squares):
            yield (height, width), (width, height) if height != width else (2 * height, width)
        if last is not None:
            yield last, (2 * last[0], last[1])

    def _noise(self, size: Size) -> Tensor:
        """Three images of noise (3, C, H, W): the second lies so far beyond [0, 1] that no logits would stay there."""
        noise = np.random.default_rng(7).random((3, self.in_channels, *size), dtype=np.float32)
        noise[1] = 0.5 + 1000 * (noise[1] - 0.5)
        noise[2] *= 0.1
        return torch.from_numpy(noise)

    def _tried(self, images: Tensor) -> object:
        """The network's result; None where it refuses."""
        try:
            return self.run(images)
        except REFUSALS as error:
            if is_out_of_memory(error):
                raise
            return None

    def _entry(self, alone: object, turned: object, sizes: list[Size]) -> tuple[Entry, Grid]:
        """The entry of the result that holds the scores, and their grid, from a run at each size; None if refused."""
        entries = [self.asked.entry] if self.asked.entry is not None else candidate_entries(alone)
        align = self.asked.align if len(sizes) > 1 else None
        grids: dict[Entry, Grid] = {}
        reasons: list[UserError] = []
        for entry in entries:
            scores = [entry_of(result, entry) for result in (alone, turned) if result is not None]
            try:
                if not scores[0].is_floating_point():
                    kind = "complex numbers" if scores[0].is_complex() else "labels"
                    raise UserError(f"The network {self.name} gave {kind}, not scores; return its logits instead.")
                grids[entry] = grid_of([each.shape for each in scores], sizes, align, self.name)
            except UserError as error:
                reasons.append(error)
        if not grids:
            raise reasons[0]
        if len(grids) > 1:
            shapes = {entry: entry_of(alone, entry).shape[1:] for entry in grids}
            maps = ", ".join(f"{entry!r}: {'×'.join(map(str, shape))}" for entry, shape in shapes.items())
            raise UserError(
                f"The network {self.name} returns several maps ({maps}); say which to explain with the argument "
                f"output, such as output={next(iter(grids))!r}."
            )
        return next(iter(grids.items()))


def size_refused(name: str, size: Size, in_channels: int, reason: Exception) -> UserError:
    """The error for an image size (height, width) that the network refuses."""
    return UserError(
        f"The network {name} cannot take an image of {size[0]}×{size[1]} pixels with {counted(in_channels, 'channel')} "
        f"({_first_line(reason)}); if its sides must be multiples of some number, give that as size_multiple."
    )


def _first_line(error: Exception) -> str:
    """The first line of an error's message, or its type where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _same(first: Tensor, second: Tensor) -> bool:
    if first.shape != second.shape:
        return False
    largest = second.abs().max().clamp_min(torch.finfo(torch.float32).tiny)
    if not torch.equal(first.isfinite(), second.isfinite()):
        return False
    difference = (first - second).nan_to_num(0.0, 0.0, 0.0).abs().max()
    return bool(difference <= _TOLERANCE * largest) or not bool(largest.isfinite())


def _number_of_maps(result: object) -> int:
    values = result.values() if isinstance(result, Mapping) else result
    if isinstance(values, Tensor) or not isinstance(values, Iterable):
        return 1
    return sum(isinstance(value, Tensor) and value.ndim in (3, 4) for value in values)


def _stated_sizes(module: nn.Module) -> list[Size]:
    """The image sizes that a network or one of its parts states."""
    found: list[Size] = []
    for part in (getattr(module, "config", None), *module.modules()):
        for name in ("image_size", "img_size"):
            value = getattr(part, name, None)
            if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _SIZES[-1][1]:
                found.append((value, value))
            elif isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(v, int) for v in value):
                found.append((value[0], value[1]))
    return list(dict.fromkeys(found))
