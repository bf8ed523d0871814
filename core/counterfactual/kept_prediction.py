"""The prediction for an image that is edited: only what an edit can reach is computed again."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..receptive_field.known import distrust, known_field, known_windows
from ..receptive_field.windows import Box, Windows, everything, shifted
from ..segmenter import Image, Segmenter
from ..segmenter.differentiation import exact_arithmetic
from .local_operations import NotRecordableError
from .recorded_run import RecordedRun, record

AGREEMENT = 1e-5
"""Share of the largest logit by which what is computed again may differ from a run of the whole image."""
_MOST_BYTES = 300 * 2**20
"""That the activations of a run may take."""
_WORTHWHILE = 0.3
"""Largest share of the activations that it is faster to compute in parts than all together, piece by piece."""
_AROUND = 64
"""Pixels around a change in which the next change is expected."""


@dataclass(frozen=True, eq=False)
class _Recorded:
    """A recorded run on a part of the image: the changes that it can take in, and the logits that it gives."""

    run: RecordedRun
    area: Box
    changes: Box
    outputs: Box

    def holds(self, box: Box) -> bool:
        return all(
            one.start <= part.start and part.stop <= one.stop for one, part in zip(self.changes, box, strict=True)
        )


class KeptPrediction:
    """The logits of one image, renewed where the image changes.

    On the CPU the activations of the last run are kept, and only those that a change reaches are computed again.
    Elsewhere, and for networks that cannot be run so, the network runs on the part of the image that the changed labels
    need. Both ways are compared with a run that repeats nothing when they are first taken, on the user's own image; the
    way that differs is not taken again.

    Attributes:
        segmenter: The network.
        logits: (K, H, W), those of the image as it is now.
        original: (K, H, W), those of the image as it was at first.
        is_exact: Whether the logits are those of a run of the whole image.
        seconds: What a run of the whole image takes, the latest one.
    """

    def __init__(self, segmenter: Segmenter, image: Image) -> None:
        """Runs the network once.

        Raises:
            UserError: The image does not fit the network, or its logits are not finite.
        """
        self.segmenter = segmenter
        batch = segmenter.as_batch(image, single=True).detach()
        segmenter.decide(batch)
        self.size = batch.shape[2], batch.shape[3]
        known_field(segmenter, self.size)
        self._is_compared = self._is_repeat_compared = False
        self._records = self._records_whole = segmenter.device.type == "cpu"
        self._recorded: _Recorded | None = None
        self.seconds = 0.0
        self.original = self._whole(batch[0].cpu().numpy(), is_recorded=self._records)
        self.logits = self.original.clone()
        self.is_exact = True

    @property
    def whole_runs(self) -> str:
        """Why the whole image runs at each change; empty where only a part does."""
        known = known_windows(self.segmenter, self.size)
        if self._records and self._records_whole:
            return ""
        if known is None:
            return "the receptive field is not known yet"
        if known.field.dense:
            return "every pixel reaches every label in this network"
        if known.windows is None:
            return "the receptive field is as large as the image, or parts do not give the labels of the whole"
        return ""

    @torch.no_grad()
    def renew(self, image: np.ndarray, box: Box) -> Box:
        """Run the network again where pixels of the box can reach.

        Args:
            image: Float32 (C, H, W), equal to what was seen last outside of the box.
            box: Rows and columns of the changed pixels.

        Returns:
            Rows and columns of the renewed logits.

        Raises:
            UserError: The new logits are not finite.
        """
        repeated = self._repeated(image, box)
        if repeated is not None:
            return repeated
        known = known_windows(self.segmenter, self.size)
        windows = None if known is None else known.windows
        part = None if windows is None else self._part(windows, image, box)
        if part is None:
            self.logits = self._whole(image, is_recorded=self._records and self._records_whole)
            self.is_exact = True
            return everything(self.size)
        outputs, logits = part
        if self._is_compared:
            self.logits[(..., *outputs)] = logits
            self.is_exact = False
            return outputs
        self.renew_all(image)
        difference = (self.logits[(..., *outputs)] - logits).abs().max()
        if difference > AGREEMENT * self.logits.abs().max():
            self._recorded = None
            distrust(self.segmenter, self.size)
        self._is_compared = True
        return everything(self.size)

    @torch.no_grad()
    def renew_all(self, image: np.ndarray) -> float:
        """Run the whole image; the largest difference to the logits that were kept."""
        logits = self._whole(image)
        difference = float((logits - self.logits).abs().max())
        self.logits = logits
        self.is_exact = True
        return difference

    def check(self, image: np.ndarray) -> float:
        """Run the whole image, which has not changed since; the largest difference to the logits that were kept.

        Where it is larger than the agreement, activations are not kept any more.
        """
        difference = self.renew_all(image)
        if difference > AGREEMENT * float(self.logits.abs().max()):
            self._records, self._recorded = False, None
        return difference

    def restore(self) -> None:
        """Back to the logits of the image as it was at first, bit for bit."""
        self.logits = self.original.clone()
        self.release()  # the activations have not seen the changes go
        self.is_exact = True

    def release(self) -> None:
        """Give the memory of the activations back; the next change records them again."""
        self._recorded = None

    def _repeated(self, image: np.ndarray, box: Box) -> Box | None:
        """Renew by the recorded run; None where it cannot be."""
        recorded = self._recorded
        if recorded is None or not recorded.holds(box):
            return None
        self._recorded = None  # of no use unless all that follows ends well
        rows, columns = (shifted(part, -area.start) for part, area in zip(box, recorded.area, strict=True))
        try:
            with exact_arithmetic(self.segmenter.device):
                changed = recorded.run.renew(torch.from_numpy(image[(..., *box)]), (rows, columns))
            is_right = self._is_repeat_compared or recorded.run.difference() <= AGREEMENT
        except (NotRecordableError, RuntimeError):  # what the network itself refuses comes again from a whole run
            is_right = False
        if not is_right:
            self._records = False
            return None
        if recorded.run.share <= _WORTHWHILE:
            self._recorded = recorded
        self._is_repeat_compared = True
        if changed is None:  # the labels there are as they were
            return box
        outputs = shifted(changed[0], recorded.outputs[0].start), shifted(changed[1], recorded.outputs[1].start)
        self.logits[(..., *outputs)] = self.segmenter.finite(recorded.run.output[(..., *changed)])[0]
        self.is_exact = False
        return outputs

    def _part(self, windows: Windows, image: np.ndarray, box: Box) -> tuple[Box, Tensor] | None:
        """Logits from the part of the image that they need, which is somewhat larger where the run is recorded."""
        for changes in (self._around(box), box) if self._records else (box,):
            outputs = windows.reached_by(changes)
            if outputs is not None and (crop := windows.crop(outputs)) is not None:
                break
        else:
            return None
        with exact_arithmetic(self.segmenter.device):
            area = torch.from_numpy(np.ascontiguousarray(image[(..., *crop.area)]))[None].to(self.segmenter.device)
            if self._records:
                logits, run = record(lambda part: crop.logits(self.segmenter, part), area, _MOST_BYTES)
                self._records = run is not None
                held = _common(changes[0], crop.area[0]), _common(changes[1], crop.area[1])
                self._recorded = None if run is None else _Recorded(run, crop.area, held, outputs)
            else:
                logits = crop.logits(self.segmenter, area)
            return outputs, self.segmenter.finite(logits)[0]

    def _around(self, box: Box) -> Box:
        rows, columns = (
            slice(max(part.start - _AROUND, 0), min(part.stop + _AROUND, length))
            for part, length in zip(box, self.size, strict=True)
        )
        return rows, columns

    @torch.no_grad()
    def _whole(self, image: np.ndarray, *, is_recorded: bool = False) -> Tensor:
        started = time.perf_counter()
        with exact_arithmetic(self.segmenter.device):
            batch = torch.from_numpy(np.ascontiguousarray(image))[None].to(self.segmenter.device)
            if is_recorded:
                canvas = self.segmenter.canvas(*self.size)  # to find it runs the network, too
                logits, run = record(lambda part: self.segmenter.unchecked_logits(part, canvas), batch, _MOST_BYTES)
                self._records_whole, whole = run is not None, everything(self.size)
                self._recorded = None if run is None else _Recorded(run, whole, whole, whole)
            else:
                logits = self.segmenter.unchecked_logits(batch)
            logits = self.segmenter.finite(logits)[0].clone()
        self.seconds = time.perf_counter() - started
        return logits


def _common(one: slice, other: slice) -> slice:
    return slice(max(one.start, other.start), min(one.stop, other.stop))
