"""Networks that look where the image tells them to: all rows of their Jacobians against one backward pass for each."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from core.jacobian import jacobian
from core.segmenter import Segmenter
from tests.conformance.reference import reference_rows
from tests.jacobian.rows import largest_relative_error
from tests.toy_networks import SIZE, LearnedOffsets, WhereBright, image_with_bright_area, toy

_ROOT = Path(__file__).resolve().parents[2]
_PIXELS = [(row, column) for row in range(SIZE[0]) for column in range(SIZE[1])]
_TOLERANCE = 1e-5


def error_of(network: type, side: int, out: Path, **arguments: object) -> float:
    """How far any entry of any row lies from the truth, relative to the largest of its row.

    Args:
        network: From `tests.toy_networks`.
        side: Of the bright area.
        out: Where the Jacobian goes.
        arguments: Of `jacobian`.
    """
    module, image = toy(network), image_with_bright_area(side)
    expected = reference_rows(module, image, {}, _PIXELS, 1, "probability")
    computed = jacobian(Segmenter(module, in_channels=1), image, out=out, **arguments)
    return largest_relative_error(np.stack([computed.row(*pixel) for pixel in _PIXELS]), expected)


@pytest.mark.parametrize(("side", "least", "most"), [(6, 0.02, 0.05), (18, 0.3, 0.6)])
def test_both_branches_are_taken(side, least, most):
    """Where few pixels take the wider branch, a check of a few rows seldom meets one of them."""
    image = torch.from_numpy(image_with_bright_area(side))[None]
    share = float(toy(WhereBright).is_bright(image).float().mean())
    assert least < share < most


@pytest.mark.parametrize("arguments", [{}, {"batch_size": 4}], ids=["any batch", "batch of 4"])
@pytest.mark.parametrize("side", [6, 18])
@pytest.mark.parametrize("network", [WhereBright, LearnedOffsets])
def test_all_rows(network, side, arguments, tmp_path):
    assert error_of(network, side, tmp_path / "run.zarr", **arguments) <= _TOLERANCE


def test_all_rows_of_a_deformable_convolution(tmp_path):
    """In a process of its own: its kernel reads wherever an offset points, which kills the process if it is NaN."""
    script = (
        "import json, pathlib, sys\n"
        "from tests.jacobian.test_data_dependent import error_of\n"
        "from tests.toy_networks import Deformable\n"
        "for name, arguments in json.loads(sys.argv[2]).items():\n"
        "    print(name, error_of(Deformable, 6, pathlib.Path(sys.argv[1], name), **arguments))\n"
    )
    cases = {"any.zarr": {}, "four.zarr": {"batch_size": 4}}
    command = [sys.executable, "-c", script, str(tmp_path), json.dumps(cases)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    errors = dict(line.split() for line in done.stdout.splitlines()[-len(cases) :])
    assert errors.keys() == cases.keys()
    assert all(float(error) <= _TOLERANCE for error in errors.values()), errors
