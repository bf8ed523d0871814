"""What came out of the tests: a sentence, a table, curves, and the files of both."""

import math
from collections.abc import Sequence
from html import escape
from itertools import groupby

import numpy as np
import streamlit as st

from core.display.charts import tested_curves_figure
from core.io.tables import csv_bytes
from core.trust import METRICS, Comparison
from core.trust.followed_scores import SCORES, ScoreKind
from core.trust.metrics.registry import ShownCurve
from widgets.trust.trial import Trial

_STYLE = """
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
.trust-table .beats::after {content: "✓"; color: #2e9e5b; margin-left: 4px}
.trust-table .fails::after {content: "✓"; visibility: hidden; margin-left: 4px}
.trust-table .by {background: rgba(214,36,110,.08)}
.trust-table tfoot td {border-top: 2px solid rgba(125,135,148,.5)}
.trust-table abbr {text-decoration: none; cursor: help}
</style>
"""
_HEIGHT_OF_A_ROW = 330


def show_comparison(trial: Trial, found: Comparison, metrics: Sequence[str], score: ScoreKind) -> None:
    """Show the chosen metrics of a comparison that followed `score`."""
    ordered = [name for name in METRICS if name in metrics]
    by = st.selectbox(
        "Ranked by", ordered, key="ranked_by", bind="query-params", format_func=lambda name: METRICS[name].title,
        width=260,
    )  # fmt: skip
    metric = METRICS[by]
    st.markdown(summary(found, by))
    st.caption(f"{metric.heading}: {metric.direction} is better. {metric.question}")
    st.html(_STYLE + table_html(found, ordered, by))
    methods = [name for name in found.ranked(by) if not found.candidates[name].is_control]
    failed, unknown = ([name for name in methods if found.beats_controls(name, by) is none] for none in (False, None))
    if failed or unknown:
        lines = [f"- **{found.candidates[name].title}**: {found.in_words(name, by)}" for name in (*failed, *unknown)]
        counts = {"no better than a control": len(failed), "without a value here": len(unknown)}
        parts = [f"{count} method{'s' * (count != 1)} {what}" for what, count in counts.items() if count]
        with st.expander(", ".join(parts), icon=":material/report:"):
            st.markdown("\n".join(lines))
    _draw_curves(found, ordered, score)
    stem = f"{trial.image.name.rsplit('.', 1)[0].replace('/', '_')}_{trial.segmenter.name}"
    files = {"table": ("tests", lambda: table_csv(found, ordered)), "curves": ("curves", lambda: curves_csv(found))}
    for slot, (name, (ending, content)) in zip(st.columns(4), files.items(), strict=False):
        slot.download_button(
            f"{name.capitalize()} (.csv)", content, f"{stem}_{ending}.csv", "text/csv", on_click="ignore",
            icon=":material/download:", key=f"download-{name}", width="stretch",
        )  # fmt: skip


def summary(found: Comparison, metric: str) -> str:
    """How many methods beat every control at a metric, in a sentence."""
    methods = [name for name in found.ranked(metric) if not found.candidates[name].is_control]
    title = METRICS[metric].title
    judged = [name for name in methods if found.beats_controls(name, metric) is not None]
    if not judged:
        if not METRICS[metric].against_controls:
            return f"**{title}** gives no verdict: a control that ignores the network does well there by nature."
        return f"**{title}** is not defined for any of these methods here."
    good = [found.candidates[name].title for name in judged if found.beats_controls(name, metric)]
    if not good:
        whole = "the one method does not beat" if len(judged) == 1 else f"none of the {len(judged)} methods beats"
        return f"At **{title}** {whole} every control."
    names = ", ".join(good)
    verb = "beats" if len(good) == 1 else "beat"
    return f"At **{title}** **{len(good)} of {len(judged)}** methods {verb} every control: {names}."


def table_html(found: Comparison, metrics: Sequence[str], by: str) -> str:
    """The table, the best at `by` first; what beats every control is bold with a tick."""
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
        f'<th{kind(metric)} scope="col"><abbr title="{escape(METRICS[metric].question)} '
        f'{METRICS[metric].direction.capitalize()} is better.">{METRICS[metric].heading}</abbr></th>'
        for metric in metrics
    )
    rows = []
    for name in found.ranked(by):
        candidate = found.candidates[name]
        cells = "".join(
            f"<td{kind(metric, 'beats' if found.beats_controls(name, metric) else 'fails')}>"
            f"{number(found.values[name][metric])}</td>"
            for metric in metrics
        )
        mark = '<span class="mark">control</span>' if candidate.is_control else ""
        rows.append(
            f'<tr class="{"control" if candidate.is_control else "method"}"><td>{found.rank(name, by)}</td>'
            f'<td class="name">{escape(candidate.title)}{mark}</td>{cells}</tr>'
        )
    counts = "".join(f"<td{kind(metric, 'fails')}>{_count(found, metric)}</td>" for metric in metrics)
    return (
        f'<div class="trust-table"><table><thead><tr><th></th><th></th>{above}</tr>'
        f'<tr><th></th><th class="name" scope="col">Map</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody>'
        f'<tfoot><tr><td></td><td class="name">Methods that beat every control</td>{counts}</tr></tfoot></table></div>'
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


def number(value: float) -> str:
    """A metric's value for a table."""
    if math.isnan(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _draw_curves(found: Comparison, metrics: Sequence[str], score: ScoreKind) -> None:
    followed = "Score" if score == "target" else SCORES[score]
    panels, titles = {}, {}
    for metric in metrics:
        shown = METRICS[metric].curve
        if shown is not None and (points := _points(found, shown)):
            title = shown.heading or METRICS[metric].heading
            panels[title], titles[title] = points, (shown.change, shown.unit or followed)
    if not panels:
        return
    controls = [candidate.title for candidate in found.candidates.values() if candidate.is_control]
    st.markdown(
        "**Curves**: the most important pixels first",
        help="Controls are grey and dashed. Press a name in the legend to hide it, twice to see it alone. The "
        "table's leakage is the change elsewhere at the moment when a map's score has gone half of its way.",
    )
    figure = tested_curves_figure(panels, controls, titles)
    rows = -(-len(panels) // 2)
    height = max(_HEIGHT_OF_A_ROW * rows, 24 * len(found.candidates) + 40)
    st.plotly_chart(figure, height=height, theme=None, config={"displayModeBar": False}, key="trust-curves")


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
    judged = [found.beats_controls(name, metric) for name in found.candidates]
    known = [beats for beats in judged if beats is not None]
    return f"{sum(known)} of {len(known)}" if known else "–"
