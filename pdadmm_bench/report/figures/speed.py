"""Rows of ``pdadmm-bench profile`` as tables and as a picture: what was measured, and how it stands to its targets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.figures.style import BLACK, BLUE, GREY, VERMILION, heading, note, panels
from pdadmm_bench.report.units import seconds, size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.console import Group
    from rich.table import Table

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
"""Figures by what a reader calls them, in the order in which they are shown."""

PANELS = (
    ("ratio_to_floor",), ("sooner",), ("reference_ratio",), ("ratio_to_adam",), ("speedup",),
    ("linear_deviation", "proportional_deviation"),
)  # fmt: skip
"""Figures that are drawn, those of one kind in one panel."""


@dataclass(frozen=True)
class Verdict:
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
        """``met`` or ``missed``, and whether the interval leaves it open."""
        if self.met is None:
            return self.reason
        open_ = self.low is not None and self.high is not None and self.low <= self.bound <= self.high
        return ("met" if self.met else "missed") + (", within the interval" if open_ else "")


def verdicts(rows: Sequence[Row]) -> list[Verdict]:
    """Every target of every row."""
    found = []
    for row in rows:
        for target in json.loads(row["targets"]):
            figure = target["figure"]
            value, low, high = _interval(row, figure)
            sign, bound = ("≤", target["most"]) if "most" in target else ("≥", target["least"])
            reason = row.get(f"{figure.split('_')[0]}_skipped") or row["status_reason"] or "not measured"
            found.append(Verdict(row["entry"], figure, value, low, high, sign, bound, target["met"], reason))
    return found


def _interval(row: Row, figure: str) -> tuple[float | None, float | None, float | None]:
    return row.get(figure), row.get(f"{figure}_low"), row.get(f"{figure}_high")


def text(figure: str, value: float | None) -> str:
    """A value of ``figure`` with its unit."""
    if value is None:
        return "–"
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


def name(figure: str, row: Row) -> str:
    """What a reader calls ``figure``, and what it is relative to."""
    if figure == "speedup" and row.get("against"):
        other = ", ".join(f"{key}={value}" for key, value in json.loads(row["against"]).items())
        return f"times faster than with {other}"
    return NAMES[figure]


def measured(figure: str, row: Row) -> str:
    """A figure of ``row`` with its interval, and how many runs got there, where not all need to."""
    value, low, high = _interval(row, figure)
    spread = "" if low is None else f" [{text(figure, low)}, {text(figure, high)}]"
    return text(figure, value) + spread + (f" ({row['hits']})" if row.get("hits") else "")


def verdict_table(rows: Sequence[Row]) -> Table:
    """Entry × figure: measured, target, verdict; of an entry without a target its first figure."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title="median [95 % bootstrap interval] over repetitions", title_style="dim", title_justify="left")
    for column in ("entry", "figure", "measured", "n", "target", ""):
        table.add_column(column, justify="right" if column in ("measured", "n", "target") else "left", overflow="fold")
    judged = verdicts(rows)
    for row in rows:
        mine = [verdict for verdict in judged if verdict.entry == row["entry"]]
        for verdict in mine:
            bound = f"{verdict.sign} {text(verdict.figure, verdict.bound)}"
            style = {True: "green", False: "red", None: "dim"}[verdict.met]
            cells = (row["entry"], name(verdict.figure, row), measured(verdict.figure, row), str(row["n"]), bound)
            table.add_row(*map(Text, cells), Text(verdict.text, style))
        first = next((figure for figure in NAMES if row.get(figure) is not None), None)
        if not mine and first:
            table.add_row(*map(Text, (row["entry"], name(first, row), measured(first, row), str(row["n"]), "–", "")))
    return table


