"""The wheel: what is in it, and that it works where another package is called `core`."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OPTIONAL = {"dynamic_network_architectures", "transformers"}
"""Imported where it is used, with an error that names it."""
APP = ("streamlit", "streamlit-plotly-events", "cachetools")
GRADIENT = """
import sys
import numpy as np
from whypixel import Target, load_segmenter
from whypixel.attribution import gradient

segmenter = load_segmenter("vessmap", "cpu")
found = gradient(segmenter, np.random.default_rng(0).random((1, 32, 48), dtype=np.float32), Target.pixel(9, 12))
assert np.abs(found.values).max() > 0
assert "core" not in sys.modules
print(found.values.shape, segmenter.class_names)
"""


def _run(*command: object, **options: object) -> str:
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **options)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, as building writes into the folder."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("core", "weights", "widgets", "pages", "tests"):  # the last three must not get into it
        shutil.copytree(ROOT / name, folder / "copy" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (*ROOT.glob("*.py"), *ROOT.glob("*.toml"), *ROOT.glob("*.txt"), *ROOT.glob("*.md")):
        shutil.copy(path, folder / "copy")
    options = "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"
    _run(sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", folder, folder / "copy")
    return next(folder.glob("whypixel-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Runs a command with the wheel installed, in a folder with another package called `core`."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "core").mkdir()
    (folder / "core" / "__init__.py").write_text('raise ImportError("the core of another project")')
    packages = folder / "packages"
    _run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", packages, wheel)
    environment = os.environ | {"PYTHONPATH": str(packages)}
    return lambda *command: _run(*command, cwd=folder, env=environment)


def test_what_is_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    files = {path for path in (ROOT / "core").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    expected = {f"whypixel/{path.relative_to(ROOT / 'core').as_posix()}" for path in files}
    expected |= {f"whypixel/weights/{path.name}" for path in (ROOT / "weights").iterdir()}
    assert "whypixel/py.typed" in expected
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_a_gradient_where_another_package_is_called_core(installed):
    assert installed(sys.executable, "-c", GRADIENT) == "(1, 32, 48) ('background', 'vessel')\n"


def test_the_command_says_its_own_name(installed):
    assert installed(sys.executable, "-m", "whypixel", "--help").startswith("Usage: python -m whypixel ")
    assert installed("packages/bin/whypixel", "--help").startswith("Usage: whypixel ")
    assert "Example: whypixel samples --out" in installed("packages/bin/whypixel", "samples", "--help")
    assert _run(sys.executable, "-m", "core", "--help", cwd=ROOT).startswith("Usage: python -m core ")


def test_every_package_that_is_imported_is_declared():
    declared = {
        re.match(r"[\w-]+", line)[0].replace("_", "-").lower()
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if not line.startswith(APP)
    }
    modules = set()
    for path in (ROOT / "core").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules.add(str(node.module).partition(".")[0])
    distributions = packages_distributions()
    needed = modules - sys.stdlib_module_names - {"phantoms"} - OPTIONAL
    missing = {
        name for name in needed if not declared & {found.replace("_", "-").lower() for found in distributions[name]}
    }
    assert not missing


def test_what_the_wheel_and_its_app_need(wheel):
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"{wheel.name.removesuffix('-py3-none-any.whl')}.dist-info/METADATA").decode()
    found = re.findall(r"^Requires-Dist: ([\w-]+)([^;\n]*)(.*)$", metadata, re.MULTILINE)
    optional = {extra for *_, extra in found} - {"", '; extra == "app"'}
    assert optional == {f'; extra == "{name}"' for name in ("nnunet", "onnx", "transformers")}
    found = [each for each in found if each[2] not in optional]
    lines = [line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    assert sorted(name + version for name, version, _ in found) == sorted(lines)
    assert {name for name, _, extra in found if extra} == set(APP)
    assert {extra for _, _, extra in found} == {"", '; extra == "app"'}
