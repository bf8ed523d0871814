"""The picker for the image, and what the network does with it."""

import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image as PillowImage

from core.attribution.attribution import image_hash
from core.data import data_sets
from core.data.data_sets import mask_beside
from core.data.images import LoadedImage, Scaling, load_image, read_mask, with_channels
from core.errors import UserError
from core.segmenter import Prediction, Segmenter
from widgets.shared.links import value_in_url
from widgets.shared.results import results
from widgets.shared.uploads import kept_uploads, load_truth, load_upload, say_about_upload, upload_images, upload_truth

SAMPLES = Path(__file__).resolve().parents[2] / "sample_data"
_TRIALS = 3
_MODEL_OF_IMAGE = "_model_of_image"


@dataclass(frozen=True, eq=False)
class PickedImage:
    """An image and what is known about it.

    Attributes:
        values: float32 (C, H, W) in [0, 1], with the channels that the network takes.
        truth: int64 (H, W), the ground truth; None where there is none.
        name: Name on screen.
        notes: How the file was read.
        hash: Hash of the values.
    """

    values: np.ndarray
    truth: np.ndarray | None
    name: str
    notes: tuple[str, ...]
    hash: str


def pick_image(segmenter: Segmenter) -> PickedImage:
    """An upload of this session or a sample, chosen in the side bar; the choice is in the URL."""
    samples, uploads = sample_images(), kept_uploads()
    _change_image_with_model(samples, segmenter)
    names = [*uploads, *best_first(samples, segmenter)]
    _restore_image(names, first=names[len(uploads)])
    # The default is a sample, since the URL leaves the default out.
    choice = st.selectbox("Image", names, len(uploads), key="image", bind="query-params")
    upload_images()
    scaling: Scaling = st.segmented_control(
        "Intensity",
        ["dtype", "percentile"],
        default="dtype",
        required=True,
        key="scaling",
        bind="query-params",
        format_func=lambda name: {"dtype": "Full range", "percentile": "Percentiles"}[name],
        help="Full range divides by the largest value of the file's type. Percentiles stretch the values between the "
        "0.5th and the 99.5th percentile, for dim images.",
    )
    if choice in uploads:
        upload_truth(choice)
    with st.spinner("Reading the image…"):
        if choice in uploads:
            upload = uploads[choice]
            loaded = load_upload(choice, upload, scaling)
            truth = load_truth(upload)
        else:
            path, truth_path = samples[choice]
            key = "image file", path, path.stat().st_mtime_ns, scaling
            loaded = results().get_or_compute(key, lambda: load_image(path, scaling))
            truth = _sample_truth(truth_path) if truth_path else None
    values, notes = _fitted(loaded, segmenter)
    segmenter.findings((values.shape[1], values.shape[2]))
    st.caption(f"{values.shape[1]} × {values.shape[2]} pixels (rows × columns), " + "; ".join(notes))
    return PickedImage(values, truth, loaded.name, notes, image_hash(values))


def predicted(segmenter: Segmenter, image: PickedImage, key: tuple[str, ...] | None = None) -> Prediction:
    """The network's prediction for the image, kept for all pages; `key` is that of the selection, where it is known."""
    key = key or (segmenter.weights_hash, str(segmenter.device), image.hash)
    return results().get_or_compute(("prediction", *key), lambda: segmenter.predict(image.values))


def seconds_per_image(segmenter: Segmenter, image: PickedImage) -> float:
    """Time in which the network predicts one image, measured once per model and size."""

    def timed() -> float:
        started = time.perf_counter()
        segmenter.predict(image.values)
        return time.perf_counter() - started

    key = "seconds of a run", segmenter.weights_hash, str(segmenter.device), image.values.shape
    return results().get_or_compute(key, lambda: min(timed() for _ in range(_TRIALS)))


def sample_images() -> dict[str, tuple[Path, Path | None]]:
    """The sample images and their masks, by the name they have on screen, e.g. "vessels/vessel_01"."""
    folders = tuple((folder, folder.stat().st_mtime_ns) for folder in SAMPLES.glob("**/"))
    return dict(_samples_in(SAMPLES, folders))


