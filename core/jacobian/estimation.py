"""The cost of a Jacobian, for any choice of stride and storage, from one timing of the network."""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ..segmenter import Image, Segmenter
from .array_layouts import passes_per_block
from .choice import cheapest_plan
from .colouring import Plan
from .coupling import coupling_bytes
from .disk_space import disk_bytes, free_disk_bytes
from .preparation import Preparation, note_of, prepare
from .request import EVERY_ROW, ImageRequest, JacobianRequest

_COARSE = 8
_RESIDENT_BYTES = 500_000_000
"""Memory of Python with torch before any image is run."""
_TRANSIENT_GRAPHS = 0.5
"""Memory of one backward pass beside its graph, in graphs."""


@dataclass(frozen=True)
class Estimate:
    """The cost of a Jacobian.

    Attributes:
        passes: Passes: backward ones, and for each statistic that couples the rows a forward-mode one too.
        pixels: Rows of the Jacobian; computing row by row would take a pass for each.
        seconds_per_pass: Measured.
        seconds: For all passes.
        memory_bytes: Peak memory of the process, estimated; on a GPU, of the GPU's memory.
        disk_bytes: The most bytes that the store can take.
        free_disk_bytes: Bytes free on the disk where the store would be.
        batch_size: Passes run at once.
        dense: Whether the network takes the dense path.
        note: A sentence where pixels cannot share passes; else empty.
        receptive_field: Extents up, down, left and right, in pixels.
    """

    passes: int
    pixels: int
    seconds_per_pass: float
    seconds: float
    memory_bytes: int
    disk_bytes: int
    free_disk_bytes: int
    batch_size: int
    dense: bool
    note: str
    receptive_field: tuple[int, int, int, int]

    @property
    def speedup(self) -> float:
        """How many times fewer passes than rows."""
        return self.pixels / self.passes

    @property
    def fits_on_disk(self) -> bool:
        """Whether the store will fit."""
        return self.disk_bytes <= self.free_disk_bytes


def estimate(
    segmenter: Segmenter,
    image: Image,
    request: JacobianRequest = EVERY_ROW,
    out: str | Path = "run.zarr",
    *,
    region: np.ndarray | None = None,
) -> Estimate:
    """What a Jacobian will cost; takes the time of a few dozen passes.

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1].
        request: What is computed and kept.
        out: Where the store would be.
        region: Bool (H, W), the output pixels to compute; None for all.

    Raises:
        UserError: The request does not fit the network or the image.
    """
    return _estimate_of(prepare(segmenter, ImageRequest.check(segmenter, image, request, region)), Path(out))


class Estimator:
    """Estimates for one network and image: the first takes the time of a few dozen passes, the others none.

    The estimates hold for any image of this size. They may be for other strides and ways of storing than `request`.

    Raises:
        UserError: As `estimate`.
    """

    def __init__(self, segmenter: Segmenter, image: Image, request: JacobianRequest) -> None:
        asked = ImageRequest.check(segmenter, image, replace(request, stride=_COARSE))
        self._preparation = prepare(segmenter, asked)
        self._plans: dict[int, tuple[Plan, float]] = {_COARSE: (self._preparation.plan, self._preparation.seconds)}

    def estimate(self, request: JacobianRequest, out: str | Path) -> Estimate:
        """What the Jacobian will cost as a store at `out`."""
        prepared = self._preparation
        if request.stride not in self._plans:
            self._plans[request.stride] = cheapest_plan(
                prepared.field, prepared.uncoupled, prepared.seconds_per_pass, request.stride
            )
        plan, seconds = self._plans[request.stride]
        block = passes_per_block(plan, prepared.manifest.channels)
        note = note_of(plan) if plan.statistics or prepared.plan.statistics else prepared.manifest.note
        manifest = replace(
            prepared.manifest, **asdict(request), passes_per_block=block, statistics=plan.statistics, note=note
        )
        return _estimate_of(replace(prepared, plan=plan, manifest=manifest, seconds=seconds), Path(out))


def _estimate_of(preparation: Preparation, out: Path) -> Estimate:
    plan, manifest, field = preparation.plan, preparation.manifest, preparation.plan.reach
    block = 8 * manifest.passes_per_block * manifest.channels * math.prod(plan.size)
    graphs = preparation.graph_bytes * (1 + _TRANSIENT_GRAPHS * manifest.batch_size)
    coupling = coupling_bytes(plan.statistics, (manifest.channels, *plan.size))
    passes = len(plan) + 2 * plan.statistics
    return Estimate(
        passes=passes,
        pixels=plan.num_pixels,
        seconds_per_pass=preparation.seconds_per_pass,
        seconds=preparation.seconds,
        memory_bytes=int(_RESIDENT_BYTES + graphs + block + coupling),
        disk_bytes=disk_bytes(plan, manifest),
        free_disk_bytes=free_disk_bytes(out),
        batch_size=manifest.batch_size,
        dense=manifest.dense,
        note=manifest.note,
        receptive_field=(field.up, field.down, field.left, field.right),
    )
