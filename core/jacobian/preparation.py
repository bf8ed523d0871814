"""From what is asked for to what will be done: checking, planning, timing, estimating."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import zarr

from ..compute.memory import graph_bytes
from ..errors import UserError
from ..segmenter import Image, Segmenter, prediction_of
from ..target import Space, Target
from .colouring import Plan, plan_passes
from .encoding import STORED_TYPES, StoredType
from .passes import PassRunner, fastest_batch_size
from .proof import FieldTooSmallError, check_field, check_row
from .store_layout import Manifest, disk_bytes, free_disk_bytes, hash_of, passes_per_block
from .summaries import Histogram, PlannedWindows, magnitude
from .support import ReceptiveField, structural_support

DENSE = (
    "Every pixel reaches every other in this network, so no two pixels can share a backward pass: it takes the dense "
    "path, one pass a pixel."
)
UNPROVEN = (
    "The receptive field found by probing does not hold this network's gradients, so it takes the dense path, one pass "
    "a pixel."
)
UNSEEN = "No receptive field holds for every image ({}), so this network takes the dense path, one pass a pixel."
WIDE = "The receptive field is as large as this image, so no two pixels can share a backward pass."

_RESIDENT_BYTES = 500_000_000
"""What Python with torch takes before any image is run."""
_TRANSIENT_GRAPHS = 0.5
"""What one backward pass takes beside the graph it goes through, in graphs."""


@dataclass(frozen=True, eq=False)
class Request:
    """Which Jacobian is asked for. Make one with `Request.check`.

    Attributes:
        image: Float32 (C, H, W).
        class_index: The class explained.
        space: The score space.
        stride: Every how many output rows and columns one is computed.
        region: Bool (H, W), the output pixels wanted; None for all.
        dtype: How gradient values are stored.
        keep_rows: Whether rows are kept, or summaries only.
    """

    image: np.ndarray
    class_index: int
    space: Space
    stride: int
    region: np.ndarray | None
    dtype: StoredType
    keep_rows: bool

    @classmethod
    def check(
        cls,
        segmenter: Segmenter,
        image: Image,
        class_index: int = 1,
        space: Space = "probability",
        stride: int = 1,
        *,
        region: np.ndarray | None = None,
        dtype: StoredType = "float32",
        keep_rows: bool = True,
    ) -> "Request":
        """A request that the segmenter can answer.

        Raises:
            UserError: What is asked for does not fit the network or the image.
        """
        array = segmenter.as_batch(image, single=True)[0].detach().cpu().numpy()
        size = array.shape[1:]
        segmenter.findings(size)
        Target.pixel(0, 0, class_index, space).check(segmenter.num_classes, size)
        if dtype not in STORED_TYPES:
            raise UserError(f'Rows are stored as {", ".join(STORED_TYPES)}; "{dtype}" was given.')
        if stride < 1:
            raise UserError(f"The stride is at least 1; {stride} was given.")
        if region is not None:
            region = np.asarray(region) != 0
            if region.shape != size:
                raise UserError(
                    f"The region is {region.shape}, the image {size[0]}×{size[1]} pixels; they must be of one size."
                )
            if not region[::stride, ::stride].any():
                raise UserError("The region holds no pixel that the stride samples; choose a larger one.")
        return cls(array, int(class_index), space, int(stride), region, dtype, bool(keep_rows))

    def identity(self, segmenter: Segmenter) -> dict[str, object]:
        """What tells this Jacobian from any other; see `Manifest`."""
        return {
            "weights_hash": segmenter.weights_hash,
            "image_hash": hash_of(self.image),
            "class_index": self.class_index,
            "space": self.space,
            "stride": self.stride,
            "region_hash": hash_of(self.region),
            "dtype": self.dtype,
            "keep_rows": self.keep_rows,
        }

    def runner(self, segmenter: Segmenter, batch_size: int = 1) -> PassRunner:
        """Runs passes for this request."""
        return PassRunner(segmenter, self.image, self.class_index, self.space, batch_size)


@dataclass(frozen=True, eq=False)
class Preparation:
    """A request that was planned and tried out.

    Attributes:
        request: What is asked for.
        plan: The passes.
        manifest: What the store will say of itself.
        labels: Int (H, W), the predicted class of each pixel.
        seconds_per_pass: As timed.
        graph_bytes: Memory of one forward graph.
    """

    request: Request
    plan: Plan
    manifest: Manifest
    labels: np.ndarray
    seconds_per_pass: float
    graph_bytes: int


def prepare(segmenter: Segmenter, request: Request, batch_size: int | None = None) -> Preparation:
    """Find the support, colour it, check it against rows computed alone, and time a pass.

    Args:
        segmenter: The network.
        request: What is asked for.
        batch_size: Passes at once; None finds the fastest.

    Raises:
        UserError: The network gives values that are not finite.
    """
    size = request.image.shape[1:]
    with torch.no_grad(), segmenter.lock:
        prediction = prediction_of(segmenter.logits(request.image[None])[0])
    plan = plan_passes(structural_support(segmenter, size), request.stride, request.region)
    runner = request.runner(segmenter)
    tried = _passes_to_try(plan, prediction.probabilities[request.class_index])
    gradients = [runner(plan.outputs(index)[None])[0] for index in tried]
    note = _note(plan)
    try:
        windows = PlannedWindows(plan)
        for index, gradient in zip(tried, gradients, strict=True):
            check_field(windows[index], gradient)
            check_row(runner, plan, index, gradient)
    except FieldTooSmallError:
        plan = plan_passes(ReceptiveField.whole(size), request.stride, request.region)
        note = UNPROVEN
    del runner
    graph = graph_bytes(segmenter, request.image)
    fastest, seconds = fastest_batch_size(
        segmenter, request.image, request.class_index, request.space, graph, batch_size
    )
    block = passes_per_block(plan, request.image.shape[0], fastest)
    manifest = Manifest(
        **request.identity(segmenter),  # type: ignore[arg-type]
        model=segmenter.name,
        channels=request.image.shape[0],
        dense=plan.field.dense,
        note=note,
        batch_size=min(fastest, block),
        passes_per_block=block,
        lowest_bin=Histogram.below(max(float(magnitude(g).max()) for g in gradients)).lowest,
        notes=segmenter.notes,
        versions={"torch": torch.__version__, "numpy": np.__version__, "zarr": zarr.__version__},
    )
    return Preparation(request, plan, manifest, prediction.labels, seconds, graph)


@dataclass(frozen=True)
class Estimate:
    """What a Jacobian will cost.

    Attributes:
        passes: Backward passes.
        pixels: Rows of the Jacobian; computing row by row would take a pass for each.
        seconds_per_pass: As timed just now.
        seconds: For all passes.
        memory_bytes: About the most that the process will hold; on a GPU, of the GPU's memory.
        disk_bytes: The most that the store will take.
        free_disk_bytes: What is left where the store would be.
        batch_size: Passes run at once.
        dense: Whether the network takes the dense path.
        note: A plain word where pixels cannot share passes; else empty.
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
    class_index: int = 1,
    space: Space = "probability",
    out: str | Path = "run.zarr",
    stride: int = 1,
    *,
    region: np.ndarray | None = None,
    dtype: StoredType = "float32",
    keep_rows: bool = True,
) -> Estimate:
    """What `jacobian` with the same arguments will cost; takes the time of a few dozen passes.

    Raises:
        UserError: What is asked for does not fit the network or the image.
    """
    request = Request.check(
        segmenter, image, class_index, space, stride, region=region, dtype=dtype, keep_rows=keep_rows
    )
    return estimate_of(prepare(segmenter, request), Path(out))


