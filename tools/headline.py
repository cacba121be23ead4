"""The table of accuracies in README.md and docs/accuracy.md, from the rows in ``reports/accuracy``.

    python tools/headline.py results/accuracy    # takes the rows of the suite first
    python tools/headline.py                     # writes it
    python tools/headline.py --check             # fails where a page has other numbers than the rows

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
from pdadmm_bench.suite.results import Results

ROOT = Path(__file__).resolve().parents[1]
ROWS = ROOT / "reports" / "accuracy" / "rows.json.gz"
PAGES = (ROOT / "README.md", ROOT / "docs" / "accuracy.md")
BEGIN, END = "<!-- headline -->", "<!-- /headline -->"
TITLES = {"cora": "Cora", "pubmed": "PubMed", "citeseer": "CiteSeer", "photo": "Photo", "cs": "CS"}
LOCAL = ("mlflow_run_id", "dist_per_worker")
ACCURACY = Column("", "accuracy")


def load() -> list[Row]:
    """The rows, from a compressed file of JSON."""
    rows: list[Row] = json.loads(gzip.decompress(ROWS.read_bytes()))
    return rows


def take(folder: Path) -> None:
    """Keep the rows of a suite's results folder, by problem, without what only their machine knows."""
    rows = [{key: row[key] for key in row if key not in LOCAL} for row in Results(folder).every_row()]
    rows.sort(key=lambda row: (row["dataset_name"], row["model_layers"], row["optimizer_name"], row["spec"]))
    ROWS.parent.mkdir(parents=True, exist_ok=True)
    ROWS.write_bytes(gzip.compress(json.dumps(rows, ensure_ascii=False).encode(), mtime=0))


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


def main(folder: Path | None = None, check: bool = False) -> int:
    """1 where ``check`` finds another table on a page."""
    if folder:
        take(folder)
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
    folders = [Path(word) for word in sys.argv[1:] if word != "--check"]
    sys.exit(main(*folders, check="--check" in sys.argv))
