"""Planning, checking and timing a Jacobian before it is computed."""

from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import torch

from ..compute.memory import graph_bytes
from ..receptive_field import ReceptiveField, structural_support
from ..segmenter import Segmenter, prediction_of
from ..target import PREDICTED
from .array_layouts import passes_per_block
from .choice import Uncoupled, cheapest_plan, may_be_uncoupled
from .colouring import Plan, plan_passes
from .factors import find_statistics
from .manifest import Manifest
from .passes import PassRunner, fastest_batch_size
from .proof import FieldTooSmallError, check_field, check_row
from .request import ImageRequest
from .row_summaries import Histogram, PlannedWindows, magnitude

DENSE = (
    "Every pixel reaches every other in this network, so no two pixels can share a backward pass: it takes the dense "
    "path, one pass per pixel."
)
UNPROVEN = (
    "The receptive field found by probing does not hold this network's gradients, so it takes the dense path, one pass "
    "per pixel."
)
UNSEEN = "No receptive field holds for every image ({}), so this network takes the dense path, one pass per pixel."
COUPLED = (
    "In this network nothing but {:,} statistics over the image (of its normalisation or pooling) couples distant "
    "pixels. So rows are put together, exactly, from {:,} shared passes and two passes for each statistic: {:,} passes "
    "instead of {:,}."
)
WIDE = "The receptive field is as large as this image, so no two pixels can share a backward pass."


@dataclass(frozen=True, eq=False)
class Preparation:
    """A request that was planned and checked.

    Attributes:
        plan: The passes.
        manifest: What the store will say of itself.
        labels: Int (H, W), the predicted class of each pixel.
        seconds_per_pass: As timed.
        seconds: For the whole Jacobian.
        graph_bytes: Memory of one forward graph.
        field: The structural receptive field.
        uncoupled: What is left of the network while its statistics over the image are held; None where that is no use.
    """

    plan: Plan
    manifest: Manifest
    labels: np.ndarray
    seconds_per_pass: float
    seconds: float
    graph_bytes: int
    field: ReceptiveField
    uncoupled: Uncoupled | None


def prepare(segmenter: Segmenter, asked: ImageRequest, batch_size: int | None = None) -> Preparation:
    """Find the support, colour it, check it against rows computed alone, and time a pass.

    `batch_size` is the number of passes at once; None finds the fastest.

    Raises:
        UserError: The network gives values that are not finite.
    """
    channels, *size = asked.image.shape
    stride, score = asked.request.stride, asked.request.score
    with torch.no_grad(), segmenter.lock:
        prediction = prediction_of(segmenter.logits(asked.image[None])[0])
    field, uncoupled = structural_support(segmenter, (size[0], size[1])), None
    plan = plan_passes(field, stride, asked.region)
    if may_be_uncoupled(plan, stride):
        uncoupled = Uncoupled.find(segmenter, asked.image, score, prediction.labels)
    graph = graph_bytes(segmenter, asked.image)
    fastest, seconds_per_pass = fastest_batch_size(segmenter, asked, graph, batch_size)
    plan, seconds = cheapest_plan(field, uncoupled, seconds_per_pass, stride, asked.region)
    statistics = find_statistics(segmenter, asked.image) if plan.statistics else None
    runner = PassRunner(segmenter, asked.image, score, labels=prediction.labels, statistics=statistics)
    known = prediction.probabilities
    tried = _passes_to_try(plan, known.max(axis=0) if score.class_index == PREDICTED else known[score.class_index])
    gradients = [runner(plan.outputs(index)[None])[0] for index in tried]
    note = note_of(plan)
    try:
        windows = PlannedWindows(plan)
        for index, gradient in zip(tried, gradients, strict=True):
            check_field(windows[index], gradient)
            if not plan.statistics:  # whole rows are checked in the run, once the factors are there
                check_row(runner, plan, index, gradient)
    except FieldTooSmallError:
        field, uncoupled, note = ReceptiveField.whole(plan.size), None, UNPROVEN
        plan, seconds = cheapest_plan(field, None, seconds_per_pass, stride, asked.region)
    if plan.statistics:
        gradients = [runner.reference(_one_of(plan, index)[None])[0] for index in tried]
    del runner
    block = passes_per_block(plan, channels, fastest)
    manifest = Manifest(
        **asked.identity(segmenter),  # type: ignore[arg-type]
        model=segmenter.name,
        channels=channels,
        dense=plan.reach.dense,
        note=note,
        batch_size=min(fastest, block),
        passes_per_block=block,
        lowest_bin=Histogram.below(max(float(magnitude(g).max()) for g in gradients)).lowest,
        notes=segmenter.notes,
        versions={"torch": torch.__version__, "numpy": np.__version__, "zarr": version("zarr")},
        statistics=plan.statistics,
    )
    return Preparation(plan, manifest, prediction.labels, seconds_per_pass, seconds, graph, field, uncoupled)


def _one_of(plan: Plan, index: int) -> np.ndarray:
    """Float32 (H, W): 1 at one pixel of a pass."""
    outputs = np.zeros(plan.size, np.float32)
    outputs[tuple(np.argwhere(plan.outputs(index))[0])] = 1
    return outputs


def note_of(plan: Plan) -> str:
    """A sentence where pixels cannot share passes; else empty."""
    if plan.statistics:
        passes = len(plan) + 2 * plan.statistics
        return COUPLED.format(plan.statistics, len(plan), passes, plan.num_pixels)
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
