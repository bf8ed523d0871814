"""A benchmark as a table to read, plain or as Markdown."""

import math
from collections.abc import Sequence

from ..metrics.registry import METRICS
from .summary import SummaryRow, Verdict

_MARKS: dict[Verdict, str] = {"better": " +", "worse": " -", "not told apart": " ="}
_LEGEND = (
    "Against the best control: + better, - worse, = not told apart, each at 95 %; nothing is corrected for many "
    "comparisons."
)


def text_table(rows: Sequence[SummaryRow], *, markdown: bool = False) -> str:
    """A line per candidate, the best average rank first, a column per metric, and a legend below.

    Args:
        rows: What `summarise` gives.
        markdown: With bars between the columns, for a README, and with the intervals too; they would make lines too
            long for a terminal.
    """
    metrics = list(dict.fromkeys(row.metric for row in rows))
    cells = {(row.candidate, row.metric): row for row in rows}
    header = ["Method", *(METRICS[metric].heading for metric in metrics), "Seconds per map"]
    body = []
    for name in _by_average_rank(rows):
        found = [cells[name, metric] for metric in metrics]
        title = f"{found[0].title} (control)" if found[0].is_control else found[0].title
        body.append([title, *(_cell(row, interval=markdown) for row in found), _number(found[0].seconds)])
    if markdown:
        rule = ["---", *["--:"] * (len(header) - 1)]
        lines = [f"| {' | '.join(line)} |" for line in (header, rule, *body)]
    else:
        widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]
        lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in (header, *body)]
    values = "Mean [95 % interval over images]" if markdown else "Means over all targets"
    return "\n".join([*lines, "", f"{values}. {_LEGEND}"])


def _by_average_rank(rows: Sequence[SummaryRow]) -> list[str]:
    ranks: dict[str, list[int]] = {}
    for row in rows:
        ranks.setdefault(row.candidate, []).extend([row.rank] if row.rank else [])
    return sorted(ranks, key=lambda name: sum(ranks[name]) / len(ranks[name]) if ranks[name] else math.inf)


def _cell(row: SummaryRow, *, interval: bool) -> str:
    if not row.targets:
        return "-"
    ends = f" [{_number(row.low)}, {_number(row.high)}]" if interval and not math.isnan(row.low) else ""
    return f"{_number(row.mean)}{ends}{_MARKS.get(row.verdict, '')}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"
