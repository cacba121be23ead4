"""Convergence of one run, of the runs of one command, and of the runs of a report: objective, residual, accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median

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
        curves = _of_one_run(names, history, by=axis)
        panels.append(
            Panel("accuracy", label, curves, percent=True, mark=mark, empty="no accuracy was recorded")
        )  # fmt: skip
    return Picture(_title(row), panels)


def comparison_picture(runs: Sequence[tuple[Row, History]]) -> Picture:
    """Validation accuracy of several runs by iteration and by training seconds.

    Runs of one optimizer have the same colour and line style.
    """
    panels = []
    for axis, label in _AXES.items():
        curves = [_curve(_series(row, runs), [history], "acc_val", by=axis) for row, history in runs]
        known = [curve for curve in curves if curve is not None]
        empty = "no validation accuracy was recorded"
        panels.append(Panel("validation accuracy", label, known, percent=True, empty=empty))
    return Picture(_common_title(runs), panels)


def convergence_pictures(rows: Sequence[Row], histories: Histories) -> dict[str, Picture]:
    """A picture for each dataset, network and number of workers, by the name of its file.

    Its panels show the objective, the residual with the slope of 1/k, and the validation accuracy by iteration and by
    seconds. A curve is the median over runs, with their range.
    """
    found: dict[str, Picture] = {}
    lines = [each for each in gather(rows) if _recorded(each.rows, histories)]
    for problem in dict.fromkeys(each.problem for each in lines):
        dataset, layers, hidden, workers = problem
        mine = [each for each in lines if each.problem == problem]
        name = f"{dataset} · {layers} layers × {hidden} · {workers} worker{'' if workers == 1 else 's'}"
        objective = _medians(mine, histories, "objective")
        positive = all(low is None or low > 0 for curve in objective for low in curve.low)
        panels = [
            Panel(
                "objective (of gradient methods the loss)", "iteration", objective, log_y=bool(objective) and positive
            ),
            _residual_panel(_medians(mine, histories, "primal_residual", positive=True)),
            *(
                Panel("validation accuracy", label, _medians(mine, histories, "acc_val", by=axis), percent=True)
                for axis, label in _AXES.items()
            ),
        ]
        found[f"convergence-{slug(name)}"] = Picture(f"{name} · median over runs, band: their range", panels)
    return found


def _medians(
    lines: Sequence[SettingRows], histories: Histories, key: str, by: str = ITERATION, positive: bool = False
) -> list[Curve]:
    """A curve per setting, the median over its runs. Curves over time use the runs that had the machine alone."""
    curves = []
    for each in lines:
        rows, flagged = _recorded(each.rows, histories), False
        if by == SECONDS:
            rows, flagged = quotable(rows)
        curve = _curve(
            each.optimizer, [histories[row["run_id"]] for row in rows], key, by, positive, statistic=True,
            unquotable=flagged,
        )  # fmt: skip
        curves += [curve] if curve else []
    return curves


def _recorded(rows: Iterable[Row], histories: Histories) -> list[Row]:
    return [row for row in rows if row.get("run_id") in histories]


def _of_one_run(names: Mapping[str, str], history: History, by: str = ITERATION, positive: bool = False) -> list[Curve]:
    """A curve for each column that ``names`` maps to a name; a column without a point has no curve."""
    curves = (_curve(name, [history], key, by, positive) for key, name in names.items())
    return [curve for curve in curves if curve is not None]


def _curve(
    name: str, histories: Iterable[History], key: str, by: str = ITERATION, positive: bool = False,
    statistic: bool = False, unquotable: bool = False,
) -> Curve | None:  # fmt: skip
    """The median over ``histories`` at each iteration, with the range of all if ``statistic``; None without a point.

    NaN and infinity, where a run diverged, have no place on an axis, nor have values up to 0 if ``positive``.
    """
    at: dict[float, list[tuple[float, float]]] = {}
    for step in (step for history in histories for step in history):
        x, y = step.get(by), step.get(key)
        if x is not None and y is not None and math.isfinite(x + y) and (not positive or (x > 0 and y > 0)):
            at.setdefault(step.get(ITERATION, x), []).append((float(x), float(y)))
    if not at:
        return None
    columns = [tuple(zip(*at[place], strict=True)) for place in sorted(at)]
    curve = Curve(name, [median(xs) for xs, _ in columns], [median(ys) for _, ys in columns], unquotable=unquotable)
    if not statistic:
        return curve
    ranges = [(min(ys), max(ys), len(ys)) for _, ys in columns]
    low, high, n = (list(column) for column in zip(*ranges, strict=True))
    return replace(curve, low=low, high=high, n=n)


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
