"""The picker for the model: shipped, from the user's own code, or uploaded."""

import argparse
import contextlib
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

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

Read = TypeVar("Read")
FIRST_MODEL = "vessmap"
UPLOAD = "Upload…"
NORMALISATION_NAMES = {"none": "None", "imagenet": "ImageNet", "numbers": "Numbers…"}


def pick_model(
    place: str = "", label: str = "Model", others: Mapping[str, Callable[[], Segmenter]] = MappingProxyType({})
) -> Segmenter:
    """A shipped model, one from the user's code or an uploaded one; stops with a hint where there is none yet.

    `place` is a prefix of the widgets' keys, for a second picker on a page; `others`, which come first, are functions
    that make further models, by name.
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
        segmenter = _loaded(choice)
    else:
        path = shipped_weights()[choice]
        segmenter = _loaded(str(path), path.stat().st_mtime_ns)
    with contextlib.suppress(UnusualSizeError):  # then it is examined on the image
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
    """The architecture and its arguments from the user, starting from what the file's keys say."""
    names = [*identity.candidates, *(name for name in ARCHITECTURES if name not in identity.candidates)]
    architecture = st.selectbox("Architecture", names, index=None, key=f"{place}architecture", placeholder="Choose")
    if architecture is None:
        st.info(identity.sentence)
        st.stop()
    stated = identity.arguments
    arguments: dict[str, Any] = {}
    if architecture.startswith("smp_"):
        encoders = list(known_encoders())
        encoder = stated.get("encoder_name")
        arguments["encoder_name"] = st.selectbox(
            "Encoder",
            encoders,
            index=encoders.index(encoder) if encoder in encoders else None,
            key=f"{place}encoder",
            placeholder="Choose, or type tu-…",
            accept_new_options=True,
            help="For an encoder of timm: tu- and its name there.",
        )
        if arguments["encoder_name"] is None:
            st.info("Choose the network's encoder.")
            st.stop()
    sigmoid = "One for a sigmoid network, which is shown as two classes; else the number of classes."
    for name, default, most, key, label, words in (
        ("in_channels", 3, MOST_CHANNELS, "channels", "Channels of the image", None),
        ("num_classes", 1, MOST_CLASSES, "classes", "Channels of the output", sigmoid),
    ):
        known = max(1, min(stated.get(name, default), most))  # a file that fits nothing may state anything
        arguments[name] = int(st.number_input(label, 1, most, known, key=f"{place}{key}", help=words))
    further = st.text_input(
        "Further arguments", key=f"{place}arguments", placeholder='{"encoder_depth": 4}', help="As JSON."
    )
    return architecture, arguments | _json_object(further)


def _ask_normalisation(architecture: str, in_channels: int, place: str) -> dict[str, Any]:
    """Keyword arguments of `load_segmenter` for the normalisation that the user chooses."""
    offered = [name for name in NORMALISATION_NAMES if name != "imagenet" or in_channels == 3]
    choice = st.selectbox(
        "Normalisation",
        offered,
        index=offered.index(assumed_normalisation(architecture, in_channels)),
        key=f"{place}normalisation",
        format_func=lambda name: NORMALISATION_NAMES[name],
        help="How images in [0, 1] were normalised in training. The file does not say.",
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


def _from_file(read: Callable[..., Read], name: str, content: bytes, **options: Any) -> Read:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        return read(path, **options)


@st.cache_resource(max_entries=8, show_spinner="Loading the model…")
def _loaded(name: str, changed: int | None = None) -> Segmenter:
    """The segmenter from a file, where `changed` tells its versions apart, or from a factory."""
    return segmenter_from_factory(name) if changed is None else load_segmenter(name)


@st.cache_resource(max_entries=8, show_spinner="Reading the checkpoint…")
def _identity(content_hash: str, name: str, _content: bytes) -> Identity:  # noqa: ARG001 - the key
    return _from_file(identify, name, _content)


@st.cache_resource(max_entries=2, show_spinner="Loading the model…")
def _uploaded(content_hash: str, name: str, options: str, _content: bytes) -> Segmenter:  # noqa: ARG001 - the key
    return _from_file(load_segmenter, name, _content, **json.loads(options))
