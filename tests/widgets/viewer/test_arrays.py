"""Files of the viewers, in Streamlit's own manager of media files."""

from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.media_file_storage import MediaFileStorageError
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage

from widgets.viewer import arrays


@pytest.fixture
def storage(monkeypatch):
    """Ends a run of a fragment, after which Streamlit drops what has no place any more; tells what is there."""
    kept = MemoryMediaFileStorage("/media")
    manager = MediaFileManager(kept)
    runtime = SimpleNamespace(media_file_mgr=manager)
    monkeypatch.setattr(arrays, "get_script_run_ctx", object)
    monkeypatch.setattr(arrays.runtime, "exists", lambda: True)
    monkeypatch.setattr(arrays.runtime, "get_instance", lambda: runtime)

    def is_kept(file: dict) -> bool:
        try:
            kept.get_file(str(file["url"]).rsplit("/", 1)[1])
        except MediaFileStorageError:
            return False
        return True

    return SimpleNamespace(end_run=manager.remove_orphaned_files, is_kept=is_kept)


def run(key: str, *values: float) -> list[dict]:
    with arrays.files_of(key):
        return [arrays.array_file(np.full((4, 4), value, np.float32)) for value in values]


def test_the_next_run_of_a_viewer_takes_the_places_of_its_files(storage):
    image, map_of_pixel = run("first", 1, 2)
    (of_other,) = run("second", 3)
    storage.end_run()
    assert all(map(storage.is_kept, (image, map_of_pixel, of_other)))
    same_image, map_of_next = run("first", 1, 4)
    storage.end_run()
    assert same_image["url"] == image["url"]
    assert all(map(storage.is_kept, (image, map_of_next, of_other)))
    assert not storage.is_kept(map_of_pixel)


def test_a_viewer_with_fewer_files_keeps_those_of_one_run_at_most(storage):
    run("first", *range(10, 15))
    seen = [run("first", value)[0] for value in range(20, 40)]
    storage.end_run()
    assert [storage.is_kept(file) for file in seen] == [False] * 19 + [True]
