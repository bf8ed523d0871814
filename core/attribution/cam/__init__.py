"""Class activation maps for segmentation: every layer and every gradient-based method from one pass."""

from .activations import activations_and_gradients
from .advice import LayerAdvice, cam_warnings, layer_advice
from .maps import cam, cam_atlas, cam_methods, gradient_methods, map_layers
from .methods import POOLINGS, Pooling

__all__ = [
    "POOLINGS",
    "LayerAdvice",
    "Pooling",
    "activations_and_gradients",
    "cam",
    "cam_atlas",
    "cam_methods",
    "cam_warnings",
    "gradient_methods",
    "layer_advice",
    "map_layers",
]
