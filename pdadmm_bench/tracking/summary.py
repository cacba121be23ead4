"""What a parent run says about its training runs: metrics of each line, verdicts, the page of a report."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.history import History
from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.render import markdown_body
from pdadmm_bench.report.table import Cell, Column, Kind, table_of_words, text
from pdadmm_bench.tracking.described import TrainingRun
from pdadmm_bench.tracking.values import TAG_LENGTH, as_note, fit, name_of

if TYPE_CHECKING:
    from pdadmm_bench.report.standings import Leaders
    from pdadmm_bench.report.tables.settings import Differences

#: What the description of a training run says, in this order.
_RESULTS: dict[str, tuple[str, Kind]] = {
    "acc_test_at_best_val": ("test accuracy at the best validation accuracy", "accuracy"),
    "acc_val_best": ("best validation accuracy", "accuracy"), "iterations": ("iterations", "count"),
    "time_iteration_median_s": ("time of an iteration", "seconds"), "time_train_s": ("training time", "seconds"),
    "time_warm_start_s": ("warm start, of that", "seconds"),
    "time_to_near_best_s": ("time to 99 % of its best", "seconds"),
    "time_to_target_s": ("time to target", "seconds"), "memory_peak_bytes": ("peak memory", "bytes"),
    "status_reason": ("ended", "text"),
}  # fmt: skip
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


def texts(rows: Sequence[Row], leaders: Leaders) -> tuple[dict[str, str], str]:
    """Tables in Markdown by the name of their artifact, and the description of the run: the answer, then the table."""
    from pdadmm_bench.report.answer import sentences
    from pdadmm_bench.report.render import markdown
    from pdadmm_bench.report.tables.summary import summary_table
    from pdadmm_bench.report.tables.verdicts import verdict_tables

    table = markdown_body(summary_table(rows, leaders))
    verdicts = "\n".join(map(markdown, verdict_tables(leaders)))
    found = {"summary.md": table} | ({"verdicts.md": verdicts} if verdicts else {})
    return found, "\n\n".join([*sentences(leaders), table])


def run_note(run: TrainingRun, row: Row, pictures: Sequence[str]) -> str:
    """The description of a training run, with which its page begins: pictures, results, configuration.

    Args:
        pictures: names of artifacts. MLflow's UI shows such a link relative to its own address.
    """
    shown = [f"![{name}](get-artifact?path={name}&run_uuid={run.run_id})" for name in pictures]
    results = [(words, text(Cell(row[name]), Column("", kind))) for name, (words, kind) in _RESULTS.items()
               if row.get(name) is not None]  # fmt: skip
    settings = [(key, value) for key, value in run.params.items() if not key.startswith("optimizer_")]
    settings.append(("hyperparameters", run.tags.get("hyperparameters", "")))
    tables = [
        table_of_words(name, "", [name, ""], lines, labels=2)
        for name, lines in (("result", results), ("setting", settings))
    ]
    return fit("\n\n".join([*shown, *map(as_note, map(markdown_body, tables))]), TAG_LENGTH)


def report_page(title: str, rows: Sequence[Row], leaders: Leaders, histories: Mapping[str, History]) -> str:
    """The page of a report on ``rows``: its tables and the picture of the answer. Curves are MLflow's own charts."""
    from pdadmm_bench.report.assemble import assemble
    from pdadmm_bench.report.figures.answer import answer_pictures
    from pdadmm_bench.report.page import ANSWER, page

    report = assemble(rows, [], leaders=leaders, histories=histories)
    return page(title, rows, report, {}, report.missing, still=answer_pictures(rows).get(ANSWER))


def _name(differ: Differences, optimizer: str, problem: tuple[Any, ...]) -> str:
    """The optimizer, and what of dataset, network and workers is not the same for all."""
    dataset, layers, hidden, workers = problem
    parts = [optimizer]
    parts += [differ.datasets[str(dataset)]] if differ.dataset else []
    parts += [f"{layers}x{hidden}"] if differ.network else []
    parts += [f"{workers} workers"] if differ.workers and workers != 1 else []
    return " ".join(parts)
