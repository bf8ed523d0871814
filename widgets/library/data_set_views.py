"""What is shown of a data set: its images, what they hold, and copies."""

from collections.abc import Callable, Sequence
from typing import cast, get_args

import streamlit as st

from core.data.browsing import ListedImage, Order, in_order
from core.data.reports import DataSetReport, ImageFacts
from core.display.data_set_figures import class_figure, histogram_figure
from core.display.words import class_in_words, counted, percent
from widgets.library.grid import Tile, grid
from widgets.shared.user_errors import plain_text

Open = Callable[[ListedImage], object]

_ORDERS: dict[Order, str] = {
    "part": "Split and name", "name": "Name", "size": "Size", "brightness": "Brightness", "class share": "Class share",
}  # fmt: skip
_ALL = "All"
_NO_BAR = {"displayModeBar": False}


def images_view(listed: Sequence[ListedImage], report: DataSetReport | None, open_image: Open) -> None:
    """The grid of all images, in an order of choice; orders by content follow once the data set is looked through."""
    parts = list(dict.fromkeys(image.part for image in listed))
    names = report.class_names if report is not None else ()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        order = cast(
            "Order",
            st.selectbox(
                "Sort by", get_args(Order) if any(parts) else [each for each in _ORDERS if each != "part"],
                key="library_order", format_func=lambda each: _ORDERS[each], persist_state="session", width=170,
            ),
        )  # fmt: skip
        class_index = 1
        if order == "class share" and names:
            numbers = list(range(len(names)))
            if st.session_state.get("library_order_class") not in numbers:
                st.session_state["library_order_class"] = min(1, len(names) - 1)
            class_index = st.selectbox(
                "Class", numbers, key="library_order_class", format_func=lambda number: class_in_words(names[number]),
                persist_state="session", width=170,
            )  # fmt: skip
        descending = st.toggle("Largest first", key="library_descending", persist_state="session")
        part = _pick_part(parts)
    shown = [image for image in listed if part in (_ALL, image.part)]
    facts = report.images if report is not None else ()
    shown = list(in_order(shown, facts, order, class_index=class_index, descending=descending))
    by_image = {each.pair.image: each for each in facts}
    tiles = [Tile((image,), image.name, _note(by_image.get(image.image), order, class_index)) for image in shown]
    st.caption(f"{counted(len(tiles), 'image')}. A click opens one in the Pixel Explorer.")
    grid("library_grid", tiles, open_image)


def classes_view(report: DataSetReport) -> None:
    """How often each class occurs, and the intensities of all images."""
    if not report.images or report.histogram is None:
        st.caption("No image could be read with its mask.")
        return
    for title, key, figure in (
        ("Classes", "library_classes", class_figure(report.class_frequencies(), len(report.images))),
        ("Intensities of all images, per channel", "library_histogram", histogram_figure(report.histogram)),
    ):
        st.markdown(f"**{title}**")
        figure.update_layout(template=None, margin={"t": 30, "b": 10, "l": 10, "r": 10})
        st.plotly_chart(figure, key=key, config=_NO_BAR)


def copies_view(listed: Sequence[ListedImage], report: DataSetReport, open_image: Open) -> None:
    """Pairs of images that are the same or nearly so."""
    is_divided = any(image.part for image in report.images)
    where = "between the parts" if is_divided else "in this data set"
    found = len(report.duplicates)
    if not found:
        st.markdown(f"There are no copies {where}.")
    else:
        st.markdown(f"**{'1 pair' if found == 1 else f'{found:,} pairs'} of copies or near-copies {where}**")
    why = "a network that has learned from an image scores too well on its copy (leakage)"
    st.caption(
        f"{why[0].upper()}{why[1:]}: keep both {'in one part' if is_divided else 'in one part of a split'}, or remove "
        "one. The distance is 1 minus the correlation of two pictures of 32 × 32 pixels without their smooth part, in "
        "the orientation where it is least; 0 means the same. Crops are not found."
    )
    if report.duplicates:
        by_path = {image.image: image for image in listed}
        tiles = []
        for pair in report.duplicates:
            both = report.images[pair.first], report.images[pair.second]
            how = "the same pixels" if pair.is_exact else f"distance {1 - pair.similarity:.3f}, {pair.orientation}"
            images = tuple(by_path[each.pair.image] for each in both if each.pair.image in by_path)
            if len(images) == len(both):
                tiles.append(Tile(images, " · ".join(each.name for each in both), how))
        grid("library_copies", tiles, open_image)


def _pick_part(parts: Sequence[str]) -> str:
    if not any(parts):
        return _ALL
    offered = [_ALL, *parts]
    if st.session_state.get("library_part_shown") not in offered:
        st.session_state["library_part_shown"] = _ALL
    chosen = st.segmented_control(
        "Split", offered, required=True, key="library_part_shown", persist_state="session",
        format_func=lambda name: plain_text(name.capitalize()),
    )  # fmt: skip
    return chosen or _ALL


def _note(facts: ImageFacts | None, order: Order, class_index: int) -> str:
    """What the order is by; the size otherwise."""
    if facts is None:
        return ""
    if order == "brightness":
        return f"brightness {facts.brightness:.3f}"
    if order == "class share":
        return percent(facts.class_share(class_index))
    return f"{facts.height} × {facts.width}"
