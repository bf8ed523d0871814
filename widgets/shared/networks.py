"""Uploaded checkpoints: kept with the options that their files do not state, so that they are chosen only once."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st

from core.errors import UserError
from core.models import ARCHITECTURES, NORMALISATIONS, identify, load_segmenter
from core.models.adapters import onnx_files
from core.models.loading import Identity, assumed_normalisation
from core.models.metadata import check_arguments
from core.models.ranges import MOST_CHANNELS, MOST_CLASSES, InvalidValueError
from core.models.zoo.smp_networks import known_encoders
from core.segmenter import Segmenter
from widgets.shared.kept_files import KeptFile
from widgets.shared.uploader import kept_files, removed_for_room
from widgets.shared.user_errors import show_user_error

NETWORK_TYPES = ("safetensors", "pth", "pt", "ckpt", "onnx")
NORMALISATION_NAMES = {"none": "None", "imagenet": "ImageNet", "numbers": "Numbers…"}
_ASKED = "_asked_about_network"
_ASKED_ALONE = ("encoder_name", "in_channels", "num_classes")


class UnansweredError(Exception):
    """The user has not yet said what a file does not state; the message asks for it."""


def kept_networks() -> dict[str, KeptFile]:
    """The checkpoints of this browser by their names on screen, the newest first."""
    return dict(reversed(kept_files().files("network").items()))


def is_network(name: str) -> bool:
    """Whether a file's name is that of a checkpoint."""
    return Path(name).suffix.lower().removeprefix(".") in NETWORK_TYPES


def take_networks(files: list[tuple[str, bytes]], key: str = "model") -> list[str]:
    """Keep checkpoints and choose the first in the picker `key`; what is wrong with them."""
    sentences: list[str] = []
    for name, content in reversed(files):
        try:
            shown, dropped = kept_files().keep("network", name, content)
            sentences += removed_for_room(dropped)
            try:
                _check_readable(kept_networks()[shown])
            except UserError:
                kept_files().remove("network", shown)
                raise
            st.session_state[key] = shown
        except UserError as error:
            sentences.append(str(error))
    return sentences


def load_network(file: KeptFile, place: str) -> Segmenter | None:
    """The segmenter of a kept checkpoint; what its file does not state is asked, and until it loads there is none."""
    try:
        return _load_network(file, place)
    except UserError as error:
        show_user_error(error)
    except UnansweredError as question:
        st.info(str(question))
    return None


def _load_network(file: KeptFile, place: str) -> Segmenter:
    kept = file.details.get("options")
    asked = st.session_state.get(f"{place}{_ASKED}") == file.hash
    if not kept or asked:
        st.session_state[f"{place}{_ASKED}"] = file.hash
        options = _options_of(file, f"{place}{file.hash[:12]}_", kept or {})
    else:
        with st.expander(f"Options of {file.name}"):
            options = _options_of(file, f"{place}{file.hash[:12]}_", kept)
    segmenter = _loaded(file.hash, file.name, json.dumps(options), kept_files().path(file))
    if options != kept:
        kept_files().describe("network", file.name, options=options)
    return segmenter


def numbers_in(text: str, what: str) -> list[float]:
    """The numbers in a text such as "0.485, 0.456, 0.406".

    Raises:
        UserError: The text holds something else.
    """
    try:
        return [float(part) for part in text.replace(",", " ").split()]
    except ValueError as error:
        raise UserError(f"The {what} is one number, or one per channel, such as 0.485, 0.456, 0.406.") from error


