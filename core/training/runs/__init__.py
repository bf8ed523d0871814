"""Training runs in processes of their own, with their state on disk.

A run goes on when the session or the server that started it ends. Reading its state imports no torch.
"""

from .previews import PreviewedImage, read_previews
from .run_folder import LIVE, Run, find_run, runs, start
from .status import State, Status

__all__ = ["LIVE", "PreviewedImage", "Run", "State", "Status", "find_run", "read_previews", "runs", "start"]
