"""Class activation maps that are arithmetic on a layer's activations A and gradients G."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import UserError
from ..registry import Size, register
from ..settings import setting
from .layer_method import GradientCam, LayerSettings

Pooling = Literal["mean", "max"]
Window = int | tuple[int, int]

POOLINGS: tuple[Pooling, ...] = get_args(Pooling)


@register
class SegGradCam(GradientCam):
    """Σ_k mean_uv(G_k) · A_k (Vinogradova, Dibrov & Myers, "Towards interpretable semantic segmentation", 2020)."""

    name = "seg_grad_cam"
    title = "Seg-Grad-CAM"
    sentence = (
        "Each channel of the layer, weighted by its mean gradient over the whole map: what speaks for the "
        "class, blurred over places."
    )
    is_linear = True

    def layer_map(self, activations: Tensor, gradients: Tensor, settings: LayerSettings) -> Tensor:
        return _weighted_sum(gradients.mean(dim=(1, 2)), activations)


@register
class SegHiResGradCam(GradientCam):
    """Σ_k G_k ⊙ A_k (Rheude et al., "Leveraging CAM algorithms for explaining medical semantic segmentation", 2024)."""

    name = "seg_hires_grad_cam"
    title = "Seg-HiRes-Grad CAM"
    sentence = "Activation times gradient at each position: what at this place speaks for the class."
    is_linear = True

    def layer_map(self, activations: Tensor, gradients: Tensor, settings: LayerSettings) -> Tensor:
        return (gradients * activations).sum(dim=0)


@register
class SegXResCam(GradientCam):
    """Σ_k up(pool(G_k)) ⊙ A_k (Hasany, Petitjean & Mériaudeau, "Seg-XRes-CAM", 2023).

    G is pooled over windows side by side, and every position gets its window's value. The last windows are cut where
    the map ends, and average over what they hold. Window 1 is Seg-HiRes-Grad CAM. A window of the layer's size is, with
    the mean, Seg-Grad-CAM; pooling with a sum would give it times h · w. Linear in G with the mean.
    """

    name = "seg_xres_cam"
    title = "Seg-XRes-CAM"
    sentence = "Activation times the gradient pooled over a window: between Seg-HiRes-Grad CAM and Seg-Grad-CAM."
    is_linear = True

    @dataclass(frozen=True)
    class Settings(LayerSettings):
        window: Window = setting(
            4, label="Window of Seg-XRes-CAM", low=1, high=1024,
            help="Positions of the layer over which a gradient is pooled: one number, or rows,columns. 1 is "
            "Seg-HiRes-Grad CAM; the layer's size is Seg-Grad-CAM.",
        )  # fmt: skip
        pooling: Pooling = setting("mean", help="How Seg-XRes-CAM pools over its window.", on_page=False)

    def layer_map(self, activations: Tensor, gradients: Tensor, settings: Settings) -> Tensor:
        height, width = gradients.shape[1:]
        rows, columns = self._window(settings, (height, width))
        if settings.pooling == "mean":
            pooled = F.avg_pool2d(gradients, (rows, columns), ceil_mode=True, count_include_pad=False)
        else:
            pooled = F.max_pool2d(gradients, (rows, columns), ceil_mode=True)
        spread = pooled.repeat_interleave(rows, dim=1).repeat_interleave(columns, dim=2)[:, :height, :width]
        return (spread * activations).sum(dim=0)

    def parameters(self, settings: Settings, size: Size) -> dict[str, Any]:
        return {"window": list(self._window(settings, size)), "pooling": settings.pooling}

    @staticmethod
    def _window(settings: Settings, size: Size) -> Size:
        if settings.pooling not in POOLINGS:
            raise UserError(f'The pooling is one of {", ".join(POOLINGS)}; "{settings.pooling}" was given.')
        rows, columns = (settings.window,) * 2 if isinstance(settings.window, int) else settings.window
        if min(rows, columns) < 1:
            raise UserError(f"A window has at least one row and one column; {rows}×{columns} was given.")
        return min(rows, size[0]), min(columns, size[1])


@register
class LayerCam(GradientCam):
    """Σ_k ReLU(G_k) ⊙ A_k (Jiang et al., "LayerCAM", 2021)."""

    name = "layer_cam"
    title = "LayerCAM"
    sentence = (
        "Activation times positive gradient at each position: what speaks for the class, without what "
        "speaks against it."
    )

    def layer_map(self, activations: Tensor, gradients: Tensor, settings: LayerSettings) -> Tensor:
        return (gradients.relu() * activations).sum(dim=0)


@register
class GradCamPlusPlus(GradientCam):
    """Σ_k w_k · A_k with w_k = Σ_uv α ReLU(G_k), α = G² / (2G² + Σ_ab A_k · G³), and α = 0 where G = 0.

    Chattopadhay et al., "Grad-CAM++", 2018, equations 18 to 20: the class score is there Y = exp(score), whose common
    factor exp(score) > 0 in ReLU(∂Y/∂A) is left out. α is computed as 1 / (2 + G · Σ A), the same without a division
    of tiny numbers, and where it counts: at G > 0. Where its denominator is 0 it is taken as 0.
    """

    name = "grad_cam_plus_plus"
    title = "Grad-CAM++"
    sentence = "Channels weighted by their positive gradients, so that several small objects count like a large one."

    def layer_map(self, activations: Tensor, gradients: Tensor, settings: LayerSettings) -> Tensor:
        positive = gradients.relu()
        denominator = positive * _channel_sums(activations)[:, None, None] + 2
        terms = torch.where(denominator != 0, positive / denominator, 0.0)
        return _weighted_sum(terms.sum(dim=(1, 2)), activations)


@register
class XGradCam(GradientCam):
    """Σ_k w_k · A_k with w_k = Σ_uv A_k · G_k / Σ_uv A_k, and 0 where that sum is 0 (Fu et al., "XGrad-CAM", 2020)."""

    name = "xgrad_cam"
    title = "XGrad-CAM"
    sentence = (
        "Channels weighted by the gradient where they are active, so that a channel's map sums to its "
        "share of the score."
    )
    is_linear = True

    def layer_map(self, activations: Tensor, gradients: Tensor, settings: LayerSettings) -> Tensor:
        sums = _channel_sums(activations)
        weights = torch.where(sums != 0, _channel_sums(activations * gradients) / sums, 0.0)
        return _weighted_sum(weights, activations)


def _channel_sums(values: Tensor) -> Tensor:
    """Sums over the positions, added up in float64: positive and negative values may nearly cancel."""
    return values.sum(dim=(1, 2), dtype=torch.float64).to(values.dtype)


def _weighted_sum(weights: Tensor, activations: Tensor) -> Tensor:
    return torch.einsum("k,kuv->uv", weights, activations)
