"""The tables and the picture of docs/results.md about the speed of an iteration, from ``reports/speed``.

    pdadmm-bench profile runners/speed.toml --repeats 5 --json speed.json
    python tools/docs/speed.py speed.json    # takes its entries in the place of those of the same names first
    python tools/docs/speed.py               # writes tables and picture
    python tools/docs/speed.py --check       # fails where the page has other numbers than the rows

The table of targets is that of ``pdadmm-bench profile``.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from marked import ROOT, Marked, main, markdown

from pdadmm_bench.core.rows import Row, write_rows
from pdadmm_bench.report.figures.speed import speed_figure
from pdadmm_bench.report.render import markdown_body
from pdadmm_bench.report.tables.speed import target_table
from pdadmm_bench.report.units import seconds, size

SPEED, INSIDE, SIZES = (
    Marked(name, ROOT / "reports" / "speed" / "two-cores.json", (ROOT / "docs" / "results.md",))
    for name in ("speed", "speed-inside", "speed-sizes")
)
SUITE = ROOT / "runners" / "speed.toml"
PICTURE = ROOT / "docs" / "images" / "speed.png"


def take(files: Sequence[Path]) -> None:
    """Keep the entries of files, in the place of those of the same names, in the order of the suite."""
    found = {row["entry"]: row for row in SPEED.load()}
    found |= {row["entry"]: row for file in files for row in json.loads(file.read_text(encoding="utf-8"))}
    order = [entry["name"] for entry in tomllib.loads(SUITE.read_text(encoding="utf-8"))["entry"]]
    write_rows(SPEED.rows, sorted(found.values(), key=lambda row: order.index(row["entry"])))


def targets(rows: Sequence[Row]) -> str:
    """Every figure with a target: measured, target and verdict."""
    return markdown_body(target_table(rows)).strip()


def inside(rows: Sequence[Row]) -> str:
    """What an iteration of every entry has: its products and its elementwise passes, and those of the others."""
    lines = []
    for row in (row for row in rows if row["kind"] == "profile"):
        passes = json.loads(row["breakdown"])["z, q, u"]
        cells = [work(row, "iteration_s", "products_flops"), work(row, "floor_s"), seconds(passes)]
        cells += [work(row, f"{who}_s", f"{who}_products_flops") for who in ("adam", "reference")]
        lines.append([row["entry"], *cells, size(row["allocations_bytes"])])
    header = [
        "entry",
        "iteration; products",
        "its products alone",
        "z, q and u of hidden layers",
        "Adam",
        "literal reference",
    ]
    return markdown([*header, "allocated"], lines)


def work(row: Row, column: str, flops: str = "") -> str:
    """Seconds, and the operations of the products."""
    if row.get(column) is None:
        return "–"
    return seconds(row[column]) + (f"; {row[flops] / 1e9:.3g} GFLOP" if flops else "")


def sizes(rows: Sequence[Row]) -> str:
    """Seconds of an iteration by the number of rows, and of layers."""
    lines = []
    for row in (row for row in rows if row["kind"] == "linear"):
        found = {int(name.split("_")[2]): row[name] for name in row if re.fullmatch(r"iteration_s_\d+", name)}
        lines.append(
            [row["entry"], ", ".join(f"{count:,}: {seconds(value)}" for count, value in sorted(found.items()))]
        )
    return markdown(["entry", "seconds of an iteration"], lines)


def draw() -> None:
    """The seconds of an iteration, by what is measured."""
    speed_figure(SPEED.load()).savefig(PICTURE)


TABLES = ((SPEED, targets), (INSIDE, inside), (SIZES, sizes))

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], *TABLES, take=take, draw=draw))
