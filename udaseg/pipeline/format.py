"""Numbers as the report prints them. Absent values are a dash, negative ones have a true minus sign."""

import math
from typing import Any

DASH = "–"


def percent(value: float | None, digits: int = 1) -> str:
    """Print a fraction in per cent, without the sign. Of a ratio above 10 the digits say nothing more."""
    if value is not None and value > 10:
        return ">1000"
    return DASH if value is None else _minus(f"{100 * value:.{digits}f}")


def points(value: float | None) -> str:
    """Print a difference of fractions in points, always with its sign."""
    if value is None:
        return DASH
    return _minus(f"{100 * value:+.1f}") if round(1000 * value) else "0.0"


def share(value: float | None) -> str:
    """Print a share in per cent: rare classes keep two significant digits."""
    if value is None:
        return DASH
    if 0 < value < 0.001:
        return "<0.1" if value < 0.0001 else f"{100 * value:.2f}"
    return f"{100 * value:.1f}"


def count(value: float | None) -> str:
    """Print a count of pixels or files with thin spaces between thousands."""
    return DASH if value is None else f"{round(value):,}".replace(",", "\u202f")


def duration(seconds: Any) -> str:
    """Print seconds as people say them."""
    if not isinstance(seconds, int | float):
        return DASH
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def moment(started: Any) -> str:
    """Print a time of ISO 8601 to the minute."""
    return started[:16].replace("T", " ") if isinstance(started, str) and started else DASH


def size(number: Any) -> str:
    """Print a number of bytes in decimal units."""
    if not isinstance(number, int | float):
        return DASH
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 10 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def number(value: Any) -> str:
    """Print any number with four significant digits; whole numbers whole, other values as they are."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return count(value) if abs(value) >= 10_000 else _minus(str(value))
    return _minus(f"{value:.4g}") if math.isfinite(value) else str(value)


def _minus(text: str) -> str:
    return text.replace("-", "−")
