"""The table of accuracies in README.md and docs/accuracy.md, from the rows in ``reports/accuracy``.

    python tools/headline.py            # writes it
    python tools/headline.py --check    # fails where a page has other numbers than the rows

The table stands between ``<!-- headline -->`` and ``<!-- /headline -->``. Mean test accuracy at the best validation
accuracy, with the 95 % bootstrap interval and n; in bold is what the paired test over seeds shows to be better than
every other optimizer.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from pathlib import Path

from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.accuracy import best_lines, mean_accuracy
from pdadmm_bench.report.lines import Line, gather
from pdadmm_bench.report.tables import Column, cell, text

ROOT = Path(__file__).resolve().parents[1]
ROWS = ROOT / "reports" / "accuracy" / "rows.json.gz"
PAGES = (ROOT / "README.md", ROOT / "docs" / "accuracy.md")
BEGIN, END = "<!-- headline -->", "<!-- /headline -->"
TITLES = {"cora": "Cora", "pubmed": "PubMed", "citeseer": "CiteSeer", "photo": "Photo", "cs": "CS"}
ACCURACY = Column("", "accuracy")


def load() -> list[Row]:
    """The rows, from a compressed file of JSON."""
    rows: list[Row] = json.loads(gzip.decompress(ROWS.read_bytes()))
    return rows


def headline(rows: list[Row]) -> str:
    """The table in Markdown: a line per network and optimizer, a column per graph."""
    lines = gather(rows)
    best = best_lines(lines)
    found: dict[tuple[int, int, str], dict[str, Line]] = {}
    for line in lines:
        key = (line.setting["layers"], line.setting["hidden"], line.optimizer)
        found.setdefault(key, {})[line.setting["dataset"]] = line
    order = list(dict.fromkeys(line.optimizer for line in lines))
    datasets = [name for name in TITLES if any(name in each for each in found.values())]
    head = ["layers × units", "optimizer", *(TITLES[name] for name in datasets)]
    table = [head, ["---", "---", *["---:"] * len(datasets)]]
    for layers, hidden, optimizer in sorted(found, key=lambda key: (-key[0], key[1], order.index(key[2]))):
        cells = []
        for name in datasets:
            line = found[layers, hidden, optimizer].get(name)
            shown = text(cell(mean_accuracy(line)), ACCURACY) if line else "–"
            cells.append(f"**{shown}**" if line and id(line) in best else shown)
        table.append([f"{layers} × {hidden}", optimizer, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in table)


def placed(page: str, table: str) -> str:
    """``page`` with ``table`` between the marks; raises ``ValueError`` without them."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"no {BEGIN} … {END}")
    return pattern.sub(lambda _: f"{BEGIN}\n\n{table}\n\n{END}", page)


def main(check: bool) -> int:
    table = headline(load())
    wrong = 0
    for path in PAGES:
        old = path.read_text(encoding="utf-8")
        new = placed(old, table)
        if check and new != old:
            print(f"{path.name} has other numbers than {ROWS.name}: run python tools/headline.py")
            wrong += 1
        elif not check:
            path.write_text(new, encoding="utf-8")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
