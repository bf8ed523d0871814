"""Data sets at hand: look through one, upload, rename, delete."""

from pathlib import Path

import streamlit as st

from core.data.browsing import ListedImage, list_images
from core.errors import UserError
from widgets.library.data_set_upload import upload_data_set
from widgets.library.data_set_views import classes_view, copies_view, images_view
from widgets.shared.data_sets import (
    SAMPLE_SETS,
    TAKEN,
    close_data_set,
    kept_data_sets,
    opened_data_sets,
    pick_data_set,
    uploaded_data_sets,
)
from widgets.shared.image_choice import choose_image
from widgets.shared.inspected import inspected, show_facts, show_issues
from widgets.shared.kept_data_sets import KeptDataSet
from widgets.shared.kept_files import size_in_words
from widgets.shared.offered_images import offered_images
from widgets.shared.trained_networks import data_in_use
from widgets.shared.user_errors import plain_text, say, show_said, show_user_error, show_user_errors

KEY = "library_set"
_VIEWS = ("Images", "Classes and intensities", "Copies")
_SAID = "library data sets"


def data_sets_part() -> None:
    """Pick a data set, add one, look through it, and manage it."""
    _choose_renamed()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        place = st.empty()
        with show_user_errors():
            upload_data_set(KEY)
        with place.container(horizontal=True, vertical_alignment="bottom", gap="small", width="content"):
            picked = pick_data_set(KEY)
        if picked is not None:
            _manage(*picked)
    show_said(_SAID, None if picked is None else picked[0])
    if picked is None:
        return
    with show_user_errors():
        _look_through(*picked[1:])


def _look_through(folder: Path, masks: Path | None) -> None:
    listed = list_images(folder, masks)
    report = inspected(folder, masks)
    if report is not None:
        show_facts(report)
        show_issues(report)
    view = st.segmented_control(
        "View", _VIEWS, default=_VIEWS[0], required=True, key="library_view", persist_state="session",
        label_visibility="collapsed",
    )  # fmt: skip
    if view == _VIEWS[0]:
        images_view(listed, report, _open)
    elif report is None:
        st.caption("This follows when all images have been looked through.")
    elif view == _VIEWS[1]:
        classes_view(report)
    else:
        copies_view(listed, report, _open)


def _open(image: ListedImage) -> None:
    """Show an image in the Pixel Explorer, with its mask for ground truth."""
    wanted = image.image.resolve()
    found = [name for name, offered in offered_images().items() if offered.path.resolve() == wanted]
    if not found:
        show_user_error(UserError(f"{image.name} cannot be opened: another image has its name; rename the data set."))
        return
    choose_image(found[0])
    # Without parameters it would refuse, as the address holds the part of the library.
    st.switch_page("pages/pixel_explorer.py", query_params={"image": found[0]})


def _manage(name: str, folder: Path, masks: Path | None) -> None:
    """What can be done with a data set, which is known by its folder: two may have one name."""
    uploaded = next((each for each in uploaded_data_sets().values() if each.folder == folder), None)
    is_opened = folder.expanduser().resolve() in opened_data_sets().values()
    if uploaded is None and not is_opened and folder not in SAMPLE_SETS.values():
        return
    if st.button("Train on it", icon=":material/model_training:", key="leave_for_training"):
        if is_opened:
            chosen = {"train_source": "folder", "train_folder": str(folder), "train_masks": str(masks or "")}
        else:
            chosen = {"train_source": "library", "train_set": name}
        st.session_state.update(chosen)
        st.switch_page("pages/training.py", query_params={})  # as in `_open`
    if uploaded is not None:
        with st.popover("Rename", icon=":material/edit:"):
            # Not by callbacks: their arguments would be those of the run before, without what was typed last.
            new = st.text_input("New name", name, key=f"library_name_{uploaded.place.name}", max_chars=60)
            if st.button("Rename", key="library_rename"):
                _rename(name, new)
        with st.popover("Delete", icon=":material/delete:"):
            st.markdown(
                f"**{plain_text(name)}**, {size_in_words(uploaded.size)}, is deleted from this server. What was made "
                "from it, such as trained networks, stays."
            )
            if st.button("Delete this data set", key="library_delete", type="primary"):
                _delete(name, uploaded)
    elif is_opened:
        st.button(
            "Close", icon=":material/close:", key="library_close", on_click=_close, args=(folder,),
            help="It is offered no longer; its files stay.",
        )  # fmt: skip
    else:
        st.caption("A sample: it cannot be renamed or deleted.", width="content")


def _rename(name: str, new: str) -> None:
    try:
        st.session_state["_library_chosen"] = kept_data_sets().rename(name, new, {*TAKEN, *opened_data_sets()})
        say(_SAID, [])
    except UserError as error:
        say(_SAID, [str(error)])
    st.rerun()


def _close(folder: Path) -> None:
    close_data_set(folder)
    st.session_state.pop(KEY, None)
    st.session_state[f"{KEY}_folder"] = st.session_state[f"{KEY}_masks"] = ""


def _delete(name: str, data_set: KeptDataSet) -> None:
    try:
        if any(place.is_relative_to(data_set.place.resolve()) for place in data_in_use()):
            raise UserError(f"A run trains on {name}, or waits to; stop it first, on the Training page.")
        kept_data_sets().remove(name)
        say(_SAID, [])
    except UserError as error:
        say(_SAID, [str(error)])
    st.rerun()


def _choose_renamed() -> None:
    """Before the picker, whose value nothing changes after it: choose a data set under its new name."""
    if (chosen := st.session_state.pop("_library_chosen", None)) is not None:
        st.session_state[KEY] = chosen
