"""How well a network segments a data set, image by image, and where it is wrong."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from streamlit.errors import StreamlitPageNotFoundError

from core.attribution.attribution import image_hash
from core.data.data_sets import ImagePair, read_pair
from core.data.layouts import split_folders
from core.data.splits import PARTS
from core.display.words import counted
from core.errors import UserError
from core.io.tables import csv_bytes
from core.scoring.counts import OVERALL, PER_CLASS, outcomes
from core.scoring.data_set_scores import DataSetScores, ScoredImage, Summary, score_data_set
from core.scoring.opening_pixel import opening_pixel
from core.scoring.parts import pairs_of_part, recorded_parts
from core.segmenter import Segmenter
from widgets.shared.chart_clicks import clickable_chart, take_click
from widgets.shared.data_sets import SAMPLE_SETS, pick_data_set
from widgets.shared.image_choice import choose_image
from widgets.shared.image_scores import SAMPLES_OF
from widgets.shared.model_picker import pick_model
from widgets.shared.networks import kept_networks
from widgets.shared.offered_images import offered_images
from widgets.shared.pixel_state import IMAGE_OF_PIXEL, set_pixel_of, shown_pixel
from widgets.shared.predictions import get_prediction, prediction_key
from widgets.shared.results import Report
from widgets.shared.slow_work import compute_in_background, start_button
from widgets.shared.trained_networks import trained_networks
from widgets.shared.uploader import kept_files
from widgets.shared.user_errors import show_user_errors
from widgets.viewer.controls import settings_of
from widgets.viewer.scene import Chip, Labels, Mask, Panel, Picture, Words
from widgets.viewer.settings import share_slider
from widgets.viewer.viewer import viewer

_Scored = tuple[DataSetScores, list[Summary]]
_KINDS = {"found": (0, 158, 115), "false positive": (230, 159, 0), "false negative": (204, 121, 167)}
"""Colours of Okabe & Ito (2008), which people with any colour vision tell apart."""
_HEIGHT = 210
_GRID = "rgba(125,135,148,.3)"
_IMAGE, _CHART = "library_image", "library_scores_chart"
_DATA_SET, _MODEL = "library_data_set", "_library_model"
_UNASKED = 40
"""Images that are scored without a click."""


@show_user_errors()
def scores_part() -> None:
    """Draw it."""
    with st.container(horizontal=True, vertical_alignment="top", gap="small"):
        with st.container(width=260):
            segmenter = pick_model()
        _change_samples_with_model(segmenter)
        picked = pick_data_set(_DATA_SET)
    if picked is None:
        st.info("Name a folder of images with masks.", icon=":material/folder_open:")
        return
    _, folder, masks = picked
    part = _pick_part(folder, masks)
    found = _scored(segmenter, folder, masks, part)
    if found is None:
        return
    scores, summaries = found
    _headline(scores, summaries)
    index = _pick_image(scores)
    _show_image(segmenter, scores.images[index])
    with st.expander("All metrics, by class"):
        st.dataframe(_table(summaries), hide_index=True, key="library_metrics")
        st.caption(
            "Intervals: 95 % percentile bootstrap over images. Pooled: all pixels of all images together. clDice: Shit "
            "et al. 2021. Calibration error: Guo et al. 2017, 15 bins of the predicted class's probability."
        )
    with st.expander("Calibration"):
        st.plotly_chart(_reliability(scores), key="library_calibration", config={"displayModeBar": False})
    st.download_button(
        "Table of the images", lambda: csv_bytes(scores.rows()), f"{segmenter.name}_scores.csv", key="library_csv",
        icon=":material/download:", on_click="ignore",
    )  # fmt: skip


def _change_samples_with_model(segmenter: Segmenter) -> None:
    """After another shipped network is chosen, samples that are not its own give way to those that are."""
    own, former = SAMPLES_OF.get(segmenter.name), st.session_state.get(_MODEL)
    st.session_state[_MODEL] = segmenter.name
    if own and former != segmenter.name and st.session_state.get(_DATA_SET, f"Sample {own}") in SAMPLE_SETS:
        st.session_state[_DATA_SET] = f"Sample {own}"


def _pick_part(folder: Path, masks: Path | None) -> str:
    """A part of a data set that comes split, or one that the network's own training took; all of others."""
    parts = list(split_folders(folder)) if masks is None else []
    is_recorded = not parts
    if is_recorded:
        recorded = _recorded(folder, masks)
        parts = [part for part in PARTS if recorded.get(part)]
    if len(parts) < 2:
        return "all"
    offered = ["all", *parts]
    if st.session_state.get("library_set_part") not in offered:
        st.session_state["library_set_part"] = "test" if "test" in parts else "all"
    chosen = st.segmented_control(
        "Images", offered, key="library_set_part", required=True, persist_state="session"
    )  # fmt: skip
    if is_recorded and chosen in ("all", "training"):
        st.caption(":material/warning: The network was trained on some of these images; its scores on them flatter it.")
    return str(chosen)