def details(row: Row) -> Iterator[Group]:
    """Everything about one row: its figures, the parts of an iteration, the products, and what it cost in memory."""
    yield from _table(
        _title(row), [(title, measured(key, row)) for key, title in NAMES.items() if row.get(key) is not None]
    )
    notes = [(f"without {who}", row[f"{who}_skipped"]) for who in ("adam", "reference") if row.get(f"{who}_skipped")]
    for who in ("adam", "reference"):
        if flops := row.get(f"{who}_products_flops"):
            times = flops / row["products_flops"]
            notes.append((f"products of {who}", f"{flops / 1e9:.3g} GFLOP, {times:.3g} × those of this iteration"))
    if row.get("allocations_count") is not None:
        count, whole, largest = (row[f"allocations_{name}"] for name in ("count", "bytes", "largest_bytes"))
        notes.append(("allocations per iteration", f"{count:,}, {size(whole)} in all, the largest {size(largest)}"))
    if row.get("first_iteration_s") is not None:
        notes.append(("the very first iteration", seconds(row["first_iteration_s"])))
    yield from _table("beside the clock", notes)
    parts = json.loads(row.get("breakdown") or "{}")
    whole = sum(parts.values()) or 1.0
    yield from _table("parts of an iteration", [(k, f"{seconds(v)}  {v / whole:.0%}") for k, v in parts.items()])
    products = json.loads(row.get("products") or "[]")
    yield from _table("products of an iteration", [(_product(p), f"{p['flops'] / 1e9:.3g} GFLOP") for p in products])


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
    """``4 × (300, 96) (96, 64)ᵀ float32``; ᵀ where a factor lies in memory transposed."""
    factors = [
        f"({n:,}, {m:,})ᵀ" if layout == "columns" else f"({m:,}, {n:,})"
        for m, n, layout in ((p["m"], p["k"], p["left"]), (p["k"], p["n"], p["right"]))
    ]
    batch = "" if p["batch"] == 1 else f"{p['batch']} of "
    return f"{p['count']} × {batch}{' '.join(factors)} {p['dtype']}"


def _table(title: str, lines: Sequence[tuple[str, str]]) -> Iterator[Group]:
    """Two columns under a title; nothing where there are no lines."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    if not lines:
        return
    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for line in lines:
        table.add_row(*map(Text, line))
    yield Group(Text(title, "bold"), table)


def speed_figure(rows: Sequence[Row]) -> Figure:
    """A panel per kind of figure that has a target: a bar per entry, its interval, and the target as a line."""
    targeted = [verdict for verdict in verdicts(rows) if verdict.value is not None]
    groups = [[verdict for verdict in targeted if verdict.figure in kind] for kind in PANELS]
    groups = [group for group in groups if group]
    tallest = [max(len(group) for group in groups[i : i + 2]) for i in range(0, len(groups), 2)]
    heights = [0.7 + 0.35 * bars for bars in tallest]
    figure, axes = panels(len(groups) or 1, width=6.2 if len(groups) > 1 else 9.0, heights=heights or [1.0])
    heading(figure, "iterations beside their targets (dashed), orange where they missed them")
    for ax, group in zip(axes, groups, strict=False):
        _bars(ax, group)
    if not groups:
        axes[0].set_axis_off()
        note(axes[0], "no figure with a target was measured")
    return figure


def _bars(axes: Axes, found: Sequence[Verdict]) -> None:
    axes.grid(False, axis="y")
    axes.set_title(" · ".join(dict.fromkeys(NAMES[verdict.figure] for verdict in found)), fontsize=10, loc="left")
    reach = max(max(v.value or 0.0, v.high or 0.0, v.bound) for v in found)
    for place, verdict in enumerate(found):
        value = verdict.value or 0.0
        axes.barh(place, value, height=0.55, color=BLUE if verdict.met else VERMILION)
        if verdict.low is not None and verdict.high is not None:
            axes.plot([verdict.low, verdict.high], [place, place], color=BLACK, linewidth=1.4, solid_capstyle="butt")
        axes.plot([verdict.bound] * 2, [place - 0.4, place + 0.4], color=BLACK, linewidth=1.4, linestyle=(0, (2, 1)))
        end = max(value, verdict.high or 0.0, verdict.bound)
        measured, bound = (text(verdict.figure, number) for number in (value, verdict.bound))
        axes.text(
            end + 0.015 * reach,
            place,
            f"{measured} (target {verdict.sign} {bound})",
            va="center",
            fontsize=8,
            color=GREY,
        )
    axes.set_yticks(range(len(found)), [verdict.entry for verdict in found])
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set_xlim(0, 1.45 * reach)
