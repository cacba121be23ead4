"""Pictures as figures of matplotlib."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

from pdadmm_bench.report.figures.picture import Curve, Panel, Picture
from pdadmm_bench.report.figures.style import GREY, STYLES, heading, line, note, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = ("o", "s", "D", "^", "X", "*")


def figure(picture: Picture) -> Figure:
    """Draw all panels of a picture under its title, with one legend below them."""
    count = len(picture.panels)
    drawn, grid = panels(count, *((7.0, 4.2) if count == 1 else ()))
    for axes, panel in zip(grid, picture.panels, strict=True):
        axes.set_title(panel.title, fontsize=10)
        axes.set_xlabel(panel.x)
        if panel.curves:
            _draw(axes, panel, picture)
        else:
            note(axes, panel.empty)
    heading(drawn, picture.title)
    _legend(drawn, grid)
    return drawn


def svg(picture: Picture) -> bytes:
    """The picture as an SVG file; the same picture is always the same file."""
    content = io.BytesIO()
    figure(picture).savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()


def _legend(drawn: Figure, grid: list[Axes]) -> None:
    found = {
        label: handle
        for axes in grid
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }  # fmt: skip
    columns = max(1, int(drawn.get_figwidth() / (0.6 + 0.065 * max(map(len, found), default=1))))
    drawn.set_figheight(drawn.get_figheight() + 0.17 * math.ceil(len(found) / columns))
    drawn.legend(found.values(), found, loc="outside lower left", ncols=columns, fontsize=8, frameon=False)


def _draw(axes: Axes, panel: Panel, picture: Picture) -> None:
    if panel.shade:
        axes.axvspan(0, panel.shade[1], color=GREY, alpha=0.12, linewidth=0, label=panel.shade[0])
    for place, curve in enumerate(panel.curves):
        colour, number = picture.look(curve)
        look: dict[str, Any] = {"color": colour, "linestyle": STYLES[number % len(STYLES)], "label": curve.label}
        if panel.kind == "scatter":
            _point(axes, curve, colour, MARKERS[number % len(MARKERS)])
        elif panel.kind == "steps":
            width = 1.5 + 0.6 * (len(panel.curves) - 1 - place)  # so that the lower of two equal curves stays visible
            axes.step(curve.x, curve.y, where="post", linewidth=width, **look)
        else:
            line(axes, curve.x, curve.y, **look)
            _spread(axes, panel, curve, look["color"])
    if guide := panel.guide:
        axes.plot(guide.x, guide.y, color=GREY, linestyle=":", linewidth=1.2, label=guide.name)
    if panel.mark:
        name, x = panel.mark
        axes.axvline(x, color=GREY, linestyle=":", linewidth=1.2, label=name)
    _scales(axes, panel)


def _point(axes: Axes, curve: Curve, colour: str, marker: str) -> None:
    (x,), (y,) = curve.x, curve.y
    axes.plot([x], [y], marker, markersize=6, color=colour, label=curve.label)
    for low, high in zip(curve.x_low, curve.x_high, strict=True):
        if low is not None and high is not None:
            axes.plot([low, high], [y, y], color=colour, linewidth=1.2)
    for low, high in zip(curve.low, curve.high, strict=True):
        if low is not None and high is not None:
            axes.plot([x, x], [low, high], color=colour, linewidth=1.2)
    axes.annotate(curve.name, (x, y), xytext=(5, 5), textcoords="offset points", fontsize=8, color=colour)


def _spread(axes: Axes, panel: Panel, curve: Curve, color: Any) -> None:
    """A band, or a bar at each point that has an interval."""
    if not curve.n:
        return
    known = zip(curve.x, curve.low, curve.high, strict=True)
    ends = [(x, low, high) for x, low, high in known if low is not None and high is not None]
    if panel.kind == "points":
        for x, low, high in ends:
            axes.plot([x, x], [low, high], color=color, alpha=0.5)
    elif max(curve.n) > 1:
        places, lows, highs = (list(column) for column in zip(*ends, strict=True))
        axes.fill_between(places, lows, highs, color=color, alpha=0.15, linewidth=0)


def _scales(axes: Axes, panel: Panel) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    if panel.log_x:
        axes.set_xscale("log")
    elif panel.x == "iteration":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if panel.log_y:
        axes.set_yscale("log")
    if panel.ticks:
        axes.set_xticks(panel.ticks, [f"{tick:g}" for tick in panel.ticks])
        axes.set_xticks([], minor=True)
    if panel.kind == "points":
        axes.set_ylim(0, 1.08 * axes.dataLim.y1)
    if panel.percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    if panel.kind == "steps":
        axes.set_ylim(-0.04, 1.04)
