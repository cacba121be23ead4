"""The verdicts of a report: who leads each problem, by how much, and whether that is shown."""

from __future__ import annotations

from collections.abc import Sequence

from pdadmm_bench.report.standings import Leaders, Standing
from pdadmm_bench.report.table import Cell, Column, Kind, Table
from pdadmm_bench.stats.metrics import ACCURACY, ITERATION, WORDS, Metric, metric


def verdict_tables(leaders: Leaders) -> list[Table]:
    """The leader of each problem in accuracy, and in the time of an iteration on each class of machine, with rivals."""
    accuracy = _table(
        leaders.accuracy, metric(ACCURACY), "verdict-accuracy", "Verdicts on test accuracy", "accuracy", "points"
    )
    times = [
        _table(found, metric(ITERATION), "verdict-time", f"Verdicts on the time of an iteration · {machine}",
               "seconds", "factor")
        for machine, found in leaders.times.items()
    ]  # fmt: skip
    return [table for table in (accuracy, *times) if table is not None]


def _table(found: Sequence[Standing], of: Metric, name: str, title: str, kind: Kind, effect: Kind) -> Table | None:
    if not found:
        return None
    better, worse = WORDS[of.kind]
    heads = [
        Column("dataset"), Column("layers", "count"), Column("hidden", "count"), Column("workers", "count"),
        Column("optimizer"), Column("leader", kind), Column("against"), Column("its value", kind),
        Column("leader / its" if of.is_ratio else "leader − its", effect), Column("pairs", "count"),
        Column("p (Holm)", "number"), Column("verdict"),
    ]  # fmt: skip
    words = {"better": f"leader {better}", "worse": f"leader {worse}"}
    return Table(name, title, heads, [line for standing in found for line in _lines(standing, words)])


def _lines(standing: Standing, words: dict[str, str]) -> list[list[Cell]]:
    lines = []
    dataset, layers, hidden, workers = standing.problem
    for rival in standing.rivals:
        found = rival.comparison
        effect = found.effect if found else None
        verdict = words.get(rival.verdict, rival.verdict) + (f" ({found.reason})" if found and found.reason else "")
        lines.append([
            Cell(dataset), Cell(layers), Cell(hidden), Cell(workers or 1), Cell(standing.leader.optimizer),
            Cell(standing.value), Cell(rival.line.optimizer), Cell(rival.value),
            Cell(effect.value, effect.low, effect.high) if effect else Cell(), Cell(found.pairs if found else 0),
            Cell(found.p_corrected if found else None), Cell(verdict, tone="good" if rival.verdict == "better" else ""),
        ])  # fmt: skip
    return lines
