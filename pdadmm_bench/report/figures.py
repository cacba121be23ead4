"""Pictures of a report: convergence per dataset and network, speedups, performance profiles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.lines import Line, gather, quotable
from pdadmm_bench.report.profile import profiles
from pdadmm_bench.report.speedups import Point
from pdadmm_bench.report.style import CYCLE, GREY, STYLES, heading, line, note, panels
from pdadmm_bench.report.tables import slug

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Histories = Mapping[str, Sequence[Mapping[str, float]]]


@dataclass(frozen=True)
class Curve:
    """The median over runs at each iteration, and their range."""

    name: str
    x: list[float]
    y: list[float]
    low: list[float]
    high: list[float]
    runs: int
    unquotable: bool = False
    """Whether ``x`` are seconds of runs that shared the machine."""


@dataclass(frozen=True)
class Panel:
    """One plot of curves; without any, ``empty`` says why."""

    title: str
    x: str
    curves: list[Curve]
    log_x: bool = False
    log_y: bool = False
    percent: bool = False
    slope: bool = False
    """Whether the slope of 1/k is drawn through the first point."""
    empty: str = ""


def convergence(rows: Sequence[Row], histories: Histories) -> dict[str, list[Panel]]:
    """Four panels for each dataset, network and number of workers: objective, residual, accuracy twice."""
    found: dict[str, list[Panel]] = {}
    lines = [each for each in gather(rows) if _histories(each, histories)]
    for problem in dict.fromkeys(each.problem for each in lines):
        dataset, layers, hidden, workers = problem
        mine = [each for each in lines if each.problem == problem]
        title = f"{dataset} · {layers} layers × {hidden} · {workers} worker{'' if workers == 1 else 's'}"
        residual = _curves(mine, histories, "primal_residual", positive=True)
        objective = _curves(mine, histories, "objective")
        accuracy = _curves(mine, histories, "acc_val")
        seconds = _curves(mine, histories, "acc_val", by="train_seconds")
        wide = [y for curve in objective for y in curve.y]
        found[title] = [
            Panel(
                "objective",
                "iteration",
                objective,
                log_y=bool(wide) and min(wide) > 0,
                empty="none was recorded",
            ),
            Panel("primal residual", "iteration", residual, True, True, slope=True, empty="none was recorded"),
            Panel("validation accuracy", "iteration", accuracy, percent=True, empty="none was recorded"),
            Panel("validation accuracy", "training time (s)", seconds, percent=True, empty="none was recorded"),
        ]
    return found


def _histories(each: Line, histories: Histories) -> list[Row]:
    return [row for row in each.rows if row.get("mlflow_run_id") in histories]


def _curves(
    lines: Sequence[Line], histories: Histories, key: str, by: str = "iteration", positive: bool = False
) -> list[Curve]:
    curves = []
    for each in lines:
        rows, flagged = _histories(each, histories), False
        if by == "train_seconds":
            rows, flagged = quotable(rows)
        at: dict[float, list[tuple[float, float]]] = {}
        for row in rows:
            for step in histories[row["mlflow_run_id"]]:
                x, y = step.get(by), step.get(key)
                if x is not None and y is not None and math.isfinite(x + y) and (not positive or (y > 0 and x > 0)):
                    at.setdefault(step["iteration"], []).append((x, y))
        if at:
            points = [list(zip(*at[place], strict=True)) for place in sorted(at)]
            name = each.optimizer + (" (machine shared)" if flagged else "")
            curves.append(
                Curve(
                    name,
                    [median(x) for x, _ in points],
                    [median(y) for _, y in points],
                    [min(y) for _, y in points],
                    [max(y) for _, y in points],
                    max(len(x) for x, _ in points),
                    flagged,
                )
            )
    return curves


def figures(rows: Sequence[Row], histories: Histories, points: Sequence[Point]) -> dict[str, Figure]:
    """Every picture by the name of its file."""
    found = {
        f"convergence-{slug(title)}": convergence_figure(title, drawn)
        for title, drawn in convergence(rows, histories).items()
    }
    if any(point.workers > 1 for point in points):
        found["speedup"] = speedup_figure(points)
    for place, ((machine, workers), profile) in enumerate(profiles(rows).items(), 1):
        figure, (axes,) = panels(1)
        for number, solver in enumerate(profile.ratios):
            x, y = profile.curve(solver)
            # A profile stays where it is after its last corner.
            axes.step([*x, 2 * max(max(profile.curve(other)[0]) for other in profile.ratios)], [*y, y[-1]],
                      where="post", label=solver, **_look(number))  # fmt: skip
        axes.set_xscale("log", base=2)
        _labels(axes, "share of problems solved", "times the fastest")
        _percent(axes)
        axes.set_ylim(-0.02, 1.02)
        axes.legend(fontsize=8, frameon=False, loc="lower right")
        heading(figure, f"time to target, {len(profile.problems)} problems · workers: {workers} · {machine}")
        found[f"profile-{place}"] = figure
    return found


def convergence_figure(title: str, drawn: Sequence[Panel]) -> Figure:
    """The panels of one problem; bands are the range over runs."""
    figure, grid = panels(len(drawn))
    names = list(dict.fromkeys(curve.name.split(" (")[0] for panel in drawn for curve in panel.curves))
    for axes, panel in zip(grid, drawn, strict=True):
        _labels(axes, panel.title, panel.x)
        if not panel.curves:
            note(axes, panel.empty)
            continue
        for curve in panel.curves:
            look = _look(names.index(curve.name.split(" (")[0]))
            line(axes, curve.x, curve.y, label=f"{curve.name} (n={curve.runs})", **look)
            if curve.runs > 1:
                axes.fill_between(curve.x, curve.low, curve.high, color=look["color"], alpha=0.15, linewidth=0)
        if panel.log_x:
            axes.set_xscale("log")
        if panel.log_y:
            axes.set_yscale("log")
        if panel.slope and len(panel.curves[0].x) > 1:
            x, first = panel.curves[0].x, panel.curves[0].y[0]
            axes.plot(x, [first * x[0] / k for k in x], color=GREY, linestyle=":", linewidth=1.2, label="slope of 1/k")
        if panel.percent:
            _percent(axes)
        axes.legend(fontsize=7, frameon=False)
    heading(figure, f"{title} · median over seeds, band: their range")
    return figure


def speedup_figure(points: Sequence[Point]) -> Figure:
    """Speedup by workers, a line per series, with the line of perfect efficiency."""
    figure, (axes,) = panels(1, width=7.5, height=4.2)
    series: dict[tuple[object, ...], list[Point]] = {}
    for point in points:
        series.setdefault((point.dataset, point.optimizer, point.layers, point.hidden, point.machine), []).append(point)
    drawn = [mine for mine in series.values() if any(point.workers > 1 for point in mine)]
    for number, mine in enumerate(drawn):
        mine = sorted(mine, key=lambda point: point.workers)
        x, y = [point.workers for point in mine], [point.ratio.value or 0.0 for point in mine]
        first = mine[0]
        text = f"{first.optimizer}, {first.dataset}, {first.layers} × {first.hidden}"
        line(
            axes,
            x,
            y,
            label=text + (" (machine shared)" if any(point.unquotable for point in mine) else ""),
            **_look(number),
        )
        for point in mine:
            if point.ratio.low is not None and point.ratio.high is not None:
                ends = [point.ratio.low, point.ratio.high]
                axes.plot([point.workers] * 2, ends, color=_look(number)["color"], alpha=0.5)
    most = max(point.workers for point in points)
    axes.plot([1, most], [1, most], color=GREY, linestyle=":", linewidth=1.2, label="efficiency of 100 %")
    axes.set_xticks(sorted({point.workers for point in points}))
    _labels(axes, f"speedup against {points[0].reference}", "workers")
    axes.legend(fontsize=7, frameon=False)
    return figure


def _look(number: int) -> dict[str, Any]:
    return {"color": CYCLE[number % len(CYCLE)], "linestyle": STYLES[number // len(CYCLE) % 4]}


def _labels(axes: Axes, title: str, x: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x)


def _percent(axes: Axes) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
