"""Architectures, the model zoo, reading and writing checkpoints."""

from core.models.checkpoint import (
    CheckpointInfo,
    read_checkpoint,
    read_training_record,
    save_checkpoint,
    shipped_weights,
)
from core.models.custom_resnet import CustomResNet
from core.models.factory import segmenter_from_factory
from core.models.layers import Layer, layers
from core.models.loading import NORMALISATIONS, identify, load_segmenter
from core.models.unet import UNet
from core.models.zoo import ARCHITECTURES, build_module, known_architectures, size_multiple

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
