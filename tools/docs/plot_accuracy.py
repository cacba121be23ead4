"""Draw docs/images/accuracy.png: accuracy and seconds of every optimizer on every graph, from ``reports/accuracy`` and
``reports/sooner``.

    python tools/docs/plot_accuracy.py docs/images/accuracy.png

Ten layers from the common start. Above, test accuracy at the best validation accuracy: mean and 95 % bootstrap interval
over seeds and splits. Below, training seconds to 99 % of a run's own best validation accuracy, with the first layer as
small for every optimizer: median and interval.
"""

from __future__ import annotations

import sys
from pathlib import Path

from headline import LAYERS, TABLE, deep
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from paired import METHOD
from sooner import TIMES

from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.figures.style import BLUE, GREY, dress, heading
from pdadmm_bench.report.tables.settings import once
from pdadmm_bench.stats.estimate import Estimate, aggregate

OPTIMIZERS = ("pdadmm", "pdadmm-q", "pdadmm-m", "dladmm", "sgd", "adam", "adagrad", "adadelta", "ddg")


def figure(rows: list[Row], timed: list[Row]) -> Figure:
    """A column for each graph: accuracies of ``rows``, seconds of ``timed``."""
    compared, reduced = deep(rows), deep(timed)
    datasets = sorted({row["dataset_name"] for row in compared})
    drawn = Figure(figsize=(2.6 * len(datasets) + 0.8, 5.4), dpi=120, layout="constrained")
    grid = drawn.subplots(2, len(datasets), squeeze=False, sharey=True)
    for axes in grid.flat:
        dress(axes)
        axes.set_yticks(range(len(OPTIMIZERS)), reversed(OPTIMIZERS))
    for place, dataset in enumerate(datasets):
        accuracy, seconds = grid[0][place], grid[1][place]
        for height, optimizer in enumerate(reversed(OPTIMIZERS)):
            found = _of(compared, dataset, optimizer)
            _dot(accuracy, height, aggregate((percent(row) for row in found), "mean"), optimizer)
            found = _of(reduced, dataset, optimizer)
            _dot(seconds, height, aggregate((row["time_to_near_best_s"] for row in found), "median"), optimizer)
        accuracy.set_title(dataset, fontsize=10)
        accuracy.set_xlabel("test accuracy, %", fontsize=8)
        seconds.set_xscale("log")
        seconds.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        seconds.xaxis.set_major_formatter("{x:g}")
        seconds.xaxis.set_minor_formatter(NullFormatter())
        seconds.set_xlabel("seconds to 99 %", fontsize=8)
    heading(drawn, f"{LAYERS} layers × 500, common start: how accurate, and how soon")
    return drawn


def _of(rows: list[Row], dataset: str, optimizer: str) -> list[Row]:
    return once(row for row in rows if row["dataset_name"] == dataset and row["optimizer_name"] == optimizer)


def percent(row: Row) -> float | None:
    """Test accuracy at the best validation accuracy."""
    value: float | None = row["acc_test_at_best_val"]
    return None if value is None else 100 * value


def _dot(axes: Axes, height: float, found: Estimate, optimizer: str) -> None:
    color = BLUE if optimizer == METHOD else GREY
    if found.value is None:
        return
    axes.plot([found.value], [height], "o", color=color, markersize=5)
    if found.low is not None and found.high is not None:
        axes.plot([found.low, found.high], [height, height], color=color, linewidth=2)


if __name__ == "__main__":
    figure(TABLE.load(), TIMES.load()).savefig(Path(sys.argv[1]))
