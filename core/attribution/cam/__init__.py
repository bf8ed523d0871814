"""Class activation maps for segmentation: every layer and every gradient-based method from one pass."""

from .activations import LayerPass, LayerValues, activations_and_gradients
from .advice import LayerAdvice, cam_warnings, layer_advice, pointwise_layers, suggested_layer
from .maps import cam, cam_atlas, map_layers
from .methods import (
    GRADIENT_METHODS,
    LINEAR_METHODS,
    METHODS,
    PERTURBATION_METHODS,
    POOLINGS,
    TITLES,
    GradientMethod,
    Method,
    PerturbationMethod,
    Pooling,
    Window,
    gradient_map,
)

__all__ = [
    "GRADIENT_METHODS",
    "LINEAR_METHODS",
    "METHODS",
    "PERTURBATION_METHODS",
    "POOLINGS",
    "TITLES",
    "GradientMethod",
    "LayerAdvice",
    "LayerPass",
    "LayerValues",
    "Method",
    "PerturbationMethod",
    "Pooling",
    "Window",
    "activations_and_gradients",
    "cam",
    "cam_atlas",
    "cam_warnings",
    "gradient_map",
    "layer_advice",
    "map_layers",
    "pointwise_layers",
    "suggested_layer",
]
