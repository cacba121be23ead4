"""What the pictures of a report show, apart from how they are drawn: convergence, speedups, performance profiles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.table import numbered_names, slug
from pdadmm_bench.report.tables.performance_profile import performance_profiles
from pdadmm_bench.report.tables.settings import SettingRows, gather, quotable
from pdadmm_bench.report.tables.speedups import AXES, Point, series
from pdadmm_bench.stats.estimate import Estimate
from pdadmm_bench.stats.performance_profile import PerformanceProfile

Histories = Mapping[str, Sequence[Mapping[str, float]]]


@dataclass(frozen=True)
class Curve:
    """Values over ``x``; ``low`` and ``high`` are None where there is no interval, ``n`` the runs behind each value."""

    name: str
    """The same name has the same look in every panel of a picture."""
    x: list[float]
    y: list[float]
    low: list[float | None]
    high: list[float | None]
    n: list[int]
    unquotable: bool = False
    """Whether seconds in it are of runs that shared the machine."""

    @property
    def label(self) -> str:
        """The name with what a reader must know beside it."""
        parts = [f"n={max(self.n)}"] if self.n else []
        parts += ["machine shared"] if self.unquotable else []
        return self.name + (f" ({', '.join(parts)})" if parts else "")


@dataclass(frozen=True)
class Panel:
    """One plot of curves; none were recorded where there are none."""

    title: str
    x: str
    curves: list[Curve]
    kind: Literal["lines", "points", "steps"] = "lines"
    """Lines with a band, points with error bars, or a step function."""
    log_x: bool = False
    log_y: bool = False
    percent: bool = False
    ticks: tuple[float, ...] = ()
    guide: Curve | None = None
    """A line to compare with, drawn dotted."""


@dataclass(frozen=True)
class Picture:
    """Panels under one title."""

    title: str
    panels: list[Panel]

    @property
    def names(self) -> list[str]:
        """Of all curves, in the order of their looks."""
        return list(dict.fromkeys(curve.name for panel in self.panels for curve in panel.curves))


def pictures(rows: Sequence[Row], histories: Histories, points: Sequence[Point]) -> dict[str, Picture]:
    """Every picture by the name of its file; ``histories`` are the steps of runs by their ``run_id``."""
    return convergence(rows, histories) | speedup(points) | profile(rows)


def convergence(rows: Sequence[Row], histories: Histories) -> dict[str, Picture]:
    """For each dataset, network and number of workers: objective, residual with the slope of 1/k, accuracy twice."""
    found: dict[str, Picture] = {}
    lines = [each for each in gather(rows) if _recorded(each, histories)]
    for problem in dict.fromkeys(each.problem for each in lines):
        dataset, layers, hidden, workers = problem
        mine = [each for each in lines if each.problem == problem]
        name = f"{dataset} · {layers} layers × {hidden} · {workers} worker{'' if workers == 1 else 's'}"
        objective = _curves(mine, histories, "objective")
        residual = _curves(mine, histories, "primal_residual", positive=True)
        positive = all(low is None or low > 0 for curve in objective for low in curve.low)
        accuracy = _curves(mine, histories, "acc_val")
        in_time = _curves(mine, histories, "acc_val", by="train_seconds")
        guide = _one_over_k(residual)
        panels = [
            Panel(
                "objective (of gradient methods the loss)", "iteration", objective, log_y=bool(objective) and positive
            ),
            Panel("primal residual", "iteration", residual, log_x=True, log_y=True, guide=guide),
            Panel("validation accuracy", "iteration", accuracy, percent=True),
            Panel("validation accuracy", "training time (s)", in_time, percent=True),
        ]
        found[f"convergence-{slug(name)}"] = Picture(f"{name} · median over runs, band: their range", panels)
    return found


def _recorded(each: SettingRows, histories: Histories) -> list[Row]:
    return [row for row in each.rows if row.get("run_id") in histories]


def _curves(
    lines: Sequence[SettingRows], histories: Histories, key: str, by: str = "iteration", positive: bool = False
) -> list[Curve]:
    """The median over runs at each iteration with their range; without ``by`` at time, over iterations."""
    curves = []
    for each in lines:
        rows, flagged = _recorded(each, histories), False
        if by == "train_seconds":
            rows, flagged = quotable(rows)
        at: dict[float, list[tuple[float, float]]] = {}
        for row in rows:
            for step in histories[row["run_id"]]:
                x, y = step.get(by), step.get(key)
                if x is not None and y is not None and math.isfinite(x + y) and (not positive or (y > 0 and x > 0)):
                    at.setdefault(step["iteration"], []).append((x, y))
        if at:
            columns = [tuple(zip(*at[place], strict=True)) for place in sorted(at)]
            curves.append(
                Curve(
                    each.optimizer,
                    [median(x) for x, _ in columns],
                    [median(y) for _, y in columns],
                    [min(y) for _, y in columns],
                    [max(y) for _, y in columns],
                    [len(y) for _, y in columns],
                    flagged,
                )
            )
    return curves


def _one_over_k(curves: Sequence[Curve]) -> Curve | None:
    """o(1/k) means falling below every multiple of 1/k in the end: one through the highest k · residual of all."""
    x = max((curve.x for curve in curves), key=len, default=[])
    if len(x) < 2:
        return None
    highest = max(x * y for curve in curves for x, y in zip(curve.x, curve.y, strict=True))
    return _guide("slope of 1/k", x, [highest / k for k in x])


def speedup(points: Sequence[Point]) -> dict[str, Picture]:
    """For each class of machine: speedup by workers, and by depth and width where there are several."""
    found = []
    for machine in dict.fromkeys(point.machine for point in points):
        mine = [point for point in points if point.machine == machine]
        panels = [panel for axis in AXES if (panel := _speedup(mine, axis)).curves]
        if panels:
            found.append(Picture(f"Speedup against {mine[0].reference} · {machine}", panels))
    return dict(zip(numbered_names("speedup", len(found)), found, strict=True))


def _speedup(points: Sequence[Point], axis: str) -> Panel:
    curves = []
    several = len({point.dataset for point in points}) > 1
    for line in series(points, axis):
        first = line[0]
        if axis == "workers" and first.own_reference:
            line = [replace(first, workers=1, ratio=Estimate(1.0, None, None, first.ratio.n)), *line]
        what = {
            "workers": f"{first.layers} × {first.hidden}",
            "layers": f"width {first.hidden}, {first.workers} workers",
            "hidden": f"depth {first.layers}, {first.workers} workers",
        }[axis]
        curves.append(
            Curve(
                ", ".join([first.optimizer, what, *([first.dataset] if several else [])]),
                [getattr(point, axis) for point in line],
                [point.ratio.value or 0.0 for point in line],
                [point.ratio.low for point in line],
                [point.ratio.high for point in line],
                [point.ratio.n for point in line],
                any(point.unquotable for point in line),
            )
        )
    ticks = tuple(sorted({x for curve in curves for x in curve.x}))
    guide = _guide("efficiency of 100 %", ticks, ticks) if axis == "workers" and ticks else None
    label = {"workers": "workers", "layers": "layers", "hidden": "units per hidden layer"}[axis]
    return Panel(f"speedup by {AXES[axis]}", label, curves, kind="points", ticks=ticks, guide=guide)


def profile(rows: Sequence[Row]) -> dict[str, Picture]:
    """A performance profile for each class of machine and number of workers."""
    found = []
    for (machine, workers), each in performance_profiles(rows).items():
        end = 2 * max(each.curve(solver)[0][-1] for solver in each.ratios)
        panel = Panel(
            "share of problems solved", "times the fastest", [_steps(each, solver, end) for solver in each.ratios],
            kind="steps", log_x=True, percent=True, ticks=_factors(end),
        )  # fmt: skip
        count = len(each.problems)
        title = f"Time to target: performance profile over {count} problem{'' if count == 1 else 's'}"
        found.append(Picture(f"{title} · workers: {workers} · {machine}", [panel]))
    return dict(zip(numbered_names("profile", len(found)), found, strict=True))


def _steps(each: PerformanceProfile, solver: str, end: float) -> Curve:
    """A profile stays where it is after its last corner."""
    x, y = each.curve(solver)
    return Curve(solver, [*x, end], [*y, y[-1]], [], [], [])


def _factors(end: float) -> tuple[float, ...]:
    """1, 2, 5, 10, 20, … up to ``end``; at most eight of them."""
    steps = (1.0, 2.0, 5.0) if end < 500 else (1.0,)
    return tuple(step * 10**power for power in range(12) for step in steps if step * 10**power <= end)


def _guide(name: str, x: Sequence[float], y: Sequence[float]) -> Curve:
    return Curve(name, list(x), list(y), [], [], [])
