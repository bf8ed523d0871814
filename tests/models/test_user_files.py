"""Factories named by file, in projects whose modules have the names of ours and of each other."""

import sys
import threading
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import core
from core import UserError, load_segmenter
from core.cli import app
from core.models import segmenter_from_factory
from core.models.user_files import import_file

NETWORK = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)

    def forward(self, images):
        from core.blocks import SCALE  # while it runs
        return SCALE * self.conv(images)
"""


@pytest.fixture(autouse=True)
def _restored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


def _write(folder: Path, **sources: str) -> Path:
    for name, source in sources.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return folder


def _project(folder: Path, scale: int = 2) -> Path:
    _write(folder, core__network=NETWORK, core__blocks=f"SCALE = {scale}\nfrom .network import Net")
    return _write(folder, nets="import core.blocks\nfrom core import blocks\ndef make():\n    return core.blocks.Net()")


@pytest.mark.parametrize("regular", [True, False], ids=["with __init__", "a plain folder"])
def test_a_project_with_a_core_of_its_own(tmp_path, regular):
    folder = _project(tmp_path / "project")
    if regular:
        (folder / "core" / "__init__.py").write_text("from .network import Net")
    segmenter = load_segmenter(f"{folder}/nets.py:make", "cpu")
    assert type(segmenter.module).__name__ == "Net"
    images = torch.rand(1, 1, 4, 5)
    torch.testing.assert_close(segmenter.module(images), 2 * segmenter.module.conv(images))
    assert sys.modules["core"] is core
    assert not (Path(core.__file__).parent / "blocks.py").exists()
    assert "core.blocks" not in sys.modules


def test_whypixel_is_this_program_in_the_file(tmp_path):
    folder = _project(tmp_path / "project")
    _write(
        folder,
        own="import whypixel.models\nfrom whypixel import Segmenter, UserError\nfrom core.network import Net\n"
        "assert whypixel.models.load_segmenter\n"
        "def make():\n    return Segmenter(Net(), in_channels=1, name='own')",
    )
    segmenter = segmenter_from_factory(f"{folder}/own.py:make", "cpu")
    assert isinstance(segmenter, core.Segmenter)
    assert segmenter.predict(torch.rand(1, 4, 5)).labels.shape == (4, 5)


def test_two_projects_with_modules_of_one_name(tmp_path):
    """Python would give the second the first's `core`, and in silence the first's weights."""
    first, second = (_project(tmp_path / name, scale) for name, scale in (("first", 2), ("second", 3)))
    images = torch.ones(1, 1, 2, 2)
    for folder, scale in ((first, 2), (second, 3)):
        module = segmenter_from_factory(f"{folder}/nets.py:make", "cpu").module
        torch.testing.assert_close(module(images), scale * module.conv(images))


def test_the_file_may_lie_inside_the_package(tmp_path, monkeypatch):
    folder = _project(tmp_path / "project")
    (folder / "core" / "__init__.py").touch()
    _write(
        folder,
        core__deep__nets="from ..network import Net\nfrom core.blocks import SCALE\ndef make():\n    return Net()",
    )
    (folder / "core" / "deep" / "__init__.py").touch()
    for directory, path in ((tmp_path, "project/core/deep/nets.py"), (folder, "core/deep/nets.py")):
        monkeypatch.chdir(directory)
        assert type(segmenter_from_factory(f"{path}:make", "cpu").module).__name__ == "Net"


def test_modules_beside_the_file_and_in_the_current_directory(tmp_path):
    _write(tmp_path, layer_count="LAYERS = 2")
    _write(
        tmp_path / "nets",
        blocks="import torch\nfrom layer_count import LAYERS\ndef block():\n    return torch.nn.Conv2d(3, LAYERS, 1)",
        vessels="import importlib\nimport blocks, os.path\nfrom core import Segmenter\n"
        "def make():\n    assert importlib.import_module('by_text').A == 1\n    return blocks.block()",
        by_text="A = 1",
    )
    (tmp_path / "nets" / "torch").mkdir()  # a folder of results is no package
    assert segmenter_from_factory("nets/vessels.py:make", "cpu").num_classes == 2
    assert segmenter_from_factory(f"{tmp_path}/nets/../nets/vessels.py:make", "cpu").num_classes == 2


def test_errors_name_modules_as_the_user_does(tmp_path):
    folder = _project(tmp_path / "project")
    _write(folder, wrong="import core.strokes", by_text="import importlib\nimportlib.import_module('core.blocks')")
    with pytest.raises(
        UserError, match=r"wrong.py:make failed with ModuleNotFoundError: No module named 'core.strokes'"
    ):
        segmenter_from_factory(f"{folder}/wrong.py:make", "cpu")
    with pytest.raises(UserError, match=r"core is WhyPixel's own package here; install WhyPixel .* run `whypixel`"):
        segmenter_from_factory(f"{folder}/by_text.py:make", "cpu")


def test_a_file_is_run_once_also_by_threads_and_again_after_it_failed(tmp_path):
    path = (
        _write(tmp_path, counted="import sys, time\nsys.counted += 1\ntime.sleep(0.05)\nassert sys.counted > 1")
        / "counted.py"
    )
    sys.counted = 0  # type: ignore[attr-defined]
    with pytest.raises(AssertionError):
        import_file(path)
    threads = [threading.Thread(target=import_file, args=(path,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sys.counted == 2  # type: ignore[attr-defined]
    del sys.counted  # type: ignore[attr-defined]


def test_on_the_command_line(tmp_path):
    folder = _project(tmp_path / "project")
    _write(
        folder,
        own="from whypixel import Segmenter\nfrom core.blocks import Net\n"
        "def make():\n    return Segmenter(Net(), in_channels=1)",
    )
    result = CliRunner().invoke(app, ["info", "--weights", f"{folder}/own.py:make", "--size", "8", "8"])
    assert result.exit_code == 0
    assert "own.py:make (Net)" in result.output
