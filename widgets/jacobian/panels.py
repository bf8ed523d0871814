"""Panels below the maps: receptive field, boxes, vessels, and the store itself."""

import io
from dataclasses import replace

import numpy as np
import streamlit as st

from core.display.charts import scatter_figure
from core.display.colours import SEQUENTIAL, ColourScale, intensity_rgb, magnitude_scale, png_bytes
from core.display.figures import (
    CHART_BUTTONS,
    COLOUR_BAR_HEIGHT,
    FRAME_HEIGHT,
    add_box,
    add_circle,
    add_crosshair,
    map_figure,
    picture_figure,
)
from core.display.footprint import BoundingBox
from core.errors import UserError
from core.io.files import npy_bytes
from core.jacobian import Jacobian
from core.jacobian.archive import store_bytes, write_archive
from core.jacobian.disk_space import bytes_in_words
from core.jacobian.map_pictures import decades, map_over
from core.jacobian.vessel_geometry import medians, vessel_geometry
from core.trust.agreement import rank_correlation
from widgets.jacobian.maps import View, limit_of, shown_map, unit_of
from widgets.shared.results import results
from widgets.shared.sources import PickedImage

LARGEST_DOWNLOAD = 512_000_000
_MOST_DOTS = 2000
_MEASURES = {"area": "Box area", "threshold": "Pixels above", "fulfilment": "Fulfilment"}


def receptive_field_panel(jacobian: Jacobian, image: PickedImage, pixel: tuple[int, int], height: int) -> None:
    """The structural window of a pixel against the circles that hold its mass on average."""
    try:
        effective = jacobian.effective_receptive_field()
    except UserError:
        st.info("The effective receptive field comes with the first finished passes.", icon=":material/hourglass_top:")
        return
    rows, columns = jacobian.field.window(*pixel)
    box = BoundingBox(rows.start, columns.start, rows.stop - 1, columns.stop - 1)
    figure = picture_figure(intensity_rgb(image.values), "receptive-field", below=COLOUR_BAR_HEIGHT)
    add_crosshair(add_box(figure, box), *pixel, jacobian.size)
    for fraction, radius in effective.radii.items():
        add_circle(figure, *pixel, radius, f"{100 * fraction:.0f} %")
    slots = st.columns(3, gap="small")
    with slots[0]:
        st.markdown("**Structural** (dotted box) against **effective** (circles)")
        st.plotly_chart(figure, height=height + FRAME_HEIGHT, theme=None, config=CHART_BUTTONS, key="field-map")
    with slots[1]:
        st.markdown("**Mean |row|**, centred on its pixel")
        mean = decades(effective.mean)
        scale = ColourScale(float(mean.min()), 0.0, SEQUENTIAL)
        figure = map_figure(mean, "log₁₀ of the share of the peak", scale, "mean-row")
        st.plotly_chart(figure, height=height + FRAME_HEIGHT, theme=None, config=CHART_BUTTONS, key="mean-row")
    with slots[2]:
        field = jacobian.field
        st.markdown("**How far it reaches**")
        up, down, left, right = field.up, field.down, field.left, field.right
        lines = st.columns(2)
        reach = f"For this pixel. Over all pixels at most {up} up, {down} down, {left} left and {right} right."
        lines[0].metric("Structural rows", f"{box.height}", border=True, help=reach)
        lines[1].metric("Structural columns", f"{box.width}", border=True, help=reach)
        for slot, (fraction, radius) in zip(st.columns(3), effective.radii.items(), strict=True):
            slot.metric(f"{100 * fraction:.0f} % within", f"{radius:.1f} px", border=True)
        st.caption(
            f"Circles: the smallest discs around the pixel that hold 50, 90 and 99 % of the mean magnitude over "
            f"{effective.num_pixels:,} rows. Box: every input pixel that can reach this output at all. It depends on "
            "where the pixel lies in the grid of the network's strides, and the image's border cuts it."
        )


def boxes_panel(jacobian: Jacobian, view: View, pixel: tuple[int, int], height: int) -> None:
    """Area of the bounding boxes and how far they are filled."""
    for slot, name in zip(st.columns([1, 1, 1], gap="small"), ("threshold", "area", "fulfilment"), strict=True):
        values = shown_map(jacobian, name, view)
        figure = map_figure(values, unit_of(name, view), magnitude_scale(limit_of(name, values)), f"boxes-{name}")
        add_crosshair(figure, *pixel, values.shape)
        with slot:
            st.markdown(f"**{_MEASURES[name]}**")
            st.plotly_chart(figure, height=height + FRAME_HEIGHT, theme=None, config=CHART_BUTTONS, key=f"map-{name}")
    if view.threshold.source == "histogram":
        st.caption(
            "Boxes and fulfilment are kept at one threshold per octave; the nearest is shown, at most a factor of √2 "
            "away. With rows kept, “Exact counts” takes the threshold itself."
        )