@lru_cache(maxsize=8)
def _samples_in(
    samples: Path,
    folders: tuple[tuple[Path, int], ...],  # noqa: ARG001 - a changed folder is another key
) -> dict[str, tuple[Path, Path | None]]:
    found: dict[str, tuple[Path, Path | None]] = {}
    for path in data_sets.sample_images(samples):
        data_set, *split = path.relative_to(samples).parts[:-2]
        name = f"{data_set}/{path.stem}"
        found[f"{'/'.join((data_set, *split))}/{path.stem}" if name in found else name] = path, mask_beside(path)
    return found


def best_first(samples: dict[str, tuple[Path, Path | None]], segmenter: Segmenter) -> list[str]:
    """The samples' names: first those the model is named after, then vessels, then whatever has its channels."""

    def rank(name: str) -> tuple[bool, bool, bool]:
        data_set = name.split("/", maxsplit=1)[0]
        fits = sample_channels(samples[name][0]) == segmenter.in_channels
        return not fits, data_set != segmenter.name, data_set != "vessels"

    return sorted(samples, key=rank)


def sample_channels(path: Path) -> int:
    """Number of channels of an image file, from its header."""
    return _channels_in(str(path), path.stat().st_mtime_ns)


@lru_cache(maxsize=1024)
def _channels_in(path: str, changed: int) -> int:  # noqa: ARG001 - a changed file is another key
    with PillowImage.open(path) as opened:
        return len(opened.getbands())


def is_convertible(channels: int, segmenter: Segmenter) -> bool:
    """Whether the network takes an image of so many channels, as it is or converted."""
    return channels in (1, segmenter.in_channels) or (channels, segmenter.in_channels) == (3, 1)


def _restore_image(names: list[str], first: str) -> None:
    """Before the picker: an image that is not offered gives way to `first`, and an upload in a link is asked for."""
    from_link = value_in_url("image")
    missing = from_link is not None and from_link not in names
    if missing or st.session_state.get("image", first) not in names:
        st.session_state["image"] = first
    if missing:
        say_about_upload(f"{from_link} is not here; upload the file again.")


def _change_image_with_model(samples: dict[str, tuple[Path, Path | None]], segmenter: Segmenter) -> None:
    """After another model is chosen, a sample that it cannot take gives way to one that it can."""
    previous = st.session_state.get(_MODEL_OF_IMAGE)
    st.session_state[_MODEL_OF_IMAGE] = weights_hash = segmenter.weights_hash
    shown = samples.get(st.session_state.get("image", ""))
    if previous in (None, weights_hash) or shown is None:
        return
    if sample_channels(shown[0]) != segmenter.in_channels:
        st.session_state["image"] = best_first(samples, segmenter)[0]


def _sample_truth(path: Path) -> np.ndarray:
    return results().get_or_compute(("mask file", path, path.stat().st_mtime_ns), lambda: read_mask(path))


def _fitted(loaded: LoadedImage, segmenter: Segmenter) -> tuple[np.ndarray, tuple[str, ...]]:
    """The image with the network's number of channels, converted only if the user chooses that."""
    channels = loaded.values.shape[0]
    if channels == segmenter.in_channels:
        return loaded.values, loaded.notes
    wanted = "grey" if segmenter.in_channels == 1 else f"{segmenter.in_channels} channels"
    plural = "" if channels == 1 else "s"
    mismatch = (
        f"{loaded.name} has {channels} channel{plural} and the model {segmenter.name} takes {segmenter.in_channels}"
    )
    if not is_convertible(channels, segmenter):
        raise UserError(f"{mismatch}; choose another image or another model.")
    if st.toggle(f"Convert to {wanted}", key="convert", bind="query-params"):
        return with_channels(loaded.values, segmenter.in_channels), (*loaded.notes, f"converted to {wanted}")
    raise UserError(f"{mismatch}; choose another image, or turn on “Convert to {wanted}” on the left.")
