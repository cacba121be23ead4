"""The summary of one command's rows: a line per setting over its seeds, with interval and n on every number.

Rows that differ in anything but the seed are never averaged. A run that failed is counted in the column ``runs`` and
among the runs that tried to reach the target; its numbers are left out. Times of runs that were made side by side with
others are left out too.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pdadmm_bench.core.protocol import note as protocol_note
from pdadmm_bench.core.rows import STATUSES, Row, shared, status_of
from pdadmm_bench.report.standings import Leaders, Standing
from pdadmm_bench.report.table import Cell, Column, Table, cell
from pdadmm_bench.stats.estimate import Estimate, aggregate
from pdadmm_bench.stats.pairing import repetition
from pdadmm_bench.stats.target import TimeToTarget, reach_of_row, time_to_target

#: The columns that tell two lines apart where rows have no specification.
SETTING = (
    "dataset_name", "dataset_split", "optimizer_name", "model_layers", "model_hidden", "dist_workers", "dist_device",
)  # fmt: skip

#: Shown in place of a time where all runs were made side by side with others.
NOT_TIMED = "not timed"


@dataclass(frozen=True)
class SummaryLine:
    """One setting over its seeds."""

    label: str
    """The optimizer, and the settings that tell this line from others."""
    setting: dict[str, Any]
    accuracy: Estimate
    """Mean test accuracy at the best validation accuracy, with its 95 % bootstrap interval."""
    iteration_s: Estimate | None
    """Median seconds per iteration and the 5th and 95th percentile over iterations, each the median over runs."""
    target: TimeToTarget | None
    """Of the runs that had a target and were not skipped or interrupted; a miss counts as never."""
    statuses: dict[str, int]
    timed: bool = True
    """Whether any of the runs had the machine alone; if not, no time is shown."""
    rows: list[Row] = field(default_factory=list)
    """The runs of the line."""


def summarise(rows: Iterable[Row]) -> list[SummaryLine]:
    """A line per setting, in the order in which the settings first appear."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(json.dumps(_setting(row), sort_keys=True, default=str), []).append(row)
    settings = [_setting(group[0]) for group in groups.values()]
    return [_line(group, _label(group[0], settings)) for group in groups.values()]


def summary_table(rows: Iterable[Row], leaders: Leaders | None = None) -> Table:
    """The summary: test accuracy is the mean over seeds with its 95 % interval, from five seeds on.

    Lines of one problem are also compared: with the gradient method of the highest mean accuracy, seed by seed, and
    with the iteration time of Adam. A column that would be empty is left out.

    Args:
        leaders: of these rows, where they are known already.
    """
    rows = list(rows)
    lines = summarise(rows)
    accuracy = (leaders or Leaders(rows)).accuracy
    best = {id(row) for standing in accuracy if standing.is_shown for row in standing.leader.rows}
    reference, adam = _references(lines)
    columns: list[tuple[Column, list[Cell]]] = [
        (Column("optimizer"), [Cell(line.label) for line in lines]),
        (Column("test accuracy", "accuracy"), [cell(line.accuracy, best=id(line.rows[0]) in best) for line in lines]),
        (Column("iteration time\n[5th, 95th percentile]", "seconds"), [_iteration(line) for line in lines]),
    ]
    if reference:
        head = Column(f"points to {reference.label},\nthe best gradient method", "points")
        columns.insert(2, (head, [_difference(line, reference) for line in lines]))
    if adam:
        columns.append((Column("× adam", "ratio"), [_ratio(line, adam) for line in lines]))
    columns += [
        (Column("time to 99 %\nof its best", "seconds"), [_median(line, "time_to_near_best_s") for line in lines]),
        (Column("warm start\n(of that time)", "seconds"), [_median(line, "time_warm_start_s") for line in lines]),
        (Column("time to target", "seconds"), [_target(line) for line in lines]),
        (Column("runs"), [_statuses(line) for line in lines]),
    ]
    kept = [each for place, each in enumerate(columns) if place < 2 or any(cell_ != Cell() for cell_ in each[1])]
    return Table(
        "summary",
        "test accuracy: mean [95 % bootstrap interval] over seeds, from five on",
        [head for head, _ in kept],
        [list(line) for line in zip(*(cells for _, cells in kept), strict=True)],
        [*_verdict(accuracy), protocol_note([row.get("env_protocol") for row in rows])],
    )


def _verdict(accuracy: Sequence[Standing]) -> list[str]:
    """Which line is shown to be the best, or why none is; nothing for a single line, or for several problems."""
    if len(accuracy) != 1:
        return []
    (standing,) = accuracy
    if standing.is_shown:
        winner = standing.leader.optimizer
        return [f"{winner} is the most accurate: better than every other by the paired test over seeds"]
    found = standing.obstacle.comparison if standing.obstacle else None
    few = found is not None and found.verdict == "too few seeds" and found.needed > len(standing.leader.rows)
    command = f" (--seeds {found.needed})" if found and few else ""
    return [f"none is shown to be the most accurate: {standing.doubt}{command}"]


