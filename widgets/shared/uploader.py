"""Streamlit's uploader for files that are kept on disk, and the list of these."""

from collections.abc import Callable, Sequence
from pathlib import Path

import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from core.data.images import SUFFIXES
from core.errors import UserError
from widgets.shared.browser import browser_token
from widgets.shared.kept_files import (
    MAX_BYTES,
    MAX_FILE_MB,
    MAX_FILES,
    KeptFiles,
    Kind,
    folder_of,
    kept_in_words,
    remove_expired,
    size_in_words,
)
from widgets.shared.trained_networks import data_in_use
from widgets.shared.user_errors import plain_text, say

IMAGE_TYPES = tuple(suffix.removeprefix(".") for suffix in SUFFIXES)
_LIST_WIDTH = 420
_KINDS: dict[Kind, str] = {"image": "Image", "truth": "Ground truth", "network": "Network", "baseline": "Baseline"}


def kept_files() -> KeptFiles:
    """The files of this session's browser; what is lost is forgotten with a sentence beside the uploader of images."""
    folder = folder_of(browser_token())
    _tidy(str(folder.parent))
    files = KeptFiles(folder)
    if lost := files.forget_lost():
        say("image", [lost])
    return files


def uploader(
    label: str,
    kind: str,
    types: Sequence[str],
    take: Callable[[list[tuple[str, bytes]]], None],
    *,
    multiple: bool = False,
    words: str | None = None,
) -> None:
    """An uploader that is empty again once `take` has its files, as names and contents.

    `kind` names the widget, and the place where an error of `take` is said.
    """
    counter = f"_{kind}_uploads"
    key = f"{kind}_upload_{st.session_state.get(counter, 0)}"

    def on_change() -> None:
        value = st.session_state[key]
        # A run in quick succession finds files that were released before.
        files = [file for file in (value if multiple else [value]) if isinstance(file, UploadedFile)]
        st.session_state[counter] = st.session_state.get(counter, 0) + 1
        contents = [(Path(file.name).name, file.getvalue()) for file in files]
        for file in files:
            release(file)
        if contents:
            try:
                take(contents)
            except UserError as error:
                say(kind, [str(error)])

    st.file_uploader(
        label, type=types, accept_multiple_files=multiple, key=key, on_change=on_change, max_upload_size=MAX_FILE_MB,
        help=words,
    )  # fmt: skip


def your_files() -> None:
    """The list of what is kept, where each file can be removed; nothing where there is none."""
    files = kept_files()
    found = files.files()
    if not found:
        return
    with st.popover(f"Your files ({len(found)})", icon=":material/folder_open:", width="stretch", key="your_files"):
        for kind, title in _KINDS.items():
            for file in reversed(found.values()):
                if file.kind != kind:
                    continue
                of = f" of {file.name}" if kind == "truth" else ""
                with st.container(horizontal=True, horizontal_alignment="distribute", width=_LIST_WIDTH):
                    name, of = plain_text(file.title), plain_text(of)
                    st.markdown(f"**{name}**  \n:small[{title}{of}, {size_in_words(file.size)}]")
                    st.button(
                        "Remove", key=f"remove_{kind}_{file.name}", icon=":material/delete:", type="tertiary",
                        width="content", on_click=files.remove, args=(kind, file.name),
                    )  # fmt: skip
        st.caption(
            f"{kept_in_words()}: at most {MAX_FILES['image']} images and {MAX_FILES['network']} networks, "
            f"{MAX_FILE_MB} MB each, {MAX_BYTES // 2**30} GB in all.",
            width=_LIST_WIDTH,
        )


def removed_for_room(names: Sequence[str]) -> list[str]:
    """A sentence about older files that gave way to a new one."""
    return [f"Removed to make room: {', '.join(names)}."] if names else []


@st.cache_resource(ttl=3600, show_spinner=False)
def _tidy(root: str) -> None:
    """Once an hour."""
    remove_expired(Path(root), data_in_use())


def release(file: UploadedFile) -> None:
    """Drop Streamlit's own reference, which lasts until the session ends."""
    context = get_script_run_ctx()
    if context is not None and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)
