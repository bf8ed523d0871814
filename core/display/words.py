"""Numbers in words."""

import math


def duration(seconds: float) -> str:
    """A time as "8 s", "3 min" or "1 h 20 min"; "…" for one that is not known."""
    if not math.isfinite(seconds):
        return "…"
    if seconds < 1:
        return "under 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def percent(share: float) -> str:
    """A share such as 0.125 as "12.5 %"; "none" for one that is not defined."""
    return "none" if math.isnan(share) else f"{100 * share:.1f} %"
