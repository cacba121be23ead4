"""The strong-scaling table, of what ``scale`` measured and of what ``predict`` computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pdadmm_bench.report.units import seconds

if TYPE_CHECKING:
    from rich.table import Table

CONFIGURATION = ("optimizer", "schedule", "layers", "workers", "partition")
FIGURES = ("iteration", "speedup", "efficiency", "exposed", "MB/boundary", "state MB")


def scaling_table(title: str, rows: Sequence[Mapping[str, Any]], published: bool = False) -> Table:
    """A line per row: one optimizer, schedule, depth and number of workers.

    Measured figures come with the intervals their rows have; predicted ones (``predicted`` in the row) are marked as
    such. With ``published``, a last column has the ``published_speedups`` of papers.
    """
    from rich.table import Table
    from rich.text import Text

    mark = "predicted\n" if any(row.get("predicted") for row in rows) else ""
    table = Table(title=Text(title), title_justify="left")
    for heading in CONFIGURATION:
        table.add_column(heading)
    for heading in FIGURES:
        table.add_column(mark + heading, justify="right")
    if published:
        table.add_column("published\nspeedup")
    for row in rows:
        cells = _configuration(row) + _figures(row)
        if published:
            found = [f"{dataset} {speedup:g}" for dataset, speedup in row["published_speedups"].items()]
            cells.append(", ".join(found) or "–")
        table.add_row(*map(Text, cells))
    return table


def _configuration(row: Mapping[str, Any]) -> list[str]:
    names = ("optimizer_name", "schedule", "model_layers", "dist_workers", "dist_partition")
    return [str(row[name] or "–") for name in names]


def _figures(row: Mapping[str, Any]) -> list[str]:
    return [
        _with_interval(row, "time_iteration_median_s", "time_iteration", "_s", seconds),
        _with_interval(row, "speedup", "speedup", "", _ratio),
        _ratio(row["efficiency"]),
        f"{row['time_exposed_share']:.1%}",
        f"{row['bytes_per_boundary'] / 1e6:,.2f}",
        f"{row['memory_state_bytes'] / 1e6:,.1f}",
    ]


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _with_interval(row: Mapping[str, Any], name: str, stem: str, unit: str, text: Callable[[Any], str]) -> str:
    low, high = row.get(f"{stem}_low{unit}"), row.get(f"{stem}_high{unit}")
    return text(row[name]) + ("" if low is None else f" [{text(low)}, {text(high)}]")
