"""What a picture shows, independent of how it is drawn: panels of curves.

:mod:`pdadmm_bench.report.figures.draw` turns them into figures of matplotlib, and
:mod:`pdadmm_bench.report.figures.interactive` turns them into plots of plotly for a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pdadmm_bench.report.figures.style import CYCLE, colour_of


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
    optimizer: str = ""
    """Whose colour it has, the same in all pictures; empty for a curve that is not of one optimizer."""
    x_low: list[float | None] = field(default_factory=list)
    x_high: list[float | None] = field(default_factory=list)
    """The interval of ``x``, for points of which both coordinates were measured."""

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
    kind: Literal["lines", "points", "steps", "scatter"] = "lines"
    """Lines with a band, points with error bars, a step function, or single points with two intervals and a name."""
    log_x: bool = False
    log_y: bool = False
    percent: bool = False
    ticks: tuple[float, ...] = ()
    guide: Curve | None = None
    """A curve to compare with, drawn dotted."""
    mark: tuple[str, float] | None = None
    """A name, and the x of a vertical line."""
    shade: tuple[str, float] | None = None
    """A name, and the x up to which the ground is shaded, from 0 on."""
    about: tuple[str, int | None] | None = None
    """The dataset and depth that it shows, for the filters of a page; None for a panel over several."""
    empty: str = "none was recorded"
    """What the panel says where it has no curve."""


@dataclass(frozen=True)
class Picture:
    """Panels under one title."""

    title: str
    panels: list[Panel]

    @property
    def names(self) -> list[str]:
        """The names of all curves."""
        return list(dict.fromkeys(curve.name for panel in self.panels for curve in panel.curves))

    def look(self, curve: Curve) -> tuple[str, int]:
        """Colour of a curve, and the number of its line style.

        An optimizer has its own colour; its curves, which differ in workers, wire or size, have different line styles.
        Curves of no optimizer take the colours in turn.
        """
        if curve.optimizer:
            curves = [each for panel in self.panels for each in panel.curves if each.optimizer == curve.optimizer]
            names = list(dict.fromkeys(each.name for each in curves))
            return colour_of(curve.optimizer), names.index(curve.name)
        number = self.names.index(curve.name)
        return CYCLE[number % len(CYCLE)], number // len(CYCLE)


def guide(name: str, x: Sequence[float], y: Sequence[float]) -> Curve:
    """A curve to compare with."""
    return Curve(name, list(x), list(y))
