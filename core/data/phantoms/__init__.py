"""Synthetic images whose masks and skeletons are known exactly."""

from core.data.phantoms.phantom import Phantom
from core.data.phantoms.vessels import vessel_phantom

__all__ = ["Phantom", "vessel_phantom"]
