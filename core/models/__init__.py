"""Architectures, the model zoo, reading and writing checkpoints."""

from .checkpoint import CheckpointInfo, read_checkpoint, read_training_record, save_checkpoint, shipped_weights
from .factory import segmenter_from_factory
from .layers import Layer, layers
from .loading import NORMALISATIONS, identify, load_segmenter
from .zoo import ARCHITECTURES, Architecture, build_module
from .zoo.architecture import register
from .zoo.custom_resnet import CustomResNet
from .zoo.unet import UNet

__all__ = [
    "ARCHITECTURES",
    "NORMALISATIONS",
    "Architecture",
    "CheckpointInfo",
    "CustomResNet",
    "Layer",
    "UNet",
    "build_module",
    "identify",
    "layers",
    "load_segmenter",
    "read_checkpoint",
    "read_training_record",
    "register",
    "save_checkpoint",
    "segmenter_from_factory",
    "shipped_weights",
]
