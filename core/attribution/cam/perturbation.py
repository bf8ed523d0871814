"""Class activation maps whose weights come from running the network again: Score-CAM and Ablation-CAM."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...compute.memory import MOST_PIXELS_ON_CPU
from ...compute.progress import Progress
from ...errors import UserError
from ...models.layers import layers as layers_of
from ...models.spatial import SpatialForm
from ...segmenter import Image, Segmenter
from ...target import Target
from ..attribution import Attribution, make_attribution
from ..registry import Size, register
from ..settings import setting
from .activations import Recording, form_of, recorded
from .layer_method import LayerMethod, LayerSettings, layer_or_suggested


@dataclass(frozen=True, eq=False)
class _Run:
    """The run of the network for the unchanged image, and all that is needed to run it again."""

    segmenter: Segmenter
    batch: Tensor
    target: Target
    layer: str
    batch_size: int
    progress: Progress | None
    recording: Recording
    form: SpatialForm
    activations: Tensor
    logits: Tensor

    def scores(self, scores_of: Callable[[int, int], Tensor]) -> Tensor:
        """Scores for all channels, float64; `scores_of` gives those from a first channel to a last one."""
        scores, channels = [], len(self.activations)
        for first in range(0, channels, self.batch_size):
            last = min(first + self.batch_size, channels)
            scores.append(scores_of(first, last).double())
            if self.progress is not None:
                self.progress(last, channels)
        return torch.cat(scores)


@dataclass(frozen=True)
class PerturbationSettings(LayerSettings):
    """The layer, and the size of a batch."""

    internal_batch_size: int = setting(
        8, help="Images that Score-CAM and Ablation-CAM run together; it does not change the result.", on_page=False
    )


class PerturbationCam(LayerMethod):
    """A map Σ_k w_k · A_k whose weights come from running the network once per channel k."""

    is_quick = False
    Settings = PerturbationSettings

    def weights(self, run: _Run) -> Tensor:
        """The weight w of each channel."""
        raise NotImplementedError

    def parameters(self, weights: Tensor) -> dict[str, Any]:
        """Parameters in the manifest, beside the layer."""
        return {}

    @torch.no_grad()
    def run(
        self, segmenter: Segmenter, image: Image, target: Target, settings: PerturbationSettings,
        progress: Progress | None,
    ) -> Attribution:  # fmt: skip
        if settings.internal_batch_size < 1:
            raise UserError("Images run through the network in batches of at least one.")
        batch = segmenter.as_batch(image, single=True).detach()
        layer = layer_or_suggested(settings.layer, segmenter, (batch.shape[2], batch.shape[3]))
        started = time.perf_counter()
        with recorded(segmenter, [layer]) as recording:
            logits = segmenter.logits(batch)
        form = form_of(segmenter, recording, layer)
        activations = form.as_map(recording.outputs[layer])[0]
        size = settings.internal_batch_size
        if segmenter.device.type == "cpu":  # which gains nothing from more, and who cancels waits for a whole batch
            size = max(1, min(size, MOST_PIXELS_ON_CPU // batch[0, 0].numel()))
        weights = self.weights(
            _Run(segmenter, batch, target, layer, size, progress, recording, form, activations, logits)
        )
        values = torch.einsum("k,kuv->uv", weights.to(activations.dtype), activations)
        return make_attribution(
            values[None], segmenter, image, target, self.name, self.parameters(weights), started, "activation",
            layer=layer, padded_size=recording.padded_size,
        )  # fmt: skip

    def passes(self, settings: PerturbationSettings, segmenter: Segmenter, size: Size) -> int:
        layer = layer_or_suggested(settings.layer, segmenter, size)
        return next((found.channels for found in layers_of(segmenter, size) if found.name == layer), 1)


@register
class ScoreCam(PerturbationCam):
    """Σ_k softmax_k(score(image ⊙ H_k)) · A_k, H_k being A_k resized to the image and stretched to [0, 1].

    Wang et al., "Score-CAM", 2020. There the score of a baseline image is subtracted, which the softmax cancels. H_k of
    a map that is the same everywhere is 0: a black image. A target with a large range (a sum of logits over many
    pixels) lets one channel take all the weight; a mean, or probabilities, spread it. For an empty pixel set, which has
    no score, all weights are 0.
    """

    name = "score_cam"
    title = "Score-CAM"
    sentence = "Channels weighted by the score that the network gives the image seen through each of them alone."

    def weights(self, run: _Run) -> Tensor:
        height, width = run.batch.shape[-2:]
        run.target.check(run.logits.shape[1], (height, width))
        if run.target.mask is not None and not run.target.mask.any():
            return torch.zeros(len(run.activations), dtype=torch.float64, device=run.batch.device)

        def scores_of(first: int, last: int) -> Tensor:
            channels = run.activations[first:last, None]
            masks = F.interpolate(channels, run.recording.padded_size, mode="bilinear", align_corners=False)
            masks = masks[..., :height, :width]
            lowest, highest = masks.amin(dim=(2, 3), keepdim=True), masks.amax(dim=(2, 3), keepdim=True)
            masks = torch.where(highest > lowest, (masks - lowest) / (highest - lowest), 0.0)
            return run.target(run.segmenter.logits(run.batch * masks))

        return run.scores(scores_of).softmax(dim=0)

    def parameters(self, weights: Tensor) -> dict[str, Any]:
        return {"largest_weight": float(weights.max())}


@register
class AblationCam(PerturbationCam):
    """Σ_k (y - y_k) / |y| · A_k, y_k being the score with channel k of the layer set to 0.

    Desai & Ramaswamy, "Ablation-CAM", 2020, for a score y > 0. Dividing by |y| keeps the sign where y < 0, as logits
    can be: a channel that supports the class has a weight above 0. Where y = 0 nothing is divided. Where a layer runs
    several times, the last run is ablated.
    """

    name = "ablation_cam"
    title = "Ablation-CAM"
    sentence = "Channels weighted by how much the score falls when each of them is set to 0."

    def weights(self, run: _Run) -> Tensor:
        score = run.target(run.logits).double()
        channel_axis = run.form.channel_axis - 1 if run.form.channel_axis > 0 else -1

        def scores_of(first: int, last: int) -> Tensor:
            def without_a_channel(call: int, output: Tensor) -> Tensor:
                if call < run.recording.calls[run.layer]:
                    return output
                output = output.clone()
                for sample, channel in enumerate(range(first, last)):
                    output[sample].select(channel_axis, channel).zero_()
                return output

            with recorded(run.segmenter, [run.layer], without_a_channel):
                return run.target(run.segmenter.logits(run.batch.expand(last - first, -1, -1, -1)))

        return (score - run.scores(scores_of)) / torch.where(score != 0, score.abs(), 1.0)
