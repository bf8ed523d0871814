"""Numbers in words."""

import math
from collections.abc import Sequence


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


def counted(count: int, what: str) -> str:
    """A number of things, e.g. "1 image" or "1,200 images"."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def class_in_words(name: str) -> str:
    """A class by its name; by its number where it has no other, e.g. "class 3"."""
    return f"class {name}" if name.isdecimal() else name


def bytes_in_words(size: float) -> str:
    """A number of bytes as "3.4 GB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def ordinal(count: int) -> str:
    """A whole number such as 4 as "4th"."""
    is_teen = count % 100 in (11, 12, 13)
    return f"{count}{'th' if is_teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(count % 10, 'th')}"


def confidence(probability: float) -> str:
    """A probability in per cent; "> 99.9 %" for one that is not quite certain, as none of a softmax is."""
    return "> 99.9 %" if probability > 0.9995 else percent(probability)


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


def decimals(values: Sequence[float]) -> int:
    """Number of decimals that gives the largest of some numbers three digits."""
    return max(0, 2 - _exponent(values))


def same_precision(values: Sequence[float]) -> list[str]:
    """The numbers of a column, all with the same decimals, see `decimals`; "–" for one that is NaN."""
    exponent = _exponent(values)
    power = f"·10{str(exponent).translate(_SUPERSCRIPTS)}" if exponent < -_FEW_ZEROS else ""
    scale, places = (10.0**exponent, 2) if power else (1.0, decimals(values))
    return [
        f"{round(value / scale, places) + 0.0:,.{places}f}{power}".replace("-", "−") if math.isfinite(value) else "–"
        for value in values
    ]


def _exponent(values: Sequence[float]) -> int:
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return math.floor(math.log10(largest)) if largest else 2


_FEW_ZEROS = 3
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
