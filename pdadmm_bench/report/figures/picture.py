"""What a picture shows, independent of how it is drawn: panels of curves.

:mod:`pdadmm_bench.report.figures.draw` turns them into figures of matplotlib, and
:mod:`pdadmm_bench.report.figures.interactive` turns them into plots of plotly for a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Curve:
    """Values over ``x``.

    ``low`` and ``high`` are None where there is no interval; ``n`` is the number of runs behind each value. All three
    are empty for a curve that is no statistic.
    """

    name: str
    """Curves of one name have the same colour and line style in all panels of a picture."""
    x: list[float]
    y: list[float]
    low: list[float | None] = field(default_factory=list)
    high: list[float | None] = field(default_factory=list)
    n: list[int] = field(default_factory=list)
    unquotable: bool = False
    """Whether its seconds are of runs that shared the machine."""

    @property
    def label(self) -> str:
        """The name, with the number of runs and a warning where the machine was shared."""
        parts = [f"n={max(self.n)}"] if self.n else []
        parts += ["machine shared"] if self.unquotable else []
        return self.name + (f" ({', '.join(parts)})" if parts else "")


@dataclass(frozen=True)
class Panel:
    """One plot of curves."""

    title: str
    x: str
    curves: list[Curve]
    kind: Literal["lines", "points", "steps"] = "lines"
    """Lines with a band, points with error bars, or a step function."""
    log_x: bool = False
    log_y: bool = False
    percent: bool = False
    ticks: tuple[float, ...] = ()
    guide: Curve | None = None
    """A curve to compare with, drawn dotted."""
    mark: tuple[str, float] | None = None
    """A name, and the x of a vertical line."""
    empty: str = "none was recorded"
    """What the panel says where it has no curve."""


@dataclass(frozen=True)
class Picture:
    """Panels under one title."""

    title: str
    panels: list[Panel]

    @property
    def names(self) -> list[str]:
        """The names of all curves; their order decides colours and line styles."""
        return list(dict.fromkeys(curve.name for panel in self.panels for curve in panel.curves))


def guide(name: str, x: Sequence[float], y: Sequence[float]) -> Curve:
    """A curve to compare with."""
    return Curve(name, list(x), list(y))
