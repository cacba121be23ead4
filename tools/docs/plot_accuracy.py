"""Draws docs/images/accuracy.png: accuracy against seconds of every optimizer, with few labels and with many, from
``reports/accuracy`` and ``reports/many-labels``, at the pace of runs one at a time (``pace.py``).

    python tools/docs/plot_accuracy.py

A line leads from the end of the two-layer stage (hollow) to ten layers (full). Height: test accuracy, at the best
validation accuracy of the ten layers, mean over seeds and splits, with its 95 % bootstrap interval. Place: training
seconds, median; of the ten layers, to 99 % of a run's own best validation accuracy, warm start included. A method that
is far behind the best is left out.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import mean, median
from typing import NamedTuple

import many_sooner
import sooner
from headline import LAYERS
from marked import ROOT, main
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from methods import log_axis, method_of
from pace import own_seconds

from pdadmm_bench.core.history import History
from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.figures.style import colour_of, dress, heading
from pdadmm_bench.stats.estimate import aggregate

PICTURE = ROOT / "docs" / "images" / "accuracy.png"
FAR = 5.0
"""Points of accuracy behind the best of a panel from which on a method is not shown."""


@dataclass(frozen=True)
class Runs:
    """Runs with their histories."""

    rows: list[Row]
    histories: Mapping[str, History]

    @cached_property
    def by_place(self) -> Mapping[tuple[str, str], list[Row]]:
        """The runs that ended well by dataset and method."""
        found: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in self.rows:
            if row["status"] == "ok":
                found[row["dataset_name"], method_of(row)].append(row)
        return dict(found)

    def of(self, dataset: str, method: str) -> list[Row]:
        """The runs of one method on one graph."""
        return self.by_place.get((dataset, method), [])

    def start(self, row: Row) -> Mapping[str, float]:
        """The end of the two-layer stage."""
        return self.histories[row["run_id"]][0]


def figure(few: Runs, many: Runs) -> Figure:
    """Few labels above, many below, a column for each graph."""
    lines = (("few labels", "500", few), ("60 % of the rows", "128", many))
    graphs = [sorted({row["dataset_name"] for row in runs.rows}) for *_, runs in lines]
    columns = max(map(len, graphs))
    drawn = Figure(figsize=(2.9 * columns, 6.4), dpi=120, layout="constrained")
    grid = drawn.subplots(2, columns, squeeze=False)
    shown: dict[str, None] = {}
    for axes, names, (labels, units, runs) in zip(grid, graphs, lines, strict=True):
        for place, panel in enumerate(axes):
            if place >= len(names):
                panel.remove()
                continue
            dress(panel)
            found = {method: points_of(names[place], method, runs) for method in methods(runs)}
            known = {method: points for method, points in found.items() if points}
            highest = max(points.ten for points in known.values())
            near = {method: points for method, points in known.items() if highest - points.ten < FAR}
            for method, points in near.items():
                _draw(panel, method, points)
            shown |= dict.fromkeys(near)
            panel.set_ylim(min(points.low for points in near.values()) - 0.3)
            panel.set_title(f"{names[place]}, {labels}, × {units}", fontsize=9)
            log_axis(panel)
            panel.set_xlabel("training seconds", fontsize=8)
        axes[0].set_ylabel("test accuracy, %", fontsize=8)
    drawn.legend(handles=_legend(shown), loc="outside lower center", ncols=7, fontsize=8, frameon=False)
    heading(drawn, f"Accuracy against seconds: two layers (hollow), then {LAYERS} layers (full), from the common start")
    return drawn


class Points(NamedTuple):
    """Accuracies in percent and seconds of one method on one graph."""

    two: float
    two_seconds: float
    ten: float
    ten_seconds: float
    low: float
    high: float
    """The interval of ``ten``."""


def methods(runs: Runs) -> list[str]:
    """All methods, pdADMM and its variants last, so that they are drawn above the others."""
    return sorted({method for _, method in runs.by_place}, key=lambda method: (method.startswith("pdadmm"), method))


def points_of(dataset: str, method: str, runs: Runs) -> Points | None:
    """Accuracies and seconds; None where the method has no runs."""
    found = runs.of(dataset, method)
    if not found:
        return None
    ten = aggregate(map(percent, found), "mean")
    assert ten.value is not None
    return Points(
        two=100 * mean(runs.start(row)["acc_test"] for row in found),
        two_seconds=median(runs.start(row)["train_seconds"] for row in found),
        ten=ten.value,
        ten_seconds=median(own_seconds(row, runs.histories) for row in found),
        low=ten.value if ten.low is None else ten.low,
        high=ten.value if ten.high is None else ten.high,
    )


def _draw(axes: Axes, method: str, points: Points) -> None:
    colour, ours = colour_of(method.partition(",")[0]), method.startswith("pdadmm")
    look = {"color": colour, "marker": _mark(method), "linestyle": "none"}
    axes.plot(
        [points.two_seconds, points.ten_seconds], [points.two, points.ten], color=colour, linewidth=0.8, alpha=0.6
    )
    axes.plot([points.two_seconds], [points.two], markersize=4, markerfacecolor="white", **look)
    axes.plot([points.ten_seconds], [points.ten], markersize=7 if ours else 4.5, **look)
    axes.plot([points.ten_seconds] * 2, [points.low, points.high], color=colour, linewidth=1.0)


def _mark(method: str) -> str:
    return "D" if "batches" in method else "o"


def percent(row: Row) -> float:
    """Test accuracy at the best validation accuracy."""
    return 100 * float(row["acc_test_at_best_val"])


def _legend(shown: Iterable[str]) -> list[Line2D]:
    return [
        Line2D([], [], linestyle="none", label=method, color=colour_of(method.partition(",")[0]), marker=_mark(method))
        for method in sorted(shown)
    ]


def committed() -> tuple[Runs, Runs]:
    """The runs behind the picture. A graph that was not timed has the seconds of two runs side by side."""
    return Runs(*sooner.runs(sooner.TIMES.load())), Runs(*many_sooner.runs(many_sooner.SOONEST.load()))


def draw() -> None:
    """Write the picture."""
    figure(*committed()).savefig(PICTURE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], draw=draw))
