"""Importing a user's Python file with the modules beside it, whatever names this program uses for its own.

A project may have a package `core`, and so may this program. So the file and the modules beside it are imported under
names of their own, below one made from the folders, and `import` in them looks there first. Nothing is hidden from
other threads, and an import that runs later, inside a function, finds the same modules.
"""

import builtins
import hashlib
import importlib
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

import cloudpickle

_PREFIX = "whypixel_factory_"
_OWN_FOLDER = Path(__file__).resolve().parents[1]
_OWN_NAME = __name__.partition(".")[0]
_files: dict[str, Path] = {}


def import_file(path: Path) -> ModuleType:
    """The module in a file, imported once.

    Its imports are looked for in its folder, in the folder of the outermost package that it belongs to and in the
    current directory, and only then where Python looks. `whypixel` is this program there, however it was started.

    Args:
        path: An existing Python file, absolute.
    """
    outermost = path.parent
    while (outermost / "__init__.py").is_file():
        outermost = outermost.parent
    folders = [str(each) for each in (path.parent, outermost, Path.cwd()) if each.resolve() != _OWN_FOLDER.parent]
    root = _PREFIX + hashlib.sha256(repr(folders).encode()).hexdigest()[:12]
    if root not in sys.modules:
        package = ModuleType(root)
        package.__path__ = list(dict.fromkeys(folders))
        sys.modules[root] = package
        cloudpickle.register_pickle_by_value(package)  # Dask workers cannot import what lies below
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # for modules that are named by a text, importlib.import_module("blocks")
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
    name = ".".join([root, *path.parent.relative_to(outermost).parts, path.stem.replace(".", "_")])
    _files[name] = path
    importlib.invalidate_caches()
    return importlib.import_module(name)


def without_root(text: str) -> str:
    """A text about modules with the names that the user knows."""
    for root in [name for name in sys.modules if name.startswith(_PREFIX) and "." not in name]:
        text = text.replace(f"{root}.", "")
    return text


class _Finder:
    """Finds what is imported under the names of a root."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        if not name.startswith(_PREFIX):
            return None
        spec = spec_from_file_location(name, _files[name]) if name in _files else PathFinder.find_spec(name, path)
        if spec is not None and spec.origin is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(name, spec.origin)
        return spec


class _Loader(SourceFileLoader):
    """Runs a module with an `import` statement that looks beside it first."""

    def exec_module(self, module: ModuleType) -> None:
        root = module.__name__.partition(".")[0]
        vars(module)["__builtins__"] = vars(builtins) | {"__import__": partial(_import, root)}
        super().exec_module(module)


def _import(
    root: str,
    name: str,
    namespace: Mapping[str, object] | None = None,
    _locals: Mapping[str, object] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    """As the function that the `import` statement calls: the leaf for `from a.b import c`, `a` for `import a.b`."""
    first = name.partition(".")[0]
    if level == 0 and _is_beside(root, first):
        leaf = builtins.__import__(f"{root}.{name}", namespace, None, fromlist or (), 0)
        return leaf if fromlist else sys.modules[f"{root}.{first}"]
    if level == 0 and first == "whypixel":
        name = _OWN_NAME + name.removeprefix(first)
    return builtins.__import__(name, namespace, None, fromlist or (), level)


def _is_beside(root: str, name: str) -> bool:
    """Whether a name is that of a module in the root's folders."""
    if f"{root}.{name}" in sys.modules:
        return True
    spec = PathFinder.find_spec(f"{root}.{name}", sys.modules[root].__path__)
    if spec is None or spec.origin is not None or name == _OWN_NAME:
        return spec is not None
    elsewhere = PathFinder.find_spec(name)  # Python prefers a package to a plain folder, such as one of results
    return elsewhere is None or elsewhere.origin is None
