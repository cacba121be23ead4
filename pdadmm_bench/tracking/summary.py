"""What a parent run says about its training runs: metrics of each line, verdicts, the page of a report."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.history import History
from pdadmm_bench.core.rows import Row
from pdadmm_bench.tracking.values import name_of

if TYPE_CHECKING:
    from pdadmm_bench.report.tables.settings import Differences

METRICS = ("acc_test_at_best_val", "time_iteration_median_s", "time_to_near_best_s", "time_to_target_s")


def metrics(rows: Sequence[Row]) -> list[Any]:
    """For each line (a setting over its seeds) its accuracy, its times and its speedup: ``LINE/METRIC``.

    The accuracy is a mean and the times are medians, as in the tables of a report. A line is called after what tells it
    from the others.
    """
    from mlflow.entities import Metric

    from pdadmm_bench.report.standings import estimate
    from pdadmm_bench.report.tables.settings import Differences, gather
    from pdadmm_bench.report.tables.speedups import points_of_rows
    from pdadmm_bench.stats.metrics import metric

    lines = gather(rows)
    name = partial(_name, Differences.of(lines))
    values = {
        f"{name(line.optimizer, line.problem)}/{column}": estimate(line, metric(column)).value
        for line in lines
        for column in METRICS
    }
    with contextlib.suppress(UserError):  # no single worker is the one reference, so there is no speedup
        for point in points_of_rows(rows)[0]:
            if point.workers > 1:
                problem = (point.dataset, point.layers, point.hidden, point.workers)
                values[f"{name(point.optimizer, problem)}/speedup"] = point.ratio.value
    finite = {key: value for key, value in values.items() if value is not None and abs(value) != float("inf")}
    return [Metric(name_of(key), value, 0, 0) for key, value in finite.items()]


def speedups(rows: Sequence[Row]) -> dict[str, float]:
    """Of each run of several workers, how many times faster it is than one worker; by its id in MLflow.

    The other run has the same seed and settings. A run without one has no speedup.
    """
    from pdadmm_bench.stats.metrics import metric
    from pdadmm_bench.stats.pairing import pair, settings

    time = metric("time_iteration_median_s")
    single = [row for row in rows if settings(row).get("gpus") == 1]
    if len(single) == len(rows):
        return {}
    found = {}
    for group in pair(single, rows, compared={"gpus": 1}).groups:
        for one, other in group.pairs:
            before, after = time.value(one), time.value(other)
            if group.b.get("gpus") != 1 and before and after and other.get("mlflow_run_id"):
                found[str(other["mlflow_run_id"])] = before / after
    return found


def texts(rows: Sequence[Row]) -> tuple[dict[str, str], str]:
    """Tables in Markdown by the name of their artifact, and the description of the run: the answer, then the table."""
    from pdadmm_bench.report.answer import sentences
    from pdadmm_bench.report.render import markdown, markdown_body
    from pdadmm_bench.report.standings import Leaders
    from pdadmm_bench.report.tables.summary import summary_table
    from pdadmm_bench.report.tables.verdicts import verdict_tables

    leaders, table = Leaders.of(rows), markdown_body(summary_table(rows))
    verdicts = "\n".join(map(markdown, verdict_tables(leaders)))
    found = {"summary.md": table} | ({"verdicts.md": verdicts} if verdicts else {})
    return found, "\n\n".join([*sentences(leaders), table])


def report_page(title: str, runs: Sequence[tuple[Row, History]]) -> str:
    """The page of a report on ``runs``."""
    from pdadmm_bench.report.assemble import assemble, pictures
    from pdadmm_bench.report.page import page

    rows = [row for row, _ in runs]
    report = assemble(rows, [])
    drawn = pictures(rows, {row["run_id"]: history for row, history in runs if history}, report.points)
    return page(title, rows, report, drawn, report.missing)


def _name(differ: Differences, optimizer: str, problem: tuple[Any, ...]) -> str:
    """The optimizer, and what of dataset, network and workers is not the same for all."""
    dataset, layers, hidden, workers = problem
    parts = [optimizer]
    parts += [differ.datasets[str(dataset)]] if differ.dataset else []
    parts += [f"{layers}x{hidden}"] if differ.network else []
    parts += [f"{workers} workers"] if differ.workers and workers != 1 else []
    return " ".join(parts)
