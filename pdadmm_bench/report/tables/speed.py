"""The tables of ``pdadmm-bench profile``: the figures of an iteration, beside their targets.

A figure is one number of a row, such as the seconds of an iteration or their ratio to those of its products alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.table import NOTHING, Cell, Column, Table, Tone
from pdadmm_bench.report.tables.listing import facts_table
from pdadmm_bench.report.units import seconds, size

NAMES = {
    "iteration_s": "iteration",
    "floor_s": "its products alone",
    "ratio_to_floor": "iteration / products",
    "gflops_per_s": "products per second",
    "floor_gflops_per_s": "products per second, alone",
    "adam_s": "iteration of Adam",
    "ratio_to_adam": "iteration / Adam's",
    "reference_s": "iteration of the literal reference",
    "reference_ratio": "times faster than the literal reference",
    "other_s": "iteration under the other settings",
    "other_ratio_to_floor": "the other iteration / its products",
    "speedup": "times faster than the other settings",
    "slope_s": "seconds per row or layer",
    "linear_deviation": "worst distance from a line",
    "proportional_deviation": "worst distance from a line through 0",
    "sooner": "times sooner than the reference is there",
    "sooner_than_end": "times sooner than the reference ends",
    "reached_s": "there after",
    "reference_reached_s": "reference there after",
    "reference_end_s": "reference ends after",
    "memory_peak_bytes": "peak memory",
    "memory_state_bytes": "state",
}
"""The names of figures for a reader, in the order in which they are shown."""


@dataclass(frozen=True)
class TargetVerdict:
    """One figure of an entry beside its target; ``met`` is None where nothing was measured."""

    entry: str
    figure: str
    value: float | None
    low: float | None
    high: float | None
    sign: str
    bound: float
    met: bool | None
    reason: str
    """Why there is no figure."""

    @property
    def text(self) -> str:
        """``met`` or ``missed``, and whether the target lies within the interval."""
        if self.met is None:
            return self.reason
        open_ = self.low is not None and self.high is not None and self.low <= self.bound <= self.high
        return ("met" if self.met else "missed") + (", within the interval" if open_ else "")


def verdicts(rows: Sequence[Row]) -> list[TargetVerdict]:
    """Every target of every row."""
    found = []
    for row in rows:
        for target in json.loads(row["targets"]):
            figure = target["figure"]
            value, low, high = _interval(row, figure)
            sign, bound = ("≤", target["most"]) if "most" in target else ("≥", target["least"])
            reason = row.get(f"{figure.split('_')[0]}_skipped") or row["status_reason"] or "not measured"
            found.append(TargetVerdict(row["entry"], figure, value, low, high, sign, bound, target["met"], reason))
    return found


def _interval(row: Row, figure: str) -> tuple[float | None, float | None, float | None]:
    return row.get(figure), row.get(f"{figure}_low"), row.get(f"{figure}_high")


def figure_text(figure: str, value: float | None) -> str:
    """A value of ``figure`` with its unit."""
    if value is None:
        return NOTHING
    if figure.endswith("_bytes"):
        return size(value)
    if figure.endswith("_deviation"):
        return f"{value:.1%}"
    if figure.endswith("gflops_per_s"):
        return f"{value:.3g} GFLOP/s"
    if figure == "slope_s":
        return f"{value:.3g} s"
    if figure.endswith("_s"):
        return seconds(value)
    return f"{value:.3g} ×" if value < 999.5 else f"{value:,.0f} ×"


def figure_name(figure: str, row: Row) -> str:
    """The name of ``figure`` for a reader, with the settings that it is relative to."""
    if figure == "speedup" and row.get("against"):
        other = ", ".join(f"{key}={value}" for key, value in json.loads(row["against"]).items())
        return f"times faster than with {other}"
    return NAMES[figure]


def measured_text(figure: str, row: Row) -> str:
    """A figure of ``row`` with its interval, and how many runs reached a target, where that may fail."""
    value, low, high = _interval(row, figure)
    spread = "" if low is None else f" [{figure_text(figure, low)}, {figure_text(figure, high)}]"
    return figure_text(figure, value) + spread + (f" ({row['hits']})" if row.get("hits") else "")


def target_table(rows: Sequence[Row]) -> Table:
    """Entry × figure: measured, target, verdict; of an entry without a target its first figure."""
    lines = []
    judged = verdicts(rows)
    for row in rows:
        mine = [verdict for verdict in judged if verdict.entry == row["entry"]]
        for verdict in mine:
            bound = f"{verdict.sign} {figure_text(verdict.figure, verdict.bound)}"
            tone = _TONES[verdict.met]
            lines.append([*_measured(row, verdict.figure), Cell(bound), Cell(verdict.text, tone=tone)])
        first = next((figure for figure in NAMES if row.get(figure) is not None), None)
        if not mine and first:
            lines.append([*_measured(row, first), Cell(), Cell("")])
    heads = [
        Column("entry"), Column("figure"), Column("measured", "number"), Column("n", "count"),
        Column("target", "number"), Column(""),
    ]  # fmt: skip
    return Table("targets", "median [95 % bootstrap interval] over repetitions", heads, lines)


_TONES: dict[bool | None, Tone] = {True: "good", False: "bad", None: "dim"}


def _measured(row: Row, figure: str) -> list[Cell]:
    value, low, high = _interval(row, figure)
    return [
        Cell(row["entry"]), Cell(figure_name(figure, row)),
        Cell(value, low, high, shown=measured_text(figure, row)), Cell(row["n"]),
    ]  # fmt: skip


def iteration_tables(row: Row) -> Iterator[Table]:
    """Everything about one row: its figures, the parts of an iteration, its products, and what it cost in memory."""
    figures = [(title, measured_text(key, row)) for key, title in NAMES.items() if row.get(key) is not None]
    if figures:
        yield facts_table("figures", figures, _title(row))
    if beside := list(_beside_the_clock(row)):
        yield facts_table("beside-the-clock", beside, "beside the clock")
    parts = json.loads(row.get("breakdown") or "{}")
    whole = sum(parts.values()) or 1.0
    if parts:
        shares = [(part, f"{seconds(value)}  {value / whole:.0%}") for part, value in parts.items()]
        yield facts_table("parts", shares, "parts of an iteration")
    if products := json.loads(row.get("products") or "[]"):
        counts = [(_product(p), f"{p['flops'] / 1e9:.3g} GFLOP") for p in products]
        yield facts_table("products", counts, "products of an iteration")


def _beside_the_clock(row: Row) -> Iterator[tuple[str, str]]:
    """Facts beside the times: what was not measured, sizes of products, allocations, the first iteration."""
    for who in ("adam", "reference"):
        if reason := row.get(f"{who}_skipped"):
            yield f"without {who}", reason
    for who in ("adam", "reference"):
        if flops := row.get(f"{who}_products_flops"):
            times = flops / row["products_flops"]
            yield f"products of {who}", f"{flops / 1e9:.3g} GFLOP, {times:.3g} × those of this iteration"
    if row.get("allocations_count") is not None:
        count, whole, largest = (row[f"allocations_{name}"] for name in ("count", "bytes", "largest_bytes"))
        yield "allocations per iteration", f"{count:,}, {size(whole)} in all, the largest {size(largest)}"
    if row.get("first_iteration_s") is not None:
        yield "the very first iteration", seconds(row["first_iteration_s"])


def _title(row: Row) -> str:
    threads = row.get("dist_threads")
    parts = [
        f"{row['optimizer_name']} on {row['dataset_name']}",
        f"{row['model_layers']} layers × {row['model_hidden']}",
        row["optimizer_precision"] + (", compiled" if row.get("optimizer_compiled") else ""),
        f"{row.get('dist_device')}, {threads} thread{'' if threads == 1 else 's'}" if threads else None,
        f"n = {row['n']}",
    ]
    return " · ".join(part for part in parts if part)


def _product(p: dict[str, Any]) -> str:
    """``4 × (300, 96) (96, 64)ᵀ float32``; ᵀ marks a factor that is stored transposed."""
    factors = [
        f"({n:,}, {m:,})ᵀ" if layout == "columns" else f"({m:,}, {n:,})"
        for m, n, layout in ((p["m"], p["k"], p["left"]), (p["k"], p["n"], p["right"]))
    ]
    batch = "" if p["batch"] == 1 else f"{p['batch']} of "
    return f"{p['count']} × {batch}{' '.join(factors)} {p['dtype']}"