def vessels_panel(jacobian: Jacobian, image: PickedImage, view: View) -> None:
    """How the box relates to the vessel's width and to the distance from its centre line."""
    sources = ["truth", "prediction"] if image.truth is not None else ["prediction"]
    slots = st.columns([3, 3.6, 5], vertical_alignment="bottom")
    source = slots[0].segmented_control(
        "Vessels from", sources, default=sources[0], required=True, key="mask", bind="query-params",
        format_func=lambda name: {"truth": "Ground truth", "prediction": "Prediction"}[name], wrap=True,
    )  # fmt: skip
    measure = slots[1].segmented_control(
        "Against", list(_MEASURES), default="area", required=True, key="measure", bind="query-params",
        format_func=lambda name: _MEASURES[name], wrap=True,
    )  # fmt: skip
    labels = image.truth if source == "truth" and image.truth is not None else jacobian.labels
    mask = labels == jacobian.manifest.class_index
    mask_key = "vessel geometry", source, mask.tobytes(), jacobian.size
    geometry = results().get_or_compute(mask_key, lambda: vessel_geometry(mask))
    used = geometry.mask & jacobian.computed
    view = replace(view, scaled=False, within=False)
    values = shown_map(jacobian, str(measure), view)[used]
    slots[2].caption(f"{int(used.sum()):,} computed pixels inside the vessels; the line joins their medians.")
    panels = (
        ("Vessel width", geometry.width, "width at the nearest centre-line pixel (px)"),
        ("Distance to the skeleton", geometry.distance, "distance to the centre line (px)"),
    )
    for slot, (name, across, title), key in zip(st.columns(2), panels, ("width", "distance"), strict=True):
        rho, count = rank_correlation(across[used], values)
        shown = "not defined" if np.isnan(rho) else f"{rho:+.3f}"
        with slot:
            st.markdown(
                f"**{name}**: Spearman's ρ = **{shown}** over {count:,} pixels",
                help="Rank correlation: +1 where one always grows with the other, -1 where it always falls. "
                "Neighbouring pixels are alike, so no p-value is given.",
            )
            chosen = np.linspace(0, max(len(values) - 1, 0), min(len(values), _MOST_DOTS)).astype(int)
            dots = across[used][chosen], values[chosen]
            figure = scatter_figure(dots, medians(across[used], values), (title, unit_of(str(measure), view)))
            st.plotly_chart(figure, height=340, theme=None, config=CHART_BUTTONS, key=f"scatter-{key}")


def store_panel(jacobian: Jacobian, image: PickedImage, view: View) -> None:
    """The store's identity and the downloads."""
    manifest, size = jacobian.manifest, store_bytes(jacobian.path)
    st.markdown(
        f"`{jacobian.path}`: {bytes_in_words(size)}, model **{manifest.model}**, "
        f"weights `{manifest.weights_hash[:12]}`, image `{manifest.image_hash[:12]}`. {manifest.note}"
    )
    stem = f"{image.name.rsplit('.', 1)[0]}_{view.threshold.definition}_{100 * view.threshold.proportion:.2g}percent"

    def raw() -> bytes:
        return npy_bytes(jacobian.threshold_map(view.threshold, within_prediction=view.within))

    def picture() -> bytes:
        values = shown_map(jacobian, "threshold", view)
        return png_bytes(map_over(intensity_rgb(image.values), values, limit_of("threshold", values)))

    def archive() -> bytes:
        buffer = io.BytesIO()
        write_archive(jacobian.path, buffer)
        return buffer.getvalue()

    slots = st.columns(3)
    for slot, label, data, name, mime in (
        (slots[0], "Threshold map (.npy)", raw, f"threshold_map_{stem}.npy", "application/octet-stream"),
        (slots[1], "Threshold map (.png)", picture, f"threshold_map_{stem}.png", "image/png"),
    ):
        slot.download_button(label, data, name, mime, on_click="ignore", icon=":material/download:", width="stretch")
    slots[2].download_button(
        "Store (.zip)", archive, f"{jacobian.path.stem}.zip", "application/zip", on_click="ignore",
        icon=":material/folder_zip:", width="stretch", disabled=size > LARGEST_DOWNLOAD or not jacobian.complete,
    )  # fmt: skip
    if size > LARGEST_DOWNLOAD:
        st.caption("The store is too large to send through the browser; copy its folder and open it by its path.")
    elif not jacobian.complete:
        st.caption("The store can be downloaded when the run is complete.")
