"""Convergence plots: one run on its own, several runs over each other.

Drawn on a :class:`matplotlib.figure.Figure` directly: pyplot would choose a window system and keep every figure alive.
The colours are Okabe and Ito's, which stay apart under every common colour blindness; line styles repeat them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pdadmm_bench.core.rows import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

History = Sequence[Mapping[str, float]]

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000",
)  # fmt: skip
_CYCLE = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK)
_STYLES = ("-", "--", "-.", ":")
_PARTS = {"train": (ORANGE, "--"), "val": (BLUE, "-"), "test": (GREEN, "-.")}
_PART_NAMES = {"train": "training", "val": "validation", "test": "test"}
_GREY = "#6b6b6b"


def convergence_figure(history: History, row: Row) -> Figure:
    """One run: objective (or loss), primal residual, accuracy by iteration and by training seconds.

    A panel without a finite value is left out; the accuracy panels always appear, and say so when they are empty.
    """
    panels: list[Callable[[Axes], None]] = []
    if _points(history, "objective")[0]:
        panels.append(lambda axes: _objective(axes, history))
    elif any(_points(history, key)[0] for key in _loss_keys()):
        panels.append(lambda axes: _loss(axes, history))
    if any(y > 0 for y in _points(history, "primal_residual")[1]):
        panels.append(lambda axes: _residual(axes, history))
    panels.append(lambda axes: _accuracy(axes, history, "iteration", "iteration", row))
    panels.append(lambda axes: _accuracy(axes, history, "train_seconds", "training time (s)", row))

    figure, grid = _figure(len(panels))
    for axes, draw in zip(grid, panels, strict=True):
        draw(axes)
    figure.suptitle(_title(row), fontsize=11, x=0.01, ha="left", fontweight="bold")
    return figure


def comparison_figure(runs: Sequence[tuple[Row, History]]) -> Figure:
    """Validation accuracy of several runs by iteration and by training seconds; a colour per optimizer."""
    figure, grid = _figure(2)
    names = list(dict.fromkeys(_series(row, runs) for row, _ in runs))
    for axes, key, label in zip(grid, ("iteration", "train_seconds"), ("iteration", "training time (s)"), strict=True):
        drawn: set[str] = set()
        for row, history in runs:
            name = _series(row, runs)
            x, y = _points(history, "acc_val", key)
            if x:
                place = names.index(name)
                _line(
                    axes, x, y, color=_CYCLE[place % len(_CYCLE)], linestyle=_STYLES[place // len(_CYCLE) % 4],
                    label=None if name in drawn else name, alpha=0.85,
                )  # fmt: skip
                drawn.add(name)
        _percent(axes)
        axes.set_xlabel(label)
        axes.set_title("validation accuracy")
        _legend_or_note(axes, "no validation accuracy was recorded")
    figure.suptitle(_common_title(runs), fontsize=11, x=0.01, ha="left", fontweight="bold")
    return figure


def _figure(panels: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    columns = 2 if panels in (2, 4) else panels
    lines = math.ceil(panels / columns)
    figure = Figure(figsize=(4.6 * columns, 3.3 * lines + 0.3), dpi=120, layout="constrained")
    grid = [axes for line in figure.subplots(lines, columns, squeeze=False) for axes in line]
    for axes in grid:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(True, color="#e4e4e4", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(which="both", labelsize=8)
        axes.xaxis.label.set_size(9)
        axes.title.set_size(10)
    return figure, grid


def _objective(axes: Axes, history: History) -> None:
    x, y = _points(history, "objective")
    _line(axes, x, y, color=PURPLE, label="objective")
    _log_if_wide(axes, y)
    axes.set_title("objective")
    axes.set_xlabel("iteration")


def _loss(axes: Axes, history: History) -> None:
    values: list[float] = []
    for key, (label, color, style) in _loss_keys().items():
        x, y = _points(history, key)
        if x and not (key == "loss" and values):  # the same as loss_train where there is one
            _line(axes, x, y, color=color, linestyle=style, label=label)
            values += y
    _log_if_wide(axes, values)
    axes.set_title("loss")
    axes.set_xlabel("iteration")
    axes.legend(fontsize=8, frameon=False, loc="upper right")


def _loss_keys() -> dict[str, tuple[str, str, str]]:
    parts = {f"loss_{part}": (_PART_NAMES[part], *look) for part, look in _PARTS.items()}
    return {**parts, "loss": ("training", ORANGE, "-")}


def _residual(axes: Axes, history: History) -> None:
    points = [(x, y) for x, y in zip(*_points(history, "primal_residual"), strict=True) if x > 0 and y > 0]
    axes.set_title("primal residual")
    axes.set_xlabel("iteration")
    if not points:
        _note(axes, "no positive residual was recorded")
        return
    x, y = map(list, zip(*points, strict=True))
    _line(axes, x, y, color=BLUE, label="residual")
    axes.set_xscale("log")
    axes.set_yscale("log")
    if len(x) > 1:
        # o(1/k) means falling below every multiple of 1/k in the end; the one through the first point shows the slope.
        axes.plot(x, [y[0] * x[0] / k for k in x], color=_GREY, linestyle=":", linewidth=1.2, label="slope of 1/k")
    axes.legend(fontsize=8, frameon=False, loc="lower left")


def _accuracy(axes: Axes, history: History, key: str, label: str, row: Row) -> None:
    for part, (color, style) in _PARTS.items():
        x, y = _points(history, f"acc_{part}", key)
        if x:
            _line(axes, x, y, color=color, linestyle=style, label=_PART_NAMES[part])
    if (reached := row.get("time_to_target_s")) is not None and key == "train_seconds":
        axes.axvline(reached, color=_GREY, linestyle=":", linewidth=1.2, label="target reached")
    _percent(axes)
    axes.set_title("accuracy")
    axes.set_xlabel(label)
    _legend_or_note(axes, "no accuracy was recorded")


def _line(axes: Axes, x: Sequence[float], y: Sequence[float], **look: Any) -> None:
    # A single point has no line to see, a few deserve a mark each.
    axes.plot(x, y, linewidth=1.6, marker="o" if len(x) <= 12 else None, markersize=3.5, **look)


def _percent(axes: Axes) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))


def _log_if_wide(axes: Axes, values: Sequence[float]) -> None:
    if min(values) > 0 and max(values) / min(values) > 20:
        axes.set_yscale("log")


def _legend_or_note(axes: Axes, note: str) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False, loc="lower right")
    else:
        _note(axes, note)


def _note(axes: Axes, note: str) -> None:
    axes.text(0.5, 0.5, note, transform=axes.transAxes, ha="center", va="center", fontsize=9, color=_GREY)


def _points(history: History, key: str, by: str = "iteration") -> tuple[list[float], list[float]]:
    """The finite points of ``key``; NaN and infinity, where a run diverged, have no place on an axis."""
    pairs = [(step.get(by), step.get(key)) for step in history]
    finite = [(float(x), float(y)) for x, y in pairs if x is not None and y is not None and math.isfinite(x + y)]
    return [x for x, _ in finite], [y for _, y in finite]


def _title(row: Row) -> str:
    status = "" if row["status"] == "ok" else f" · {str(row['status']).replace('_', ' ')}"
    return f"{row['optimizer_name']} on {row['dataset_name']} · seed {row['seed']}{_shape(row)}{status}"


def _common_title(runs: Sequence[tuple[Row, History]]) -> str:
    datasets = sorted({str(row["dataset_name"]) for row, _ in runs})
    shapes = {_shape(row) for row, _ in runs}
    return ", ".join(datasets) + (shapes.pop() if len(shapes) == 1 else "")


def _series(row: Row, runs: Sequence[tuple[Row, History]]) -> str:
    """The optimizer, with its workers or dataset where the runs differ in those."""
    several = {key: len({other[key] for other, _ in runs}) > 1 for key in ("dataset_name", "dist_workers")}
    parts = [str(row["optimizer_name"])]
    if several["dataset_name"]:
        parts.append(f"on {row['dataset_name']}")
    if several["dist_workers"]:
        parts.append(f"× {row['dist_workers']}")
    return " ".join(parts)


def _shape(row: Row) -> str:
    parts = []
    if row["model_layers"] is not None and row["model_hidden"] is not None:
        parts.append(f"{row['model_layers']} layers × {row['model_hidden']}")
    if row["dist_workers"] is not None:
        plural = "" if row["dist_workers"] == 1 else "s"
        parts.append(f"{row['dist_workers']} worker{plural} ({row['dist_device']})")
    return "".join(f" · {part}" for part in parts)
