"""Convergence plots: one run on its own, several runs over each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from operator import mul
from typing import TYPE_CHECKING

from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.figures.style import (
    BLUE,
    CYCLE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    STYLES,
    heading,
    legend_or_note,
    line,
    note,
    panels,
    shape,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

History = Sequence[Mapping[str, float]]

_PARTS = {"train": (ORANGE, "--"), "val": (BLUE, "-"), "test": (GREEN, "-.")}
_PART_NAMES = {"train": "training", "val": "validation", "test": "test"}


def convergence_figure(history: History, row: Row) -> Figure:
    """One run: objective (or loss), primal residual, accuracy by iteration and by training seconds.

    A panel without a finite value is left out; the accuracy panels always appear, and say so when they are empty.
    """
    drawings: list[Callable[[Axes], None]] = []
    if _points(history, "objective")[0]:
        drawings.append(lambda axes: _objective(axes, history))
    elif any(_points(history, key)[0] for key in _loss_keys()):
        drawings.append(lambda axes: _loss(axes, history))
    if any(y > 0 for y in _points(history, "primal_residual")[1]):
        drawings.append(lambda axes: _residual(axes, history))
    drawings.append(lambda axes: _accuracy(axes, history, "iteration", "iteration", row))
    drawings.append(lambda axes: _accuracy(axes, history, "train_seconds", "training time (s)", row))

    figure, grid = panels(len(drawings))
    for axes, draw in zip(grid, drawings, strict=True):
        draw(axes)
    heading(figure, _title(row))
    return figure


def comparison_figure(runs: Sequence[tuple[Row, History]]) -> Figure:
    """Validation accuracy of several runs by iteration and by training seconds; a colour per optimizer."""
    figure, grid = panels(2)
    names = list(dict.fromkeys(_series(row, runs) for row, _ in runs))
    for axes, key, label in zip(grid, ("iteration", "train_seconds"), ("iteration", "training time (s)"), strict=True):
        drawn: set[str] = set()
        for row, history in runs:
            name = _series(row, runs)
            x, y = _points(history, "acc_val", key)
            if x:
                place = names.index(name)
                line(
                    axes, x, y, color=CYCLE[place % len(CYCLE)], linestyle=STYLES[place // len(CYCLE) % 4],
                    label=None if name in drawn else name, alpha=0.85,
                )  # fmt: skip
                drawn.add(name)
        _percent(axes)
        axes.set_xlabel(label)
        axes.set_title("validation accuracy")
        legend_or_note(axes, "no validation accuracy was recorded")
    heading(figure, _common_title(runs))
    return figure


def _objective(axes: Axes, history: History) -> None:
    x, y = _points(history, "objective")
    line(axes, x, y, color=PURPLE, label="objective")
    _log_if_wide(axes, y)
    axes.set_title("objective")
    axes.set_xlabel("iteration")


def _loss(axes: Axes, history: History) -> None:
    values: list[float] = []
    for key, (label, color, style) in _loss_keys().items():
        x, y = _points(history, key)
        if x and not (key == "loss" and values):  # the same as loss_train where there is one
            line(axes, x, y, color=color, linestyle=style, label=label)
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
        note(axes, "no positive residual was recorded")
        return
    x, y = map(list, zip(*points, strict=True))
    line(axes, x, y, color=BLUE, label="residual")
    axes.set_xscale("log")
    axes.set_yscale("log")
    if len(x) > 1:
        # o(1/k) means falling below every multiple of 1/k in the end; the lowest above all residuals shows the slope.
        highest = max(map(mul, x, y))
        axes.plot(x, [highest / k for k in x], color=GREY, linestyle=":", linewidth=1.2, label="slope of 1/k")
    axes.legend(fontsize=8, frameon=False, loc="lower left")


def _accuracy(axes: Axes, history: History, key: str, label: str, row: Row) -> None:
    for part, (color, style) in _PARTS.items():
        x, y = _points(history, f"acc_{part}", key)
        if x:
            line(axes, x, y, color=color, linestyle=style, label=_PART_NAMES[part])
    if (reached := row.get("time_to_target_s")) is not None and key == "train_seconds":
        axes.axvline(reached, color=GREY, linestyle=":", linewidth=1.2, label="target reached")
    _percent(axes)
    axes.set_title("accuracy")
    axes.set_xlabel(label)
    legend_or_note(axes, "no accuracy was recorded")


def _percent(axes: Axes) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))


def _log_if_wide(axes: Axes, values: Sequence[float]) -> None:
    if min(values) > 0 and max(values) / min(values) > 20:
        axes.set_yscale("log")


def _points(history: History, key: str, by: str = "iteration") -> tuple[list[float], list[float]]:
    """The finite points of ``key``; NaN and infinity, where a run diverged, have no place on an axis."""
    pairs = [(step.get(by), step.get(key)) for step in history]
    finite = [(float(x), float(y)) for x, y in pairs if x is not None and y is not None and math.isfinite(x + y)]
    return [x for x, _ in finite], [y for _, y in finite]


def _title(row: Row) -> str:
    status = "" if row["status"] == "ok" else f" · {str(row['status']).replace('_', ' ')}"
    return f"{row['optimizer_name']} on {row['dataset_name']} · seed {row['seed']}{shape(row)}{status}"


def _common_title(runs: Sequence[tuple[Row, History]]) -> str:
    datasets = sorted({str(row["dataset_name"]) for row, _ in runs})
    shapes = {shape(row) for row, _ in runs}
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
