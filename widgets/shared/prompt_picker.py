"""The point on the object, for networks that answer about the object there."""

import streamlit as st

from core.segmenter import Segmenter
from widgets.shared.links import write_to_url
from widgets.shared.model_picker import UNCHOSEN_PROMPT, show_notes
from widgets.shared.pixel_state import shown_pixel
from widgets.shared.sources import PickedImage

Point = tuple[int, int]
"""Row and column."""


def pick_prompt(segmenter: Segmenter, image: PickedImage, place: str = "") -> Segmenter:
    """The network with the point chosen on the image, which is in the URL; a network that takes none as it is.

    Another image is asked about at the network's own point, or at the centre. `place` is a prefix of the widgets' keys.
    """
    if segmenter.prompt is None:
        return segmenter
    size = image.values.shape[1], image.values.shape[2]
    own = int(segmenter.prompt[0]), int(segmenter.prompt[1])
    first = own if segmenter.prompt != UNCHOSEN_PROMPT and _is_inside(own, size) else (size[0] // 2, size[1] // 2)
    chosen_key, names = f"_chosen_{place}prompt", (f"{place}prompt_row", f"{place}prompt_column")
    picture, chosen = st.session_state.setdefault(chosen_key, ((image.name, size), _in_url(f"{place}prompt")))
    is_of_image = picture == (image.name, size) and chosen is not None and _is_inside(chosen, size)
    st.session_state[names[0]], st.session_state[names[1]] = chosen if is_of_image else first

    def choose() -> None:
        chosen = st.session_state[names[0]], st.session_state[names[1]]
        st.session_state[chosen_key] = (image.name, size), chosen

    def choose_pixel() -> None:
        st.session_state[chosen_key] = (image.name, size), shown_pixel()

    places = st.columns(2, gap="xsmall")
    row = places[0].number_input("Prompt: row", 0, size[0] - 1, key=f"{place}prompt_row", on_change=choose)
    column = places[1].number_input("column", 0, size[1] - 1, key=f"{place}prompt_column", on_change=choose)
    st.button(
        "Use the chosen pixel", key=f"{place}prompt_here", icon=":material/my_location:", type="tertiary",
        help="The network segments the object at the prompt, a point of the image.", on_click=choose_pixel,
    )  # fmt: skip
    write_to_url(f"{place}prompt", f"{row},{column}", f"{first[0]},{first[1]}")
    prompted = _for_prompt(segmenter, (row, column))[1]
    show_notes(prompted)
    return prompted


def _is_inside(point: Point, size: tuple[int, int]) -> bool:
    return 0 <= point[0] < size[0] and 0 <= point[1] < size[1]


def _in_url(key: str) -> Point | None:
    try:
        row, column = map(int, st.query_params.get(key, "").split(","))
    except ValueError:
        return None
    return row, column


# What is kept holds the segmenter itself, too, so that no other one gets its id meanwhile.
@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs={Segmenter: id})
def _for_prompt(segmenter: Segmenter, prompt: Point) -> tuple[Segmenter, Segmenter]:
    return segmenter, segmenter.for_prompt(prompt)
