"""And if these pixels were different: edits, the smallest change that flips a label, the directions that matter most."""

from .edit import Edit

__all__ = ["Edit"]
