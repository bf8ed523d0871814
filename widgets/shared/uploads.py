"""Uploaded images: the last ones are kept in the session, whatever page is open; files can be dropped anywhere."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from core.data.images import SUFFIXES, LoadedImage, Scaling, load_image, read_mask
from core.errors import UserError
from widgets.shared.results import results

MAX_UPLOADS = 6
MAX_BYTES = 256 * 2**20
_TYPES = [suffix.removeprefix(".") for suffix in SUFFIXES]
_UPLOADS = "_uploads"
_SENTENCES = "_upload_sentences"
UPLOADER = "image_files"
_STYLE = """
<style>
:is(.st-key-image_files, .st-key-truth_files) [data-testid="stFileUploaderDropzoneInstructions"] {display: none}
:is(.st-key-image_files, .st-key-truth_files) [data-testid="stFileUploaderDropzone"] {
  padding: 0; min-height: 0; background: none; border: 0
}
</style>
"""
_file_drop = st.components.v2.component(
    "file_drop", html="<span hidden></span>", js=Path(__file__).with_name("file_drop.js").read_text(encoding="utf-8")
)


@dataclass(frozen=True, eq=False)
class Upload:
    """An uploaded image that can be decoded.

    Attributes:
        content: The file.
        hash: Hash of the content.
        shape: Channels, rows and columns.
        truth: Name and content of the ground truth's file, of the same size; None without one.
    """

    content: bytes
    hash: str
    shape: tuple[int, int, int]
    truth: tuple[str, bytes] | None = None


def kept_uploads() -> dict[str, Upload]:
    """The last uploads of this session by their names on screen, the newest first."""
    return dict(reversed(_kept().items()))


def load_upload(name: str, upload: Upload, scaling: Scaling) -> LoadedImage:
    """The image of an upload; it is decoded once."""
    return _load(name, upload.content, upload.hash, scaling)


def upload_images() -> None:
    """The uploader of images in the side bar. A file dropped anywhere on the page goes into it."""
    with st.container(key=UPLOADER, gap=None):
        st.html(_STYLE)
        _uploader("Image file", "image", _take_images, multiple=True)
        _file_drop(key="file_drop", data={"uploader": UPLOADER}, height=1)
    image, sentences = st.session_state.get(_SENTENCES, ("", ()))
    if image == st.session_state["image"]:  # until another image is chosen
        for sentence in sentences:
            st.error(sentence, icon=":material/error:")


def upload_truth(name: str) -> None:
    """The uploader of the ground truth of the upload `name`, and a button that removes the one it has."""
    truth = _kept()[name].truth
    with st.container(key="truth_files", gap=None):
        _uploader("Ground truth (optional)", "truth", _take_truth, name)
        if truth is not None:
            label = f"Remove the ground truth {truth[0]}"
            st.button(label, key="remove_truth", type="tertiary", on_click=_set_truth, args=(name, None))


def say_about_upload(sentence: str) -> None:
    """Show a sentence beside the uploader until another image is chosen."""
    _say([sentence])


def _say(sentences: list[str]) -> None:
    st.session_state[_SENTENCES] = st.session_state.get("image"), tuple(sentences)
    for sentence in sentences:
        st.toast(sentence, icon=":material/error:")  # seen beside a closed side bar too


def _kept() -> dict[str, Upload]:
    """The uploads by name, the oldest first."""
    return st.session_state.setdefault(_UPLOADS, {})


def _load(name: str, content: bytes, content_hash: str, scaling: Scaling) -> LoadedImage:
    key = "image file", content_hash, name, scaling
    return results().get_or_compute(key, lambda: load_image(content, scaling, name))


def _uploader(label: str, kind: str, take: Any, *given: object, multiple: bool = False) -> None:
    """An uploader that is empty again once its files are taken: what is kept is kept here, and bounded."""
    counter = f"_{kind}_uploads"
    key = f"{kind}_upload_{st.session_state.get(counter, 0)}"

    def on_change() -> None:
        value = st.session_state[key]
        # A run in quick succession finds files that were released before.
        files = [file for file in (value if multiple else [value]) if isinstance(file, UploadedFile)]
        st.session_state[counter] = st.session_state.get(counter, 0) + 1
        contents = [(Path(file.name).name, file.getvalue()) for file in files]
        for file in files:
            _release(file)
        if contents:
            take(contents, *given)

    st.file_uploader(label, type=_TYPES, accept_multiple_files=multiple, key=key, on_change=on_change)


def _release(file: UploadedFile) -> None:
    """Drop Streamlit's own reference, which lasts until the session ends."""
    context = get_script_run_ctx()
    if context is not None and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)


def _take_images(files: list[tuple[str, bytes]]) -> None:
    """Keep the uploaded images and show the first; a file that is no image is named in a sentence."""
    scaling: Scaling = st.session_state.get("scaling", "dtype")
    sentences = [f"Only the first {MAX_UPLOADS} of {len(files)} files were kept."] if len(files) > MAX_UPLOADS else []
    for name, content in reversed(files[:MAX_UPLOADS]):  # so that the first file is the newest
        content_hash = hashlib.sha256(content).hexdigest()
        shown = _name_on_screen(name, content_hash)
        try:
            values = _load(shown, content, content_hash, scaling).values
        except UserError as error:
            sentences.append(str(error))
            continue
        channels, height, width = values.shape
        previous = _kept().pop(shown, None)
        truth = previous.truth if previous else None
        _kept()[shown] = Upload(content, content_hash, (channels, height, width), truth)
        st.session_state["image"] = shown
    _drop_oldest()
    _say(sentences)


def _name_on_screen(name: str, content_hash: str) -> str:
    """The file's name; for another file of a name that is kept already, the name with a number."""
    stem, suffix = Path(name).stem, Path(name).suffix
    shown, number = name, 1
    while shown in _kept() and _kept()[shown].hash != content_hash:
        number += 1
        shown = f"{stem} ({number}){suffix}"
    return shown


def _drop_oldest() -> None:
    kept = _kept()
    while len(kept) > MAX_UPLOADS or (len(kept) > 1 and _num_bytes(kept.values()) > MAX_BYTES):
        del kept[next(iter(kept))]


def _num_bytes(uploads: Iterable[Upload]) -> int:
    return sum(len(upload.content) + (len(upload.truth[1]) if upload.truth else 0) for upload in uploads)


def _take_truth(files: list[tuple[str, bytes]], name: str) -> None:
    truth_name, content = files[0]
    _say([])
    height, width = _kept()[name].shape[1:]
    try:
        truth = read_mask(content, truth_name)
        if truth.shape != (height, width):
            raise UserError(
                f"The ground truth is {truth.shape[0]}×{truth.shape[1]} pixels, the image {height}×{width}; they must "
                "have the same size."
            )
        _set_truth(name, (truth_name, content))
    except UserError as error:
        _say([str(error)])


def _set_truth(name: str, truth: tuple[str, bytes] | None) -> None:
    _kept()[name] = replace(_kept()[name], truth=truth)
    _drop_oldest()
