"""The table and the picture of docs/results.md about the speed of an iteration, from ``reports/speed``.

pdadmm-bench profile runners/speed.toml --repeats 5 --json speed.json
python tools/docs/speed.py speed.json    # takes its entries in the place of those of the same names first
python tools/docs/speed.py               # writes table and picture
python tools/docs/speed.py --check       # fails where the page has other numbers than the rows
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from marked import ROOT, Marked, main, sources

from pdadmm_bench.core.rows import Row, write_rows
from pdadmm_bench.report.figures.speed import speed_figure
from pdadmm_bench.report.render import markdown_body
from pdadmm_bench.report.tables.speed import target_table

SPEED = Marked("speed", ROOT / "reports" / "speed" / "two-cores.json", (ROOT / "docs" / "results.md",))
PICTURE = ROOT / "docs" / "images" / "speed.png"


def take(file: Path) -> None:
    """Keep the entries of a file; an entry that is in it already is replaced in its place."""
    found = {row["entry"]: row for row in SPEED.load()}
    found |= {row["entry"]: row for row in json.loads(file.read_text(encoding="utf-8"))}
    write_rows(SPEED.rows, found.values())


def targets(rows: Sequence[Row]) -> str:
    """Every figure with a target: measured, target and verdict."""
    return markdown_body(target_table(rows)).strip()


if __name__ == "__main__":
    words = sys.argv[1:]
    for file in sources(words):
        take(file)
    wrong = main([word for word in words if word == "--check"], (SPEED, targets))
    if "--check" not in words:
        speed_figure(SPEED.load()).savefig(PICTURE)
    sys.exit(wrong)
