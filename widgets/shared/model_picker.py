"""The picker for the model: shipped, from the user's own code, or uploaded."""

import argparse
import contextlib
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import streamlit as st

from core.errors import UserError
from core.models import ARCHITECTURES, NORMALISATIONS, identify, load_segmenter, shipped_weights
from core.models.factory import segmenter_from_factory
from core.models.loading import Identity, assumed_normalisation
from core.models.metadata import check_arguments
from core.models.ranges import MOST_CHANNELS, MOST_CLASSES, InvalidValueError
from core.models.zoo.smp_networks import known_encoders
from core.segmenter import Segmenter
from core.segmenter.grid import UnusualSizeError

FIRST_MODEL = "vessmap"
UPLOAD = "Upload…"
NORMALISATION_NAMES = {"none": "None", "imagenet": "ImageNet", "numbers": "Numbers…"}


def pick_model(
    place: str = "", label: str = "Model", others: Mapping[str, Callable[[], Segmenter]] = MappingProxyType({})
) -> Segmenter:
    """A shipped model, one from the user's code or an uploaded one; stops with a hint where there is none yet.

    Args:
        place: Prefix of the widgets' keys, where a page has a second picker.
        label: Label on screen.
        others: Further models by name, and the functions that make them; they come first.
    """
    factories = factories_of(sys.argv[1:])
    shipped = sorted(shipped_weights(), key=lambda name: name != FIRST_MODEL)
    names = [*others, *factories, *shipped, UPLOAD]
    choice = st.selectbox(label, names, key=f"{place}model", bind="query-params")
    if choice in others:
        segmenter = others[choice]()
    elif choice == UPLOAD:
        segmenter = _pick_upload(place)
    elif choice in factories:
        segmenter = _made(choice)
    else:
        path = shipped_weights()[choice]
        segmenter = _shipped(str(path), path.stat().st_mtime_ns)
    with contextlib.suppress(UnusualSizeError):  # it is examined on the image, then
        segmenter.findings()
    for note in segmenter.notes:
        st.caption(f"{note[:1].upper()}{note[1:]}.")
    return segmenter


def factories_of(arguments: list[str]) -> list[str]:
    """The functions named by `--model` on the command line, each once (see `segmenter_from_factory`).

    Raises:
        UserError: A `--model` without a name.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--model", action="append", default=[])
    try:
        found, _ = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise UserError(
            "Name a function after --model, as package.module:function or path/to/file.py:function."
        ) from error
    return list(dict.fromkeys(found.model))


def numbers_in(text: str, what: str) -> tuple[float, ...]:
    """The numbers in a text such as "0.485, 0.456, 0.406".

    Raises:
        UserError: The text holds something else.
    """
    try:
        return tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError as error:
        raise UserError(f"The {what} is one number, or one per channel, such as 0.485, 0.456, 0.406.") from error


def _pick_upload(place: str) -> Segmenter:
    upload = st.file_uploader(
        "Checkpoint",
        type=["safetensors", "pth", "pt", "ckpt"],
        key=f"{place}checkpoint",
        help="Weights only: a file with code in it is refused.",
    )
    if upload is None:
        st.info(
            "Upload a checkpoint: .safetensors, or a PyTorch state dict or training checkpoint (.pth, .pt, .ckpt). "
            "For a network of your own, start the app with `streamlit run app.py -- --model package.module:function` "
            "or `--model path/to/file.py:function`."
        )
        st.stop()
    content, name = upload.getvalue(), Path(upload.name).name
    content_hash = hashlib.sha256(content).hexdigest()
    identity = _identity(content_hash, name, content)
    options: dict[str, Any] = {}
    architecture, arguments = identity.architecture, identity.arguments
    if architecture is None:
        architecture, arguments = _ask_architecture(identity, place)
        options = {"architecture": architecture, "arguments": arguments}
    if not identity.states_normalisation:
        options |= _ask_normalisation(architecture, arguments.get("in_channels", 1), place)
    return _uploaded(content_hash, name, json.dumps(options), content)


def _ask_architecture(identity: Identity, place: str) -> tuple[str, dict[str, Any]]:
    """The architecture and its arguments from the user, starting from what the file's keys tell."""
    names = [*identity.candidates, *(name for name in ARCHITECTURES if name not in identity.candidates)]
    architecture = st.selectbox("Architecture", names, index=None, key=f"{place}architecture", placeholder="Choose")
    if architecture is None:
        st.info(identity.sentence)
        st.stop()
    stated = identity.arguments
    arguments: dict[str, Any] = {}
    if architecture.startswith("smp_"):
        encoders = list(known_encoders())
        known = stated.get("encoder_name")
        arguments["encoder_name"] = st.selectbox(
            "Encoder",
            encoders,
            index=encoders.index(known) if known in encoders else None,
            key=f"{place}encoder",
            placeholder="Choose, or type tu-…",
            accept_new_options=True,
            help="For an encoder of timm: tu- and its name there.",
        )
        if arguments["encoder_name"] is None:
            st.info("Choose the network's encoder.")
            st.stop()
    arguments["in_channels"] = int(
        st.number_input(
            "Channels of the image",
            1,
            MOST_CHANNELS,
            value=_between(stated.get("in_channels", 3), MOST_CHANNELS),
            key=f"{place}channels",
        )
    )
    arguments["num_classes"] = int(
        st.number_input(
            "Channels of the output",
            1,
            MOST_CLASSES,
            value=_between(stated.get("num_classes", 1), MOST_CLASSES),
            key=f"{place}classes",
            help="One for a sigmoid network, which is shown as two classes; else the number of classes.",
        )
    )
    further = st.text_input(
        "Further arguments", key=f"{place}arguments", placeholder='{"encoder_depth": 4}', help="As JSON."
    )
    return architecture, arguments | _json_object(further)


