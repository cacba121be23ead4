"""What all pictures share: colours, panels, lines and titles.

Figures are made as :class:`matplotlib.figure.Figure`, without pyplot, which would choose a window system and keep every
figure in memory. The colours are those of Okabe and Ito, which people with any common colour blindness can tell apart.
An optimizer has one colour in all pictures; its curves in one picture differ in their line style. Curves of no
optimizer take the colours in turn.
"""

from __future__ import annotations

import math
import textwrap
import zlib
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
# No black and no dark colours, which would be lost on a dark page. The last four are as far from each other and from
# the rest as is possible, also to readers who do not tell red from green, or blue from yellow.
_BROWN, _INDIGO, _LAVENDER, _LEAF, _VIOLET = "#8B5E3C", "#5533BB", "#AA77FF", "#99BB66", "#9900FF"
_OPTIMIZERS = {
    "pdadmm": BLUE, "adam": VERMILION, "sgd": GREEN, "adagrad": ORANGE, "dladmm": PURPLE, "pdadmm-q": SKY,
    "adadelta": _BROWN, "pdadmm-m": _INDIGO, "pdadmm-c": _LAVENDER, "ddg": _LEAF, "fdg": _VIOLET,
    "pdadmm-reference": GREY,
}  # fmt: skip
_OTHERS = ("#AA4499", "#999933", "#6699CC", "#882255")


def colour_of(optimizer: str) -> str:
    """The colour of an optimizer, the same in every picture; one that is not ours gets one by its name."""
    return _OPTIMIZERS.get(optimizer) or _OTHERS[zlib.crc32(optimizer.encode()) % len(_OTHERS)]


def panels(
    count: int, width: float = 4.6, height: float = 3.3, heights: Sequence[float] = ()
) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` axes: three of them in one row, any other number in rows of two.

    Args:
        count: number of axes, at least 1.
        width, height: of one of the axes, in inches.
        heights: of each row in inches, where they differ.
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
    """Give axes the common look: two spines, a grid behind the curves, small labels."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", labelsize=8)
    axes.xaxis.label.set_fontsize(9)


def heading(figure: Figure, text: str) -> None:
    """Write the title of the whole figure, in as many lines as it needs."""
    letters = int(figure.get_figwidth() * 11)
    figure.suptitle("\n".join(textwrap.wrap(text, letters)), fontsize=11, x=0.01, ha="left", fontweight="bold")


def line(axes: Axes, x: Sequence[float], y: Sequence[float], **look: Any) -> None:
    """Draw a line. Up to twelve points get a mark each, since a single point has no visible line."""
    axes.plot(x, y, linewidth=1.6, marker="o" if len(x) <= 12 else None, markersize=3.5, **look)


def note(axes: Axes, text: str) -> None:
    """Write ``text`` in the middle of empty axes."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=9, color=GREY)


def shape(row: Row) -> str:
    """Network and workers of a row, as the end of a title."""
    parts = []
    if row["model_layers"] is not None and row["model_hidden"] is not None:
        parts.append(f"{row['model_layers']} layers × {row['model_hidden']}")
    if row["dist_workers"] is not None:
        plural = "" if row["dist_workers"] == 1 else "s"
        parts.append(f"{row['dist_workers']} worker{plural} ({row['dist_device']})")
    return "".join(f" · {part}" for part in parts)
