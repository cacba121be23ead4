"""Seconds of many runs by what an iteration takes in the few that were timed, one run at a time.

How many iterations a run needs to an accuracy differs from seed to seed and from split to split, so it takes many runs
to say; these are made side by side. What an iteration takes does not, and takes a quiet machine and few runs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from methods import method_of

from pdadmm_bench.core.history import History
from pdadmm_bench.core.rows import NEAR_BEST, Row
from pdadmm_bench.report.tables.near_best import seconds_to


class Pace(NamedTuple):
    """Of a method on a graph, medians over the timed runs."""

    start: float
    """Seconds of the warm start."""
    iteration: float
    """Seconds of an iteration after it."""


def paces(timed: Sequence[Row]) -> Mapping[tuple[str, str], Pace]:
    """The pace by graph and method."""
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in timed:
        found[row["dataset_name"], method_of(row)].append(row)
    columns = ("time_warm_start_s", "time_iteration_median_s")
    return {place: Pace(*(median(row[column] for row in rows) for column in columns)) for place, rows in found.items()}


def paced(rows: Sequence[Row], histories: Mapping[str, History], timed: Sequence[Row]) -> dict[str, History]:
    """The histories of ``rows`` at the pace of ``timed``; a graph that was not timed keeps the seconds of its runs.

    Raises ``KeyError`` for a method that was not timed on a graph where others were.
    """
    known = paces(timed)
    graphs = {dataset for dataset, _ in known}
    made = {}
    for row in rows:
        run, dataset = row["run_id"], row["dataset_name"]
        if run in histories:
            steps = histories[run]
            made[run] = _at(steps, known[dataset, method_of(row)]) if dataset in graphs else steps
    return made


def _at(steps: History, pace: Pace) -> History:
    return [{**step, "train_seconds": pace.start + step["iteration"] * pace.iteration} for step in steps]


def own_seconds(row: Row, histories: Mapping[str, History]) -> float:
    """Seconds of a run to 99 % of its own best validation accuracy."""
    return seconds_to(histories[row["run_id"]], NEAR_BEST * row["acc_val_best"])
