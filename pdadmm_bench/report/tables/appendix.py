"""The appendix of a page: machines and versions, the settings of each line, and every run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pdadmm_bench.core.names import short_names
from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.table import Cell, Column, Table
from pdadmm_bench.report.tables.settings import gather
from pdadmm_bench.stats.pairing import device_class

_VERSIONS = {
    "env_version": "pdadmm-bench", "env_commit": "commit", "env_torch": "torch", "env_python": "Python",
    "env_platform": "system", "env_protocol": "protocol", "dist_threads": "threads per worker",
    "env_suite": "suite", "env_concurrency": "runs side by side",
}  # fmt: skip
_NO_HYPERPARAMETERS = ("optimizer_name", "optimizer_precision")


def appendix_tables(rows: Sequence[Row]) -> list[Table]:
    """What the numbers were measured on and with; empty without rows."""
    if not rows:
        return []
    return [_environment(rows), _settings(rows), every_run(rows)]


def _environment(rows: Sequence[Row]) -> Table:
    facts: list[tuple[str, list[Any]]] = [
        ("machine", [device_class(row) for row in rows if row.get("dist_device") is not None]),
        *((name, [row.get(column) for row in rows]) for column, name in _VERSIONS.items()),
        ("check of the machine", [row.get("env_quiet") or "not checked" for row in rows]),
    ]
    lines = []
    for name, values in facts:
        known = list(dict.fromkeys(str(value) for value in values if value is not None))
        if known:
            lines.append(
                [Cell(name), Cell("; ".join(known[:5]) + (f" and {len(known) - 5} more" if known[5:] else ""))]
            )
    return Table("environment", "Machine and versions", [Column("what"), Column("value")], lines)


def _settings(rows: Sequence[Row]) -> Table:
    """Hyperparameters, starting weights and warm start of each line, as they were used."""
    short = short_names(str(row["dataset_name"]) for row in rows)
    lines = []
    for line in gather(rows):
        row = line.rows[0]
        values = {key.removeprefix("optimizer_"): value for key, value in row.items()
                  if key.startswith("optimizer_") and key not in _NO_HYPERPARAMETERS and value is not None}  # fmt: skip
        weights = ", ".join(str(value) for value in (row.get("model_init"), row.get("model_warm_start")) if value)
        lines.append([
            Cell(short[str(row["dataset_name"])]), Cell(row.get("model_layers")), Cell(row.get("model_hidden")),
            Cell(row.get("dist_workers")), Cell(line.optimizer), Cell(row.get("iterations")), Cell(weights),
            Cell(", ".join(f"{key} {value}" for key, value in values.items())),
        ])  # fmt: skip
    heads = [
        Column("dataset"), Column("layers", "count"), Column("hidden", "count"), Column("workers", "count"),
        Column("optimizer"), Column("iterations", "count"), Column("start, warm start"), Column("hyperparameters"),
    ]  # fmt: skip
    return Table("settings", "Settings and hyperparameters of each line", heads, lines)


def every_run(rows: Sequence[Row]) -> Table:
    """A line for each run."""
    short = short_names(str(row["dataset_name"]) for row in rows)
    columns = {
        "model_layers": Column("layers", "count"), "model_hidden": Column("hidden", "count"),
        "dist_workers": Column("workers", "count"), "optimizer_name": Column("optimizer"),
        "seed": Column("seed", "count"), "status": Column("status"),
        "acc_test_at_best_val": Column("test accuracy", "accuracy"), "acc_val_best": Column("validation", "accuracy"),
        "time_iteration_median_s": Column("iteration", "seconds"), "time_warm_start_s": Column("warm start", "seconds"),
        "time_to_near_best_s": Column("to 99 % of best", "seconds"), "time_train_s": Column("training", "seconds"),
        "memory_peak_bytes": Column("memory", "bytes"),
    }  # fmt: skip
    lines = [[Cell(short[str(row["dataset_name"])]), *(Cell(row.get(name)) for name in columns)] for row in rows]
    return Table("runs", "Every run", [Column("dataset"), *columns.values()], lines)
