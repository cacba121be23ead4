"""Tables in the documentation that are made of committed rows, and checked against them."""

from __future__ import annotations

import gzip
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pdadmm_bench.core import history
from pdadmm_bench.core.rows import Row, compressed, write_rows
from pdadmm_bench.report.render import markdown_body
from pdadmm_bench.report.table import table_of_words
from pdadmm_bench.suite.results import Results

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ("mlflow_run_id", "dist_per_worker")
STEP = ("iteration", "train_seconds", "acc_val", "acc_test", "loss_train")


@dataclass(frozen=True)
class Marked:
    """A table that pages show between ``<!-- name -->`` and ``<!-- /name -->``, and the rows that it is made of."""

    name: str
    rows: Path
    pages: Sequence[Path]

    def load(self) -> list[Row]:
        """Read the rows, from a file of JSON that may be compressed."""
        content = self.rows.read_bytes()
        rows: list[Row] = json.loads(gzip.decompress(content) if compressed(self.rows) else content)
        return rows

    def histories(self) -> dict[str, list[dict[str, float]]]:
        """The evaluated steps of the rows' runs by ``run_id``."""
        return history.read_archive(history.archive(self.rows))

    def take(self, sources: Sequence[Path]) -> None:
        """Keep the rows of results folders, without columns that have no meaning on another machine.

        A file of committed rows is a source too, so that new runs can join it. Runs that the user stopped are no
        results and are left out. If several sources have a run, the row of the last one is kept. Of the histories,
        which lie beside the rows where there are some, the evaluated steps are kept.
        """
        found: dict[str, Row] = {}
        steps: dict[str, history.History] = {}
        for source in sources:
            if source.is_file():
                committed = replace(self, rows=source)
                found |= {row["spec"]: row for row in committed.load()}
                if history.archive(source).is_file():
                    steps |= committed.histories()
                continue
            for row in Results(source).every_row():
                found[row["spec"]] = row
                if (path := history.find(source / "rows.json", row)) is not None:
                    steps[row["run_id"]] = history.read(path, row["run_id"])
        rows = [
            {key: row[key] for key in row if key not in LOCAL}
            for row in found.values()
            if row["status"] != "interrupted"
        ]
        rows.sort(key=lambda row: (row["dataset_name"], row["model_layers"], row["optimizer_name"], row["spec"]))
        write_rows(self.rows, rows)
        kept = {row["run_id"]: evaluated(steps[row["run_id"]]) for row in rows if row["run_id"] in steps}
        history.write_archive(history.archive(self.rows), kept)

    def placed(self, page: str, table: str) -> str:
        """``page`` with ``table`` between the marks; raises ``ValueError`` without them."""
        begin, end = f"<!-- {self.name} -->", f"<!-- /{self.name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(page):
            raise ValueError(f"no {begin} … {end}")
        return pattern.sub(lambda _: f"{begin}\n\n{table}\n\n{end}", page)


Table = tuple[Marked, Callable[[list[Row]], str]]
"""Where a table stands, and what makes it of the rows."""


def evaluated(steps: history.History) -> history.History:
    """The steps with an accuracy, without values that no page shows; to five digits."""
    return [
        {name: round(step[name], 5) for name in STEP if name in step and math.isfinite(step[name])}
        for step in steps
        if "acc_val" in step
    ]


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]], labels: int = 1) -> str:
    """A table of cells in Markdown; the first ``labels`` columns are words, the others numbers."""
    return markdown_body(table_of_words("", "", header, lines, labels)).strip()


def kept(marked: Marked, table: Callable[[list[Row]], str], check: bool) -> int:
    """Write a table into its pages, or check it; 1 if a page has other numbers."""
    shown, wrong = table(marked.load()), 0
    for path in marked.pages:
        old = path.read_text(encoding="utf-8")
        new = marked.placed(old, shown)
        if not check:
            path.write_text(new, encoding="utf-8")
        elif new != old:
            print(f"{path.name} has other numbers than {marked.rows.name}: make its {marked.name} anew (tools/docs/)")
            wrong += 1
    return int(wrong > 0)


def main(
    words: Sequence[str],
    *tables: Table,
    take: Callable[[Sequence[Path]], None] | None = None,
    draw: Callable[[], None] | None = None,
) -> int:
    """Take rows, then write tables and pictures or, with ``--check``, check the tables.

    Args:
        words: of the command line: sources of rows, which are taken first, and ``--check``.
        take: keeps the rows of the sources; by default those of the first table do.
        draw: writes the pictures.

    Returns 1 if a page has other numbers than its rows.
    """
    check = "--check" in words
    if given := [Path(word) for word in words if word != "--check"]:
        (take or tables[0][0].take)(given)
    wrong = max((kept(*table, check) for table in tables), default=0)
    if draw and not check:
        draw()
    return wrong
