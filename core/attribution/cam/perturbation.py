"""Class activation maps whose weights come from running the network again: Score-CAM and Ablation-CAM."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.spatial import SpatialForm
from ...segmenter import Prediction, Segmenter, prediction_of
from ...target import Target
from ..smoothgrad import Progress
from .activations import form_of, passed_on_safely, recorded


@dataclass(frozen=True, eq=False)
class WeightedMap:
    """A map from weights of the channels.

    Attributes:
        values: Raw, signed, (h, w).
        weights: (channels,).
        prediction: Of the network for the image as it is.
        padded_size: (height, width) of the image as the network got it; the map covers that area.
    """

    values: Tensor
    weights: Tensor
    prediction: Prediction
    padded_size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class _Run:
    form: SpatialForm
    activations: Tensor
    logits: Tensor
    calls: int
    padded_size: tuple[int, int]

    def weighted(self, weights: Tensor) -> WeightedMap:
        values = torch.einsum("k,kuv->uv", weights.to(self.activations.dtype), self.activations)
        return WeightedMap(values, weights, prediction_of(self.logits[0]), self.padded_size)


@torch.no_grad()
def score_cam(
    segmenter: Segmenter,
    batch: Tensor,
    target: Target,
    layer: str,
    internal_batch_size: int = 8,
    progress: Progress | None = None,
) -> WeightedMap:
    """Σ_k softmax_k(score(image ⊙ H_k)) · A_k, H_k being A_k resized to the image and stretched to [0, 1].

    Wang et al., "Score-CAM", 2020. There the score of a baseline image is subtracted, which the softmax cancels. H_k of
    a map that is the same everywhere is 0: a black image. A target with a large range (a sum of logits over many
    pixels) lets one channel take all the weight; a mean, or probabilities, spread it. For an empty pixel set, which has
    no score, all weights are 0.

    Args:
        segmenter: The network.
        batch: (1, C, H, W) in [0, 1], on the segmenter's device.
        target: The scalar.
        layer: The layer's name.
        internal_batch_size: Images that run together; it does not change the result.
        progress: Called with channels done and their number.
    """
    run = _run_once(segmenter, batch, layer)
    height, width = batch.shape[-2:]
    target.check(run.logits.shape[1], (height, width))

    def scores_of(first: int, last: int) -> Tensor:
        maps = F.interpolate(run.activations[first:last, None], run.padded_size, mode="bilinear", align_corners=False)
        masks = maps[..., :height, :width]
        lowest, highest = masks.amin(dim=(2, 3), keepdim=True), masks.amax(dim=(2, 3), keepdim=True)
        masks = torch.where(highest > lowest, (masks - lowest) / (highest - lowest), 0.0)
        return target(segmenter.logits(batch * masks))

    if target.mask is not None and not target.mask.any():
        return run.weighted(torch.zeros(len(run.activations), dtype=torch.float64, device=batch.device))
    scores = _in_batches(scores_of, len(run.activations), internal_batch_size, progress)
    return run.weighted(scores.softmax(dim=0))


@torch.no_grad()
def ablation_cam(
    segmenter: Segmenter,
    batch: Tensor,
    target: Target,
    layer: str,
    internal_batch_size: int = 8,
    progress: Progress | None = None,
) -> WeightedMap:
    """Σ_k (y - y_k) / |y| · A_k, y_k being the score with channel k of the layer set to 0.

    Desai & Ramaswamy, "Ablation-CAM", 2020, for a score y > 0. Dividing by |y| keeps the sign where y < 0, as logits
    can be: a channel that speaks for the class weighs more than 0. Where y = 0 nothing is divided. Of a layer that
    runs several times the last run is ablated.

    Arguments and result are those of `score_cam`.
    """
    run = _run_once(segmenter, batch, layer)
    score = target(run.logits).double()
    channel_axis = run.form.channel_axis - 1 if run.form.channel_axis > 0 else -1

    def scores_of(first: int, last: int) -> Tensor:
        def without_a_channel(_: str, call: int, output: Tensor) -> Tensor:
            if call < run.calls:
                return output
            output = output.clone()
            for sample, channel in enumerate(range(first, last)):
                output[sample].select(channel_axis, channel).zero_()
            return output

        with recorded(segmenter, [layer], without_a_channel):
            return target(segmenter.logits(batch.expand(last - first, -1, -1, -1)))

    ablated = _in_batches(scores_of, len(run.activations), internal_batch_size, progress)
    return run.weighted((score - ablated) / torch.where(score != 0, score.abs(), 1.0))


def _run_once(segmenter: Segmenter, batch: Tensor, layer: str) -> _Run:
    with recorded(segmenter, [layer], passed_on_safely) as recording:
        logits = segmenter.logits(batch)
    form = form_of(segmenter, recording, layer)
    activations = form.as_map(recording.outputs[layer])[0]
    return _Run(form, activations, logits, recording.calls[layer], recording.padded_size)


def _in_batches(
    scores_of: Callable[[int, int], Tensor], channels: int, batch_size: int, progress: Progress | None
) -> Tensor:
    scores = []
    for first in range(0, channels, batch_size):
        last = min(first + batch_size, channels)
        scores.append(scores_of(first, last).double())
        if progress is not None:
            progress(last, channels)
    return torch.cat(scores)