def _recorded(folder: Path, masks: Path | None) -> dict[str, list[ImagePair]]:
    """The parts of the network's own training; none where it was trained on something else."""
    try:
        return recorded_parts(folder, masks, _model())
    except UserError:
        return {}


def _model() -> str:
    """The chosen network as the library names it."""
    name = str(st.session_state["model"])
    path = trained_networks().get(name)
    if path is None and name in kept_networks():
        path = kept_files().path(kept_networks()[name])
    return name if path is None else f"{path}:network" if path.suffix == ".py" else str(path)


def _scored(segmenter: Segmenter, folder: Path, masks: Path | None, part: str) -> _Scored | None:
    """The scores of all images, and their summaries with intervals, which take long; None until they are there."""
    pairs = pairs_of_part(folder, masks, part, _model())
    version = hashlib.sha256()
    for pair in pairs:
        for path in (pair.image, pair.mask):
            status = path.stat()
            version.update(f"{path} {status.st_mtime_ns} {status.st_size}\n".encode())
    key = "data set scores", segmenter.weights_hash, str(segmenter.device), version.hexdigest()

    def score(report: Report) -> _Scored:
        scores = score_data_set(segmenter, pairs, lambda done: report(done, len(pairs)))
        return scores, scores.summaries()

    if len(pairs) > _UNASKED and not start_button(key, f"Score {len(pairs)} images", key="library_score"):
        return None
    return compute_in_background("library scores", key, "Scoring, images", score)


def _headline(scores: DataSetScores, summaries: list[Summary]) -> None:
    mean, low, high = scores.mean_iou()
    interval = "" if np.isnan(low) else f"95 % interval {low:.3f} to {high:.3f}"
    known = {(each.metric, each.class_name): each for each in summaries}
    foreground = scores.class_names[1:]
    tiles = [("Mean IoU", f"{mean:.3f}", interval or "One image has no interval.")]
    for metric in ("dice", "cldice"):
        value = _mean_of([known[metric, name].mean for name in foreground])
        tiles.append((PER_CLASS[metric], _number(value), "Mean over the images, and over the classes but the first."))
    for metric, words in OVERALL.items():
        tiles.append((words, _number(known[metric, ""].mean), "Mean over the images, of all classes."))
    with st.container(horizontal=True, gap="small"):
        for title, text, help_ in tiles:
            st.metric(title, text, help=help_, border=True, width=170)
    st.caption(
        f"{counted(len(scores.images), 'image')}; mean IoU: of the classes but the first, averaged over the images"
        f"{'; ' + interval if interval else ''}."
    )


def _pick_image(scores: DataSetScores) -> int:
    """The index of an image, chosen in the chart or the menu; the worst at first."""
    order, ious = scores.worst_first(), scores.foreground_iou
    names = _names(scores)
    stems = [names[index] for index in order]
    clicked = take_click(_CHART)
    if clicked is not None and clicked[0] < len(order):
        st.session_state[_IMAGE] = stems[clicked[0]]
    if st.session_state.get(_IMAGE) not in stems:
        st.session_state[_IMAGE] = stems[0]
    place = stems.index(st.session_state[_IMAGE])
    colours = ["#d55e00" if at == place else "#56b4e9" for at in range(len(order))]
    values = [None if np.isnan(ious[index]) else float(ious[index]) for index in order]
    figure = go.Figure(
        go.Scatter(
            x=list(range(1, len(order) + 1)), y=values, mode="markers", marker={"size": 11, "color": colours},
            text=stems, hovertemplate="%{text}: IoU %{y:.3f}<extra></extra>",
        )
    )  # fmt: skip
    mean = float(np.nanmean(ious)) if np.isfinite(ious).any() else np.nan
    if not np.isnan(mean):
        figure.add_hline(mean, line_dash="dot", line_color="#7d8794")
    figure.update_layout(
        height=_HEIGHT, margin={"t": 10, "b": 10, "l": 60, "r": 10}, xaxis_title="Images, worst first",
        yaxis_title="IoU", paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(125,135,148,.12)",
        font_color="#7d8794", xaxis_gridcolor=_GRID, yaxis_gridcolor=_GRID,
    )  # fmt: skip
    clickable_chart(figure, [(at, 0) for at in range(len(order))], (place, 0), _CHART, _HEIGHT)
    st.selectbox(
        "Image", stems, key=_IMAGE, width=320, persist_state="session",
        format_func=lambda stem: f"{stem}, IoU {_number(float(ious[order[stems.index(stem)]]))}",
    )  # fmt: skip
    return order[place]


def _names(scores: DataSetScores) -> list[str]:
    """The stem of each image, with its part of the data set where another part has the same."""
    count = Counter(image.stem for image in scores.images)
    return [
        image.stem
        if count[image.stem] == 1 or image.pair is None
        else f"{image.pair.image.parents[1].name}/{image.stem}"
        for image in scores.images
    ]


