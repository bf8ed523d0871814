"""Networks whose Jacobians are small enough to be computed row by row, and the rows themselves."""

import numpy as np
import torch
from torch import nn

from core.segmenter import Segmenter
from core.target import Space, class_scores


def random_image(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def lively(module: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights, and biases and statistics that keep about half of all units active."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            fan_in = part.weight[0].numel()
            part.weight.data = torch.randn(part.weight.shape, generator=generator) * (2 / fan_in) ** 0.5
            if part.bias is not None:
                part.bias.data = torch.randn(part.bias.shape, generator=generator) * 0.1
        if isinstance(part, nn.BatchNorm2d):
            part.bias.data = torch.randn(part.bias.shape, generator=generator) * 0.2 + 0.2
    return module


def rows_alone(
    segmenter: Segmenter,
    image: np.ndarray,
    pixels: list[tuple[int, int]],
    class_index: int = 1,
    space: Space = "probability",
) -> np.ndarray:
    """The rows of some pixels (n, C, H, W), each by torch.autograd.grad of its own score."""
    images = torch.from_numpy(image)[None].requires_grad_()
    scores = class_scores(segmenter.unchecked_logits(images), class_index, space)[0]
    rows = [torch.autograd.grad(scores[pixel], images, retain_graph=True)[0][0] for pixel in pixels]
    return torch.stack(rows).numpy()


def dense_jacobian(
    segmenter: Segmenter, image: np.ndarray, class_index: int = 1, space: Space = "probability"
) -> np.ndarray:
    """All rows (H, W, C, H, W), by torch.autograd.grad for 64 pixels at a time, which is faster."""
    images = torch.from_numpy(image)[None].requires_grad_()
    scores = class_scores(segmenter.unchecked_logits(images), class_index, space).flatten()
    rows = [
        torch.autograd.grad(scores, images, one_hot, retain_graph=True, is_grads_batched=True)[0][:, 0]
        for one_hot in torch.eye(scores.numel()).split(64)
    ]
    return torch.cat(rows).reshape(*image.shape[1:], *image.shape).numpy()


def largest_relative_error(rows: np.ndarray, expected: np.ndarray) -> float:
    """The largest deviation of any entry, relative to the largest entry of its row (… , C, H, W)."""
    scale = np.abs(expected).max(axis=(-3, -2, -1))
    error = np.abs(rows - expected).max(axis=(-3, -2, -1))
    return float((error / np.maximum(scale, 1e-30)).max())
