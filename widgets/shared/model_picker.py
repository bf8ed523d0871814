"""The picker for the model: shipped, from the user's own code, trained here, or uploaded."""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import streamlit as st

from core.models import load_segmenter, shipped_weights
from core.models.adapters.transformers_folder import is_transformers_folder
from core.models.factory import is_factory, segmenter_from_factory
from core.segmenter import Segmenter
from core.segmenter.grid import UnusualSizeError
from core.segmenter.prompts import PromptNeededError
from widgets.shared.kept_files import KeptFile
from widgets.shared.label_picker import pick_label
from widgets.shared.links import value_in_url
from widgets.shared.networks import NETWORK_TYPES, is_network, kept_networks, load_network, take_networks
from widgets.shared.start_arguments import repeated
from widgets.shared.trained_networks import trained_networks
from widgets.shared.uploader import uploader
from widgets.shared.user_errors import say, show_said, unknown_name

FIRST_MODEL = "vessmap"
UPLOAD = "Upload…"
UNCHOSEN_PROMPT = (0.0, 0.0)
"""Point that a SAM is loaded with; the one that counts is chosen on the image (`pick_prompt`)."""
_UPLOAD_HINT = (
    "Upload a checkpoint: .safetensors, or a PyTorch state dict or training checkpoint (.pth, .pt, .ckpt); or an .onnx "
    "file. For a network of your own, start the app with `-- --model package.module:function` or "
    "`-- --model path/to/file.py:function`; a folder of Hugging Face transformers is named there by its path, too. The "
    "table in docs/networks.md lists the networks that were tried."
)
_HINT = (
    "After --model, name a function, as package.module:function or path/to/file.py:function, a checkpoint, an ONNX "
    "file, or a folder of Hugging Face transformers."
)


def pick_model(
    place: str = "", label: str = "Model", others: Mapping[str, Callable[[], Segmenter]] = MappingProxyType({})
) -> Segmenter:
    """A shipped model, one from the user's code or an uploaded one.

    `place` is a prefix of the widgets' keys, for a second picker on a page; `others`, which come first, are functions
    that make further models, by name.
    """
    key = f"{place}model"
    networks, factories = kept_networks(), own_networks()
    shipped_files, trained = shipped_weights(), trained_networks()
    shipped, files = sorted(shipped_files, key=lambda name: name != FIRST_MODEL), shipped_files | trained
    names = [*others, *factories, *shipped, *trained, *networks]  # the URL leaves the first out, so it is no upload
    _restore_model(key, names)
    choice = st.selectbox(label, [*names, UPLOAD], key=key, bind="query-params")
    if choice == UPLOAD:
        uploader(
            "Checkpoint", key, NETWORK_TYPES, lambda files: say(key, take_networks(files, key)),
            words="Weights only, or ONNX: a file with code in it is refused.",
        )  # fmt: skip
    show_said(key, choice)
    if choice == UPLOAD:
        st.info(_UPLOAD_HINT)
    former = st.session_state.get(f"_former_{key}")
    shown, segmenter = next(
        (name, found)
        for name in dict.fromkeys((choice, former, names[0]))
        if name in names and (found := _segmenter(name, others, networks, files, place)) is not None
    )
    if shown != choice:  # so that the page, and what is chosen on it, stays meanwhile
        st.caption(f"Until then, {shown} stays.")
    st.session_state[f"_former_{key}"] = shown
    if shown not in (*others, *shipped):
        segmenter = pick_label(segmenter, key=f"{place}label")
    with contextlib.suppress(UnusualSizeError):  # then it is examined on the image
        segmenter.findings()
    if segmenter.prompt is None:  # else the notes name the point, which is chosen on the image
        show_notes(segmenter)
    return segmenter


def own_networks() -> list[str]:
    """What the app was started with: functions of the user's own code among it, as "path/to/file.py:function"."""
    return repeated("--model", _HINT)


def show_notes(segmenter: Segmenter) -> None:
    """Assumptions and conclusions about the network."""
    for note in segmenter.notes:
        st.caption(f"{note[:1].upper()}{note[1:]}.")


def _segmenter(
    choice: str,
    others: Mapping[str, Callable[[], Segmenter]],
    networks: Mapping[str, KeptFile],
    files: Mapping[str, Path],
    place: str,
) -> Segmenter | None:
    """The model of a name; None for an upload that does not load yet."""
    if choice in others:
        return others[choice]()
    if choice in networks:
        return load_network(networks[choice], place)
    path = files.get(choice, Path(choice))
    if path.suffix == ".py":  # beside the weights of a network of the user's own code
        return _loaded(f"{path}:network", path.stat().st_mtime_ns)
    return _loaded(str(path), path.stat().st_mtime_ns) if path.is_file() else _loaded(choice)


def _restore_model(key: str, names: list[str]) -> None:
    """Before the picker: a model that is not offered gives way to the first, and one in a link is asked for."""
    from_link = value_in_url(key)
    if from_link is not None and from_link not in (*names, UPLOAD):
        st.session_state[key] = names[0]
        sentence = unknown_name("model", from_link, names)
        say(key, [f"{from_link} is not here; upload the file again." if is_network(from_link) else sentence])
    elif st.session_state.get(key, UPLOAD) not in (*names, UPLOAD):
        st.session_state[key] = names[0]


@st.cache_resource(max_entries=8, show_spinner="Loading the model…")
def _loaded(name: str, changed: int | None = None) -> Segmenter:
    """The segmenter from a file, where `changed` tells its versions apart, or from a folder or a factory."""
    if is_factory(name) or (changed is None and not is_transformers_folder(Path(name))):
        return segmenter_from_factory(name)
    try:
        return load_segmenter(name)
    except PromptNeededError:
        return load_segmenter(name, prompt=UNCHOSEN_PROMPT)
