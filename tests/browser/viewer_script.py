"""A page with nothing but a viewer, of the size in the address: `?height=40&width=1200`."""

import sys
from pathlib import Path

import numpy as np
import streamlit as st

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from core.display.colours import signed_scale
from widgets.viewer.controls import Control, Slider, Switch, settings_of
from widgets.viewer.regions import restore_region
from widgets.viewer.scene import Chip, Grid, Heading, Labels, Mask, Number, Panel, Picture, ScalarMap, Words
from widgets.viewer.viewer import viewer

st.set_page_config(layout="wide")
height, width = (int(st.query_params.get(name, 48)) for name in ("height", "width"))


@st.cache_resource
def arrays(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An image that tells its rows from its columns, labels, and a signed map."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    image = np.stack([rows % 256 / 255, columns % 256 / 255, (rows + columns) % 2])
    return image, ((rows // 7 + columns // 5) % 3).astype(np.int64), np.sin(rows / 9) * np.cos(columns / 11)


image, labels, values = arrays(height, width)
controls: list[Control] = [Slider(name="limit", label="Limit", default=1.0, values=(0.1, 0.5, 1.0))]
if st.session_state.get("more"):
    controls.append(Switch(name="another", label="Another control", default=False))
viewer(
    "alone",
    [
        Panel("Image", [Picture(image=image)]),
        Panel("Labels", [Labels(name="labels", title="class", labels=labels, class_names=("none", "one", "two"))]),
        Panel(
            "Map",
            [ScalarMap(name="map", title="map", values=values, scale=signed_scale(1.0), limit="$limit", unit="m")],
        ),
    ],
    (height, width),
    f"{height}-{width}",
    name="folder/sample.png",
    controls=controls,
    settings=settings_of(controls),
    pixel=(st.session_state.get("row", 0), st.session_state.get("column", 0)),
    parts=restore_region("alone", "box"),
    tools=("point", "box", "lasso", "brush"),
    words=Words(
        "The sentence.",
        [Chip("two", "#f2a541"), Chip("wrong", "bad")],
        [Number(name, f"{len(name)}") for name in ("First", "Second", "Third", "Fourth", "Fifth", "Sixth")],
    ),
    has_position=True,
)
st.button("Run again")
st.checkbox("More controls", key="more")
if "table" in st.query_params:
    heads = [Heading(name) for name in ("one", "two")]
    picture = [Picture(image=image), Mask(mask=labels, opacity=0.0)]
    panels = [Panel(f"{row.text} {column.text}", picture) for row in heads for column in heads]
    viewer("table", panels, (height, width), "table", tools=(), is_compact=True, grid=Grid(heads, heads))
