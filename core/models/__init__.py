"""Architectures, the model zoo, reading and writing checkpoints."""

from .checkpoint import (
    CheckpointInfo,
    read_checkpoint,
    read_training_record,
    save_checkpoint,
    shipped_weights,
)
from .custom_resnet import CustomResNet
from .factory import segmenter_from_factory
from .layers import Layer, layers
from .loading import NORMALISATIONS, identify, load_segmenter
from .unet import UNet
from .zoo import ARCHITECTURES, build_module, known_architectures, size_multiple

__all__ = [
    "ARCHITECTURES",
    "NORMALISATIONS",
    "CheckpointInfo",
    "CustomResNet",
    "Layer",
    "UNet",
    "build_module",
    "identify",
    "known_architectures",
    "layers",
    "load_segmenter",
    "read_checkpoint",
    "read_training_record",
    "save_checkpoint",
    "segmenter_from_factory",
    "shipped_weights",
    "size_multiple",
]
