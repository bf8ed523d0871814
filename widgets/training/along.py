"""Explanation along training: for pinned pixels of a validation image, the gradient map after every saved epoch."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from core.data.data_sets import ImagePair, Sample, read_pair
from core.display.charts import curve_figure
from core.errors import UserError
from core.models.factory import is_factory
from core.target import PREDICTED, SPACES, Score
from core.training import TrainingSettings
from core.training.along import MOST_PIXELS, SETTLED, MapsAlong, first_pixel, gradient_maps_along
from core.training.film import FilmFormat, film
from core.training.runs import LIVE, Run
from core.training.saved_epochs import SavedEpoch, SavedEpochs, saved_epochs, validation_images
from widgets.shared.kept_pins import KeptPins
from widgets.shared.last_map import keep_last
from widgets.shared.pixel_answers import Pixel
from widgets.shared.results import Report, results
from widgets.shared.sidebar import AS_PREDICTED, SPACE_NAMES
from widgets.shared.slow_work import compute_in_background
from widgets.shared.user_errors import plain_text, show_user_errors
from widgets.training.along_viewer import COLOURS, EPOCH, controls_of, panels_of, pin_cards
from widgets.viewer.controls import Control, keep_settings, settings_of
from widgets.viewer.viewer import viewer

_PINS = KeptPins("_along_pins", MOST_PIXELS)
_FILES = "_along_images"
_FEW_EPOCHS = 12


@show_user_errors()
def along_panel(run: Run) -> None:
    """The panel for one run, live or ended."""
    saved = saved_epochs(run.folder / f"{run.name}.safetensors")
    for sentence in saved.left_out:
        st.caption(f":material/warning: {plain_text(sentence, '$*~')}")
    if not saved.epochs:
        st.caption("The maps begin with the first epoch.")
        return
    settings = _settings_of(run)
    if not settings.keep_every:
        st.info(
            "This run keeps the weights of its last epoch only. A new run keeps about twelve, unless “Keep every n-th "
            "epoch” is set to 0.",
            icon=":material/info:",
        )
    pair, score = _pick(run, settings, saved)
    sample = _read(pair)
    place = f"{run.folder.name} {pair.image}"
    size = sample.mask.shape[0], sample.mask.shape[1]
    pins = _PINS.of(place, size)
    epochs = saved.epochs
    if run.status.state in LIVE and len(epochs) > 1:  # the last one is written anew before its maps are there
        epochs = tuple(each for each in epochs if each.checkpoint.parent.name == "epochs") or epochs
    found = _compute(run, settings, epochs, sample, pins, score, place)
    if found is None:
        return
    maps, is_current = found
    if not pins and is_current:
        _PINS.keep(place, maps.pixels)
    pins = pins or maps.pixels
    for sentence in maps.left_out:
        st.caption(f":material/warning: {plain_text(sentence, '$*~')}")
    controls = controls_of(maps)
    chosen = settings_of(controls)
    answers = [
        f"**{index + 1}: row {row}, column {column}**. {maps.answer(index)}"
        for index, (row, column) in enumerate(maps.pixels)
    ]
    st.markdown("  \n".join(answers))
    viewer(
        "along",
        panels_of(sample, maps, chosen),
        size,
        place,
        name=pair.stem,
        controls=controls,
        settings=chosen,
        pixel=pins[-1],
        pins=pin_cards(pins, maps),
        on_pins=partial(_take_pins, place, {name: st.session_state.get(name) for name in ("row", "column")}),
    )
    _charts(maps, controls, int(chosen[EPOCH]))
    if is_current:
        _films(run, pair, sample, maps, shared=chosen[COLOURS] == "shared")


def _settings_of(run: Run) -> TrainingSettings:
    """The settings of a run, its network's code found from where the run was started."""
    try:
        settings = run.settings
    except (OSError, ValueError) as error:
        raise UserError("This run is no longer there; choose another one.") from error
    source, _, function = settings.architecture.rpartition(":")
    if is_factory(settings.architecture) and source.endswith(".py"):
        file = Path(run.stated["directory"]) / Path(source).expanduser()
        return replace(settings, architecture=f"{file}:{function}")
    return settings


