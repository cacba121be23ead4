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
from pdadmm_bench.report import render
from pdadmm_bench.report.accuracy import accuracy_table
from pdadmm_bench.suite.results import Results

ROOT = Path(__file__).resolve().parents[1]
ROWS = ROOT / "reports" / "accuracy" / "rows.json.gz"
PAGES = (ROOT / "README.md", ROOT / "docs" / "accuracy.md")
BEGIN, END = "<!-- headline -->", "<!-- /headline -->"
LOCAL = ("mlflow_run_id", "dist_per_worker")


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
    """The report's own table of accuracies, in Markdown; raises ``ValueError`` for rows without any."""
    table = accuracy_table(rows)
    if table is None:
        raise ValueError("no row has a test accuracy")
    return render.markdown_body(table).strip()


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
