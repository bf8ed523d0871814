"""The quick test over several images: means with their intervals, and what each image says."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

import streamlit as st

from core.display.charts import Estimate, interval_figure
from core.display.words import decimals, duration
from core.io.tables import csv_bytes, json_bytes
from core.pixel_sets import TITLES
from core.segmenter import Segmenter
from core.trust import METRICS, images_needed
from core.trust.benchmark.measurement import BenchmarkSettings, Measurement
from core.trust.benchmark.same_question import ImageFile, Outcomes, SameQuestion, ask_each_image, found_anywhere
from core.trust.benchmark.summary import ENOUGH_IMAGES, SummaryRow, caution, summarise
from core.trust.controls import CONTROLS
from widgets.shared.offered_images import in_groups, offered_images
from widgets.shared.results import Report, results
from widgets.shared.slow_work import cancel_unless, compute_in_background, part_at, start_button, was_cancelled
from widgets.shared.sources import seconds_per_image
from widgets.trust.comparison import TABLE_STYLE, described, row_html, show_downloads
from widgets.trust.tested import QUICK_SETTINGS
from widgets.trust.trial import Trial, TrustMap, warn_if_empty

_QUICK = tuple(name for name, metric in METRICS.items() if metric.curve is not None)
"""Metrics that are read off one curve."""
_FIGURE_WIDTH, _TABLE_WIDTH = 355, 505


def several_images_panel(trial: Trial, maps: Mapping[str, TrustMap]) -> None:
    """Choose images, ask each the same question, and see what holds for all of them."""
    if warn_if_empty(trial):
        return
    pixel_set = found_anywhere(trial.question.pixel_set, trial.target)
    where = TITLES[pixel_set.name]
    st.caption(
        "What holds for one target may be chance. The same question for other images, with the same methods and "
        f"settings: {where[0].lower()}{where[1:]}, in each image."
    )
    offered = files_of(trial.segmenter)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        metric = st.selectbox(
            "Test", _QUICK, key="several_test", bind="query-params", format_func=lambda name: METRICS[name].title,
            width=200,
        )  # fmt: skip
        count = len(st.session_state.get("several_images", ())) or None
        with st.popover("Images" if count is None else f"{count} images", icon=":material/photo_library:"):
            names = st.multiselect(
                "Images", list(offered), list(offered)[:ENOUGH_IMAGES], key="several_images", bind="query-params",
                help=f"At least {ENOUGH_IMAGES} are needed to tell a map from a control.",
            )  # fmt: skip
    if not names:
        st.info("Choose some images.", icon=":material/photo_library:")
        return
    settings = BenchmarkSettings(
        methods=trial.methods, metrics=(metric,), explain=trial.settings, evaluation=QUICK_SETTINGS
    )
    question = SameQuestion(pixel_set, trial.target, settings, st.session_state.get("scaling", "dtype"))
    files = {name: offered[name] for name in names}
    described_set, like = sorted(pixel_set.describe().items()), trial.target
    asked = (
        trial.segmenter.weights_hash, str(trial.segmenter.device), str(described_set), like.score, like.reduction,
        trial.methods, tuple(sorted(trial.settings.items())), metric, question.scaling,
    )  # fmt: skip
    versions = {name: (path, path.stat().st_mtime_ns, truth) for name, (path, truth) in files.items()}
    key = "several images", asked, tuple(versions.values())
    kept: dict[Hashable, list[Measurement]] = results().get_or_compute(("images asked", asked), dict)
    known = {name: kept[version] for name, version in versions.items() if version in kept}

    cancel_unless("several", lambda other: other == key)

    def describe() -> None:
        took = sum(one.attribution.seconds for one in maps.values() if one.attribution is not None)
        images = images_needed((metric,), QUICK_SETTINGS, len(trial.methods) + len(CONTROLS))
        left = len(names) - len(known)
        seconds = left * (took + images * seconds_per_image(trial.segmenter, trial.image))
        more = "more " * bool(known)
        st.markdown(f"About **{duration(seconds)}** for {left} {more}images and {len(trial.methods)} methods.")

    if not start_button(key, "Test these images", describe=describe, type="primary", key="run-several"):
        return

    def ask(report: Report) -> Outcomes:
        def show(so_far: Outcomes) -> None:
            for name, measured in groupby(so_far.measurements, lambda one: one.image):
                kept[versions[name]] = list(measured)  # one more image, or going on, costs only its own passes
            report.show(so_far)

        return ask_each_image(trial.segmenter, files, question, report, show, known)

    found = compute_in_background("several", key, "Images", ask, lambda: part_at("several"), again="Go on")
    so_far = part_at("several") if found is None else found
    if found is None:
        _show_state(so_far, len(names), is_cancelled=was_cancelled("several"))
    if so_far is not None:
        has_verdict = found is not None or was_cancelled("several")
        _show(trial, so_far, metric, question, names, has_verdict=has_verdict)


def files_of(segmenter: Segmenter) -> dict[str, ImageFile]:
    """Files of the images that the network takes and of their masks, by name, those it was made for first."""
    groups = in_groups((image for image in offered_images().values() if image.is_convertible(segmenter)), segmenter)
    return {image.name: (image.path, image.truth) for images in groups.values() for image in images}


def _number_done(found: Outcomes) -> int:
    return len({one.image for one in found.measurements}) + len(found.failed)


def _show_state(so_far: Outcomes | None, count: int, *, is_cancelled: bool) -> None:
    """How many of the images the numbers below are of, before they are of all."""
    done = 0 if so_far is None else _number_done(so_far)
    if is_cancelled:
        st.warning(f"Cancelled after **{done} of {count} images**; “Go on” tests the others.", icon=":material/block:")
    elif done:
        st.info(
            f"**{done} of {count} images** so far; the verdict comes with the last.", icon=":material/hourglass_top:"
        )
    else:
        st.info("The numbers come image by image.", icon=":material/hourglass_top:")


def _show(
    trial: Trial, found: Outcomes, metric: str, question: SameQuestion, asked: Sequence[str], *, has_verdict: bool
) -> None:
    if found.failed:
        lines = [f"- **{name}**: {sentence}" for name, sentence in found.failed.items()]
        with st.expander(f"{len(found.failed)} without a result", icon=":material/report:"):
            st.markdown("\n".join(lines))
    if not found.measurements:
        if has_verdict:
            st.info("No image gave a result.", icon=":material/photo_library:")
        return
    rows = summarise(found.measurements, [metric])
    if has_verdict:
        st.markdown(words(rows, metric))
    with st.container(horizontal=True, gap="medium"):
        with st.container(width=_FIGURE_WIDTH):
            st.markdown(f"**{METRICS[metric].title}**, mean and 95 % interval: {METRICS[metric].direction} is better")
            estimates = [Estimate(row.title, row.mean, row.low, row.high, row.is_control, row.verdict == "better",
                                  row.verdict) for row in rows]  # fmt: skip
            figure = interval_figure({"": estimates}, columns=1)
            figure.update_layout(margin_t=8)
            st.plotly_chart(figure, theme=None, config={"displayModeBar": False}, key="trust-several")
        with st.container(width=_TABLE_WIDTH):
            st.html(TABLE_STYLE + summary_html(rows, metric))
    table = per_image(found.measurements, metric)
    shown = f"%.{decimals([one.values[metric] for one in found.measurements])}f"
    formats: dict[str, Any] = {title: st.column_config.NumberColumn(format=shown) for title in list(table[0])[2:]}
    formats["Image"] = st.column_config.TextColumn(pinned=True)
    st.markdown(f"**Each image**: {METRICS[metric].heading}, {METRICS[metric].direction} is better")
    st.dataframe(table, hide_index=True, column_config=formats)
    done = _number_done(found)
    part = "" if done == len(asked) else f"{done}_of_{len(asked)}_"
    show_downloads(f"{trial.segmenter.name}_{part}images", {
        "Means (.csv)": ("summary.csv", lambda: csv_bytes([asdict(row) for row in rows])),
        "Each image (.csv)": ("targets.csv", lambda: csv_bytes([one.as_row() for one in found.measurements])),
        "Manifest (.json)": ("summary.json", lambda: _manifest(trial, found, rows, question, asked)),
    })  # fmt: skip


def words(rows: Sequence[SummaryRow], metric: str) -> str:
    """What holds over the images, in a sentence, with a warning where they are too few."""
    by_verdict = {verdict: [row.title for row in rows if row.verdict == verdict] for verdict in ("better", "worse")}
    methods = sum(not row.is_control and row.targets > 0 for row in rows)
    control = next((row.title for row in rows if row.is_control and row.targets), "")
    images = max(row.images for row in rows)
    parts = []
    if control and METRICS[metric].against_controls and images >= ENOUGH_IMAGES:
        good, bad = by_verdict["better"], by_verdict["worse"]
        parts.append(
            f"Over {images} images **{len(good) or 'none'} of {methods} maps** {'is' if len(good) < 2 else 'are'} "
            f"better than the best control, {control}{': ' if good else ''}{', '.join(good)}; {len(bad)} worse, "
            f"{methods - len(good) - len(bad)} not told apart."
        )
    return " ".join([*parts, caution(rows)])


def summary_html(rows: Sequence[SummaryRow], metric: str) -> str:
    """The means and how each map differs from the best control, with their intervals, all at one precision."""
    heads = METRICS[metric].heading, "Less the best control"
    places = decimals([row.mean for row in rows])

    def cell(mean: float, high: float, mark: str) -> str:
        if not math.isfinite(mean):
            return f'<td class="{mark}">–</td>'
        half = f" ± {high - mean:.{places}f}" if math.isfinite(high) else ""
        return f'<td class="{mark}">{f"{mean:.{places}f}{half}".replace("-", "−")}</td>'

    lines = []
    for row in rows:
        mark = "beats" if row.verdict == "better" else "fails"
        cells = cell(row.mean, row.high, "mean") + cell(row.difference, row.difference_high, mark)
        lines.append(row_html(row.rank, row.title, cells, is_control=row.is_control))
    titles = "".join(f'<th scope="col">{head}<small>mean ± 95 % interval</small></th>' for head in heads)
    return (
        f'<div class="trust-table"><table><thead><tr><th></th><th class="name" scope="col">Map</th>{titles}</tr>'
        f"</thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def per_image(measurements: Sequence[Measurement], metric: str) -> list[dict[str, Any]]:
    """A row per image: its name, the number of pixels explained, and the metric of each map by its title."""
    rows: dict[str, dict[str, Any]] = {}
    for one in measurements:
        row = rows.setdefault(one.image, {"Image": one.image, "Pixels": one.pixels})
        row[one.title] = one.values[metric]
    return list(rows.values())


def _manifest(
    trial: Trial, found: Outcomes, rows: Sequence[SummaryRow], question: SameQuestion, asked: Sequence[str]
) -> bytes:
    return json_bytes(
        described(trial)
        | {
            "pixel_set": question.pixel_set.describe(),
            "class_index": question.like.class_index,
            "space": question.like.space,
            "against": question.like.against,
            "reduction": question.like.reduction,
            "evaluation": question.settings.evaluation.describe(),
            "images_asked": list(asked),
            "images": list(dict.fromkeys(one.image for one in found.measurements)),
            "failed": dict(found.failed),
            "summary": [asdict(row) for row in rows],
        }
    )
