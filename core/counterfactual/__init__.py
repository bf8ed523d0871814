"""And if these pixels were different: edits, the smallest change that flips a label, the leading directions."""

from .edit import Edit

__all__ = ["Edit"]
