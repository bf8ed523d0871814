"""What came out of the tests: a sentence, a table, curves, and the files of both."""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from importlib.metadata import version
from itertools import groupby
from typing import Any

import numpy as np
import streamlit as st

from core.display.charts import tested_curves_figure
from core.display.words import same_precision
from core.io.tables import csv_bytes, json_bytes
from core.trust import METRICS, Comparison, EvaluationSettings
from core.trust.followed_scores import SCORES, ScoreKind
from core.trust.metrics.registry import ShownCurve
from widgets.trust.trial import Trial

TABLE_STYLE = """
<style>
.trust-table {overflow-x: auto; margin: .2rem 0 .4rem}
.trust-table table {border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums}
.trust-table th, .trust-table td {border: 0; padding: 4px 10px; text-align: right; white-space: nowrap}
.trust-table th {font-weight: 600; vertical-align: bottom}
.trust-table .group {font-size: 12px; font-weight: 400; opacity: .72; text-align: center;
  border-bottom: 1px solid rgba(125,135,148,.5)}
.trust-table .name {text-align: left}
.trust-table tbody td {border-top: 1px solid rgba(125,135,148,.22)}
.trust-table .first {border-left: 1px solid rgba(125,135,148,.35)}
.trust-table .control td {background: rgba(125,135,148,.09); font-style: italic}
.trust-table .control td {color: color-mix(in srgb, currentColor 72%, transparent)}
.trust-table .control .mark {font-style: normal; font-size: 11px; border: 1px solid currentColor; border-radius: 8px;
  padding: 0 6px; margin-left: 8px}
.trust-table .beats {font-weight: 700}
.trust-table :is(.beats, .like, .fails)::after {content: ""; display: inline-block; width: 1em; margin-left: 4px}
.trust-table .beats::after {content: "✓"; color: #2e9e5b}
.trust-table .like::after {content: "≈"; color: #d98a00}
.trust-table .by {background: rgba(214,36,110,.08)}
.trust-table tfoot td {border-top: 2px solid rgba(125,135,148,.5)}
.trust-table th small {display: block; font-size: 11px; font-weight: 400; opacity: .8}
.trust-table abbr {text-decoration: none; cursor: help}
</style>
"""
_HEIGHT_OF_A_ROW = 330
_BESIDE_CURVES = 2
"""Most metrics whose table fits beside the curves."""
_CURVES_WIDTH, _TABLE_WIDTH = 430, 420


def show_comparison(
    trial: Trial, found: Comparison, metrics: Sequence[str], settings: EvaluationSettings, large: str
) -> None:
    """Show the chosen metrics of a comparison made with the settings: curves, the ranking beside them, and files.

    The curve of the map shown `large` stands out.
    """
    ordered = [name for name in METRICS if name in metrics]
    by = ordered[0]
    if len(ordered) > 1:
        by = st.selectbox(
            "Ranked by", ordered, key="ranked_by", bind="query-params", format_func=lambda name: METRICS[name].title,
            width=260,
        )  # fmt: skip
    metric = METRICS[by]
    st.markdown(summary(found, by), help=f"{metric.heading}: {metric.direction} is better. {metric.question}")
    beside = len(ordered) <= _BESIDE_CURVES
    row = st.container(horizontal=beside, gap="medium")
    with row.container(width=_CURVES_WIDTH if beside else "stretch"):
        _draw_curves(trial, found, by, [by] if beside else ordered, settings.removal.score, large)
    with row.container(width=_TABLE_WIDTH if beside else "stretch"):
        st.html(TABLE_STYLE + table_html(found, ordered, by))
    methods = [name for name in found.ranked(by) if not found.candidates[name].is_control]
    like, failed, unknown = (
        [name for name in methods if found.standing(name, by) == standing] for standing in ("like", "fails", None)
    )
    if named := [*like, *failed, *unknown]:
        lines = [f"- **{found.candidates[name].title}**: {found.in_words(name, by)}" for name in named]
        counts = {
            "like a control": len(like), "no better than a control": len(failed), "without a value here": len(unknown)
        }  # fmt: skip
        parts = [f"{count} method{'s' * (count != 1)} {what}" for what, count in counts.items() if count]
        with st.expander(", ".join(parts), icon=":material/report:"):
            st.markdown("\n".join(lines))
    show_downloads(f"{_stem(trial)}_tests", {
        "Table (.csv)": ("table.csv", lambda: table_csv(found, ordered)),
        "Manifest (.json)": ("manifest.json", lambda: manifest_json(trial, found, ordered, settings)),
        "Curves (.csv)": ("curves.csv", lambda: curves_csv(found)),
    })  # fmt: skip