def _options_of(file: KeptFile, place: str, kept: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments of `load_segmenter` for what the file does not state, starting from those `kept`."""
    identity = _identity_of(file)
    options: dict[str, Any] = {}
    architecture, arguments = identity.architecture, identity.arguments
    if architecture is None:
        architecture, arguments = _ask_architecture(identity, place, kept)
        options = {"architecture": architecture, "arguments": arguments}
    if not identity.states_normalisation:
        options |= _ask_normalisation(architecture, arguments.get("in_channels", 1), place, kept)
    return options


def _ask_architecture(identity: Identity, place: str, kept: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The architecture and its arguments from the user, starting from those kept, else from what the file says."""
    names = [*identity.candidates, *(name for name in ARCHITECTURES if name not in identity.candidates)]
    first = names.index(kept["architecture"]) if kept.get("architecture") in names else None
    architecture = st.selectbox("Architecture", names, first, key=f"{place}architecture", placeholder="Choose")
    if architecture is None:
        raise UnansweredError(identity.sentence)
    chosen = kept.get("arguments", {})
    stated = identity.arguments | chosen
    arguments: dict[str, Any] = {}
    if architecture.startswith("smp_"):
        encoder = stated.get("encoder_name")
        encoders = list(dict.fromkeys([*known_encoders(), *filter(None, [chosen.get("encoder_name")])]))
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
            raise UnansweredError("Choose the network's encoder.")
    sigmoid = "One for a sigmoid network, which is shown as two classes; else the number of classes."
    for name, default, most, key, label, words in (
        ("in_channels", 3, MOST_CHANNELS, "channels", "Channels of the image", None),
        ("num_classes", 1, MOST_CLASSES, "classes", "Channels of the output", sigmoid),
    ):
        known = max(1, min(stated.get(name, default), most))  # a file that fits nothing may state anything
        arguments[name] = int(st.number_input(label, 1, most, known, key=f"{place}{key}", help=words))
    others = {name: value for name, value in chosen.items() if name not in _ASKED_ALONE}
    further = st.text_input(
        "Further arguments", json.dumps(others) if others else "", key=f"{place}arguments", help="As JSON.",
        placeholder='{"encoder_depth": 4}',
    )  # fmt: skip
    return architecture, arguments | _json_object(further)


def _ask_normalisation(architecture: str, in_channels: int, place: str, kept: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments of `load_segmenter` for the normalisation that the user chooses, starting from that kept."""
    offered = [name for name in NORMALISATION_NAMES if name != "imagenet" or in_channels == 3]
    first = kept.get("normalisation") or ("numbers" if "mean" in kept else None)
    choice = st.selectbox(
        "Normalisation",
        offered,
        offered.index(first if first in offered else assumed_normalisation(architecture, in_channels)),
        key=f"{place}normalisation",
        format_func=lambda name: NORMALISATION_NAMES[name],
        help="How images in [0, 1] were normalised in training. The file does not say.",
    )
    if choice in NORMALISATIONS:
        return {"normalisation": choice}
    texts = {
        name: st.text_input(name.capitalize(), ", ".join(map(str, kept.get(name, [0.5]))), key=f"{place}{name}")
        for name in ("mean", "std")
    }
    return {name: numbers_in(text, name) for name, text in texts.items()}


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


def _check_readable(file: KeptFile) -> None:
    """Refuse a file that no options make a network of; an ONNX file is compared with ONNX Runtime for that."""
    identity = _identity_of(file)
    if identity.architecture == onnx_files.NAME:
        first = assumed_normalisation(onnx_files.NAME, identity.arguments["in_channels"])
        _loaded(file.hash, file.name, json.dumps({"normalisation": first}), kept_files().path(file))


def _identity_of(file: KeptFile) -> Identity:
    return _identity(file.hash, file.name, kept_files().path(file))


@st.cache_resource(max_entries=8, show_spinner=False)
def _identity(content_hash: str, name: str, _path: Path) -> Identity:  # noqa: ARG001 - the key
    with _named(_path, name):
        found = identify(_path)
    return replace(found, sentence=found.sentence.replace(_path.name, name))


@st.cache_resource(max_entries=2, show_spinner="Loading the model…")
def _loaded(content_hash: str, name: str, options: str, _path: Path) -> Segmenter:  # noqa: ARG001 - the key
    with _named(_path, name):
        segmenter = load_segmenter(_path, **json.loads(options))
    segmenter.name = Path(name).stem
    segmenter.given_notes = tuple(note.replace(_path.name, name) for note in segmenter.given_notes)
    return segmenter


@contextmanager
def _named(path: Path, name: str) -> Iterator[None]:
    """Errors about a file that lies under the hash of its content call it by its name."""
    try:
        yield
    except UserError as error:
        raise UserError(str(error).replace(str(path), name).replace(path.name, name)) from error
