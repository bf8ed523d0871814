import io
import stat
import zipfile

import numpy as np
import pytest
import torch

from core.errors import UserError
from core.jacobian import Jacobian, archive, jacobian
from core.jacobian.archive import read_archive, store_bytes, write_archive
from core.segmenter import Segmenter


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    torch.manual_seed(0)
    segmenter = Segmenter(torch.nn.Conv2d(1, 2, 3, padding=1), class_names=("background", "vessel"), in_channels=1)
    image = np.random.default_rng(0).random((1, 12, 12), dtype=np.float32)
    return jacobian(segmenter, image, out=tmp_path_factory.mktemp("stores") / "small.zarr")


@pytest.fixture
def zipped(store):
    buffer = io.BytesIO()
    write_archive(store.path, buffer)
    return buffer


def test_a_store_comes_back_from_its_archive(store, zipped, tmp_path):
    opened = Jacobian(read_archive(zipped, tmp_path / "again.zarr"))
    assert opened.complete
    for pixel in ((0, 0), (5, 7), (11, 11)):
        np.testing.assert_array_equal(opened.row(*pixel), store.row(*pixel))
    assert store_bytes(opened.path) == store_bytes(store.path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["again.zarr"]


@pytest.mark.parametrize(
    "name", ["../evil.txt", "store.zarr/../../evil.txt", "/evil.txt", "store.zarr\\..\\evil", "C:/evil/x"]
)
def test_an_entry_that_leads_out_is_refused(tmp_path, name):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("store.zarr/zarr.json", "{}")
        file.writestr(name, "evil")
    inner = tmp_path / "inner"
    inner.mkdir()
    with pytest.raises(UserError, match="leads out of its folder"):
        read_archive(buffer, inner / "x.zarr")
    assert list(inner.iterdir()) == []
    assert list(tmp_path.iterdir()) == [inner]


def test_a_link_is_refused(tmp_path):
    entry = zipfile.ZipInfo("store.zarr/image")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(entry, "/etc")
    with pytest.raises(UserError, match="leads out"):
        read_archive(buffer, tmp_path / "x.zarr")


def test_too_much_is_refused_before_it_is_unpacked(zipped, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "LARGEST_ARCHIVE", 1000)
    with pytest.raises(UserError, match=r"at most 1\.0 kB"):
        read_archive(zipped, tmp_path / "x.zarr")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no zip at all", None])
def test_what_is_no_archive_of_a_store_gets_one_sentence(zipped, tmp_path, content):
    content = zipped.getvalue()[:-400] if content is None else content
    with pytest.raises(UserError, match=r"not a whole \.zip file"):
        read_archive(io.BytesIO(content), tmp_path / "x.zarr")
    assert list(tmp_path.iterdir()) == []


def test_an_archive_of_something_else_is_refused(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("holiday/beach.txt", "sand")
    with pytest.raises(UserError, match="The archive is not a whole Jacobian store"):
        read_archive(buffer, tmp_path / "x.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_store_is_never_overwritten(store, zipped):
    with pytest.raises(UserError, match="exists already"):
        read_archive(zipped, store.path)
