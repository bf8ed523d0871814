"""`python -m core.training.runs FOLDER`: the process of one run, started by `start` and `Run.resume`."""

import sys
from pathlib import Path

from .process import work

if __name__ == "__main__":
    work(Path(sys.argv[1]))