def estimate_of(preparation: Preparation, out: Path) -> Estimate:
    """The estimate for what was prepared."""
    plan, manifest = preparation.plan, preparation.manifest
    field = plan.field
    block = 8 * manifest.passes_per_block * manifest.channels * math.prod(plan.size)
    graphs = preparation.graph_bytes * (1 + _TRANSIENT_GRAPHS * manifest.batch_size)
    return Estimate(
        passes=len(plan),
        pixels=plan.num_pixels,
        seconds_per_pass=preparation.seconds_per_pass,
        seconds=preparation.seconds_per_pass * len(plan),
        memory_bytes=int(_RESIDENT_BYTES + graphs + block),
        disk_bytes=disk_bytes(plan, manifest.channels, manifest.dtype, keep_rows=manifest.keep_rows),
        free_disk_bytes=free_disk_bytes(out),
        batch_size=manifest.batch_size,
        dense=manifest.dense,
        note=manifest.note,
        receptive_field=(field.up, field.down, field.left, field.right),
    )


def _note(plan: Plan) -> str:
    if plan.field.reason:
        return UNSEEN.format(plan.field.reason)
    if plan.field.dense:
        return DENSE
    return WIDE if len(plan) == plan.num_pixels else ""


def _passes_to_try(plan: Plan, probabilities: np.ndarray) -> list[int]:
    """The pass of the least certain pixel, where gradients are largest, and a few others."""
    uncertainty = np.where(plan.selected, probabilities * (1 - probabilities), -1)
    row, column = np.unravel_index(uncertainty.argmax(), uncertainty.shape)
    others = np.linspace(0, len(plan) - 1, 3).astype(int)
    return sorted({int(plan.pass_of_pixel[row, column]), *map(int, others)})
