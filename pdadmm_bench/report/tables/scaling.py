"""The strong-scaling table, of what ``scale`` measured and of what ``predict`` computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pdadmm_bench.report.table import NOTHING, Cell, Column, Table

CONFIGURATION = ("optimizer", "schedule", "layers", "workers", "partition")
FIGURES = (
    Column("iteration", "seconds"),
    Column("speedup", "ratio"),
    Column("efficiency", "ratio"),
    Column("exposed", "share"),
    Column("sent/boundary", "bytes"),
    Column("state", "bytes"),
)


def scaling_table(title: str, rows: Sequence[Mapping[str, Any]], published: bool = False) -> Table:
    """A line per row: one optimizer, schedule, depth and number of workers.

    Measured values have the intervals of their rows; predicted ones (``predicted`` in the row) are marked as such. With
    ``published``, a last column has the ``published_speedups`` of papers. Where workers share rows, the table has the
    mesh, and the bytes that all workers send in sums over rows.
    """
    mark = "predicted\n" if any(row.get("predicted") for row in rows) else ""
    meshed = any(row.get("dist_mesh") for row in rows)
    heads = [Column(heading) for heading in CONFIGURATION]
    heads += [Column(mark + column.heading, column.kind) for column in FIGURES]
    heads += [Column("mesh"), Column(f"{mark}summed", "bytes")] if meshed else []
    heads += [Column("published\nspeedup")] if published else []
    lines = [
        [
            *_configuration(row), *_figures(row),
            *([Cell(str(row.get("dist_mesh") or NOTHING)), Cell(row.get("dist_reduced_bytes", 0))] if meshed else []),
            *([_published(row)] if published else []),
        ]
        for row in rows
    ]  # fmt: skip
    return Table("scaling", title, heads, lines)


def _configuration(row: Mapping[str, Any]) -> list[Cell]:
    names = ("optimizer_name", "schedule", "model_layers", "dist_workers", "dist_partition")
    return [Cell(str(row[name] or NOTHING)) for name in names]


def _figures(row: Mapping[str, Any]) -> list[Cell]:
    return [
        Cell(row["time_iteration_median_s"], row.get("time_iteration_low_s"), row.get("time_iteration_high_s")),
        Cell(row["speedup"], row.get("speedup_low"), row.get("speedup_high")),
        Cell(row["efficiency"]),
        Cell(row["time_exposed_share"]),
        Cell(row["bytes_per_boundary"]),
        Cell(row["memory_state_bytes"]),
    ]


def _published(row: Mapping[str, Any]) -> Cell:
    found = [f"{dataset} {speedup:g}" for dataset, speedup in row["published_speedups"].items()]
    return Cell(", ".join(found) or None)
