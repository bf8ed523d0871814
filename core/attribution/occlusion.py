"""Occlusion: how far the score falls when a patch of the image is covered."""

import math
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..compute.memory import ShrinkingBatches, fitting_batch_size
from ..errors import UserError
from ..segmenter import Image, Segmenter, prediction_of
from ..target import Target
from .attribution import Attribution, image_hash, make_attribution
from .baselines import DEFAULT_SIGMA, BaselineKind, make_baseline
from .smoothgrad import Progress

DEFAULT_PATCH = 16


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
    """Of each pixel the mean, over the patches P that cover it, of score(image) - score(image with P filled).

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
        sigma: Of a blurred fill, in pixels.
        seed: Of a random fill, which is drawn once.
        progress: See `Progress`; counts patches.

    Returns:
        Values (1, H, W) in units of the score, positive where covering lowers it; the prediction is that of the image
        as it is. `measured` holds the number of patches, the score and the size of a batch.

    Raises:
        UserError: A patch of less than one pixel, a stride that leaves gaps, or an image, target or fill that does not
            fit the network.
    """
    started = time.perf_counter()
    stride = patch if stride is None else stride
    _check(patch, stride, internal_batch_size)
    batch = segmenter.as_batch(image, single=True).detach()
    array = batch[0].cpu().numpy()
    filling = make_baseline(array, fill, sigma=sigma, draws=1, seed=seed)
    height, width = array.shape[1:]
    places = [(rows, columns) for rows in _spans(height, patch, stride) for columns in _spans(width, patch, stride)]

    with torch.no_grad():
        logits = segmenter.logits(batch)
        score = float(target(logits.double())[0])
        batches = ShrinkingBatches(internal_batch_size or fitting_batch_size(segmenter, array, len(places)))
        cover = torch.from_numpy(filling.images).to(batch.device)
        drops, covered = np.zeros((height, width)), np.zeros((height, width))
        done = 0
        for scores in _scores_of_covered(segmenter, batch, cover, target, places, batches):
            for (rows, columns), covered_score in zip(places[done : done + len(scores)], scores, strict=True):
                drops[rows, columns] += score - covered_score
                covered[rows, columns] += 1
            done += len(scores)
            if progress is not None:
                progress(done, len(places))
    parameters: dict[str, object] = {"patch": patch, "stride": stride, "fill": filling.kind}
    parameters |= {name: value for name, value in filling.parameters.items() if name != "draws"}
    if filling.kind == "image":
        parameters["fill_sha256"] = image_hash(filling.images[0])
    attribution = make_attribution(
        torch.from_numpy(drops / covered)[None],
        segmenter,
        image,
        target,
        "occlusion",
        parameters,
        prediction_of(logits[0]),
        time.perf_counter() - started,
        unit=target.score_unit,
    )
    return replace(attribution, measured={"patches": len(places), "score": score, "batch_size": batches.size})


def number_of_patches(size: tuple[int, int], patch: int, stride: int) -> int:
    """How many patches cover an image of `size` (height, width): the network's passes."""
    return math.prod(len(_spans(length, patch, stride)) for length in size)


def _scores_of_covered(
    segmenter: Segmenter,
    batch: Tensor,
    cover: Tensor,
    target: Target,
    places: list[tuple[slice, slice]],
    batches: ShrinkingBatches,
) -> Iterator[list[float]]:
    done = 0
    while done < len(places):

        def scores(size: int, first: int = done) -> list[float]:
            chosen = places[first : first + size]
            images = batch.repeat(len(chosen), 1, 1, 1)
            for one, (rows, columns) in zip(images, chosen, strict=True):
                one[:, rows, columns] = cover[0, :, rows, columns]
            return target(segmenter.logits(images).double()).tolist()

        found, _ = batches.run(scores)
        done += len(found)
        yield found


def _spans(length: int, patch: int, stride: int) -> list[slice]:
    """Where patches begin and end on an axis; the last is the first that reaches the end."""
    count = -(-max(length - patch, 0) // stride) + 1
    return [slice(start, min(start + patch, length)) for start in range(0, count * stride, stride)]


def _check(patch: int, stride: int, batch_size: int | None) -> None:
    if patch < 1:
        raise UserError(f"A patch has at least one pixel a side; {patch} was given.")
    if not 1 <= stride <= patch:
        raise UserError(
            f"The stride lies between 1 and the patch's {patch} pixels, so that every pixel is covered; "
            f"{stride} was given."
        )
    if batch_size is not None and batch_size < 1:
        raise UserError(f"A batch holds at least one image; {batch_size} was given.")