def _show_image(segmenter: Segmenter, image: ScoredImage) -> None:
    """The image with what is found, invented and missed of a class; a click chooses the pixel to explain."""
    assert image.pair is not None  # noqa: S101 - it comes from files
    sample = read_pair(image.pair)
    prediction = get_prediction(segmenter, sample.image, prediction_key(segmenter, image_hash(sample.image)))
    class_index = _pick_class(segmenter)
    offered = next((each for each in offered_images().values() if _is_of(each.path, image.pair.image)), None)
    file_name, size = image.pair.image.name, prediction.labels.shape
    if st.session_state.get(IMAGE_OF_PIXEL) != (file_name, size):
        opening = opening_pixel(prediction, segmenter.class_names, sample.mask)
        set_pixel_of(file_name, size, opening.row, opening.column)
    pixel = shown_pixel()
    kinds = outcomes(prediction.labels, sample.mask, class_index)
    controls = [share_slider("outcomes", "Opacity", 0.7)]
    wrong = Labels(
        name="outcome", labels=kinds, class_names=("neither", *_KINDS), colours=((0, 0, 0), *_KINDS.values()),
        opacity="$outcomes",
    )  # fmt: skip
    truth = Mask(name="ground truth", mask=sample.mask == class_index, opacity="$outcomes")
    viewer(
        "library_scores", [
            Panel(
                "Right and wrong", [Picture(image=sample.image), wrong],
                help="Of the class: found, false positives and false negatives.",
            ),
            Panel("Ground truth", [Picture(image=sample.image), truth]),
        ],
        (size[0], size[1]), f"{image_hash(sample.image)[:12]}-{segmenter.weights_hash[:12]}", name=image.stem,
        controls=controls, settings=settings_of(controls), pixel=pixel, tools=("point",),
        words=_words(segmenter, kinds, pixel, int(sample.mask[pixel]), int(prediction.labels[pixel])),
    )  # fmt: skip
    if offered is None:
        st.caption("This image cannot be opened in the explorer: its folder is not among those that are offered.")
        return
    choose_image(offered.name)
    try:
        st.page_link(
            "pages/pixel_explorer.py", label="Why? Explain this pixel", icon=":material/my_location:",
            width="content", query_params={
                "model": st.session_state["model"], "image": offered.name, "row": str(pixel[0]),
                "column": str(pixel[1]),
            },
        )  # fmt: skip
    except StreamlitPageNotFoundError:  # a page that runs by itself has no others
        return


def _words(segmenter: Segmenter, kinds: np.ndarray, pixel: tuple[int, int], truth: int, label: int) -> Words:
    names = segmenter.class_names
    counts = np.bincount(kinds.ravel(), minlength=len(_KINDS) + 1)[1:]
    chips = [
        Chip(f"{kind} {count:,} px", "#{:02x}{:02x}{:02x}".format(*colour))
        for (kind, colour), count in zip(_KINDS.items(), counts, strict=True)
    ]
    row, column = pixel
    true = names[truth] if truth < len(names) else "nothing (ignored)"
    agreement = "rightly" if truth == label else f"but the truth is {true}"
    return Words(f"Pixel ({row}, {column}) is labelled {names[label]}, {agreement}.", chips)


def _pick_class(segmenter: Segmenter) -> int:
    names = segmenter.class_names
    if len(names) == 2:
        return 1
    if st.session_state.get("library_class") not in names:
        st.session_state["library_class"] = names[1]
    return names.index(st.selectbox("Class", names, key="library_class", width=220, persist_state="session"))


def _is_of(path: Path, other: Path) -> bool:
    return path.name == other.name and path.resolve() == other.resolve()


def _table(summaries: list[Summary]) -> list[dict[str, object]]:
    return [
        {
            "Metric": (PER_CLASS | OVERALL)[each.metric],
            "Class": each.class_name or "all",
            "Mean over images": _number(each.mean),
            "95 % interval": "" if np.isnan(each.low) else f"{each.low:.4f} to {each.high:.4f}",
            "Pooled": _number(each.pooled),
            "Images": each.images,
        }
        for each in summaries
    ]


def _reliability(scores: DataSetScores) -> go.Figure:
    """Share of right pixels against the confidence, over all images."""
    pixels, confidence, right = scores.pooled.calibration.T
    known = pixels > 0
    figure = go.Figure()
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"dash": "dot", "color": "#7d8794"}, showlegend=False)
    figure.add_scatter(
        x=(confidence[known] / pixels[known]).tolist(), y=(right[known] / pixels[known]).tolist(),
        mode="lines+markers", showlegend=False, customdata=(pixels[known] / pixels.sum()).tolist(),
        hovertemplate="confidence %{x:.3f}, right %{y:.3f}, %{customdata:.1%} of the pixels<extra></extra>",
    )  # fmt: skip
    figure.update_layout(
        height=320, margin={"t": 10, "b": 10, "l": 10, "r": 10}, xaxis_title="Probability of the predicted class",
        yaxis_title="Share that is right",
    )  # fmt: skip
    return figure


def _mean_of(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _number(value: float) -> str:
    return "none" if np.isnan(value) else f"{value:.3f}"