def show_downloads(stem: str, files: Mapping[str, tuple[str, Callable[[], bytes]]]) -> None:
    """A button per file, by its label; each name begins with `stem`, and each file is made when it is asked for."""
    with st.container(horizontal=True):
        for label, (name, content) in files.items():
            mime = "application/json" if name.endswith(".json") else "text/csv"
            st.download_button(
                label, content, f"{stem}_{name}", mime, on_click="ignore", icon=":material/download:",
                key=f"download-{stem}-{name}",
            )  # fmt: skip


def summary(found: Comparison, metric: str) -> str:
    """How many methods beat every control at a metric, in a sentence."""
    methods = [name for name in found.ranked(metric) if not found.candidates[name].is_control]
    title = METRICS[metric].title
    judged = [name for name in methods if found.standing(name, metric) is not None]
    if not judged:
        if not METRICS[metric].against_controls:
            return f"**{title}** gives no verdict: a control that ignores the network does well there by nature."
        return f"**{title}** is not defined for any of these methods here."
    good = [found.candidates[name].title for name in judged if found.standing(name, metric) == "beats"]
    if not good:
        whole = "the one method does not beat" if len(judged) == 1 else f"none of the {len(judged)} methods beats"
        return f"At **{title}** {whole} every control."
    names = ", ".join(good)
    verb = "beats" if len(good) == 1 else "beat"
    return f"At **{title}** **{len(good)} of {len(judged)}** methods {verb} every control: {names}."


def table_html(found: Comparison, metrics: Sequence[str], by: str) -> str:
    """The table, the best at `by` first; what beats every control is bold with a tick, what is like one has a sign."""
    groups = {category: list(names) for category, names in groupby(metrics, lambda name: METRICS[name].category)}
    starts = {names[0] for names in groups.values()}

    def kind(metric: str, *more: str) -> str:
        marks = [*more, *(["first"] if metric in starts else []), *(["by"] if metric == by else [])]
        return f' class="{" ".join(marks)}"' if marks else ""

    above = "".join(
        f'<th class="group first" colspan="{len(names)}">{category.capitalize()}</th>'
        for category, names in groups.items()
    )
    heads = "".join(
        f'<th{kind(metric)} scope="col"><abbr title="{escape(METRICS[metric].question)}">{METRICS[metric].heading}'
        f"</abbr><small>{METRICS[metric].direction} is better</small></th>"
        for metric in metrics
    )
    ranked = found.ranked(by)
    columns = [same_precision([found.values[name][metric] for name in ranked]) for metric in metrics]
    rows = []
    for name, numbers in zip(ranked, zip(*columns, strict=True), strict=True):
        one = found.candidates[name]
        cells = "".join(
            f"<td{kind(metric, found.standing(name, metric) or 'fails')}>{number}</td>"
            for metric, number in zip(metrics, numbers, strict=True)
        )
        rows.append(row_html(found.rank(name, by), one.title, cells, is_control=one.is_control))
    counts = "".join(f"<td{kind(metric, 'fails')}>{_count(found, metric)}</td>" for metric in metrics)
    return (
        f'<div class="trust-table"><table><thead><tr><th></th><th></th>{above}</tr>'
        f'<tr><th></th><th class="name" scope="col">Map</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody>'
        f'<tfoot><tr><td></td><td class="name">Beat every control</td>{counts}</tr></tfoot></table></div>'
    )


def row_html(rank: int, title: str, cells: str, *, is_control: bool) -> str:
    """A row of a table of maps: rank, name, whether it is a control, and the cells."""
    mark = '<span class="mark">control</span>' if is_control else ""
    return (
        f'<tr class="{"control" if is_control else "method"}"><td>{rank}</td>'
        f'<td class="name">{escape(title)}{mark}</td>{cells}</tr>'
    )


def table_csv(found: Comparison, metrics: Sequence[str]) -> bytes:
    """One line per map: its name, whether it is a control, its time, and each metric; empty where not defined."""
    return csv_bytes([
        {"name": name, "title": one.title, "control": int(one.is_control), "seconds": float(f"{one.seconds:.4g}")}
        | {metric: found.values[name][metric] for metric in metrics}
        for name, one in found.candidates.items()
    ])  # fmt: skip


