"""Rows of the Jacobian written down once more, from nothing but the raw module and torch.autograd.

Nothing here is imported from `core`: what a segmenter does around its network is done a second time.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

_REFUSALS = (RuntimeError, ValueError, AssertionError)
Read = Callable[[object], Tensor]


def logits_of(result: object) -> Tensor:
    """The logits (B, K, H, W) in what a module returned."""
    if isinstance(result, Tensor):
        logits = result
    elif hasattr(result, "logits"):
        logits = result.logits
    elif isinstance(result, Mapping):
        logits = result["out"]
    else:
        logits = result[0]
    return logits if logits.ndim == 4 else logits[:, None]


def reference_scores(
    module: nn.Module,
    image: Tensor,
    options: Mapping[str, object],
    class_index: int,
    space: str,
    read: Read = logits_of,
) -> Tensor:
    """Scores (H, W) of one class for an image (C, H, W)."""
    height, width = image.shape[1:]
    network_input = normalised(image[None], options)
    padded_height, padded_width = accepted_size(module, network_input)
    if (padded_height, padded_width) != (height, width):
        padding = (0, padded_width - width, 0, padded_height - height)
        network_input = nn.functional.pad(network_input, padding, mode="replicate")
    logits = read(module(network_input))
    if logits.shape[-2:] != network_input.shape[-2:]:
        logits = nn.functional.interpolate(logits, network_input.shape[-2:], mode="bilinear", align_corners=False)
    logits = logits[0, :, :height, :width]
    if len(logits) == 1:
        logits = torch.cat((torch.zeros_like(logits), logits))
    return (logits if space == "logit" else logits.softmax(dim=0))[class_index]


def normalised(images: Tensor, options: Mapping[str, object]) -> Tensor:
    """(images - mean) / std for images (B, C, H, W)."""
    mean, std = (torch.tensor(options.get(key, default)) for key, default in (("mean", 0.0), ("std", 1.0)))
    return (images - mean.reshape(1, -1, 1, 1)) / std.reshape(1, -1, 1, 1)


@torch.no_grad()
def accepted_size(module: nn.Module, network_input: Tensor) -> tuple[int, int]:
    """The size itself where the module takes it, else the next multiples of 2, 4, 8 and so on that it takes."""
    height, width = network_input.shape[-2:]
    for multiple in (1, 2, 4, 8, 16, 32, 64):
        size = -(-height // multiple) * multiple, -(-width // multiple) * multiple
        try:
            module(network_input.new_zeros(1, network_input.shape[1], *size))
        except _REFUSALS:
            continue
        return size
    raise AssertionError(f"The module takes no size near {height}×{width}.")


def reference_rows(
    module: nn.Module,
    image: np.ndarray,
    options: Mapping[str, object],
    pixels: Sequence[tuple[int, int]],
    class_index: int,
    space: str,
    read: Read = logits_of,
) -> np.ndarray:
    """∂score(pixel) / ∂image for each pixel, (n, C, H, W), one backward pass for each."""
    images = torch.from_numpy(image).requires_grad_()
    scores = reference_scores(module, images, options, class_index, space, read)
    return torch.stack([torch.autograd.grad(scores[pixel], images, retain_graph=True)[0] for pixel in pixels]).numpy()
