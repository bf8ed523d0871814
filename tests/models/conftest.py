import sys

import pytest


@pytest.fixture
def write_package(tmp_path, monkeypatch):
    """Writes a package of modules into the current directory, a temporary one, and forgets it in the end."""
    written = []

    def write(name, **sources):
        folder = tmp_path / name
        folder.mkdir()
        for module, source in {"__init__": "", **sources}.items():
            (folder / f"{module}.py").write_text(source)
        written.append(name)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] in written]:
        del sys.modules[name]
