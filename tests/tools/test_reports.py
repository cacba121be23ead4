"""``pdadmm-bench report reports/NAME`` makes the tables of the pages from the committed rows and their histories."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import pdadmm_bench as pb
from pdadmm_bench.core import resources

pytestmark = pytest.mark.slow
ROOT = resources.roots()[-1]


def lines_of(page: str, table: str) -> list[str]:
    """The lines of a marked table of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    marked = text.partition(f"<!-- {table} -->")[2].partition(f"<!-- /{table} -->")[0]
    return [line for line in marked.splitlines() if line.startswith("|")]


def test_accuracies_of_the_readme(tmp_path: Path) -> None:
    (made,) = pb.report(ROOT / "reports" / "accuracy", tmp_path, formats="markdown")
    report = made.read_text(encoding="utf-8")
    for line in lines_of("README.md", "headline"):
        assert line.replace("**", "") in report.replace("**", "")


def as_on_pages(method: str) -> str:
    """The name of a method in the tables of pages; a report names settings."""
    return method.replace(" batch_size=0", "").replace(" batch_size=", ", batches of ")


@pytest.mark.parametrize(("name", "page", "table"), [
])  # fmt: skip
def test_seconds_to_the_best_of_any_method(tmp_path: Path, name: str, page: str, table: str) -> None:
    pb.report(ROOT / "reports" / name, tmp_path, formats="csv")
    with (tmp_path / "time-to-near-best.csv").open(encoding="utf-8", newline="") as file:
        made = {(as_on_pages(line["optimizer"]), line["dataset"]): line for line in csv.DictReader(file)}
    header, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines_of(page, table))
    shown = {(line[0], dataset): cell for line in lines for dataset, cell in zip(header[1:], line[1:], strict=True)}
    assert shown.keys() == made.keys()
    for place, cell in shown.items():
        reached, of = made[place]["reached"].split(" of ")
        seconds = float(made[place]["time (s)"])
        value = f"{seconds:.1f} s" if seconds < float("inf") else "never"
        assert cell == f"{value} ({reached}/{of})", place


@pytest.mark.parametrize("name", ["accuracy", "depth-methods", "many-labels", "many-sooner", "rivals", "sooner"])
def test_curves_have_their_histories(name: str) -> None:
    results = pb.read(ROOT / "reports" / name)
    assert {row["run_id"] for row in results if row["status"] == "ok"} <= results.histories.keys()
    for row in results:
        if row["status"] == "ok":
            steps = results.histories[row["run_id"]]
            best = max(step["acc_val"] for step in steps if step["iteration"] > 0)  # 0 is the end of the warm start
            assert best == pytest.approx(row["acc_val_best"], abs=1e-5), row["run_id"]