def _pick(run: Run, settings: TrainingSettings, saved: SavedEpochs) -> tuple[ImagePair, Score]:
    """The validation image and the score explained."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        files = _files(run, settings, saved)
        name = st.selectbox(
            "Validation image", list(files), key=f"train_along_image {run.folder.name}", persist_state="session",
            width=240,
        )  # fmt: skip
        names = saved.class_names
        picked = st.selectbox(
            "Class", [AS_PREDICTED, *names], 2 if len(names) == 2 else 0,
            key=f"train_along_class {len(names)}", persist_state="session", width=200,
            help="Class whose score is explained, the same in all epochs. As predicted: the label after the last one.",
        )  # fmt: skip
        space = st.selectbox(
            "Score", SPACES, SPACES.index("logit"), key="train_along_space", persist_state="session", width=150,
            format_func=lambda each: SPACE_NAMES[each],
        )  # fmt: skip
    return files[name], Score(names.index(picked) if picked in names else PREDICTED, space)


def _files(run: Run, settings: TrainingSettings, saved: SavedEpochs) -> dict[str, ImagePair]:
    """The files of the validation images; looked for once, and again when one is gone."""
    key = run.folder.name, saved.validation
    kept: tuple[Any, dict[str, ImagePair]] | None = st.session_state.get(_FILES)
    if kept is not None and kept[0] == key and all(pair.image.is_file() for pair in kept[1].values()):
        return kept[1]
    found = validation_images(settings, saved.validation, run.stated["directory"])
    st.session_state[_FILES] = key, found
    return found


def _read(pair: ImagePair) -> Sample:
    """The image with its mask, read once and again when its file changes."""
    try:
        key = "sample", str(pair.image), pair.image.stat().st_mtime_ns, pair.mask.stat().st_mtime_ns
    except OSError as error:
        raise UserError(f"The files of {pair.stem} are gone from the run's data; put them back.") from error
    return results().get_or_compute(key, partial(read_pair, pair))


def _compute(
    run: Run,
    settings: TrainingSettings,
    epochs: tuple[SavedEpoch, ...],
    sample: Sample,
    pins: list[Pixel],
    score: Score,
    place: str,
) -> tuple[MapsAlong, bool] | None:
    """The maps, and whether they are of what is chosen: while new ones are computed the ones before are shown."""
    last = keep_last("along", place, None)

    def explain(report: Report) -> MapsAlong:
        pixels = pins or [first_pixel(settings, epochs[-1], sample.image, sample.mask)]
        return gradient_maps_along(settings, epochs, sample.image, pixels, score, progress=report, known=last)

    key = "maps along training", run.folder.name, epochs, place, tuple(pins), score
    found = compute_in_background("along", key, "Gradient maps along training", explain)
    shown = keep_last("along", place, found)
    if shown is None:
        st.caption(":material/hourglass_top: Computing the gradient maps of every saved epoch…")
        return None
    return shown, found is not None


def _take_pins(place: str, of_other_pages: dict[str, int | None], pins: list[Pixel]) -> None:
    """Keep the pins; the pixel that the other pages explain is one of another image, and stays."""
    for name, value in of_other_pages.items():
        if value is None:
            st.session_state.pop(name, None)
        else:
            st.session_state[name] = value
    _PINS.keep(place, pins)


def _charts(maps: MapsAlong, controls: Sequence[Control], epoch: int) -> None:
    """How similar each map is to the last one, and the score, against the epoch; a click on a point takes its epoch."""

    def take(key: str) -> None:
        if points := st.session_state[key]["selection"]["points"]:
            keep_settings(controls, {EPOCH: float(points[0]["x"])})

    names = [f"{row}, {column}" for row, column in maps.pixels]
    similarities = [maps.similarity(index).tolist() for index in range(len(names))]
    scores = maps.scores.T.tolist()
    charts = (("similarity to last", similarities), (maps.targets[0].score.unit, scores))
    for index, (column, (title, lines)) in enumerate(zip(st.columns(2), charts, strict=True)):
        figure = curve_figure(
            {name: (maps.numbers, line) for name, line in zip(names, lines, strict=True)}, ("epoch", title)
        )
        figure.add_vline(epoch, line_dash="dot", line_color="#888888")
        if not index:
            figure.add_hline(SETTLED, line_dash="dash", line_color="#888888")
            figure.update_yaxes(range=[0, 1.03])
        figure.update_xaxes(tickformat="d", dtick=1 if maps.numbers[-1] <= _FEW_EPOCHS else None)
        figure.update_layout(height=220, margin_b=0, legend={"orientation": "h", "y": -0.3})
        key = f"train_along_chart_{index}"
        with column:
            st.plotly_chart(
                figure, key=key, on_select=partial(take, key), selection_mode="points",
                config={"displayModeBar": False},
            )  # fmt: skip


def _films(run: Run, pair: ImagePair, sample: Sample, maps: MapsAlong, *, shared: bool) -> None:
    """One button for each format of the film."""
    kinds: dict[FilmFormat, str] = {"webp": "WebP", "gif": "GIF"}
    with st.container(horizontal=True, gap="small"):
        for kind, label in kinds.items():
            st.download_button(
                f"Film ({label})", partial(film, maps, sample.image, shared=shared, kind=kind),
                f"{run.name}_{pair.stem}_along_training.{kind}", f"image/{kind}", key=f"train_along_{kind}",
                on_click="ignore", icon=":material/movie:", type="tertiary",
                help="One frame per epoch, two per second, in the colours chosen above.",
            )  # fmt: skip
