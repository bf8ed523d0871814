"""The panels of the Jacobian page: picture to click, the pixel's gradient map, receptive field, boxes, downloads."""

import io
import math

import numpy as np
import streamlit as st

from core.attribution import Attribution
from core.attribution.statistics import region_of
from core.display.colours import SEQUENTIAL, ColourScale, intensity_rgb, png_bytes
from core.display.footprint import BoundingBox
from core.display.words import bytes_in_words, ordinal
from core.errors import UserError
from core.io.files import npy_bytes
from core.jacobian import Jacobian
from core.jacobian.archive import store_bytes, write_archive
from core.jacobian.map_pictures import decades, map_over
from core.target import PREDICTED
from widgets.jacobian.controls import MAPS, PICTURES, View
from widgets.jacobian.maps import limit_of, map_layer, shown_map
from widgets.jacobian.row import Rows
from widgets.shared.pixel_answers import MAP, SIGNS, SIGNS_IN_SHORT, Pixel, pixel_map_layer
from widgets.shared.sidebar import Selection
from widgets.shared.sources import PickedImage
from widgets.shared.user_errors import show_user_error
from widgets.viewer.controls import Shown
from widgets.viewer.scene import AboveThreshold, Circle, Labels, Layer, Mask, Panel, Picture, ScalarMap, Shapes
from widgets.viewer.settings import ZOOMING
from widgets.viewer.viewer import viewer

LARGEST_DOWNLOAD = 512_000_000
_OPACITY = 0.4


def picture_panel(selection: Selection, jacobian: Jacobian, view: View) -> Panel:
    """The picture to click: the image with a map over it; the browser has only the map that is shown."""
    names, image = selection.segmenter.class_names, selection.image
    layers: list[Layer] = [
        Picture(image=image.values),
        Labels(
            name="prediction", title="prediction", labels=jacobian.labels, class_names=names, opacity=_OPACITY,
            shown=Shown("picture", "prediction"),
        ),
    ]  # fmt: skip
    if image.truth is not None:
        layers.append(
            Labels(
                name="truth", title="truth", labels=image.truth, class_names=names, opacity=_OPACITY,
                shown=Shown("picture", "truth"),
            )
        )  # fmt: skip
    try:
        layers += [
            map_layer(
                jacobian, name, view, Shown("picture", name), is_needed=name == view.picture,
                is_read=False,  # the numbers say it of the very pixel
            )
            for name in MAPS
        ]  # fmt: skip
    except UserError as error:  # a threshold that is not resolved: the control to change it is in the viewer
        show_user_error(error)
    class_index = jacobian.manifest.class_index
    outlined = jacobian.labels if class_index == PREDICTED else region_of(jacobian.labels, class_index)
    layers.append(
        Mask(
            name="outline", mask=outlined, opacity=0.0,
            shown=(Shown("outline"), Shown("picture", tuple(MAPS))),
        )
    )  # fmt: skip
    stride = jacobian.manifest.stride
    between = f" Every {ordinal(stride)} pixel is computed; between them the value of the nearest one is shown."
    help_ = f"Click a pixel to see which input pixels influence it. {ZOOMING}{between if stride > 1 else ''}"
    title = PICTURES[view.picture]
    if view.picture in MAPS and not jacobian.complete:
        title += f", {jacobian.fraction:.0%} so far"
        help_ += " A pixel that is still to come shows the value of the nearest one that is there."
    elif view.picture in MAPS and stride > 1:
        title += f", every {ordinal(stride)}"
    return Panel(f"{title}: click a pixel", layers, help=help_, name="Picture")


def row_panels(selection: Selection, rows: Rows, attribution: Attribution) -> list[Panel]:
    """The pixel's row, and what of it lies above the threshold, with its box."""

    def above(name: str, *, is_tinted: bool) -> AboveThreshold:
        return AboveThreshold(
            name=name, of=MAP, proportion="$threshold", thresholds=rows.thresholds, is_tinted=is_tinted
        )

    row = pixel_map_layer(attribution, "gradient", rows.unit)
    return [
        Panel("Gradient map of the pixel", [row, above("box", is_tinted=False)], help=SIGNS,
              note=SIGNS_IN_SHORT),
        Panel("Input pixels above the threshold",
              [Picture(image=selection.image.values), above("above", is_tinted=True)], help=SIGNS),
    ]  # fmt: skip


