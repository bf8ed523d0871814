"""Upload of a data set: a ZIP archive or a folder, unpacked in the background."""

import io
import secrets
from pathlib import PurePosixPath

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from core.errors import UserError
from widgets.shared.data_sets import TAKEN, kept_data_sets, opened_data_sets
from widgets.shared.kept_data_sets import MAX_SET_BYTES, MAX_SET_FILES, MAX_SETS, packed
from widgets.shared.kept_files import MAX_FILE_MB, kept_in_words
from widgets.shared.results import Report
from widgets.shared.slow_work import compute_in_background, forget
from widgets.shared.uploader import release
from widgets.shared.user_errors import plain_text, show_user_error

_PENDING, _COUNTER, _FAILED = "_library_upload", "_library_uploads", "_library_upload_failed"
_PLACE = "data set upload"


def upload_data_set(key: str) -> None:
    """The two uploaders in a popover, and what became of the last upload.

    Args:
        key: Key of the picker that an uploaded data set is chosen in.
    """
    number = st.session_state.get(_COUNTER, 0)
    with st.popover("Add a data set", icon=":material/upload:"):
        st.markdown(
            "A ZIP archive, or a folder: `images/` beside `labels/` or `masks/` (and `skeletons/`, if there are any), "
            "with equal names; or `train/`, `val/` and `test/` of these."
        )
        _uploader("ZIP archive", f"library_zip_{number}", ["zip"], is_folder=False)
        _uploader("Folder", f"library_folder_{number}", None, is_folder=True)
        st.caption(
            f"{kept_in_words()}: at most {MAX_SETS} data sets of "
            f"{MAX_SET_BYTES / 2**30:g} GB together, each of {MAX_SET_FILES:,} files of {MAX_FILE_MB} MB at most."
        )
    _take_pending(key)
    if st.session_state.get(_FAILED):
        show_user_error(UserError(st.session_state[_FAILED]))


def _uploader(label: str, key: str, types: list[str] | None, *, is_folder: bool) -> None:
    def on_change() -> None:
        value = st.session_state[key]
        files = [file for file in (value if is_folder else [value]) if isinstance(file, UploadedFile)]
        if files:
            st.session_state[_COUNTER] = st.session_state.get(_COUNTER, 0) + 1
            st.session_state[_FAILED] = ""
            contents = [(file.name, io.BytesIO(file.getvalue())) for file in files]
            st.session_state[_PENDING] = secrets.token_hex(16), is_folder, contents
            for file in files:
                release(file)

    st.file_uploader(
        label, types, "directory" if is_folder else False, key=key, on_change=on_change, max_upload_size=MAX_FILE_MB
    )


def _take_pending(key: str) -> None:
    """Unpack the upload that waits; once it is there, choose it."""
    pending = st.session_state.get(_PENDING)
    if pending is None:
        return
    token, is_folder, contents = pending
    name = _name_of(contents[0][0])
    store, taken = kept_data_sets(), {*TAKEN, *opened_data_sets()}

    def unpack(_report: Report) -> str:
        if not is_folder:
            contents[0][1].seek(0)
            return store.keep(name, contents[0][1], taken)
        with packed(contents) as archive:
            return store.keep(name, archive, taken)

    try:
        kept_as = compute_in_background(_PLACE, (_PLACE, token), f"Unpacking {plain_text(name)}", unpack)
    except UserError as error:
        st.session_state[_FAILED], kept_as = str(error), ""
    if kept_as is None:
        return
    forget(_PLACE)
    del st.session_state[_PENDING]
    if kept_as:
        st.session_state[key] = kept_as


def _name_of(file: str) -> str:
    """The name of an uploaded folder, or of an archive without its suffix."""
    place = PurePosixPath(file.replace("\\", "/"))
    return place.parts[0] if len(place.parts) > 1 else place.stem
