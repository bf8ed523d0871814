"""Class activation maps for segmentation: every layer and every gradient-based method from one pass."""

from .activations import LayerPass, LayerValues, activations_and_gradients
from .advice import LayerAdvice, cam_warnings, layer_advice, suggested_layer
from .layer_method import GradientCam, LayerMethod, LayerSettings
from .maps import cam, cam_atlas, cam_methods, gradient_methods, map_layers
from .methods import POOLINGS, Pooling, Window
from .perturbation import PerturbationCam

__all__ = [
    "POOLINGS",
    "GradientCam",
    "LayerAdvice",
    "LayerMethod",
    "LayerPass",
    "LayerSettings",
    "LayerValues",
    "PerturbationCam",
    "Pooling",
    "Window",
    "activations_and_gradients",
    "cam",
    "cam_atlas",
    "cam_methods",
    "cam_warnings",
    "gradient_methods",
    "layer_advice",
    "map_layers",
    "suggested_layer",
]