def curves_csv(found: Comparison) -> bytes:
    """One line per point of a curve: map, curve, fraction of the pixels changed, score, leakage."""
    return csv_bytes([
        {"name": name, "metric": curve_name, "fraction": fraction, "score": score, "leakage": leakage}
        for name, curves in found.curves.items()
        for curve_name, curve in curves.items()
        for fraction, score, leakage in np.stack((curve.fractions, curve.scores, curve.leakage), 1).tolist()
    ], ("name", "metric", "fraction", "score", "leakage"))  # fmt: skip


def manifest_json(trial: Trial, found: Comparison, metrics: Sequence[str], settings: EvaluationSettings) -> bytes:
    """What was tested and how, with every number: enough to do it again."""
    return json_bytes(
        described(trial)
        | {
            "image": trial.image.name,
            "image_sha256": trial.image.hash,
            "target": trial.target.describe(),
            "evaluation": settings.describe(),
            "metrics": {name: {"direction": METRICS[name].direction} for name in metrics},
            "maps": {
                name: {
                    "title": one.title,
                    "is_control": one.is_control,
                    "values": {metric: found.values[name][metric] for metric in metrics},
                    "beats_every_control": {metric: found.beats_controls(name, metric) for metric in metrics},
                    "like_controls": dict(one.agreeing),
                }
                for name, one in found.candidates.items()
            },
        }
    )


def described(trial: Trial) -> dict[str, Any]:
    """Network, pixel set, settings of the methods and libraries, for a manifest."""
    return {
        "schema_version": 1,
        "model": trial.segmenter.name,
        "weights_sha256": trial.segmenter.weights_hash,
        "classes": list(trial.segmenter.class_names),
        "pixel_set": trial.question.pixel_set.describe(),
        "settings": dict(trial.settings),
        "libraries": {name: version(name) for name in ("torch", "numpy", "scipy")},
    }


def _draw_curves(
    trial: Trial, found: Comparison, by: str, metrics: Sequence[str], score: ScoreKind, large: str
) -> None:
    followed = f"Score ({trial.target.score_unit})" if score == "target" else SCORES[score]
    panels, titles = {}, {}
    for metric in metrics:
        shown = METRICS[metric].curve
        if shown is not None and (points := _points(found, shown)):
            title = shown.heading or METRICS[metric].heading
            panels[title], titles[title] = points, (shown.change, shown.unit or followed)
    if not panels:
        return
    controls = [one.title for one in found.candidates.values() if one.is_control]
    methods = [name for name in found.ranked(by) if not found.candidates[name].is_control]
    standing_out = dict.fromkeys([*methods[:1], *([large] if large in methods else []), found.best_control(by)])
    st.caption(
        "**Bold**: the best map, the best control, and the map shown large. **Dashed**: controls. Thin and grey: the "
        "other maps; their names come up under the pointer.",
        help="Press a name in the legend to hide it, twice to see it alone. Leakage in the table is the change "
        "elsewhere at the moment when a map's score has gone half of its way.",
    )  # fmt: skip
    highlighted = [found.candidates[name].title for name in standing_out if name is not None]
    figure = tested_curves_figure(panels, controls, titles, highlighted)
    rows = -(-len(panels) // 2)
    buttons = {
        "displayModeBar": True, "displaylogo": False, "modeBarButtons": [["toImage"]],
        "toImageButtonOptions": {"format": "svg", "filename": f"{_stem(trial)}_curves"},
    }  # fmt: skip
    st.plotly_chart(figure, height=_HEIGHT_OF_A_ROW * rows + 60, theme=None, config=buttons, key="trust-curves")


def _stem(trial: Trial) -> str:
    return f"{trial.image.stem}_{trial.segmenter.name}"


def _points(found: Comparison, shown: ShownCurve) -> dict[str, tuple[list[float], list[float]]]:
    """The curves by the maps' titles; none where no value is defined, such as the leakage of a whole image."""
    curves = {
        found.candidates[name].title: curves[shown.name]
        for name, curves in found.curves.items()
        if shown.name in curves
    }
    points = {title: (one.fractions.tolist(), getattr(one, shown.values).tolist()) for title, one in curves.items()}
    return points if any(not math.isnan(value) for _, values in points.values() for value in values) else {}


def _count(found: Comparison, metric: str) -> str:
    judged = [standing for name in found.candidates if (standing := found.standing(name, metric)) is not None]
    return f"{judged.count('beats')} of {len(judged)}" if judged else "–"
