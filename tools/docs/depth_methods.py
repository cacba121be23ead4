"""Tables and picture of docs/many-labels.md about every method on tasks that need depth, from ``reports``.

    pdadmm-bench suite runners/depth-methods.toml -j 2
    python tools/docs/depth_methods.py results/depth-methods    # takes rows and curves of the suite first
    python tools/docs/depth_methods.py                          # writes tables and picture
    python tools/docs/depth_methods.py --check                  # fails where the page has other numbers than the rows

Methods are compared task by task. Seconds are training seconds until a run's validation accuracy reaches 90 %, and 99 %
of the best that any method reached on the task, on the tasks that all methods have. The table of starts has the trials
of runners/tuning/depth-task.toml, which tools/studies/protocol_3.py writes to ``reports/tuning``.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from math import inf
from statistics import mean

from depth import interval
from marked import ROOT, Marked, main, markdown
from methods import draw_curve, log_axis, method_of, seconds_cell
from paired import METHOD, METHOD_M, points

from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.figures.style import heading, panels
from pdadmm_bench.report.tables.near_best import seconds_to, seconds_to_near_best
from pdadmm_bench.stats.comparison import compare_rows, judge_lines
from pdadmm_bench.stats.metrics import metric


class Trials(Marked):
    """A table of the trials of a search."""

    def load(self) -> list[Row]:
        with self.rows.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


PAGES = (ROOT / "docs" / "many-labels.md",)
TABLE = Marked("depth-methods", ROOT / "reports" / "depth-methods" / "rows.json.gz", PAGES)
STARTS = Trials("depth-starts", ROOT / "reports" / "tuning" / "depth-task.csv", PAGES)
PICTURE = ROOT / "docs" / "images" / "depth-methods.png"
OURS = (METHOD, METHOD_M, "pdadmm-c")
AHEAD = "pdadmm-c, from he"
LEVEL = 0.9
"""Validation accuracy."""
ACCURACY = metric("acc_test_at_best_val")


def by_method(rows: list[Row]) -> dict[str, list[Row]]:
    """Method → its complete rows; ours first."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["status"] == "ok":
            found[method_of(row)].append(row)
    return dict(sorted(found.items(), key=lambda item: (item[0].partition(",")[0] not in OURS, item[0])))


def tasks_of_all(methods: dict[str, list[Row]]) -> set[str]:
    """The tasks that every method has; they were run alike, so that their seconds compare."""
    return set.intersection(*({row["dataset_name"] for row in runs} for runs in methods.values()))


def ahead(methods: dict[str, list[Row]]) -> dict[str, str]:
    """Points of test accuracy, task by task: pdADMM-C less each other method; one family of tests."""
    others = [method for method in methods if method != AHEAD]
    sides = [compare_rows(methods[method], methods[AHEAD], [ACCURACY], by=[], apart=True) for method in others]
    judged = judge_lines([line for compared in sides for line in compared.lines], apart=True)
    return {method: points(line.comparison) for method, line in zip(others, judged, strict=True)}


def table(rows: list[Row]) -> str:
    """The table in Markdown."""
    methods, histories = by_method(rows), TABLE.histories()
    differences, near_best = ahead(methods), seconds_to_near_best(rows, histories)
    tasks = tasks_of_all(methods)
    lines = []
    for method, runs in methods.items():
        accuracies = interval([row["acc_test_at_best_val"] for row in runs], 1)
        loss = mean(row["loss_train_final"] for row in runs)
        timed = [row["run_id"] for row in runs if row["dataset_name"] in tasks]
        level = seconds_cell([seconds_to(histories[run], LEVEL) for run in timed])
        best = seconds_cell([near_best.get(run, inf) for run in timed])
        lines.append([method, accuracies, differences.get(method, "–"), f"{loss:.3f}", level, best])
    columns = ["test accuracy, %", f"{AHEAD}, is ahead by", "training loss"]
    return markdown(["method", *columns, f"to {100 * LEVEL:.0f} %", "to 99 % of the best"], lines)


def starts(trials: list[Row]) -> str:
    """The best validation accuracy of eight trials from each start, on the first split; bold is a method's best."""
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for trial in trials:
        start = "two layers first" if trial["warm_start"] == "auto" else trial["init"]
        start += f", batches of {trial['batch_size']}" if trial["batch_size"] != "0" else ""
        reached = float(trial["acc_val_best"].split()[0])
        found[trial["optimizer"]][start] = max(found[trial["optimizer"]][start], reached)
    names = ("two layers first", "identity", "he", "he, batches of 512")
    lines = []
    for method, reached_from in sorted(found.items()):
        best = max(names[:3], key=lambda name: reached_from[name])
        cells = [f"{100 * reached_from[name]:.1f}" if name in reached_from else "–" for name in names]
        cells[names.index(best)] = f"**{cells[names.index(best)]}**"
        lines.append([method, *cells])
    return markdown(["validation accuracy, %", *names], lines)


def draw() -> None:
    """Validation accuracy of every method over iterations and over seconds, on the tasks that all have."""
    methods, histories = by_method(TABLE.load()), TABLE.histories()
    tasks = tasks_of_all(methods)
    figure, grid = panels(2, width=5.4)
    axes_of = {"iteration": "iterations of a stage (epochs, with mini-batches)", "train_seconds": "training seconds"}
    for axes, (over, label) in zip(grid, axes_of.items(), strict=False):
        for method, runs in methods.items():
            curves = [histories[row["run_id"]] for row in runs if row["dataset_name"] in tasks]
            draw_curve(axes, method, curves, over)
        log_axis(axes)
        axes.set_xlabel(label, fontsize=8)
        axes.set_ylabel("validation accuracy, %", fontsize=8)
    grid[-1].legend(fontsize=6, loc="upper left", bbox_to_anchor=(1.01, 1))
    heading(
        figure, f"Tasks that need depth, 10 × 64: accuracy over iterations and seconds, median over {len(tasks)} tasks"
    )
    figure.savefig(PICTURE)


TABLES = ((TABLE, table), (STARTS, starts))

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], *TABLES, draw=draw))
