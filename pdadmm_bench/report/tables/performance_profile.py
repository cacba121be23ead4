"""Performance profile over problems: how often an optimizer is within a factor of the fastest to the target."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable

from pdadmm_bench.core.rows import Row, shared
from pdadmm_bench.report.table import Cell, Column, Table, numbered
from pdadmm_bench.report.tables.settings import by_machine, gather
from pdadmm_bench.stats.performance_profile import PerformanceProfile, performance_profile
from pdadmm_bench.stats.target import reach_of_row, time_to_target

FACTORS = (1.0, 1.5, 2.0, 5.0, 10.0)


def performance_profiles(rows: Iterable[Row]) -> dict[tuple[str, int], PerformanceProfile]:
    """The profile of each class of machine and number of workers.

    A problem is a dataset, a network and a target; its cost is the median of the seconds to the target. Only runs that
    had the machine alone count. Where no run reached a target there is no profile.
    """
    found = {}
    asked = [row for row in rows if reach_of_row(row) is not None and not shared(row)]
    for machine, mine in by_machine(asked).items():
        lines = gather(mine)
        for workers in sorted({line.setting.get("gpus") or 1 for line in lines}):
            costs: dict[str, dict[str, float | None]] = {}
            for line in lines:
                if (line.setting.get("gpus") or 1) == workers:
                    problem = json.dumps([*line.problem, line.rows[0]["time_target_accuracy"]])
                    seconds = time_to_target(reach for row in line.rows if (reach := reach_of_row(row))).seconds.value
                    costs.setdefault(line.optimizer, {})[problem] = seconds
            profile = performance_profile(costs)
            if len(costs) > 1 and len(profile.unsolved) < len(profile.problems):
                found[machine, workers] = profile
    return found


def performance_profile_tables(rows: Iterable[Row]) -> list[Table]:
    """The share of the problems that each optimizer solves within a factor of the fastest."""
    tables = []
    for (machine, workers), profile in performance_profiles(rows).items():
        table = [
            [
                Cell(solver),
                *(Cell(profile.share(solver, factor)) for factor in FACTORS),
                Cell(profile.share(solver, math.inf)),
            ]
            for solver in profile.ratios
        ]
        notes = [
            f"machine: {machine}; workers: {workers}",
            f"problems (dataset and network) that every optimizer tried: {len(profile.problems)}, solved by none: "
            f"{len(profile.unsolved)}, left out because some optimizer did not try them: {len(profile.left_out)}",
            "the cost is the median time to the target; a miss is solved at no factor",
        ]
        title = "Performance profile: share of problems within a factor of the fastest to the target"
        heads = [Column("optimizer"), *(Column(f"{factor:g} ×", "share") for factor in FACTORS)]
        tables.append(Table("profile", title, [*heads, Column("at all", "share")], table, notes))
    return numbered(tables)
