"""Uploaded images and their ground truths, kept whatever page is open; files can be dropped anywhere."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import streamlit as st

from core.data.images import LoadedImage, Scaling, load_image, read_mask
from core.errors import UserError
from widgets.shared.image_choice import choose_image
from widgets.shared.kept_files import MAX_FILES
from widgets.shared.networks import NETWORK_TYPES, is_network, take_networks
from widgets.shared.results import results
from widgets.shared.uploader import IMAGE_TYPES, kept_files, removed_for_room, uploader, your_files
from widgets.shared.user_errors import plain_text, say, show_said

UPLOADER = "image_files"
_MOST_CLASSES = 32
"""A picture of more values is an image and no mask."""
_STYLE = """
<style>
:is(.st-key-image_files, .st-key-truth_files) [data-testid="stFileUploaderDropzoneInstructions"] {display: none}
:is(.st-key-image_files, .st-key-truth_files) [data-testid="stFileUploaderDropzone"] {
  padding: 0; min-height: 0; background: none; border: 0
}
.st-key-image_files .stFileUploader {
  display: flex; flex-wrap: wrap; align-items: center; justify-content: space-between;
}
</style>
"""
_file_drop = st.components.v2.component(
    "file_drop", html="<span hidden></span>", js=Path(__file__).with_name("file_drop.js").read_text(encoding="utf-8")
)


@dataclass(frozen=True)
class Upload:
    """An uploaded image that can be decoded.

    Attributes:
        path: The file.
        hash: Hash of the content.
        shape: Channels, rows and columns.
        truth: The ground truth's file, of the same size; None without one.
        truth_name: Its name on screen.
        truth_hash: Hash of its content.
    """

    path: Path
    hash: str
    shape: tuple[int, int, int]
    truth: Path | None = None
    truth_name: str = ""
    truth_hash: str = ""


def kept_uploads() -> dict[str, Upload]:
    """The images of this browser by their names on screen, the newest first."""
    files = kept_files()
    truths = files.files("truth")
    found: dict[str, Upload] = {}
    for name, file in reversed(files.files("image").items()):
        truth = truths.get(name)
        about_truth = (files.path(truth), truth.title, truth.hash) if truth else ()
        try:
            channels, height, width = map(int, file.details["shape"])
        except (KeyError, TypeError, ValueError):  # a changed index; the list of files still offers to remove it
            continue
        found[name] = Upload(files.path(file), file.hash, (channels, height, width), *about_truth)
    return found


def upload_images() -> None:
    """The uploader of images in the side bar, and what is kept. A file dropped anywhere on the page goes into it."""
    with st.container(key=UPLOADER, gap=None):
        st.html(_STYLE)
        uploader("Image file", "image", (*IMAGE_TYPES, *NETWORK_TYPES), _take, multiple=True)
        _file_drop(key="file_drop", data={"uploader": UPLOADER}, height=1)
    show_said("image", st.session_state["image"])
    _offer_as_truth(st.session_state["image"])
    your_files()


def keep_image(name: str, content: bytes, truth: bytes | None = None) -> str:
    """Keep an image that was made here as if it had been uploaded, with its ground truth; its name on screen."""
    shape = _load(name, content, hashlib.sha256(content).hexdigest(), "dtype").values.shape
    kept_as, dropped = kept_files().keep("image", name, content, shape=shape)
    if truth is not None:
        _, more = kept_files().keep("truth", kept_as, truth, replaces=True, file=f"{Path(name).stem}_mask.png")
        dropped = [*dropped, *more]
    say("image", removed_for_room(dropped))
    return kept_as


def image_of_mask(name: str, uploads: Mapping[str, Upload]) -> str | None:
    """The upload whose ground truth the upload `name` may be: one of its size without any, at best of its stem.

    None also where `name` itself looks like no mask.
    """
    mask = uploads.get(name)
    if mask is None or not _is_mask(name, mask):
        return None
    others = [
        other
        for other, one in uploads.items()
        if one.shape[1:] == mask.shape[1:] and one.truth is None and not _is_mask(other, one)
    ]
    stem = Path(name).stem
    alike = [other for other in others if stem.startswith(Path(other).stem) or Path(other).stem.startswith(stem)]
    return next(iter([*alike, *others]), None)


def upload_truth(name: str) -> None:
    """The uploader of the ground truth of the upload `name`, and a button that removes the one it has."""
    files = kept_files()
    truth = files.files("truth").get(name)
    with st.container(key="truth_files", gap=None):
        uploader("Ground truth (optional)", "truth", IMAGE_TYPES, lambda found: _take_truth(*found[0], name))
        if truth is not None:
            st.button(
                "Remove the ground truth", key="remove_truth", type="tertiary", help=truth.title,
                on_click=files.remove, args=("truth", name),
            )  # fmt: skip
    show_said("truth", name)


def upload_baseline(label: str) -> LoadedImage | None:
    """The uploader of an own baseline image, and the last one; None before the first."""
    files = kept_files()
    uploader(label, "baseline", IMAGE_TYPES, _take_baseline)
    found = list(files.files("baseline").values())
    show_said("baseline", found[-1].hash if found else "")
    if not found:
        return None
    st.caption(f"Baseline image: {found[-1].name}")
    return _load(found[-1].name, files.path(found[-1]), found[-1].hash, "dtype")


def _offer_as_truth(name: str) -> None:
    """For a mask that is shown as an image: a button that makes it the ground truth of another upload."""
    image_name = image_of_mask(name, kept_uploads())
    if image_name is not None:
        st.button(
            f"Use as the ground truth of {plain_text(image_name)}", key="use_as_truth", icon=":material/layers:",
            on_click=_use_as_truth, args=(name, image_name), width="stretch",
        )  # fmt: skip


def _use_as_truth(name: str, image_name: str) -> None:
    try:
        _take_truth(name, _content(name, kept_uploads()[name].path), image_name)
        kept_files().remove("image", name)
        choose_image(image_name)
    except (UserError, KeyError) as error:  # another tab may just have removed one of the two
        say("image", [str(error) if isinstance(error, UserError) else f"{name} is no longer here; upload it again."])


def _is_mask(name: str, upload: Upload) -> bool:
    """Whether it has few values, as a mask of classes or a black-and-white one has."""

    def look() -> bool:
        try:
            return len(np.unique(_load_truth(name, upload.path, upload.hash))) <= _MOST_CLASSES
        except UserError:
            return False

    return results().get_or_compute(("is mask", upload.hash), look)


def _load(name: str, source: Path | bytes, content_hash: str, scaling: Scaling) -> LoadedImage:
    key = "image file", content_hash, scaling
    return replace(results().get_or_compute(key, lambda: load_image(_content(name, source), scaling, name)), name=name)


def _load_truth(name: str, source: Path | bytes, content_hash: str) -> np.ndarray:
    key = "mask file", content_hash
    return results().get_or_compute(key, lambda: read_mask(_content(name, source), name))


def _content(name: str, source: Path | bytes) -> bytes:
    try:
        return source if isinstance(source, bytes) else source.read_bytes()
    except OSError as error:  # another tab may just have removed it
        raise UserError(f"{name} is no longer here; upload the file again.") from error


def _take(files: list[tuple[str, bytes]]) -> None:
    """Keep the uploaded files, and show the first image and the first network."""
    networks = [file for file in files if is_network(file[0])]
    say("image", _take_images([file for file in files if not is_network(file[0])]) + take_networks(networks))


def _take_images(files: list[tuple[str, bytes]]) -> list[str]:
    """Keep images; what is wrong with them."""
    most = MAX_FILES["image"]
    sentences = [f"Only the first {most} of {len(files)} files were kept."] if len(files) > most else []
    dropped: list[str] = []
    for name, content in reversed(files[:most]):  # so that the first file is the newest
        try:
            loaded = _load(name, content, hashlib.sha256(content).hexdigest(), st.session_state.get("scaling", "dtype"))
            kept_as, removed = kept_files().keep("image", name, content, shape=loaded.values.shape)
            choose_image(kept_as)
            dropped += removed
        except UserError as error:
            sentences.append(str(error))
    return [*sentences, *removed_for_room(dropped)]


def _take_truth(truth_name: str, content: bytes, image_name: str) -> None:
    height, width = kept_uploads()[image_name].shape[1:]
    truth = _load_truth(truth_name, content, hashlib.sha256(content).hexdigest())
    if truth.shape != (height, width):
        raise UserError(
            f"The ground truth is {truth.shape[0]}×{truth.shape[1]} pixels, the image {height}×{width}; they must "
            "have the same size."
        )
    _, dropped = kept_files().keep("truth", image_name, content, replaces=True, file=truth_name)
    say("truth", removed_for_room(dropped))


def _take_baseline(files: list[tuple[str, bytes]]) -> None:
    name, content = files[0]
    _load(name, content, hashlib.sha256(content).hexdigest(), "dtype")
    kept_files().keep("baseline", name, content, replaces=True)
    say("baseline", [])
