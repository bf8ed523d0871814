"""Opening a saved Jacobian: from the folder, from elsewhere on this machine, or from a .zip file."""

import hashlib
import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import streamlit as st

from core.display.words import ordinal
from core.errors import UserError
from core.jacobian import Jacobian
from core.jacobian.archive import read_archive
from core.jacobian.opening import read_manifest
from core.segmenter import Segmenter
from widgets.shared.links import value_in_url, write_to_url
from widgets.shared.sidebar import score_words
from widgets.shared.sources import PickedImage
from widgets.shared.store_folder import DEFAULT_FOLDER, store_folder
from widgets.shared.stores import open_store

_SUFFIX = ".zarr"
_LARGEST_UPLOAD = 500
_OFFERED_FOR = "_stores_offered_for"


def pick_folder() -> Path:
    """The folder that Jacobians are saved in, `runs` unless the user chooses another."""
    st.text_input(
        "Folder of saved Jacobians", key="folder", placeholder=str(DEFAULT_FOLDER), persist_state="session",
        help="A folder on the machine that runs this program. Default: the program's folder runs.",
    )  # fmt: skip
    return store_folder()


def open_card(segmenter: Segmenter, image: PickedImage, folder: Path) -> tuple[Jacobian | None, PickedImage]:
    """Choose a saved Jacobian.

    Returns:
        The Jacobian, None where none is chosen, and its image: the picked one if it is of that, else its own.
    """
    with st.container(border=True):
        slots = st.columns(2, vertical_alignment="top")
        with slots[1]:
            upload = st.file_uploader(
                "Import (.zip)", type=["zip"], max_upload_size=_LARGEST_UPLOAD, key="import",
                help="A file from “Saved Jacobian (.zip)” on this page. Unpack a larger one and give its path.",
            )  # fmt: skip
            imported = _import(upload.getvalue(), folder) if upload is not None else None
        names = [path.name for path in sorted(folder.glob(f"*{_SUFFIX}"))] if folder.is_dir() else []
        _preselect(folder, names, segmenter, image)
        with slots[0]:
            chosen = st.selectbox(
                "Saved Jacobian", names, index=None, key="store",
                placeholder="Choose one" if names else "None in this folder yet",
            )  # fmt: skip
            write_to_url("store", chosen or "", "")
            elsewhere = st.text_input("Or its path", key="store_path", placeholder="/data/runs/cells.zarr")
        path = imported or (Path(elsewhere).expanduser() if elsewhere else folder / chosen if chosen else None)
        if path is None:
            st.caption("It comes with its image and the prediction; the model must be the one picked.")
            return None, image
        found = open_store(path, segmenter)
        if found.fraction == 0:
            raise UserError(found.damage or f"{path} holds no finished rows yet; compute some of it first.")
        own = found.manifest.image_hash != image.hash
        _describe(found, image, path, segmenter, own=own)
    if own:
        image = replace(
            image, values=found.image, truth=None, name=path.stem, notes=(), hash=found.manifest.image_hash, file="",
            truth_file="",
        )  # fmt: skip
    return found, image


def _preselect(folder: Path, names: Sequence[str], segmenter: Segmenter, image: PickedImage) -> None:
    """Before the choice: what it is at first, and again for another network, image or folder."""
    state, offered_for = st.session_state, (folder, segmenter.weights_hash, image.hash)
    is_first = "store" not in state or state.get(_OFFERED_FOR, offered_for) != offered_for
    state[_OFFERED_FOR] = offered_for
    if is_first or state["store"] not in (None, *names):
        from_url = value_in_url("store")
        state["store"] = from_url if from_url in names else _newest([folder / name for name in names], segmenter, image)


def _newest(paths: Sequence[Path], segmenter: Segmenter, image: PickedImage) -> str | None:
    """The name of the store of this network written last, one of this image if there is any; None without one."""
    found = []
    for path in paths:
        with suppress(UserError, ValueError, OSError):  # no store, or none of this version: choosing it says why
            manifest, _ = read_manifest(path)
            if manifest.weights_hash == segmenter.weights_hash and open_store(path, segmenter).fraction > 0:
                written = max(entry.lstat().st_mtime_ns for entry in path.iterdir())
                found.append((manifest.image_hash == image.hash, written, path.name))
    return max(found)[-1] if found else None


def _describe(found: Jacobian, image: PickedImage, path: Path, segmenter: Segmenter, *, own: bool) -> None:
    manifest, (height, width) = found.manifest, found.size
    state = "complete" if found.complete else f"{found.fraction:.0%} done"
    rows = f"rows as {manifest.dtype}" if manifest.keep_rows else "summaries only"
    st.caption(
        f":material/check_circle: {path.name}: {height} × {width} pixels, "
        f"{score_words(manifest.score, segmenter.class_names)}, every "
        f"{'pixel' if manifest.stride == 1 else f'{ordinal(manifest.stride)} pixel'}, {rows}, {state}. "
        + ("The image on this page is its own." if own else f"It is of {image.name}.")
    )
    if not found.complete:
        st.caption("Not finished: the threshold is a proportion of the largest value found so far.")
    if found.damage:
        st.warning(found.damage, icon=":material/warning:")


def _import(content: bytes, folder: Path) -> Path:
    path = folder / f"imported_{hashlib.sha256(content).hexdigest()[:12]}{_SUFFIX}"
    if path.exists():
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} could not be made ({error.strerror}); choose another folder.") from error
    return read_archive(io.BytesIO(content), path)
