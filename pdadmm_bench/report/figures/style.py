"""What every picture shares: colours, panels, lines, titles.

Drawn on a :class:`matplotlib.figure.Figure` directly: pyplot would choose a window system and keep every figure alive.
The colours are Okabe and Ito's, which stay apart under every common colour blindness; line styles repeat them.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pdadmm_bench.core.rows import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000",
)  # fmt: skip
CYCLE = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK)
STYLES = ("-", "--", "-.", ":")
GREY = "#6b6b6b"


def panels(
    count: int, width: float = 4.6, height: float = 3.3, heights: Sequence[float] = ()
) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` axes of this size in inches, three of them in one line, other numbers two in a line.

    ``heights`` are those of the lines, where they differ.
    """
    from matplotlib.figure import Figure

    columns = count if count in (1, 3) else 2
    lines = list(heights) or [height] * math.ceil(count / columns)
    figure = Figure(figsize=(width * columns, sum(lines) + 0.3), dpi=120, layout="constrained")
    drawn = figure.subplots(len(lines), columns, squeeze=False, height_ratios=lines)
    grid = [axes for line in drawn for axes in line]
    for axes in grid[count:]:
        axes.remove()
    del grid[count:]
    for axes in grid:
        dress(axes)
    return figure, grid


def dress(axes: Axes) -> None:
    """What all axes look like: two spines, a grid behind what is drawn, small labels."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", labelsize=8)
    axes.xaxis.label.set_fontsize(9)


def heading(figure: Figure, text: str) -> None:
    """The title of the whole figure, in as many lines as it takes."""
    letters = int(figure.get_figwidth() * 11)
    figure.suptitle("\n".join(textwrap.wrap(text, letters)), fontsize=11, x=0.01, ha="left", fontweight="bold")


def line(axes: Axes, x: Sequence[float], y: Sequence[float], **look: Any) -> None:
    """A line; a single point has no line to see, and a few deserve a mark each."""
    axes.plot(x, y, linewidth=1.6, marker="o" if len(x) <= 12 else None, markersize=3.5, **look)


def note(axes: Axes, text: str) -> None:
    """``text`` in the middle of axes that stay empty."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=9, color=GREY)


def shape(row: Row) -> str:
    """Network and workers of a row, as the tail of a title."""
    parts = []
    if row["model_layers"] is not None and row["model_hidden"] is not None:
        parts.append(f"{row['model_layers']} layers × {row['model_hidden']}")
    if row["dist_workers"] is not None:
        plural = "" if row["dist_workers"] == 1 else "s"
        parts.append(f"{row['dist_workers']} worker{plural} ({row['dist_device']})")
    return "".join(f" · {part}" for part in parts)
