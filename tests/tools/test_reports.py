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


def near_best(name: str, folder: Path) -> dict[tuple[str, str, str], dict[str, str]]:
    """Lines of the report's table of seconds by method, dataset and number of layers."""
    pb.report(ROOT / "reports" / name, folder, formats="csv")
    with (folder / "time-to-near-best.csv").open(encoding="utf-8", newline="") as file:
        return {
            (as_on_pages(line["optimizer"]), line["dataset"], line["layers"]): line for line in csv.DictReader(file)
        }


def cells_of(table: list[str]) -> dict[tuple[str, str, str], str]:
    """The cells of a table of ten layers with methods down and datasets across."""
    header, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in table)
    return {
        (line[0], dataset, "10"): cell for line in lines for dataset, cell in zip(header[1:], line[1:], strict=True)
    }


@pytest.mark.parametrize("name", ["sooner", "many-sooner"])
def test_seconds_to_the_best_of_any_method(tool, tmp_path: Path, name: str) -> None:
    """The function that makes the tables of pages and the report agree on the seconds of the same runs."""
    kept = tool("marked").Marked("", ROOT / "reports" / name / "rows.json.gz", ())
    shown = cells_of(tool("methods").soonest(kept.load(), kept.histories(), ["pdadmm"]).splitlines())
    made = near_best(name, tmp_path)
    assert shown.keys() == made.keys()
    for place, cell in shown.items():
        reached, of = made[place]["reached"].split(" of ")
        seconds = float(made[place]["time (s)"])
        value = f"{seconds:.1f} s" if seconds < float("inf") else "never"
        assert cell == f"{value} ({reached}/{of})", place


def test_who_gets_there_on_the_page_is_who_does_in_the_report(tmp_path: Path) -> None:
    """The page has the seconds at another pace, and the counts of the runs behind the accuracies."""
    shown = cells_of(lines_of("docs/accuracy.md", "near-best"))
    made = {place: line for place, line in near_best("accuracy", tmp_path).items() if place[2] == "10"}
    assert shown.keys() == made.keys()
    for place, cell in shown.items():
        reached, of = made[place]["reached"].split(" of ")
        assert cell.endswith(f" ({reached}/{of})"), place


@pytest.mark.parametrize("name", ["accuracy", "depth-methods", "many-labels", "many-sooner", "rivals", "sooner"])
def test_curves_have_their_histories(name: str) -> None:
    results = pb.read(ROOT / "reports" / name)
    assert {row["run_id"] for row in results if row["status"] == "ok"} <= results.histories.keys()
    for row in results:
        if row["status"] == "ok":
            steps = results.histories[row["run_id"]]
            best = max(step["acc_val"] for step in steps if step["iteration"] > 0)  # 0 is the end of the warm start
            assert best == pytest.approx(row["acc_val_best"], abs=1e-5), row["run_id"]
