"""Synthetic images whose masks and skeletons are known exactly."""

from .fundus import FundusPhantom, fundus_phantom
from .phantom import Phantom
from .scenes import SCENE_CLASSES, ScenePhantom, scene_phantom
from .vessels import vessel_phantom

__all__ = [
    "SCENE_CLASSES",
    "FundusPhantom",
    "Phantom",
    "ScenePhantom",
    "fundus_phantom",
    "scene_phantom",
    "vessel_phantom",
]