def _one_problem(lines: Sequence[SummaryLine]) -> bool:
    names = ("dataset_name", "dataset_split", "model_layers", "model_hidden", "dist_workers")
    return len({tuple(line.rows[0].get(name) for name in names) for line in lines}) == 1


def _references(lines: Sequence[SummaryLine]) -> tuple[SummaryLine | None, SummaryLine | None]:
    """The gradient method of the highest mean accuracy, and Adam; None where there is nothing to compare with it."""
    if len(lines) < 2 or not _one_problem(lines):
        return None, None
    gradient = [
        line for line in lines if line.accuracy.value is not None and any("optimizer_lr" in row for row in line.rows)
    ]
    best = max(gradient, key=lambda line: line.accuracy.value or 0.0, default=None)
    adam = next((line for line in lines if line.label == "adam" and line.iteration_s and line.timed), None)
    return best, adam


def _difference(line: SummaryLine, reference: SummaryLine) -> Cell:
    """Mean difference of the accuracies of the same seeds and splits, with its interval."""
    if line is reference:
        return Cell("reference")
    mine, other = (_accuracies(each) for each in (line, reference))
    return cell(aggregate((mine[seed] - other[seed] for seed in mine if seed in other), "mean"))


def _accuracies(line: SummaryLine) -> dict[Any, float]:
    complete = [row for row in line.rows if status_of(row).complete and row["acc_test_at_best_val"] is not None]
    return {repetition(row): row["acc_test_at_best_val"] for row in complete}


def _iteration(line: SummaryLine) -> Cell:
    if not line.timed:
        return Cell(NOT_TIMED)
    return cell(line.iteration_s) if line.iteration_s else Cell()


def _ratio(line: SummaryLine, adam: SummaryLine) -> Cell:
    if line is adam:
        return Cell("reference")
    if not (line.timed and line.iteration_s and adam.iteration_s):
        return Cell()
    if line.iteration_s.value is None or not adam.iteration_s.value:
        return Cell()
    return Cell(line.iteration_s.value / adam.iteration_s.value)


def _median(line: SummaryLine, name: str) -> Cell:
    """Median seconds over the complete runs that had the machine alone."""
    found = [
        row[name] for row in line.rows if status_of(row).complete and not shared(row) and row.get(name) is not None
    ]
    return Cell(statistics.median(found)) if found else Cell()


def _statuses(line: SummaryLine) -> Cell:
    complete = all(STATUSES[status].complete for status in line.statuses)
    words = ", ".join(f"{count} {status}" for status, count in line.statuses.items())
    return Cell(words, tone="" if complete else "warning")


def _target(line: SummaryLine) -> Cell:
    if line.target is None:
        return Cell()
    reached = f"{line.target.reached}/{line.target.runs}"
    if not line.timed:
        return Cell(f"{NOT_TIMED} ({reached})")
    value = line.target.seconds.value
    return Cell(value if value is not None and math.isfinite(value) else None, suffix=reached)


def _setting(row: Row) -> dict[str, Any]:
    """The row's flat specification without its seed, or the columns that stand for it."""
    if row.get("spec"):
        return {key: value for key, value in json.loads(row["spec"]).items() if key != "seed"}
    return {key: row.get(key) for key in SETTING}


def _label(row: Row, settings: Sequence[dict[str, Any]]) -> str:
    own = _setting(row)
    # Only lines of the same optimizer are peers: its default hyperparameters are known by its name.
    peers = [other for other in settings if _optimizer(other) == _optimizer(own)]
    differing = [
        key
        for key, value in own.items()
        if key not in ("optimizer", "optimizer_name") and any(other.get(key) != value for other in peers)
    ]
    parts = [f"{key}={own[key]}" for key in differing]
    return " ".join([str(row["optimizer_name"]), *parts])


def _optimizer(setting: dict[str, Any]) -> Any:
    return setting.get("optimizer", setting.get("optimizer_name"))


def _line(rows: Sequence[Row], label: str) -> SummaryLine:
    complete = [row for row in rows if status_of(row).complete]
    alone = [row for row in rows if not shared(row)]
    return SummaryLine(
        label=label,
        setting=_setting(rows[0]),
        accuracy=aggregate((row["acc_test_at_best_val"] for row in complete), "mean"),
        iteration_s=_iteration_time([row for row in complete if not shared(row)]),
        target=_target_of(rows, alone),
        statuses=dict(Counter(row["status"] for row in rows)),
        timed=bool(alone),
        rows=list(rows),
    )


def _iteration_time(rows: Sequence[Row]) -> Estimate | None:
    names = ("time_iteration_median_s", "time_iteration_p5_s", "time_iteration_p95_s")
    columns = [[row[name] for row in rows if row.get(name) is not None] for name in names]
    value, low, high = (statistics.median(column) if column else None for column in columns)
    return None if value is None else Estimate(value, low, high, len(columns[0]))


def _target_of(rows: Sequence[Row], alone: Sequence[Row]) -> TimeToTarget | None:
    """Seconds are of the runs that had the machine alone; hits and misses are of all runs."""
    every, timed = ([found for row in part if (found := reach_of_row(row))] for part in (rows, alone))
    return replace(time_to_target(every), seconds=time_to_target(timed).seconds) if every else None
