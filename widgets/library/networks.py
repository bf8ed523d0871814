"""Networks at hand: a table of all, the card of one, upload, rename, delete."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitPageNotFoundError

from core.display.words import bytes_in_words
from core.errors import UserError
from core.models import layers, shipped_weights
from core.models.facts import class_name, file_facts, network_facts, read_header
from core.models.metadata import CheckpointInfo
from core.receptive_field.support import field_in_words, receptive_field
from core.segmenter import Segmenter
from core.training.runs import LIVE, Run
from widgets.shared.kept_files import is_shared
from widgets.shared.model_picker import UPLOAD, own_networks, pick_model
from widgets.shared.networks import kept_networks
from widgets.shared.results import results
from widgets.shared.slow_work import compute_in_background
from widgets.shared.trained_networks import name_of_network, trained_networks, visible_runs
from widgets.shared.uploader import kept_files
from widgets.shared.user_errors import plain_text, say, show_said, show_user_errors

_SHIPPED, _TRAINED, _YOURS, _SHARED, _OWN = "Shipped", "Trained here", "Uploaded by you", "Uploaded", "Your own code"
_TAKEN, _NEXT = "_library_row_taken", "_library_next_model"
_SIZE = 256
_HEIGHT = 300


@dataclass(frozen=True)
class Entry:
    """A network at hand.

    Attributes:
        name: Name in the pickers.
        source: Where it comes from, in words.
        path: Its file; None for a function of the user's code.
    """

    name: str
    source: str
    path: Path | None


def networks_part() -> None:
    """Draw it."""
    if (renamed := st.session_state.pop(_NEXT, None)) is not None:
        st.session_state["model"] = renamed
    entries = entries_at_hand()
    _choose_from_table(entries)
    st.caption(
        "Everyone who uses this server sees what is uploaded to it."
        if is_shared()
        else "Only this browser sees what you upload."
    )
    show_said("library", None)
    with show_user_errors():
        with st.container(width=360):
            segmenter = pick_model()
        chosen = next((entry for entry in entries_at_hand() if entry.name == st.session_state["model"]), None)
        if chosen is not None:
            show_card(segmenter, chosen)


def entries_at_hand() -> list[Entry]:
    """All networks that the pickers offer."""
    uploaded = _SHARED if is_shared() else _YOURS
    return [
        *(Entry(name, _OWN, None) for name in own_networks()),
        *(Entry(name, _SHIPPED, path) for name, path in shipped_weights().items()),
        *(Entry(name, _TRAINED, path) for name, path in trained_networks().items()),
        *(Entry(name, uploaded, kept_files().path(file)) for name, file in kept_networks().items()),
    ]


def row_of(entry: Entry) -> dict[str, Any]:
    """A row of the table; a file that cannot be read says so."""
    row: dict[str, Any] = {
        "Network": entry.name, "From": entry.source, "Validation IoU": None, "Architecture": None, "Channels": None,
        "Numbers": None, "Size": None, "Classes": None,
    }  # fmt: skip
    if entry.path is None:
        return row
    try:
        header = read_header(entry.path.with_suffix(".safetensors") if entry.path.suffix == ".py" else entry.path)
    except UserError:
        return row | {"Architecture": "cannot be read"}
    row |= {"Size": bytes_in_words(header.size), "Numbers": header.numbers}
    if (info := header.info) is not None:
        row |= {
            "Architecture": info.architecture, "Classes": ", ".join(info.class_names) or None,
            "Channels": info.in_channels, "Validation IoU": _validation_iou(info),
        }  # fmt: skip
    return row


def show_card(segmenter: Segmenter, entry: Entry) -> None:
    """Everything that is known about one network, and what can be done with it."""
    st.subheader(plain_text(segmenter.name if entry.path is None else entry.name), anchor=False)
    file = entry.path
    weights = file.with_suffix(".safetensors") if file is not None and file.suffix == ".py" else file
    _actions(entry, weights)
    facts = file_facts(weights, segmenter) if weights is not None and weights == file else {}
    if not facts:
        facts = {"architecture": class_name(segmenter)}
    facts.pop("scores", None)
    facts |= network_facts(segmenter)
    facts["receptive field"] = _field(segmenter)
    lines = [f"| {name} | {plain_text(value).replace('|', chr(92) + '|')} |" for name, value in facts.items()]
    st.markdown("\n".join(["| | |", "| --- | --- |", *lines]))
    info = None
    if weights is not None:
        with suppress(UserError):
            info = read_header(weights).info
    _scores(info)
    _provenance(info)
    with st.expander("Layers"):
        size = _size_of(segmenter)
        found = results().get_or_compute(
            ("all layers", segmenter.weights_hash, str(segmenter.device), size), lambda: layers(segmenter, size)
        )
        st.dataframe(
            [
                {"Layer": each.name, "Kind": each.type_name, "Channels": each.channels, "Height": each.height,
                 "Width": each.width}
                for each in found
            ],
            hide_index=True, key="library_layers",
        )  # fmt: skip
        st.caption(f"{len(found)} layers, for an image of {size[0]} × {size[1]} pixels (rows × columns).")
    card = None if weights is None else weights.with_suffix(".md")
    if card is not None and card.is_file():
        with st.expander("Card"):
            st.markdown(card.read_text(encoding="utf-8"))


def _choose_from_table(entries: list[Entry]) -> None:
    """The table; a row that is clicked becomes the network of the picker."""
    rows = [row_of(entry) for entry in entries]
    selected = st.dataframe(
        rows, hide_index=True, on_select="rerun", selection_mode="single-row", key="library_networks",
        height=min(_HEIGHT, 38 + 35 * len(rows)), column_config={
            "Validation IoU": st.column_config.NumberColumn(format="%.4f"),
            "Numbers": st.column_config.NumberColumn(
                format="localized", help="Parameters and running statistics in the file."
            ),
        },
    )["selection"]["rows"]  # fmt: skip
    place = selected[0] if selected and selected[0] < len(entries) else None
    if place is not None and st.session_state.get(_TAKEN) != place:
        st.session_state["model"] = entries[place].name
    st.session_state[_TAKEN] = place


def _actions(entry: Entry, weights: Path | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        with suppress(StreamlitPageNotFoundError):  # a page that runs by itself has no others
            st.page_link(
                "pages/pixel_explorer.py", label="Explain with it", icon=":material/my_location:",
                query_params={"model": entry.name}, width="content",
            )  # fmt: skip
        if weights is not None:
            st.download_button(
                "Weights", weights.read_bytes, weights.name if entry.source == _SHIPPED else f"{Path(entry.name).stem}"
                f"{weights.suffix}", icon=":material/download:", on_click="ignore", key="library_weights",
            )  # fmt: skip
        if entry.source in (_SHIPPED, _OWN):
            return
        with st.popover("Rename", icon=":material/edit:"):
            title = _title(entry)
            typed = st.text_input("New name", title, max_chars=80, key=f"library_name_{entry.name}")
            if st.button("Rename", key="library_rename", type="primary", disabled=typed in ("", title)):
                _change(lambda: _rename(entry, typed))
        with st.popover("Delete", icon=":material/delete:"):
            what = "Its weights, curves and predictions are" if entry.source == _TRAINED else "The uploaded file is"
            st.markdown(f"{what} deleted for good.")
            if st.button("Delete this network", key="library_delete", type="primary"):
                _change(lambda: _delete(entry))


def _change(change: Callable[[], None]) -> None:
    """Change something and draw the page again; what cannot be done is said there."""
    try:
        change()
        say("library", [])
    except UserError as error:
        say("library", [str(error)])
    st.rerun()


def _rename(entry: Entry, title: str) -> None:
    if entry.source == _TRAINED:
        run = _run_of(entry)
        run.rename(title)
        new = next((name for name, path in trained_networks().items() if path == entry.path), name_of_network(run))
    else:
        if title.strip() in {UPLOAD, *(each.name for each in entries_at_hand())} - {entry.name}:
            raise UserError(f"Another network is called {title.strip()} already; choose another name.")
        kept_files().rename("network", entry.name, title)
        new = title.strip()
    st.session_state[_NEXT] = new


def _delete(entry: Entry) -> None:
    if entry.source == _TRAINED:
        _run_of(entry).delete()
    else:
        kept_files().remove("network", entry.name)


def _title(entry: Entry) -> str:
    return _run_of(entry).title if entry.source == _TRAINED else entry.name


def _run_of(entry: Entry) -> Run:
    for run in visible_runs():
        if run.status.state not in LIVE and entry.path in (run.loader, run.checkpoint):
            return run
    raise UserError(f"{entry.name} is no longer here.")


def _size_of(segmenter: Segmenter) -> tuple[int, int]:
    multiple = segmenter.size_multiple or 1
    return (-(-_SIZE // multiple) * multiple,) * 2


def _field(segmenter: Segmenter) -> str:
    size = _size_of(segmenter)
    key = "receptive field in words", segmenter.weights_hash, str(segmenter.device), size
    found = compute_in_background(
        "library field", key, "Receptive field", lambda _report: field_in_words(receptive_field(segmenter, size))
    )
    return "is being worked out…" if found is None else f"{found}, for an image of {size[0]} × {size[1]}"


def _scores(info: CheckpointInfo | None) -> None:
    rows = [
        {"Part": part.replace("_", " "), **{name.replace("_", " "): value for name, value in scores.items()}}
        for part, scores in (info.scores if info is not None else {}).items()
        if isinstance(scores, Mapping)
    ]
    if rows:
        st.markdown("**Scores**")
        st.dataframe(rows, hide_index=True, key="library_scores_of_file", width="content")


def _provenance(info: CheckpointInfo | None) -> None:
    training = {} if info is None else info.training
    with st.expander("Where it comes from"):
        if not training:
            st.markdown("The file does not say what it was trained on, or how.")
            return
        stems = training.get("stems")
        if isinstance(stems, Mapping):
            counts = ", ".join(f"{len(names)} {part}" for part, names in stems.items() if isinstance(names, list))
            st.markdown(f"Images: {plain_text(counts)}.")
        settings = training.get("settings")
        others = {name: value for name, value in training.items() if name not in ("stems", "settings")}
        merged = others | (dict(settings) if isinstance(settings, Mapping) else {})
        st.dataframe(
            [{"Setting": name.replace("_", " "), "Value": str(value)} for name, value in merged.items()],
            hide_index=True, key="library_provenance",
        )  # fmt: skip


def _validation_iou(info: CheckpointInfo) -> float | None:
    scores = info.scores.get("validation")
    value = scores.get("mean_iou") if isinstance(scores, Mapping) else None
    return float(value) if isinstance(value, int | float) else None
