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
from dataclasses import dataclass, replace
from typing import Any

from pdadmm_bench.core.protocol import note as protocol_note
from pdadmm_bench.core.rows import STATUSES, Row, shared, status_of
from pdadmm_bench.report.table import Cell, Column, Table, cell
from pdadmm_bench.stats.estimate import Estimate, aggregate
from pdadmm_bench.stats.target import TimeToTarget, reach_of_row, time_to_target

#: The columns that tell two lines apart where rows have no specification.
SETTING = (
    "dataset_name", "dataset_split", "optimizer_name", "model_layers", "model_hidden", "dist_workers", "dist_device",
)  # fmt: skip

#: Shown in place of a time where all runs were made side by side with others.
NOT_TIMED = "not timed"

COLUMNS = [
    Column("optimizer"),
    Column("test accuracy", "accuracy"),
    Column("iteration time", "seconds"),
    Column("time to target", "seconds"),
    Column("runs"),
]


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


def summarise(rows: Iterable[Row]) -> list[SummaryLine]:
    """A line per setting, in the order in which the settings first appear."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(json.dumps(_setting(row), sort_keys=True, default=str), []).append(row)
    settings = [_setting(group[0]) for group in groups.values()]
    return [_line(group, _label(group[0], settings)) for group in groups.values()]


def summary_table(rows: Iterable[Row]) -> Table:
    """The summary: test accuracy is the mean over seeds with its 95 % interval, from five seeds on."""
    rows = list(rows)
    return Table(
        "summary",
        "test accuracy: mean [95 % bootstrap interval] over seeds, from five on",
        COLUMNS,
        [_cells(line) for line in summarise(rows)],
        [protocol_note([row.get("env_protocol") for row in rows])],
    )


def _cells(line: SummaryLine) -> list[Cell]:
    complete = all(STATUSES[status].complete for status in line.statuses)
    return [
        Cell(line.label),
        cell(line.accuracy),
        (cell(line.iteration_s) if line.iteration_s else Cell()) if line.timed else Cell(NOT_TIMED),
        _target(line),
        Cell(
            ", ".join(f"{count} {status}" for status, count in line.statuses.items()),
            tone="" if complete else "warning",
        ),
    ]


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
