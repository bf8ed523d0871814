"""Who may import whom, read from the files without importing them."""

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
RANKS = (
    {"errors"},
    {"io", "display", "data", "drawn_regions"},
    {"segmenter", "target", "pixel_sets"},
    {"compute"},
    {"models"},
    {"receptive_field"},
    {"attribution"},
    {"jacobian"},
    {"scoring"},
    {"trust"},
    {"counterfactual"},
    {"training"},
    {"cli"},
)
RANK = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms}
OUTSIDE = {"streamlit", "streamlit_plotly_events", "widgets", "pages", "phantoms", "core", "whypixel"}


class Import(NamedTuple):
    path: Path
    """The file that imports, from the root."""
    name: str
    """The full name of what is imported."""
    is_relative: bool
    is_inside_function: bool

    @property
    def room(self) -> str:
        return self.path.parts[1].removesuffix(".py")

    @property
    def parts(self) -> list[str]:
        return [*self.name.split("."), ""]

    def __str__(self) -> str:
        return f"{self.path} imports {self.name}"


@cache
def _imports(folder: str) -> tuple[Import, ...]:
    return tuple(_read_imports(folder))


def _read_imports(folder: str) -> Iterator[Import]:
    for file in sorted((ROOT / folder).rglob("*.py")):
        path, tree = file.relative_to(ROOT), ast.parse(file.read_text())
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        inside = {id(node) for function in functions for node in ast.walk(function)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names, level = [alias.name for alias in node.names], 0
            elif isinstance(node, ast.ImportFrom):
                level = node.level
                base = path.parent.parts[: len(path.parent.parts) + 1 - level] if level else ()
                module = [*base, *([node.module] if node.module else [])]
                names = [".".join([*module, alias.name]) for alias in node.names]
            else:
                continue
            for name in names:
                yield Import(path, name, level > 0, id(node) in inside)


def _wrong(folder: str, is_wrong: Callable[[Import], bool]) -> list[str]:
    """The imports of a folder's files that are wrong."""
    return [str(found) for found in _imports(folder) if is_wrong(found)]


def test_every_room_has_its_rank():
    assert {found.room for found in _imports("core")} - {"__init__", "__main__"} == RANK.keys()


def test_the_library_imports_only_downwards():
    def is_upwards(found: Import) -> bool:
        is_own = found.parts[0] == "core" and found.room in RANK
        return is_own and RANK.get(found.parts[1], len(RANKS)) > RANK[found.room]

    assert _wrong("core", is_upwards) == []


def test_rooms_of_one_rank_import_each_other_in_one_direction():
    pairs = {(found.room, found.parts[1]) for found in _imports("core") if found.parts[0] == "core"}
    assert [pair for pair in pairs if pair[0] != pair[1] and pair[::-1] in pairs] == []


def test_the_library_knows_no_app_and_not_its_own_name():
    """It is `core` in a checkout and `whypixel` where it is installed, so it imports itself relatively."""

    def is_outside(found: Import) -> bool:
        is_samples = found.path == Path("core/cli/samples.py") and found.is_inside_function
        allowed = found.is_relative or (found.parts[0] == "phantoms" and is_samples)
        return found.parts[0] in OUTSIDE and not allowed

    assert _wrong("core", is_outside) == []


def test_widgets_import_the_library_shared_parts_and_their_own_page():
    def is_foreign(found: Import) -> bool:
        is_widget = found.parts[0] == "widgets" and found.parts[1] not in ("shared", "viewer", found.room)
        return is_widget or found.parts[0] in ("pages", "phantoms", "app")

    assert _wrong("widgets", is_foreign) == []


def test_pages_import_no_torch_and_no_part_of_another_page():
    def is_wrong(found: Import) -> bool:
        is_widget = found.parts[0] == "widgets" and found.parts[1] not in ("shared", "viewer", found.path.stem)
        return is_widget or found.parts[0] in ("torch", "torchvision", "phantoms", "pages")

    assert _wrong("pages", is_wrong) == []


def test_phantoms_import_only_images_and_files_of_the_library():
    def is_wrong(found: Import) -> bool:
        is_other_room = found.parts[0] == "core" and found.parts[1] not in ("data", "io", "errors")
        return is_other_room or found.parts[0] in ("widgets", "pages", "streamlit")

    assert _wrong("phantoms", is_wrong) == []


@pytest.mark.parametrize("folder", ["core", "phantoms", "widgets", "pages"])
def test_imports_are_found(folder):
    assert any(found.parts[0] == "core" for found in _imports(folder))
