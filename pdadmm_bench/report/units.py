"""Quantities as text, the same everywhere: three significant digits and a unit."""

from __future__ import annotations


def seconds(value: float | None) -> str:
    """A duration, in ms below a second."""
    if value is None:
        return "–"
    return f"{value * 1000:.3g} ms" if value < 0.9995 else f"{value:.3g} s" if value < 999.5 else f"{value:,.0f} s"


def size(num_bytes: float) -> str:
    """Bytes, in powers of 1000."""
    for unit in ("B", "kB", "MB"):
        if num_bytes < 999.5:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} GB"


def duration(value: float) -> str:
    """A duration for planning: in seconds, minutes, or hours and minutes."""
    if value < 100:
        return f"{value:.0f} s"
    minutes = round(value / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


def signed(value: float, digits: int = 1) -> str:
    """A difference with its sign, a minus as long as a plus."""
    return f"{value:+.{digits}f}".replace("-", "−")
