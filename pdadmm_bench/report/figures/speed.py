"""The picture of ``pdadmm-bench profile``: figures of iterations beside their targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.figures.style import BLACK, BLUE, GREY, VERMILION, heading, note, panels
from pdadmm_bench.report.tables.speed import NAMES, TargetVerdict, figure_text, verdicts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = (
    ("ratio_to_floor",), ("sooner",), ("reference_ratio",), ("ratio_to_adam",), ("speedup",),
    ("linear_deviation", "proportional_deviation"),
)  # fmt: skip
"""Figures that are drawn, those of one kind in one panel."""


def speed_figure(rows: Sequence[Row]) -> Figure:
    """A panel per kind of figure that has a target: a bar per entry, its interval, and the target as a line."""
    targeted = [verdict for verdict in verdicts(rows) if verdict.value is not None]
    groups = [[verdict for verdict in targeted if verdict.figure in kind] for kind in PANELS]
    groups = [group for group in groups if group]
    tallest = [max(len(group) for group in groups[i : i + 2]) for i in range(0, len(groups), 2)]
    heights = [0.7 + 0.35 * bars for bars in tallest]
    figure, axes = panels(len(groups) or 1, width=6.2 if len(groups) > 1 else 9.0, heights=heights or [1.0])
    heading(figure, "iterations beside their targets (dashed), orange where they missed them")
    for ax, group in zip(axes, groups, strict=False):
        _bars(ax, group)
    if not groups:
        axes[0].set_axis_off()
        note(axes[0], "no figure with a target was measured")
    return figure


def _bars(axes: Axes, found: Sequence[TargetVerdict]) -> None:
    axes.grid(False, axis="y")
    axes.set_title(min((NAMES[verdict.figure] for verdict in found), key=len), fontsize=10, loc="left")
    reach = max(max(v.value or 0.0, v.high or 0.0, v.bound) for v in found)
    for place, verdict in enumerate(found):
        value = verdict.value or 0.0
        axes.barh(place, value, height=0.55, color=BLUE if verdict.met else VERMILION)
        if verdict.low is not None and verdict.high is not None:
            axes.plot([verdict.low, verdict.high], [place, place], color=BLACK, linewidth=1.4, solid_capstyle="butt")
        axes.plot([verdict.bound] * 2, [place - 0.4, place + 0.4], color=BLACK, linewidth=1.4, linestyle=(0, (2, 1)))
        end = max(value, verdict.high or 0.0, verdict.bound)
        measured, bound = (figure_text(verdict.figure, number) for number in (value, verdict.bound))
        axes.text(
            end + 0.015 * reach,
            place,
            f"{measured} (target {verdict.sign} {bound})",
            va="center",
            fontsize=8,
            color=GREY,
        )
    axes.set_yticks(range(len(found)), [verdict.entry for verdict in found])
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set_xlim(0, 1.45 * reach)
