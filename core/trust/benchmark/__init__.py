"""Which methods are right, over many images: targets drawn by a seed, every metric, intervals, verdicts."""

from .interval import Interval, t_interval
from .measurement import (
    BenchmarkSettings,
    Measurement,
    evaluate_image,
    measurements_from,
)
from .summary import SummaryRow, caution, in_words, summarise, verdict_of
from .table import text_table
from .targets import TARGET_KINDS, TargetKind, TargetSettings, draw_targets, foreground_classes

__all__ = [
    "TARGET_KINDS",
    "BenchmarkSettings",
    "Interval",
    "Measurement",
    "SummaryRow",
    "TargetKind",
    "TargetSettings",
    "caution",
    "draw_targets",
    "evaluate_image",
    "foreground_classes",
    "in_words",
    "measurements_from",
    "summarise",
    "t_interval",
    "text_table",
    "verdict_of",
]