def receptive_field_panel(selection: Selection, jacobian: Jacobian, pixel: Pixel) -> None:
    """The structural window of a pixel against the circles that hold its mass on average."""
    try:
        effective = jacobian.effective_receptive_field()
    except UserError:
        st.info("The effective receptive field comes with the first finished passes.", icon=":material/hourglass_top:")
        return
    rows, columns = jacobian.field.window(*pixel)
    box = BoundingBox(rows.start, columns.start, rows.stop - 1, columns.stop - 1)

    def circles(row: int, column: int) -> list[Circle]:
        return [Circle(row, column, radius, f"{share:.0%}") for share, radius in effective.radii.items()]

    mean = decades(effective.mean)
    scale = ColourScale(float(mean.min()), 0.0, SEQUENTIAL)
    share = ScalarMap(name="mean", title="log₁₀", values=mean, scale=scale, unit="log₁₀ of the share of the peak")
    slots = st.columns(3, gap="small")
    with slots[0]:
        panel = Panel(
            "Receptive field of the pixel",
            [Picture(image=selection.image.values), Shapes(shapes=[box, *circles(*pixel)])],
            help=ZOOMING,
        )
        viewer("receptive-field", [panel], jacobian.size, selection.picture_key, pixel=pixel, is_compact=True)
    with slots[1]:
        panel = Panel("Mean |gradient|, centred on its pixel", [share, Shapes(shapes=circles(*effective.centre))])
        viewer("mean-row", [panel], effective.mean.shape, f"mean-{selection.picture_key}", tools=(), is_compact=True)
    with slots[2]:
        field = jacobian.field
        st.markdown("**How far it reaches**")
        up, down, left, right = field.up, field.down, field.left, field.right
        lines = st.columns(2)
        reach = f"For this pixel. Over all pixels at most {up} up, {down} down, {left} left and {right} right."
        lines[0].metric("Rows", f"{box.height}", border=True, help=reach)
        lines[1].metric("Columns", f"{box.width}", border=True, help=reach)
        for slot, (fraction, radius) in zip(st.columns(3), effective.radii.items(), strict=True):
            slot.metric(f"{100 * fraction:.0f} %", f"{radius:.1f} px", border=True)
        st.caption(
            f"Circles: the smallest discs around the pixel that hold 50, 90 and 99 % of the mean magnitude over "
            f"{effective.num_pixels:,} rows. Box: every input pixel that can reach this output at all. It depends on "
            "where the pixel lies in the grid of the network's strides, and the image's border cuts it."
        )


def boxes_panel(selection: Selection, jacobian: Jacobian, view: View, pixel: Pixel) -> None:
    """Pixels above the threshold, the area of their bounding boxes, and how far these are filled."""
    picture = Picture(image=selection.image.values)
    panels = [Panel(title, [picture, map_layer(jacobian, name, view)], help=ZOOMING) for name, title in MAPS.items()]
    viewer(
        "boxes", panels, jacobian.size, selection.picture_key, settings={"log": view.log}, pixel=pixel, is_compact=True
    )
    if view.threshold.source == "histogram":
        st.caption(
            "Boxes are kept at one threshold per octave; the nearest is shown, at most a factor of √2 away. With saved "
            "rows, “Exact counts” takes the threshold itself. Box filled: the share of its box that the pixels above "
            "the threshold fill, “fulfilment” in the files of the command line."
        )


def store_panel(jacobian: Jacobian, image: PickedImage, view: View) -> None:
    """What is saved, of what, and the downloads."""
    manifest, size = jacobian.manifest, store_bytes(jacobian.path)
    st.markdown(
        f"`{jacobian.path}`: {bytes_in_words(size)}, model **{manifest.model}**, "
        f"weights `{manifest.weights_hash[:12]}`, image `{manifest.image_hash[:12]}`. {manifest.note}"
    )
    stem = f"{image.stem}_{view.threshold.definition}_{100 * view.threshold.proportion:.2g}percent"

    def raw() -> bytes:
        return npy_bytes(jacobian.threshold_map(view.threshold, within_prediction=view.within))

    def picture() -> bytes:
        values, is_log = shown_map(jacobian, "threshold", view), view.log and "threshold" in view.counts
        limit = limit_of("threshold", values, is_log=is_log)
        if is_log:
            values, limit = np.log1p(values), math.log1p(limit)
        return png_bytes(map_over(intensity_rgb(image.values), values, limit))

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
        "Saved Jacobian (.zip)", archive, f"{jacobian.path.stem}.zip", "application/zip", on_click="ignore",
        icon=":material/folder_zip:", width="stretch", disabled=size > LARGEST_DOWNLOAD or not jacobian.complete,
    )  # fmt: skip
    if size > LARGEST_DOWNLOAD:
        st.caption("It is too large to send through the browser; copy its folder and open it by its path.")
    elif not jacobian.complete:
        st.caption("The saved Jacobian can be downloaded when the run is complete.")
