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


def number(value: float, digits: int = 4) -> str:
    """A number with so many significant digits; very large and very small ones as "1.5·10⁻⁴"."""
    if not math.isfinite(value):
        return "not defined"
    plain = f"{value:.{digits}g}"
    if "e" not in plain and (value == 0 or abs(value) >= 1e-3):
        return plain.replace("-", "−")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    shown = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{shown}·10{str(int(exponent)).translate(_SUPERSCRIPTS)}".replace("-", "−")


_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
