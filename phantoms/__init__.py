"""Generators of synthetic images whose masks are known exactly; `python -m phantoms` writes them to folders."""

from .kinds.fundus import fundus_phantom
from .kinds.scenes import SCENE_CLASSES, scene_phantom
from .kinds.vessels import vessel_phantom
from .phantom import PHANTOM_KINDS, Phantom, draw_phantom, register

__all__ = [
    "PHANTOM_KINDS",
    "SCENE_CLASSES",
    "Phantom",
    "draw_phantom",
    "fundus_phantom",
    "register",
    "scene_phantom",
    "vessel_phantom",
]
