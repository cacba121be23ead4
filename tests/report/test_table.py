"""Every table of the program has every form, and a form keeps what the table says."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from stats_rows import runs

import pdadmm_bench
from pdadmm_bench.cli.views.console import show
from pdadmm_bench.report import render
from pdadmm_bench.report.table import Cell, Column, Kind, Table, table_of_words, text
from pdadmm_bench.report.tables.baseline import BaselineEntry, baseline_table
from pdadmm_bench.report.tables.comparison import comparison_tables
from pdadmm_bench.report.tables.gate import checks_table, effect_text, verdict_table
from pdadmm_bench.report.tables.listing import cache_table, datasets_table, doctor_table, facts_table, optimizers_table
from pdadmm_bench.report.tables.run_plan import (
    NetworkPlan,
    RunPlanLine,
    WorkerPlanLine,
    run_plan_table,
    worker_plan_table,
)
from pdadmm_bench.report.tables.suite_plan import SuitePlanLine, suite_plan_table
from pdadmm_bench.report.tables.summary import summary_table
from pdadmm_bench.stats.comparison import compare_rows
from pdadmm_bench.stats.metrics import metric

ACCURACY = "acc_test_at_best_val"
SIDES = (("sgd", 0.0), ("adam", 0.05))
PACKAGE = Path(pdadmm_bench.__file__).parent


@dataclass
class Check:
    check: str
    outcome: str
    effect: float | None
    low: float | None = None
    high: float | None = None


@dataclass
class Benchmark:
    name: str
    verdict: str
    findings: list[Check]


def compared() -> Table:
    a, b = (runs(name, ACCURACY, [0.7 + plus + 0.01 * seed for seed in range(8)]) for name, plus in SIDES)
    (table,) = comparison_tables(compare_rows(a, b, [metric(ACCURACY)]))
    return table


WORKERS = [WorkerPlanLine((1, 2), 1_234, 2_000_000, 0.01, 400), WorkerPlanLine((3, 4), 567, 1_000_000, 0.01, 0)]
BENCHMARKS = [
    Benchmark("a|b <c>", "worse", [Check("accuracy", "worse", -2.0, -2.5, -1.5), Check("time", "ok", 0.01)]),
    Benchmark("fine", "ok", [Check("accuracy", "ok", 0.0)]),
]
SETTING = SuitePlanLine("cora", "adam", "2×8", None, 1, None, 1, 12, None, None, 12, 0.515, 421_000_000)
TABLES = {
    "datasets": datasets_table([("cora", 2708, 10556, 1433, 7, "public", "planetoid")]),
    "optimizers": optimizers_table([("adam", "full-batch Adam")]),
    "info": facts_table("info", [("summary", "papers [all]")]),
    "cache": cache_table([("raw", "files of graphs", 2000)]),
    "doctor": doctor_table([("ok", "torch", "2.13", ""), ("fail", "cache", "not writable", "name another")]),
    "runs": run_plan_table("4 runs", [RunPlanLine("adam", [0], 2, 8, 1_234, 1, "–", 200, "lr=0.1")]),
    "workers": worker_plan_table("workers", [NetworkPlan("adam", 4, 8, WORKERS, 0.02)] * 2),
    "suite": suite_plan_table("ci", [SETTING]),
    "baseline": baseline_table([BaselineEntry("a", "0123", 3, 0.7, 0.6, 25_600, 1000, None)]),
    "verdicts": verdict_table([("a|b <c>", "worse", "accuracy −2.00 points"), ("fine", "ok", "")]),
    "checks": checks_table(BENCHMARKS),
    "summary": summary_table(runs("adam", ACCURACY, [0.7, 0.8])),
    "compare": compared(),
}


def on_terminal(table: Table, width: int = 200, **options: Any) -> str:
    console = Console(file=io.StringIO(), width=width, **options)
    show(table, console=console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_table_has_every_form(table: Table) -> None:
    width = len(table.columns)
    assert {len(line) for line in table.rows} == {width}
    words = [text(cell, column) for line in table.rows for cell, column in zip(line, table.columns, strict=True)]
    shown = on_terminal(table)
    assert all(word in shown for word in words)
    lines = [line for line in render.markdown_body(table).splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in lines} == {width + 1}
    assert len(lines) == 2 + len(table.rows)
    assert len(list(csv.reader(io.StringIO(render.comma_separated(table))))) == 1 + len(table.rows)
    body = render.latex(table).split(r"\midrule", 1)[1].split(r"\bottomrule")[0]
    assert body.count(r"\\") == len(table.rows)
    page = render.html(table)
    heads = page.count("<th ")  # a column whose cells are all the same may be in the caption
    assert (page.count("<tr"), page.count("<td")) == (1 + len(table.rows), heads * len(table.rows))
    assert 0 < heads <= width


def test_tables_of_rich_are_made_in_one_place() -> None:
    makers = [path for path in PACKAGE.rglob("*.py") if "rich.table import Table" in path.read_text(encoding="utf-8")]
    assert [path.relative_to(PACKAGE).as_posix() for path in makers] == ["report/render.py"]


@pytest.mark.parametrize(
    ("value", "kind", "says"),
    [
        (0.791, "accuracy", "79.1 %"),
        (-0.0123, "points", "−1.2"),
        (0.02, "points", "+2.0"),
        (1.2345, "ratio", "1.23"),
        (0.012345, "factor", "0.0123"),
        (math.inf, "factor", "∞"),
        (math.inf, "seconds", "never"),
        (12_345, "count", "12,345"),
        (12.5, "count", "12.5"),
        (8_320, "bytes", "8.32 kB"),
        (None, "seconds", "–"),
        ("as it is", "seconds", "as it is"),
    ],
)
def test_a_value_is_shown_by_the_kind_of_its_column(value: float | str | None, kind: Kind, says: str) -> None:
    assert text(Cell(value), Column("x", kind)) == says


def test_words_replace_a_number_for_readers_only() -> None:
    table = Table("x", "", [Column("a", "number")], [[Cell(0.5, 0.25, 0.75, shown="half")]])
    assert "half" in on_terminal(table) and "| half |" in render.markdown_body(table)
    assert render.comma_separated(table) == "a,a_low,a_high\n0.5,0.25,0.75\n"


def test_a_verdict_stands_out_in_every_form() -> None:
    table = Table(
        "x", "", [Column("a")], [[Cell("lost", tone="bad")], [Cell("as before")], [Cell("odd", tone="warning")]]
    )
    coloured = on_terminal(table, force_terminal=True, color_system="standard")
    assert "\x1b[31mlost" in coloured and "\x1b[33modd" in coloured
    assert "| **lost** |" in render.markdown_body(table) and "| odd |" in render.markdown_body(table)
    assert r"\textbf{lost}" in render.latex(table)
    assert 'class="bad"' in render.html(table)


def test_what_would_break_a_form_is_escaped() -> None:
    table = Table("x", "", [Column("a\nb", "code"), Column("c")], [[Cell("p|q"), Cell("<i> [red]\nnext")]])
    assert "| a b | c |\n| --- | --- |\n| `p\\|q` | &lt;i> [red] next |" in render.markdown_body(table)
    assert render.comma_separated(table).startswith("a b,c\n")
    assert "&lt;i&gt;" in render.html(table)
    assert "[red]" in on_terminal(table)


def test_a_plain_table_has_a_line_per_row_off_a_terminal() -> None:
    table = facts_table("x", [("short", "a"), ("long", "word " * 100)])
    first, second = on_terminal(table, width=80).splitlines()
    assert first.split() == ["short", "a"] and second.count("word") == 100
    assert len(on_terminal(table, width=80, force_terminal=True).splitlines()) > 5


def test_a_section_ends_with_a_line() -> None:
    table = TABLES["workers"]
    assert on_terminal(table).count("├") == 1  # after the first of two networks; the frame ends the second
    assert render.latex(table).count(r"\midrule") == 2


def test_a_title_is_not_folded_to_the_width_of_its_table() -> None:
    title = "a title that is longer than the table below it"
    assert on_terminal(table_of_words("x", title, ["a"], [["b"]])).splitlines()[0] == title


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (Check("accuracy", "worse", -2.0, -2.5, -1.5), "−2.00 points [−2.50, −1.50]"),
        (Check("time", "ok", 0.012, 0.008, 0.016), "+1.2 % [+0.8, +1.6]"),
        (Check("bytes", "ok", -0.00001), "+0.0 %"),
        (Check("iterations", "worse", math.inf), "never reached"),
        (Check("peak memory", "ok", None), "–"),
    ],
)
def test_effects_of_the_gate_have_their_unit(found: Check, says: str) -> None:
    assert effect_text(found) == says
