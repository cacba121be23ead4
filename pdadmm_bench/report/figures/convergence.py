"""Convergence of one run, of the runs of one command, and of the runs of a report: objective, residual, accuracy."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median

from pdadmm_bench.core.names import mesh_word, short_name, short_names
from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.figures.picture import Curve, Panel, Picture, guide
from pdadmm_bench.report.figures.style import shape
from pdadmm_bench.report.table import slug
from pdadmm_bench.report.tables.settings import SettingRows, gather, quotable

History = Sequence[Mapping[str, float]]
"""The steps of a run."""
Histories = Mapping[str, History]
"""By the ``run_id`` of the run."""

ITERATION, SECONDS = "iteration", "train_seconds"
_AXES = {ITERATION: "iteration", SECONDS: "training time (s)"}
_PARTS = {"train": "training", "val": "validation", "test": "test"}
_WIDE = 20
"""A curve whose largest value is so many times its smallest gets a logarithmic axis."""
_GRID = 300
"""Points of a median at most."""


def run_picture(history: History, row: Row) -> Picture:
    """One run: objective (or loss), primal residual, accuracy by iteration and by training seconds.

    The panels of objective, loss and residual are left out where no value is finite. The accuracy panels always appear.
    """
    panels = []
    objective = _of_one_run({"objective": "objective"}, history)
    if objective:
        panels.append(Panel("objective", "iteration", objective, log_y=_wide(objective)))
    elif losses := _losses(history):
        panels.append(Panel("loss", "iteration", losses, log_y=_wide(losses)))
    residual = _of_one_run({"primal_residual": "residual"}, history, positive=True)
    if residual:
        panels.append(_residual_panel(residual))
    names = {f"acc_{part}": name for part, name in _PARTS.items()}
    reached = row.get("time_to_target_s")
    for axis, label in _AXES.items():
        mark = ("target reached", reached) if reached is not None and axis == SECONDS else None
        shade = _warm_start([row]) if axis == SECONDS else None
        curves = _of_one_run(names, history, by=axis)
        panels.append(
            Panel("accuracy", label, curves, percent=True, mark=mark, shade=shade, empty="no accuracy was recorded")
        )  # fmt: skip
    return Picture(_title(row), panels)


def comparison_picture(runs: Sequence[tuple[Row, History]]) -> Picture:
    """Validation accuracy of several runs by iteration and by training seconds.

    Runs of one optimizer have the same colour and line style.
    """
    panels = []
    for axis, label in _AXES.items():
        known = [
            replace(curve, optimizer=str(row["optimizer_name"]))
            for row, history in runs
            for curve in _of_one_run({"acc_val": _series(row, runs)}, history, by=axis)
        ]
        empty = "no validation accuracy was recorded"
        shade = _warm_start([row for row, _ in runs]) if axis == SECONDS else None
        panels.append(Panel("validation accuracy", label, known, percent=True, shade=shade, empty=empty))
    return Picture(_common_title(runs), panels)


def convergence_pictures(rows: Sequence[Row], histories: Histories) -> dict[str, Picture]:
    """A picture for each dataset, network and number of workers, by the name of its file.

    Its panels show the objective, the residual with the slope of 1/k, and the validation accuracy by iteration and by
    seconds. A curve is the median over runs, with their range. A run that has ended counts with its last value.
    """
    found: dict[str, Picture] = {}
    lines = [each for each in gather(rows) if _recorded(each.rows, histories)]
    short = short_names(str(each.problem[0]) for each in lines)
    for problem in dict.fromkeys(each.problem for each in lines):
        dataset, layers, hidden, workers = problem
        mine = [each for each in lines if each.problem == problem]
        name = f"{short[dataset]} · {layers} layers × {hidden} · {workers} worker{'' if workers == 1 else 's'}"
        about = (str(dataset), layers)
        objective = _medians(mine, histories, "objective")
        positive = all(low is None or low > 0 for curve in objective for low in curve.low)
        title = "objective (of gradient methods the loss)"
        panels = [
            Panel(title, "iteration", objective, log_y=bool(objective) and positive, about=about),
            replace(_residual_panel(_medians(mine, histories, "primal_residual", positive=True)), about=about),
        ]
        for axis, label in _AXES.items():
            curves = _medians(mine, histories, "acc_val", by=axis)
            shade = _until_first(curves) if axis == SECONDS else None
            panels.append(Panel("validation accuracy", label, curves, percent=True, shade=shade, about=about))
        found[f"convergence-{slug(name)}"] = Picture(f"{name} · median over runs, band: their range", panels)
    return found


def _until_first(curves: Sequence[Curve]) -> tuple[str, float] | None:
    """The seconds before any curve of medians begins; None without a warm start."""
    return _shade(curve.x[0] for curve in curves)


def _warm_start(rows: Sequence[Row]) -> tuple[str, float] | None:
    """The seconds in which all of the runs were in their warm start; None where one had none."""
    return _shade(row.get("time_warm_start_s") or 0.0 for row in rows)


def _shade(ends: Iterable[float]) -> tuple[str, float] | None:
    """The ground of the seconds in which shallower networks are trained, up to the first of ``ends``."""
    end = min(ends, default=0.0)
    return ("warm start", end) if end > 0 else None


def _medians(
    lines: Sequence[SettingRows], histories: Histories, key: str, by: str = ITERATION, positive: bool = False
) -> list[Curve]:
    """A curve per setting, the median over its runs. Curves over time use the runs that had the machine alone."""
    curves = []
    for each in lines:
        rows, flagged = _recorded(each.rows, histories), False
        if by == SECONDS:
            rows, flagged = quotable(rows)
        runs = [_points(histories[row["run_id"]], key, by, positive) for row in rows]
        curve = _median(each.optimizer, [points for points in runs if points])
        if curve:
            own = str(each.setting.get("optimizer"))
            curves.append(replace(curve, unquotable=flagged, optimizer=own))
    return curves


def _median(name: str, runs: Sequence[list[tuple[float, float]]]) -> Curve | None:
    """The median of ``runs`` on a common grid, from where all have begun to where the last one ends.

    A run has, at each place of the grid, the value of its last step until there. So no curve turns back, and none jumps
    where a run ends before the others.
    """
    if not runs:
        return None
    begun = max(points[0][0] for points in runs)
    grid = sorted({begun} | {x for points in runs for x, _ in points if x > begun})
    if len(grid) > _GRID:
        grid = [grid[round(place * (len(grid) - 1) / (_GRID - 1))] for place in range(_GRID)]
    columns = []
    for x in grid:
        columns.append([points[bisect_right(points, x, key=lambda point: point[0]) - 1][1] for points in runs])
    return Curve(
        name, grid, [median(column) for column in columns], [min(column) for column in columns],
        [max(column) for column in columns], [len(runs)] * len(grid),
    )  # fmt: skip


def _recorded(rows: Iterable[Row], histories: Histories) -> list[Row]:
    return [row for row in rows if row.get("run_id") in histories]


def _of_one_run(names: Mapping[str, str], history: History, by: str = ITERATION, positive: bool = False) -> list[Curve]:
    """A curve for each column that ``names`` maps to a name; a column without a point has no curve."""
    found = {name: _points(history, key, by, positive) for key, name in names.items()}
    return [Curve(name, [x for x, _ in points], [y for _, y in points]) for name, points in found.items() if points]


def _points(history: History, key: str, by: str = ITERATION, positive: bool = False) -> list[tuple[float, float]]:
    """The values of one run, in the order of ``by``.

    NaN and infinity, where a run diverged, have no place on an axis, nor have values up to 0 if ``positive``.
    """
    pairs = [(step.get(by), step.get(key)) for step in history]
    points = [(float(x), float(y)) for x, y in pairs if x is not None and y is not None and math.isfinite(x + y)]
    return sorted((x, y) for x, y in points if not positive or (x > 0 and y > 0))


def _losses(history: History) -> list[Curve]:
    """The losses of training, validation and test rows; where none was recorded, the loss of the optimizer itself."""
    by_part = _of_one_run({f"loss_{part}": name for part, name in _PARTS.items()}, history)
    return by_part or _of_one_run({"loss": _PARTS["train"]}, history)


def _residual_panel(curves: list[Curve]) -> Panel:
    return Panel("primal residual", "iteration", curves, log_x=True, log_y=True, guide=_one_over_k(curves))


def _one_over_k(curves: Sequence[Curve]) -> Curve | None:
    """The multiple of 1/k that no residual exceeds.

    The theorem says o(1/k): in the end the residual falls below every multiple of 1/k, so it has to fall faster than
    this line.
    """
    x = max((curve.x for curve in curves), key=len, default=[])
    if len(x) < 2:
        return None
    highest = max(x * y for curve in curves for x, y in zip(curve.x, curve.y, strict=True))
    return guide("slope of 1/k", x, [highest / k for k in x])


def _wide(curves: Sequence[Curve]) -> bool:
    values = [value for curve in curves for value in curve.y]
    return min(values) > 0 and max(values) / min(values) > _WIDE


def _title(row: Row) -> str:
    status = "" if row["status"] == "ok" else f" · {str(row['status']).replace('_', ' ')}"
    return f"{row['optimizer_name']} on {short_name(str(row['dataset_name']))} · seed {row['seed']}{shape(row)}{status}"


def _common_title(runs: Sequence[tuple[Row, History]]) -> str:
    datasets = sorted({short_name(str(row["dataset_name"])) for row, _ in runs})
    shapes = {shape(row) for row, _ in runs}
    return ", ".join(datasets) + (shapes.pop() if len(shapes) == 1 else "")


def _series(row: Row, runs: Sequence[tuple[Row, History]]) -> str:
    """The optimizer, with its workers, shared rows or dataset where the runs differ in those."""
    keys = ("dataset_name", "dist_workers", "dist_mesh")
    several = {key: len({other.get(key) for other, _ in runs}) > 1 for key in keys}
    parts = [str(row["optimizer_name"])]
    if several["dataset_name"]:
        parts.append(f"on {short_name(str(row['dataset_name']))}")
    if several["dist_workers"]:
        parts.append(f"× {row['dist_workers']}")
    if several["dist_mesh"] and row.get("dist_mesh"):
        parts.append(f"({mesh_word(row['dist_mesh'])})")
    return " ".join(parts)
