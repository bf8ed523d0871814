"""What is slow to import is imported where it is used, and not before; each in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {
    *("segmentation_models_pytorch", "timm", "torchvision", "lightning", "pytorch_lightning", "torchmetrics", "captum"),
    *("dask", "distributed", "zarr", "scipy", "skimage", "sklearn", "matplotlib", "sympy", "networkx"),
}
IN_THE_LIBRARY = {"plotly", "pandas", "pyarrow", "tifffile", "imagecodecs", "streamlit"}
"""Heavy, too, but Streamlit imports some of it itself, and a TIFF file needs some."""
GRADIENT = """
import numpy as np
from core import Target, load_segmenter
from core.attribution import gradient, influence, smoothgrad
from core.display.colours import class_colour, intensity_rgb, labels_over, magnitude_scale, signed_scale
from core.display.footprint import footprint

segmenter = load_segmenter("vessmap", "cpu")
image = np.random.default_rng(0).random((1, 48, 64), dtype=np.float32)
labels = segmenter.predict(image).labels
found = gradient(segmenter, image, Target.pixel(20, 30))
signed_scale(1.0).over(labels_over(intensity_rgb(image), labels, 0.4), found.signed_map(), 0.5)
assert magnitude_scale(1.0).rgb(found.magnitude()).any() and footprint(found.magnitude(), 0.01).count
"""
PAGE = """
from streamlit.testing.v1 import AppTest

page = AppTest.from_file("{page}", default_timeout=120)
page.query_params["image"] = "vessels/phantom_00"
page.run()
assert not page.exception and not page.error and page.title
import torch
"""


def _loaded(code: str) -> set[str]:
    """The packages that a new Python process has imported after the code."""
    # A page computes in the background, where Python's own end would abort torch.
    code += "\nimport os, sys\nprint(*sys.modules, flush=True)\nos._exit(0)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return {name.partition(".")[0] for name in found.stdout.splitlines()[-1].split()}


def test_a_gradient_on_our_own_network_imports_nothing_heavy_but_torch():
    loaded = _loaded(GRADIENT)
    assert "torch" in loaded
    assert loaded & (HEAVY | IN_THE_LIBRARY) == set()


def test_the_pixel_explorer_imports_nothing_heavy_but_torch():
    """And `scipy.ndimage`, which finds the pixel that it opens on."""
    loaded = _loaded(PAGE.format(page=ROOT / "pages" / "pixel_explorer.py"))
    assert {"torch", "streamlit"} <= loaded
    assert loaded & HEAVY <= {"scipy"}


def test_reading_the_library_imports_nothing_heavy_but_torch():
    """So that a page opens at once: scipy.stats alone takes a second."""
    names = ("core.jacobian", "core.trust", "core.jacobian.vessel_geometry", "core.jacobian.map_pictures")
    loaded = _loaded(f"import {', '.join((*names, 'core.pixel_sets', 'core.trust.benchmark', 'core.scoring'))}")
    assert "torch" in loaded
    assert loaded & HEAVY == set()


def test_threads_of_the_app_sleep_while_they_wait():
    """Set before torch, whose OpenMP reads it once; the file may define the app or run it."""
    code = "import os, runpy, sys\nassert 'torch' not in sys.modules\nrunpy.run_path('app.py')\nimport torch"
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={"PATH": "", "HOME": str(Path.home()), "OMP_DISPLAY_ENV": "verbose"},
    )  # fmt: skip
    if "GOMP_SPINCOUNT" not in found.stderr:
        pytest.skip("torch has no GNU OpenMP here")
    assert "GOMP_SPINCOUNT = '0'" in found.stderr
