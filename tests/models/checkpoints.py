"""A small network and what its checkpoint says."""

import torch

from core.models import CheckpointInfo, CustomResNet

INFO = CheckpointInfo(
    "custom_resnet",
    {"in_channels": 3, "num_classes": 4, "width": 2},
    ("sky", "road", "car", "tree"),
    in_channels=3,
    mean=(0.1, 0.2, 0.3),
    std=(0.5, 0.6, 0.7),
    training={"data": "phantoms", "seeds": [1, 2]},
    scores={"iou": 0.5},
)


def small_network() -> CustomResNet:
    torch.manual_seed(0)
    return CustomResNet(3, 4, 2)
