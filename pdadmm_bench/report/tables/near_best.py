"""Seconds to one accuracy for all: 99 % of the best validation accuracy that any method reached on the seed and split.

A speedup over one's own single worker says nothing about other methods. Here every method and layout is compared with
the fastest method on one worker, to the same accuracy.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from pdadmm_bench.core.history import History
from pdadmm_bench.core.rows import NEAR_BEST, Row, status_of
from pdadmm_bench.report.table import Cell, Column, Table, cell
from pdadmm_bench.report.tables.settings import SettingRows, gather, quotable, setting_cells
from pdadmm_bench.report.tables.times import per_machine
from pdadmm_bench.stats.estimate import aggregate
from pdadmm_bench.stats.pairing import DATA, NETWORK, repetition


def near_best_tables(rows: Iterable[Row], histories: Mapping[str, History]) -> list[Table]:
    """A line for each method and layout, of every problem (data and network) with two of them.

    Args:
        rows: of any status; all of them count for the best accuracy, on whatever machine they were made.
        histories: the steps of runs by ``run_id``; only these runs have seconds.
    """
    tried = [row for row in rows if status_of(row).tried]
    share = f"{100 * NEAR_BEST:g} %"
    return per_machine(
        [row for row in tried if row["run_id"] in histories],
        "time-to-near-best",
        f"Time to {share} of the best validation accuracy of any method: median over runs [95 % interval]",
        partial(_near_best, seconds=seconds_to_near_best(tried, histories)),
    )


def seconds_to_near_best(rows: Sequence[Row], histories: Mapping[str, History]) -> dict[str, float]:
    """Training seconds of each run with a history to 99 % of the best of any method, by ``run_id``.

    The best validation accuracy is that of all ``rows`` with the same data, network, seed and split. Seconds begin with
    the warm start. A run that does not get there has infinity.
    """
    place = {row["run_id"]: (_problem(line), *repetition(row)) for line in gather(rows) for row in line.rows}
    best: dict[tuple[Any, ...], float] = {}
    for row in rows:
        there = place[row["run_id"]]
        best[there] = max(best.get(there, 0.0), row.get("acc_val_best") or 0.0)
    return {
        run_id: seconds_to(histories[run_id], NEAR_BEST * best[there])
        for run_id, there in place.items()
        if run_id in histories
    }


@dataclass(frozen=True)
class _Timed:
    """A line, and the seconds of its runs by seed and split; infinite for a run that did not get there."""

    line: SettingRows
    every: list[float]
    """Of all runs."""
    seconds: dict[Any, float]
    """Of the runs whose times count; of several with one seed and split the median."""
    unquotable: bool

    @property
    def median(self) -> float:
        return median(self.seconds.values())

    @property
    def reached(self) -> str:
        """``3 of 5``."""
        return f"{sum(map(math.isfinite, self.every))} of {len(self.every)}"


def _near_best(
    lines: Sequence[SettingRows], names: Sequence[str], seconds: Mapping[str, float]
) -> tuple[list[Column], list[list[Cell]], list[str]]:
    table = []
    for problem in dict.fromkeys(map(_problem, lines)):
        found = [_timed(line, seconds) for line in lines if _problem(line) == problem]
        if len(found) < 2:
            continue
        alone = [each for each in found if (each.line.setting.get("gpus") or 1) == 1 and math.isfinite(each.median)]
        fastest = min(alone, key=lambda each: each.median, default=None)
        for each in found:
            table.append(
                [
                    *setting_cells(each.line, names),
                    cell(aggregate(each.seconds.values()), each.unquotable),
                    Cell(each.reached),
                    _factor(each, fastest),
                ]
            )
    heads = [Column("time", "seconds"), Column("reached"), Column("× the fastest\non one worker", "ratio")]
    return (
        heads,
        table,
        [
            "the best is that of all runs with the same data, network, seed and split; seconds of a warm start are "
            "included; a run that does not get there, or that its target stopped before, counts as never",
            "× the fastest on one worker: how many times sooner than the reference, the line of one worker with the "
            "smallest median; median over pairs of one seed and split, only where both runs of every pair get there",
        ],
    )


def _timed(line: SettingRows, seconds: Mapping[str, float]) -> _Timed:
    timed, flagged = quotable(line.rows)
    found: dict[Any, list[float]] = {}
    for row in timed:
        found.setdefault(repetition(row), []).append(seconds[row["run_id"]])
    every = [seconds[row["run_id"]] for row in line.rows]
    return _Timed(line, every, {key: median(each) for key, each in found.items()}, flagged)


def seconds_to(steps: History, accuracy: float) -> float:
    """Training seconds to the first iteration whose validation accuracy is at least ``accuracy``; else infinity.

    They begin with the warm start. The network that comes from it is iteration 0, which no time to an accuracy counts.
    """
    there = (step for step in steps if step["iteration"] > 0 and step.get("acc_val", 0.0) >= accuracy > 0)
    return next((step.get("train_seconds", math.inf) for step in there), math.inf)


def _factor(mine: _Timed, fastest: _Timed | None) -> Cell:
    if fastest is None or mine is fastest:
        return Cell("reference" if fastest else None)
    pairs = [(seconds, mine.seconds[key]) for key, seconds in fastest.seconds.items() if key in mine.seconds]
    if not pairs or not all(math.isfinite(seconds) for pair in pairs for seconds in pair):
        return Cell()
    return cell(aggregate(theirs / ours for theirs, ours in pairs), mine.unquotable or fastest.unquotable)


def _problem(line: SettingRows) -> str:
    """Data and network, which all lines that are compared have in common."""
    return json.dumps([line.setting.get(name) for name in (*DATA, *NETWORK)], default=str)
