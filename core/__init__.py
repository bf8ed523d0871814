"""WhyPixel: why did my segmentation network label this pixel this way?"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .attribution.attribution import Attribution
    from .data.images import read_image
    from .errors import UserError
    from .models.loading import load_segmenter
    from .segmenter import Prediction, Segmenter
    from .target import Target

__all__ = ["Attribution", "Prediction", "Segmenter", "Target", "UserError", "load_segmenter", "read_image"]

if not TYPE_CHECKING:
    # Imported when first used (PEP 562): torch takes seconds, and not every command needs it.
    _MODULES = {
        "Attribution": ".attribution.attribution",
        "Prediction": ".segmenter",
        "Segmenter": ".segmenter",
        "Target": ".target",
        "UserError": ".errors",
        "load_segmenter": ".models.loading",
        "read_image": ".data.images",
    }

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_MODULES[name], __name__), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
