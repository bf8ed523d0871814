"""Class activation maps that are arithmetic on a layer's activations A and gradients G: raw, signed, (h, w)."""

from collections.abc import Callable
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import UserError

GradientMethod = Literal[
    "seg_grad_cam", "seg_hires_grad_cam", "seg_xres_cam", "layer_cam", "grad_cam_plus_plus", "xgrad_cam"
]
PerturbationMethod = Literal["score_cam", "ablation_cam"]
Method = Literal[GradientMethod, PerturbationMethod]
Pooling = Literal["mean", "max"]
Window = int | tuple[int, int]

GRADIENT_METHODS: tuple[GradientMethod, ...] = get_args(GradientMethod)
PERTURBATION_METHODS: tuple[PerturbationMethod, ...] = get_args(PerturbationMethod)
METHODS: tuple[Method, ...] = (*GRADIENT_METHODS, *PERTURBATION_METHODS)
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
TITLES: dict[Method, str] = {
    "seg_grad_cam": "Seg-Grad-CAM",
    "seg_hires_grad_cam": "Seg-HiRes-Grad CAM",
    "seg_xres_cam": "Seg-XRes-CAM",
    "layer_cam": "LayerCAM",
    "grad_cam_plus_plus": "Grad-CAM++",
    "xgrad_cam": "XGrad-CAM",
    "score_cam": "Score-CAM",
    "ablation_cam": "Ablation-CAM",
}
"""The methods' names as their papers write them."""
LINEAR_METHODS: tuple[GradientMethod, ...] = ("seg_grad_cam", "seg_hires_grad_cam", "seg_xres_cam", "xgrad_cam")
"""Linear in G, so their maps of disjoint pixel sets add up (Seg-XRes-CAM with the mean)."""
DEFAULT_WINDOW = 4


def gradient_map(
    method: Method,
    activations: Tensor,
    gradients: Tensor,
    window: Window | None = None,
    pooling: Pooling = "mean",
) -> Tensor:
    """The raw signed map (h, w) of one method from A and G, both (C, h, w); ReLU is left to whoever shows it.

    `method` is one of `GRADIENT_METHODS`; `window` and `pooling` are Seg-XRes-CAM's, see `seg_xres_cam`.
    """
    if method == "seg_xres_cam":
        return seg_xres_cam(activations, gradients, window or DEFAULT_WINDOW, pooling)
    functions: dict[Method, Callable[[Tensor, Tensor], Tensor]] = {
        "seg_grad_cam": seg_grad_cam,
        "seg_hires_grad_cam": seg_hires_grad_cam,
        "layer_cam": layer_cam,
        "grad_cam_plus_plus": grad_cam_plus_plus,
        "xgrad_cam": xgrad_cam,
    }
    return functions[method](activations, gradients)


def seg_grad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Σ_k mean_uv(G_k) · A_k (Vinogradova, Dibrov & Myers, "Towards interpretable semantic segmentation", 2020)."""
    return _weighted_sum(gradients.mean(dim=(1, 2)), activations)


def seg_hires_grad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Σ_k G_k ⊙ A_k (Rheude et al., "Leveraging CAM algorithms for explaining medical semantic segmentation", 2024)."""
    return (gradients * activations).sum(dim=0)


def seg_xres_cam(activations: Tensor, gradients: Tensor, window: Window, pooling: Pooling = "mean") -> Tensor:
    """Σ_k up(pool(G_k)) ⊙ A_k (Hasany, Petitjean & Mériaudeau, "Seg-XRes-CAM", 2023).

    G is pooled over windows side by side, and every position gets its window's value. Window 1 is Seg-HiRes-Grad CAM.
    A window of the layer's size is, with the mean, Seg-Grad-CAM; pooling with a sum would give it times h · w.

    Args:
        activations: (C, h, w).
        gradients: (C, h, w).
        window: Rows and columns, or one number for both. The last windows are cut where the map ends, and average over
            what they hold.
        pooling: "mean" or "max".

    Raises:
        UserError: A window of less than 1, or an unknown pooling.
    """
    rows, columns = window_size(window)
    height, width = gradients.shape[1:]
    kernel = min(rows, height), min(columns, width)
    if pooling == "mean":
        pooled = F.avg_pool2d(gradients, kernel, ceil_mode=True, count_include_pad=False)
    elif pooling == "max":
        pooled = F.max_pool2d(gradients, kernel, ceil_mode=True)
    else:
        raise UserError(f'The pooling is one of {", ".join(POOLINGS)}; "{pooling}" was given.')
    spread = pooled.repeat_interleave(kernel[0], dim=1).repeat_interleave(kernel[1], dim=2)[:, :height, :width]
    return seg_hires_grad_cam(activations, spread)


def layer_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Σ_k ReLU(G_k) ⊙ A_k (Jiang et al., "LayerCAM", 2021)."""
    return seg_hires_grad_cam(activations, gradients.relu())


def grad_cam_plus_plus(activations: Tensor, gradients: Tensor) -> Tensor:
    """Σ_k w_k · A_k with w_k = Σ_uv α ReLU(G_k), α = G² / (2G² + Σ_ab A_k · G³), and α = 0 where G = 0.

    Chattopadhay et al., "Grad-CAM++", 2018, equations 18 to 20: the class score is there Y = exp(score), whose common
    factor exp(score) > 0 in ReLU(∂Y/∂A) is left out. α is computed as 1 / (2 + G · Σ A), the same without a division
    of tiny numbers, and where it counts: at G > 0. Where its denominator is 0 it is taken as 0.
    """
    positive = gradients.relu()
    denominator = positive * _sums(activations)[:, None, None] + 2
    terms = torch.where(denominator != 0, positive / denominator, 0.0)
    return _weighted_sum(terms.sum(dim=(1, 2)), activations)


def xgrad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Σ_k w_k · A_k with w_k = Σ_uv A_k · G_k / Σ_uv A_k, and 0 where that sum is 0 (Fu et al., "XGrad-CAM", 2020)."""
    sums = _sums(activations)
    weights = torch.where(sums != 0, _sums(activations * gradients) / sums, 0.0)
    return _weighted_sum(weights, activations)


def window_size(window: Window) -> tuple[int, int]:
    """Rows and columns of a window.

    Raises:
        UserError: Less than 1 of either.
    """
    rows, columns = (window, window) if isinstance(window, int) else window
    if min(rows, columns) < 1:
        raise UserError(f"A window has at least one row and one column; {rows}×{columns} was given.")
    return rows, columns


def _sums(values: Tensor) -> Tensor:
    """Of each channel, added up in float64: sums of positive and negative values may nearly cancel."""
    return values.sum(dim=(1, 2), dtype=torch.float64).to(values.dtype)


def _weighted_sum(weights: Tensor, activations: Tensor) -> Tensor:
    return torch.einsum("k,kuv->uv", weights, activations)
