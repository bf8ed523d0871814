"""Occlusion: how far the score falls when a patch of the image is covered."""

import math
import time
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

from ..compute.memory import ShrinkingBatches, fitting_batch_size
from ..compute.progress import Progress
from ..errors import UserError
from ..segmenter import Image, Segmenter
from ..target import Target
from .attribution import Attribution, make_attribution
from .baselines import DEFAULT_SIGMA, TITLES, BaselineKind, make_baseline, sigma_setting
from .registry import Method, register
from .settings import seed_setting, setting

DEFAULT_PATCH = 16
_PATCHES = 16
"""Patches along the longer side of an image that suit a first look."""
_SMALLEST_PATCH = 8


def occlusion(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    patch: int = DEFAULT_PATCH,
    stride: int | None = None,
    fill: BaselineKind | Image = "mean",
    internal_batch_size: int | None = None,
    *,
    sigma: float = DEFAULT_SIGMA,
    seed: int = 0,
    progress: Progress | None = None,
) -> Attribution:
    """For each pixel the mean, over the patches P that cover it, of score(image) - score(image with P filled).

    Zeiler & Fergus, "Visualizing and understanding convolutional networks", 2014. Patches lie on a grid from the top
    left corner on; the last of a row or a column is cut at the image's edge.

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1].
        target: The scalar explained.
        patch: Rows and columns of a patch.
        stride: From one patch to the next, at most `patch`; None takes `patch`, patches side by side.
        fill: What a patch shows instead: "zero", "random", "blur", "mean" or an image (C, H, W); see `make_baseline`.
        internal_batch_size: Covered images that run through the network together; None finds what fits into memory. It
            does not change the result.
        sigma: Sigma of a blurred fill, in pixels.
        seed: Seed of a random fill, which is drawn once.
        progress: See `Progress`; counts patches.

    Returns:
        Values (1, H, W) in units of the score, positive where covering lowers it. `measured` holds the number of
        patches, the score and the size of a batch.

    Raises:
        UserError: A patch of less than one pixel, a stride that leaves gaps, or an image, target or fill that does not
            fit the network.
    """
    started = time.perf_counter()
    stride = patch if stride is None else stride
    if patch < 1:
        raise UserError(f"A patch has at least one pixel a side; {patch} was given.")
    if not 1 <= stride <= patch:
        raise UserError(
            f"The stride lies between 1 and the patch's {patch} pixels, so that every pixel is covered; "
            f"{stride} was given."
        )
    if internal_batch_size is not None and internal_batch_size < 1:
        raise UserError(f"A batch holds at least one image; {internal_batch_size} was given.")
    batch = segmenter.as_batch(image, single=True).detach()
    array = batch[0].cpu().numpy()
    filling = make_baseline(array, fill, sigma=sigma, draws=1, seed=seed)
    height, width = array.shape[1:]
    places = list(product(_spans(height, patch, stride), _spans(width, patch, stride)))

    with torch.no_grad():
        score = float(target(segmenter.logits(batch).double())[0])
        batches = ShrinkingBatches(internal_batch_size or fitting_batch_size(segmenter, array, len(places)))
        cover = torch.from_numpy(filling.images).to(batch.device)
        drops, covered = np.zeros((height, width)), np.zeros((height, width))

        def covered_scores(start: int, stop: int) -> list[float]:
            images = batch.repeat(stop - start, 1, 1, 1)
            for one, place in zip(images, places[start:stop], strict=True):
                one[:, *place] = cover[0][:, *place]
            return target(segmenter.logits(images).double()).tolist()

        for start, stop, scores in batches.run_each(len(places), covered_scores):
            for place, covered_score in zip(places[start:stop], scores, strict=True):
                drops[place] += score - covered_score
                covered[place] += 1
            if progress is not None:
                progress(stop, len(places))
    parameters = {"patch": patch, "stride": stride, **filling.describe("fill")}
    parameters.pop("draws", None)
    values = torch.from_numpy(drops / covered)[None]
    return make_attribution(
        values, segmenter, image, target, "occlusion", parameters, started, target.score_unit,
        measured={"patches": len(places), "score": score, "batch_size": batches.size},
    )  # fmt: skip


@register
class Occlusion(Method):
    """See `occlusion`."""

    name = "occlusion"
    title = "Occlusion"
    kind = "contribution"
    sentence = "How much the score drops when a patch around the pixel is covered."

    @dataclass(frozen=True)
    class Settings:
        patch: int = setting(DEFAULT_PATCH, label="Patch of occlusion", help="Rows and columns of a patch, in pixels.",
                             low=1, high=4096)  # fmt: skip
        stride: int | None = setting(
            None, label="Step of the patch", key="patch_step", low=1, high=4096, at_most="patch",
            help="Pixels from one patch to the next, at most the patch. Half the patch gives a finer map in four times "
            "the time.",
        )  # fmt: skip
        fill: BaselineKind | Image = setting("mean", label="Occlusion covers with", key="cover", choices=TITLES,
                                             help="What a patch shows instead of the image.")  # fmt: skip
        sigma: float = sigma_setting()
        seed: int = seed_setting()

    def run(
        self, segmenter: Segmenter, image: Image, target: Target, settings: Settings, progress: Progress | None
    ) -> Attribution:
        return occlusion(segmenter, image, target, **vars(settings), progress=progress)

    def passes(self, settings: Settings, segmenter: Segmenter, size: tuple[int, int]) -> int:
        stride = settings.patch if settings.stride is None else settings.stride
        return number_of_patches(size, settings.patch, stride) if 1 <= stride <= settings.patch else 1

    def suited_to(self, size: tuple[int, int]) -> dict[str, int]:
        patch = max(_SMALLEST_PATCH, math.ceil(max(size) / _PATCHES))
        return {"patch": patch, "stride": patch}


def number_of_patches(size: tuple[int, int], patch: int, stride: int) -> int:
    """How many patches cover an image of `size` (height, width): the network's passes."""
    return math.prod(len(_spans(length, patch, stride)) for length in size)


def _spans(length: int, patch: int, stride: int) -> list[slice]:
    """Where patches begin and end on an axis; the last is the first that reaches the end."""
    count = -(-max(length - patch, 0) // stride) + 1
    return [slice(start, min(start + patch, length)) for start in range(0, count * stride, stride)]
