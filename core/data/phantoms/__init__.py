"""Synthetic images whose masks and skeletons are known exactly."""

from core.data.phantoms.fundus import FundusPhantom, fundus_phantom
from core.data.phantoms.phantom import Phantom
from core.data.phantoms.scenes import SCENE_CLASSES, ScenePhantom, scene_phantom
from core.data.phantoms.vessels import vessel_phantom

__all__ = [
    "SCENE_CLASSES",
    "FundusPhantom",
    "Phantom",
    "ScenePhantom",
    "fundus_phantom",
    "scene_phantom",
    "vessel_phantom",
]
