"""Tables of times and bytes: an iteration and its parts, the time to a target, the bytes that workers exchange.

Times of two classes of machines are never in one table: each class has its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean

from pdadmm_bench.core.rows import Row, status_of
from pdadmm_bench.report.table import Cell, Column, Table, cell, flag_note, numbered
from pdadmm_bench.report.tables.settings import (
    SettingRows,
    by_machine,
    columns,
    gather,
    headings,
    quotable,
    setting_cells,
)
from pdadmm_bench.stats.estimate import LEAST_FOR_INTERVAL, aggregate
from pdadmm_bench.stats.metrics import metric
from pdadmm_bench.stats.target import reach_of_row, time_to_target

ITERATION = "time_iteration_median_s"
PARTS = ("compute", "exposed", "idle")


def iteration_tables(rows: Iterable[Row]) -> list[Table]:
    """Seconds of an iteration (median over runs of each run's median) and what the workers did in it."""
    return per_machine(
        rows, "iteration-time", "Time of an iteration: median over runs [95 % bootstrap interval]", _iteration
    )


def _iteration(lines: Sequence[SettingRows], names: Sequence[str]) -> tuple[list[Column], list[list[Cell]], list[str]]:
    seconds = metric(ITERATION)
    table = []
    for line in lines:
        rows, flagged = quotable([row for row in line.rows if seconds.value(row) is not None])
        if rows:
            found = aggregate(seconds.value(row) for row in rows)
            shares = [split(row) for row in rows]
            parts = [aggregate(share[part] if share else None for share in shares).value for part in range(3)]
            table.append([*setting_cells(line, names), cell(found, flagged), *(Cell(part) for part in parts)])
    heads = [
        Column("iteration", "seconds"),
        Column("compute", "share"),
        Column("communication", "share"),
        Column("idle", "share"),
    ]
    return (
        heads,
        table,
        [
            "compute, communication and idle: shares of the workers' time in an iteration; communication is only what "
            "a worker waited for (exposed), idle is waiting for the slowest worker"
        ],
    )


def split(row: Row) -> tuple[float, float, float] | None:
    """Shares of compute, exposed communication and idle time, as means over workers; None where none was recorded."""
    workers = json.loads(row.get("dist_per_worker") or "[]")
    totals = [fmean(worker[f"{part}_s"] for worker in workers) if workers else 0.0 for part in PARTS]
    whole = sum(totals)
    return (totals[0] / whole, totals[1] / whole, totals[2] / whole) if whole else None


def target_tables(rows: Iterable[Row]) -> list[Table]:
    """Training seconds, and iterations, to the target validation accuracy; a miss counts as never."""
    asked = [row for row in rows if row.get("time_target_accuracy") is not None]
    return per_machine(
        asked,
        "time-to-target",
        "Time to the target validation accuracy: median over all runs, a miss counting as never",
        _target,
    )


def _target(lines: Sequence[SettingRows], names: Sequence[str]) -> tuple[list[Column], list[list[Cell]], list[str]]:
    table = []
    for line in lines:
        tried = [row for row in line.rows if reach_of_row(row) is not None]
        if not tried:
            continue
        timed, flagged = quotable(tried)
        # All runs count as hits or misses, also those whose times do not count.
        every = time_to_target(reach for row in tried if (reach := reach_of_row(row)))
        found = time_to_target(reach for row in timed if (reach := reach_of_row(row)))
        table.append(
            [
                *setting_cells(line, names),
                Cell(tried[0]["time_target_accuracy"]),
                cell(found.seconds, flagged),
                cell(every.iterations),
                Cell(str(every)),
                Cell(every.censored_s, unquotable=flagged and every.censored_s is not None),
            ]
        )
    heads = [
        Column("target", "accuracy"),
        Column("time to target", "seconds"),
        Column("iterations", "count"),
        Column("reached"),
        Column("shortest miss", "seconds"),
    ]
    return (
        heads,
        table,
        [
            "seconds of a warm start are included; skipped and interrupted runs are left out; the shortest miss is the "
            "training time after which the first of the misses had been given up"
        ],
    )


def communication_table(rows: Iterable[Row]) -> Table | None:
    """Bytes that all workers send in an iteration, by wire format; None where no run has two workers.

    Where workers share rows, the bytes of their sums have a column.
    """
    lines = gather(row for row in rows if (row.get("dist_workers") or 1) > 1 and status_of(row).complete)
    names = columns(lines)
    sent = [aggregate(row.get("dist_sent_bytes") for row in line.rows) for line in lines]
    sums = [aggregate(row.get("dist_reduced_bytes") for row in line.rows) for line in lines]
    if not any(found.value for found in (*sent, *sums)):
        return None
    widest = {
        _without_wire(line): found.value for line, found in zip(lines, sent, strict=True) if _wire(line) == "fp32"
    }
    table = []
    for line, found in zip(lines, sent, strict=True):
        base = widest.get(_without_wire(line))
        relative = found.value / base if base and found.value is not None else None
        table.append([*setting_cells(line, names), Cell(_wire(line)), Cell(found.value, n=found.n), Cell(relative)])
    heads = [*headings(names), Column("wire"), Column("bytes", "bytes"), Column("of fp32", "share")]
    notes = ["counted where tensors are handed to torch.distributed, in the format they are sent in; median over runs"]
    if any(found.value for found in sums):
        heads.append(Column("sums over rows", "bytes"))
        table = [[*cells, Cell(found.value, n=found.n or None)] for cells, found in zip(table, sums, strict=True)]
        notes.append("bytes: between neighbours along the layers; sums over rows: between workers that share rows")
    return Table("communication", "Bytes sent per iteration, all workers together", heads, table, notes)


def _wire(line: SettingRows) -> str:
    return ", ".join(sorted({str(row.get("dist_wire")) for row in line.rows}))


def _without_wire(line: SettingRows) -> str:
    kept = {name: value for name, value in line.setting.items() if name != "wire"}
    return json.dumps(kept, sort_keys=True, default=str)


Body = Callable[[Sequence[SettingRows], Sequence[str]], tuple[list[Column], list[list[Cell]], list[str]]]
"""Makes headings, a line of cells for each setting, and notes, of the lines and the names of their settings."""


def per_machine(rows: Iterable[Row], name: str, title: str, body: Body) -> list[Table]:
    """A table for each class of machine: its lines of settings, with the columns, cells and notes of ``body``."""
    tables = []
    for machine, mine in by_machine(rows).items():
        lines = gather(mine)
        names = columns(lines)
        heads, cells, notes = body(lines, names)
        if not cells:
            continue
        numbers = [found for line in cells for found in line]
        if any(found.n and found.n < LEAST_FOR_INTERVAL for found in numbers):
            notes.append(f"fewer than {LEAST_FOR_INTERVAL} runs give no interval")
        notes = [f"machine: {machine}", *notes, *flag_note(numbers)]
        tables.append(Table(name, title, [*headings(names), *heads], cells, notes))
    return numbered(tables)
