"""Architectures, the model zoo, reading and writing checkpoints."""

from core.models.checkpoint import CheckpointInfo, load_segmenter, read_checkpoint, save_checkpoint, shipped_weights
from core.models.custom_resnet import CustomResNet
from core.models.unet import UNet
from core.models.zoo import ARCHITECTURES, build_module

__all__ = [
    "ARCHITECTURES",
    "CheckpointInfo",
    "CustomResNet",
    "UNet",
    "build_module",
    "load_segmenter",
    "read_checkpoint",
    "save_checkpoint",
    "shipped_weights",
]
