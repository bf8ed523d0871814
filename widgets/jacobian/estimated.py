"""The card that estimates what each row sums up to, where the Jacobian takes a pass for each pixel."""

import streamlit as st

from core.display.colours import FULL_COLOUR_PERCENTILE, colour_limit, magnitude_scale
from core.errors import UserError
from core.io.files import zip_bytes
from core.jacobian import RowEstimates, estimate_row_summaries
from core.jacobian.map_pictures import DIMMED
from core.jacobian.probing import passes_of_estimate
from core.segmenter import Segmenter
from core.target import Score
from widgets.shared.links import restore_choice, write_to_url
from widgets.shared.sidebar import Selection
from widgets.shared.slow_work import compute_in_background, start_button
from widgets.shared.sources import PickedImage
from widgets.viewer.scene import Panel, Picture, ScalarMap
from widgets.viewer.settings import ZOOMING
from widgets.viewer.viewer import viewer

_ERRORS = {"10": 0.1, "20": 0.2, "30": 0.3}
"""The relative errors on offer, by what stands in the URL."""
_USUAL_ERROR = "20"


def estimate_card(segmenter: Segmenter, image: PickedImage, score: Score) -> None:
    """The error wanted, the passes that it takes and a button; then the estimates, each with its error."""
    selection = Selection(segmenter, image, score)
    rows = image.values[0].size
    with st.container(border=True):
        line = st.container(horizontal=True, vertical_alignment="bottom")
        # Not bound to the URL: the card comes only once the cost is known, and a bound value would be lost by then.
        restore_choice("estimate_error", _ERRORS, _USUAL_ERROR)
        percent = line.selectbox(
            "Error of the estimate", list(_ERRORS), key="estimate_error", width=170,
            format_func=lambda name: f"At most {name} %",
            help="Of the sum and of the norm of each pixel's gradient map, kept by 95 % of the pixels.",
        )  # fmt: skip
        write_to_url("estimate_error", percent, _USUAL_ERROR)
        error = _ERRORS[percent]
        try:
            passes = passes_of_estimate(rows, error, rows // 2)
        except UserError:  # the exact run takes no longer
            line.caption(f"This image is small: the exact run takes {rows:,} passes, and an estimate no fewer.")
            return
        key = "row estimates", *selection.key, score, error
        with line:
            if not start_button(key, "Estimate", "query_stats", lambda: _describe(passes, rows), key="estimate-rows"):
                return
            found = compute_in_background(
                "row-estimates", key, "Estimate: passes",
                lambda report: estimate_row_summaries(
                    segmenter, image.values, score.class_index, score.space, error, most_passes=rows // 2,
                    against=score.against, progress=report,
                ),
            )  # fmt: skip
        if found is not None:
            with line:
                _offer_download(found, f"{image.stem}_estimates")
            line.caption(f":material/query_stats: {found.note}", width="stretch")
            _show(selection, found)


def _describe(passes: int, rows: int) -> None:
    st.markdown(
        f"**{passes:,} passes** instead of {rows:,}, for what each pixel's gradient map sums up to",
        help="Instead of the exact run: all gradient maps are multiplied by random images, and the errors are measured "
        "at 64 pixels drawn at random whose gradient maps are computed exactly. Single values, and so the counts of "
        "the threshold map, are not estimated.",
    )


def _show(selection: Selection, found: RowEstimates) -> None:
    image = selection.image
    panels = []
    for name, estimated in found.maps.items():
        scale = magnitude_scale(colour_limit(estimated.values, percentile=FULL_COLOUR_PERCENTILE))
        layer = ScalarMap(
            name=name, title=f"estimate, {estimated.error_in_words}", values=estimated.values, scale=scale,
            unit=f"{estimated.unit}, estimated", over=True, dims=DIMMED,
        )  # fmt: skip
        panels.append(
            Panel(estimated.title, [Picture(image=image.values), layer], help=f"{estimated.summary.help} {ZOOMING}")
        )
    viewer("estimates", panels, (image.values.shape[1], image.values.shape[2]), selection.picture_key, is_compact=True)


def _offer_download(found: RowEstimates, stem: str) -> None:
    st.download_button(
        "Estimates (.zip)", lambda: zip_bytes({f"{stem}/{name}": data for name, data in found.files().items()}),
        f"{stem}.zip", "application/zip", on_click="ignore", icon=":material/folder_zip:", type="tertiary",
        key="download-estimates",
        help="Each estimate raw (.npy) and as a picture, and a manifest: their errors, what they are of, and the "
        "pixels whose gradient maps were computed exactly.",
    )  # fmt: skip