def _between(stated: int, most: int) -> int:
    """What the keys say, within what can be chosen: a file that fits nothing may say anything."""
    return max(1, min(stated, most))


def _ask_normalisation(architecture: str, in_channels: int, place: str) -> dict[str, Any]:
    """Keyword arguments of `load_segmenter` for the normalisation that the user chooses."""
    offered = [name for name in NORMALISATION_NAMES if name != "imagenet" or in_channels == 3]
    choice = st.selectbox(
        "Normalisation",
        offered,
        index=offered.index(assumed_normalisation(architecture, in_channels)),
        key=f"{place}normalisation",
        format_func=lambda name: NORMALISATION_NAMES[name],
        help="How images in [0, 1] were normalised in training. The file does not say it.",
    )
    if choice in NORMALISATIONS:
        return {"normalisation": choice}
    mean = numbers_in(st.text_input("Mean", "0.5", key=f"{place}mean"), "mean")
    return {"mean": mean, "std": numbers_in(st.text_input("Std", "0.5", key=f"{place}std"), "std")}


def _json_object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):  # the second for thousands of brackets
        found = None
    if not isinstance(found, dict):
        raise UserError('Further arguments are a JSON object such as {"encoder_depth": 4}.')
    try:
        check_arguments(found)
    except InvalidValueError as error:
        raise UserError(f"Further arguments cannot be used: {error}") from error
    return found


@contextmanager
def _as_file(name: str, content: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        yield path


@st.cache_resource(max_entries=4, show_spinner="Loading the model…")
def _shipped(path: str, changed: int) -> Segmenter:  # noqa: ARG001 - a changed file is another key
    return load_segmenter(path)


@st.cache_resource(max_entries=4, show_spinner="Loading the model…")
def _made(factory: str) -> Segmenter:
    return segmenter_from_factory(factory)


@st.cache_resource(max_entries=8, show_spinner="Reading the checkpoint…")
def _identity(content_hash: str, name: str, _content: bytes) -> Identity:  # noqa: ARG001 - the key
    with _as_file(name, _content) as path:
        return identify(path)


@st.cache_resource(max_entries=2, show_spinner="Loading the model…")
def _uploaded(content_hash: str, name: str, options: str, _content: bytes) -> Segmenter:  # noqa: ARG001 - the key
    with _as_file(name, _content) as path:
        return load_segmenter(path, **json.loads(options))
