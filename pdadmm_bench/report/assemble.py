"""All tables and pictures of a report from its rows, and what could not be made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pdadmm_bench.core.rows import Row, status_of
from pdadmm_bench.report.figures.answer import answer_pictures
from pdadmm_bench.report.figures.convergence import Histories, convergence_pictures
from pdadmm_bench.report.figures.performance_profile import performance_profile_pictures
from pdadmm_bench.report.figures.picture import Picture
from pdadmm_bench.report.figures.speedups import speedup_pictures
from pdadmm_bench.report.standings import Leaders
from pdadmm_bench.report.table import Table
from pdadmm_bench.report.tables.accuracy import accuracy_table
from pdadmm_bench.report.tables.near_best import near_best_tables
from pdadmm_bench.report.tables.performance_profile import performance_profile_tables
from pdadmm_bench.report.tables.roc_auc import roc_auc_table
from pdadmm_bench.report.tables.speedups import SCALING_AXES, Point, points_of_rows, points_of_scale, speedup_tables
from pdadmm_bench.report.tables.times import communication_table, iteration_tables, target_tables

TRIAL = "from a suite for trying out (save = false): nothing in this table is to be quoted"


@dataclass(frozen=True)
class Report:
    """The tables of a report, the points of its speedups, and a sentence on each table that could not be made."""

    leaders: Leaders
    tables: list[Table]
    points: list[Point]
    missing: list[str]


def assemble(
    rows: Sequence[Row], scale: Sequence[Mapping[str, Any]], reference: str | None = None, published: bool = False,
    leaders: Leaders | None = None, histories: Histories | None = None,
) -> Report:  # fmt: skip
    """Make every table that is possible from the result rows and the rows of ``scale``.

    Args:
        rows: result rows of any status.
        scale: rows that ``scale --json`` wrote.
        reference: the optimizer whose single worker speedups are relative to; None for each optimizer's own.
        published: add the numbers of papers beside ours.
        leaders: of these rows, where they are known already.
        histories: the steps of runs by their ``run_id``, for the seconds to an accuracy that the rows do not name.

    Raises :class:`UserError` where no row has the reference optimizer.
    """
    tables: list[Table] = []
    missing: list[str] = []
    leaders = leaders or Leaders(rows)
    accuracy = accuracy_table(leaders)
    if accuracy:
        tables.append(accuracy)
    elif rows:
        missing.append("no accuracy table: no row has a test accuracy")
    if areas := roc_auc_table(rows):
        tables.append(areas)
    tables += iteration_tables(rows)
    points, unpaired = points_of_rows(rows, reference) if rows else ([], {})
    points += points_of_scale(scale, reference) if scale else []
    speedups = speedup_tables(points)
    tables += speedups
    for name in SCALING_AXES.values():
        if not any(table.name.startswith(f"speedup-by-{name}") for table in speedups):
            missing.append(f"no speedups by {name}: they need a single-worker reference and two values of it")
    if speedups:
        missing += [f"not in the speedups: {reason} (rows: {count})" for reason, count in unpaired.items()]
    near = near_best_tables(rows, histories or {})
    tables += near
    missing += _without_near_best(rows, histories or {}, bool(near))
    targets = target_tables(rows)
    tables += targets
    if rows and not targets:
        missing.append("no time to target: no run had a --target")
    profiles = performance_profile_tables(rows)
    tables += profiles
    if targets and not profiles:
        missing.append("no performance profile: no problem that two optimizers tried alone on a machine was solved")
    communication = communication_table(rows)
    if communication:
        tables.append(communication)
    elif rows:
        missing.append("no communication table: no complete run had two workers")
    if published:
        from pdadmm_bench.report.tables.published import published_tables

        tables += published_tables(rows, points)
    if any(row.get("env_trial") for row in rows):
        tables = [replace(table, notes=[TRIAL, *table.notes]) for table in tables]
    return Report(leaders, tables, points, missing)


def _without_near_best(rows: Sequence[Row], histories: Histories, made: bool) -> list[str]:
    """What is not in the table of the best of any method, or why there is none."""
    complete = [row for row in rows if status_of(row).complete]
    without = sum(row["run_id"] not in histories for row in complete)
    if made:
        return [f"not in the time to the best of any method: no steps (rows: {without})"] if without else []
    if not complete:
        return []
    why = "the steps of the runs are not there" if without == len(complete) else "it needs two methods or layouts"
    return [f"no time to the best of any method: {why}"]


def pictures(rows: Sequence[Row], histories: Histories, points: Sequence[Point]) -> dict[str, Picture]:
    """Make every picture, by the name of its file; ``histories`` holds the steps of runs by their ``run_id``."""
    curves = convergence_pictures(rows, histories)
    return answer_pictures(rows) | curves | speedup_pictures(points) | performance_profile_pictures(rows)
