"""Pickers for the image and, from its own file, the model; shared by the pages."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image as PillowImage

from core.attribution.attribution import image_hash
from core.data import layout
from core.data.conversion import with_channels
from core.data.images import LoadedImage, load_image, read_mask
from core.data.layout import mask_beside
from core.errors import UserError
from core.segmenter import Prediction, Segmenter
from widgets.shared.model_picker import UPLOAD, pick_model
from widgets.shared.results import results

__all__ = ["SAMPLES", "UPLOAD", "PickedImage", "pick_image", "pick_model", "predicted", "sample_images"]

SAMPLES = Path(__file__).resolve().parents[2] / "sample_data"
_MODEL_OF_IMAGE = "_model_of_image"


@dataclass(frozen=True, eq=False)
class PickedImage:
    """An image with what is known of it.

    Attributes:
        values: float32 (C, H, W) in [0, 1], with the channels that the network takes.
        truth: int64 (H, W), the ground truth; None where there is none.
        name: On screen.
        notes: How it was read.
        hash: Of the values.
    """

    values: np.ndarray
    truth: np.ndarray | None
    name: str
    notes: tuple[str, ...]
    hash: str


def pick_image(segmenter: Segmenter) -> PickedImage:
    """A sample or an uploaded image; stops the page with a hint where there is none yet."""
    samples = sample_images()
    _change_image_with_model(samples, segmenter)
    names = best_first(samples, segmenter)
    choice = st.selectbox("Image", [*names, UPLOAD], key="image", bind="query-params")
    scaling = st.segmented_control(
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
    truth = None
    if choice != UPLOAD:
        path, truth_path = samples[choice]
        loaded = _sample(str(path), scaling, path.stat().st_mtime_ns)
        truth = read_mask(truth_path) if truth_path else None
    else:
        upload = st.file_uploader("Image file", type=["png", "jpg", "jpeg", "tif", "tiff"])
        if upload is None:
            st.info("Upload a PNG, JPEG or TIFF image.")
            st.stop()
        content = upload.getvalue()
        loaded = _uploaded_image(hashlib.sha256(content).hexdigest(), scaling, upload.name, content)
        truth_upload = st.file_uploader("Ground truth (optional)", type=["png", "tif", "tiff"])
        truth = read_mask(truth_upload.getvalue(), truth_upload.name) if truth_upload else None
    values, notes = _fitted(loaded, segmenter)
    if truth is not None and truth.shape != values.shape[1:]:
        raise UserError(
            f"The ground truth is {truth.shape[0]}×{truth.shape[1]} pixels, the image {values.shape[1]}×"
            f"{values.shape[2]}; they must be of one size."
        )
    segmenter.findings((values.shape[1], values.shape[2]))
    st.caption(f"{values.shape[1]} × {values.shape[2]} pixels (rows × columns), " + "; ".join(notes))
    return PickedImage(values, truth, loaded.name, notes, image_hash(values))


def predicted(segmenter: Segmenter, image: PickedImage) -> Prediction:
    """What the network says of the image, kept for all pages."""
    key = "prediction", segmenter.weights_hash, str(segmenter.device), image.hash
    return results().get_or_compute(key, lambda: segmenter.predict(image.values))


def sample_images() -> dict[str, tuple[Path, Path | None]]:
    """The sample images and their masks, by the name they have on screen, e.g. "vessels/vessel_01"."""
    found: dict[str, tuple[Path, Path | None]] = {}
    for path in layout.sample_images(SAMPLES):
        data_set, *split = path.relative_to(SAMPLES).parts[:-2]
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
    """Channels of an image file, told by its header."""
    return _channels_in(str(path), path.stat().st_mtime_ns)


@lru_cache(maxsize=1024)
def _channels_in(path: str, changed: int) -> int:  # noqa: ARG001 - a changed file is another key
    with PillowImage.open(path) as opened:
        return len(opened.getbands())


def _change_image_with_model(samples: dict[str, tuple[Path, Path | None]], segmenter: Segmenter) -> None:
    """After another model is chosen, a sample that it cannot take gives way to one that it can."""
    previous = st.session_state.get(_MODEL_OF_IMAGE)
    st.session_state[_MODEL_OF_IMAGE] = segmenter.weights_hash
    shown = samples.get(st.session_state.get("image", ""))
    if previous in (None, segmenter.weights_hash) or shown is None:
        return
    if sample_channels(shown[0]) != segmenter.in_channels:
        st.session_state["image"] = best_first(samples, segmenter)[0]


def _fitted(loaded: LoadedImage, segmenter: Segmenter) -> tuple[np.ndarray, tuple[str, ...]]:
    """The image with the network's number of channels, converted only if the user says so."""
    channels = loaded.values.shape[0]
    if channels == segmenter.in_channels:
        return loaded.values, loaded.notes
    wanted = "grey" if segmenter.in_channels == 1 else f"{segmenter.in_channels} channels"
    plight = f"{loaded.name} has {_channels(channels)} and the model {segmenter.name} takes {segmenter.in_channels}"
    if channels != 1 and (channels, segmenter.in_channels) != (3, 1):
        raise UserError(f"{plight}; choose another image or another model.")
    if st.toggle(f"Convert to {wanted}", key="convert", bind="query-params"):
        return with_channels(loaded.values, segmenter.in_channels), (*loaded.notes, f"converted to {wanted}")
    raise UserError(f"{plight}; choose another image, or turn on “Convert to {wanted}” at the left.")


def _channels(number: int) -> str:
    return "1 channel" if number == 1 else f"{number} channels"


@st.cache_resource(max_entries=32, show_spinner=False)
def _sample(path: str, scaling: str, changed: int) -> LoadedImage:  # noqa: ARG001
    return load_image(path, "percentile" if scaling == "percentile" else "dtype")


@st.cache_resource(max_entries=4, show_spinner="Reading the image…")
def _uploaded_image(content_hash: str, scaling: str, name: str, _content: bytes) -> LoadedImage:  # noqa: ARG001 - the key
    return load_image(_content, "percentile" if scaling == "percentile" else "dtype", name)
