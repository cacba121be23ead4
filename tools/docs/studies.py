"""The tables of what was studied once, from the files in ``reports/studies``; each is made by the study of its name.

    python tools/studies/denormals.py reports/studies/denormals.json
    python tools/docs/studies.py            # writes the tables
    python tools/docs/studies.py --check    # fails where a page has other numbers than the files

Rows have the machine and the commit of their measurement.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
from marked import ROOT, Marked, main, markdown

from pdadmm_bench.report.units import signed
from pdadmm_bench.timing.samples import interval

Found = list[dict[str, Any]]
NAMES = {"cora": "Cora", "citeseer": "CiteSeer", "pubmed": "PubMed"}


def study(name: str, page: str, suffix: str = ".json") -> Marked:
    """The table of the study ``name``."""
    return Marked(name, ROOT / "reports" / "studies" / f"{name}{suffix}", (ROOT / "docs" / f"{page}.md",))


CONVERGENCE, DRIFT = study("convergence", "results"), study("bf16-drift", "results")
CONVERGENCE_DL = replace(CONVERGENCE, name="convergence-dladmm")
DENORMALS, MEMORY = study("denormals", "speed"), study("memory", "speed")
FEATURES = Marked("memory-features", MEMORY.rows, (ROOT / "docs" / "layouts.md",))
DDP = study("ddp", "layouts")


@dataclass(frozen=True)
class Part(Marked):
    """One of several tables in a file."""

    def load(self) -> Found:
        """Its lines."""
        return [row for row in super().load() if row["table"] == self.name]


STATISTICS = ROOT / "reports" / "studies" / "statistics.json"
COVERAGE, TIMES, ACCURACIES, MEASURED = (
    Part(name, STATISTICS, (ROOT / "docs" / "statistics.md",))
    for name in ("coverage", "times", "accuracies", "measured")
)
LARGE = study("large-report", "reports")
TORTURE = study("torture", "reliability", ".json.gz")
KERNELS = study("kernels", "regression")
SLOPE_FROM = 10
"""The first iteration of the line through the residuals: before it they rise from the start, where p = q."""


def convergence(rows: Found) -> str:
    """Rises and falls of pdADMM's Lagrangian, and how fast its residual falls, in single and in double precision."""
    return converging([row for row in rows if row["optimizer"] == "pdadmm"])


def convergence_dl(rows: Found) -> str:
    """The same of dlADMM."""
    return converging([row for row in rows if row["optimizer"] == "dladmm"])


def converging(rows: Found) -> str:
    """The table of one optimizer."""
    figures: dict[str, Callable[[dict[str, Any]], str]] = {
        "iterations in which the Lagrangian rose": lambda row: str(int((falls(row) < 0).sum())),
        "smallest fall of the Lagrangian in an iteration, relative": lambda row: f"{100 * falls(row).min():.2f} %",
        "slope of log residual over log k, k = 10 … 200 (1/k: −1)": lambda row: signed(slope(row), 2),
    }
    single, double = ([row for row in rows if row["precision"] == name] for name in ("float32", "float64"))
    lines = [[name, *map(figure, single)] for name, figure in figures.items()]
    lines += [[f"{name}, in double precision", *map(figure, double)] for name, figure in figures.items()]
    return markdown(["", *(NAMES[row["dataset"]] for row in single)], lines)


def falls(row: dict[str, Any]) -> Any:
    """How much of the Lagrangian each iteration takes off."""
    values = np.array(row["objective"])
    return -np.diff(values) / np.abs(values[:-1])


def slope(row: dict[str, Any]) -> float:
    """Of the line through log residual over log k."""
    residual = np.array(row["primal_residual"])[SLOPE_FROM - 1 :]
    k = np.arange(SLOPE_FROM, SLOPE_FROM + len(residual))
    return float(np.polyfit(np.log(k), np.log(residual), 1)[0])


def drift(rows: Found) -> str:
    """The largest drift after 49 iterations, and the range of accuracies against single precision in the same runs."""
    exact = {(row["dataset"], row["layers"]): row["acc_val_best"] for row in rows if row["precision"] == "fp32"}
    lines = []
    for precision, period in dict.fromkeys((row["precision"], row["period"]) for row in rows):
        found = [row for row in rows if (row["precision"], row["period"]) == (precision, period)]
        points = [100 * (row["acc_val_best"] - exact[row["dataset"], row["layers"]]) for row in found]
        ends = [signed(value) for value in (min(points), max(points))]
        every = f"{period}, the default" if period == 25 else str(period or "never")
        largest = f"{100 * max(row['drift_49'] for row in found):.2g} %"
        lines.append([precision, every, largest, "" if precision == "fp32" else " to ".join(dict.fromkeys(ends))])
    header = ["products", "exact residual every", "largest drift / ‖r‖", "points from fp32's accuracy"]
    return markdown(header, lines, labels=2)


def denormals(rows: Found) -> str:
    """Seconds with denormal numbers over seconds with zeros: median, least and most; and the accuracies of both."""
    lines = []
    for case, found in cases(rows):
        factors = [row["kept_s"] / row["flushed_s"] for row in found]
        reached = [100 * found[0][f"{mode}_acc_val"] for mode in ("kept", "flushed")]
        times = f"{median(factors):.1f} ({min(factors):.1f} to {max(factors):.1f})"
        lines.append([case, times, f"{reached[0]:.1f} and {reached[1]:.1f} %"])
    header = [
        "run, 10 layers",
        "times as long with denormal numbers",
        "best validation accuracy, with them and without",
    ]
    return markdown(header, lines)


def memory(rows: Found) -> str:
    """State and peak of the larger worker, and its part of what one worker has."""
    found = {name: [row for row in rows if row["case"] == f"deep, {name}"] for name in ("1", "2")}
    lines = []
    for label, column in (("state", "state_bytes"), ("peak of the process", "peak_bytes")):
        one, larger = (max(row[column] for row in found[name]) / 1e9 for name in ("1", "2"))
        lines.append([label, f"{one:.2f} GB", f"{larger:.2f} GB", f"{larger / one:.3f}"])
    return markdown(["memory", "one worker", "the larger of two", "part of one"], lines)


def features(rows: Found) -> str:
    """State and peak of the worker that has most, where workers share features."""
    lines = []
    for case, found in cases([row for row in rows if row["case"].startswith("features")]):
        most = [max(row[column] for row in found) / 2**20 for column in ("state_bytes", "peak_bytes")]
        lines.append([case.partition(", ")[2], *(f"{value:.0f} MiB" for value in most)])
    return markdown(["workers", "state of a worker with features", "peak of its process"], lines)


def ddp(rows: Found) -> str:
    """The suite's seconds over those of DDP, by the size of its buckets."""
    lines = []
    for name in (name for name in rows[0] if name.startswith("ddp, ")):
        middle, low, high = interval([row["ours"] / row[name] for row in rows])
        lines.append([name.removeprefix("ddp, "), f"{middle:.2f} [{low:.2f}, {high:.2f}] (n={len(rows)})"])
    return markdown(["buckets of DistributedDataParallel", "our seconds over its seconds"], lines)


def large(rows: Found) -> str:
    """What the page of a large report takes to make, and its size."""
    (row,) = rows
    seconds = (f"{row[part]:.1f} s" for part in ("tables_s", "pictures_s", "page_s"))
    header = ["rows", "tables", "pictures", "page", "its size"]
    return markdown(header, [[f"{row['rows']:,}", *seconds, f"{row['page_bytes'] / 1e6:.1f} MB"]])


def cases(rows: Found) -> Sequence[tuple[str, Found]]:
    """The rows of each case, in the order in which they were measured."""
    names = dict.fromkeys(row["case"] for row in rows)
    return [(name, [row for row in rows if row["case"] == name]) for name in names]


def torture(rows: Found) -> str:
    """How many cases of each area were tried, held and lost, and the first that was lost."""
    areas = dict.fromkeys(row["area"] for row in rows)
    lines = []
    for area, found in [*((area, [row for row in rows if row["area"] == area]) for area in areas), ("all", rows)]:
        lost = [row for row in found if row["lost"]]
        first = f"`{lost[0]['command'] or lost[0]['name']}`: {lost[0]['lost']}" if lost and area != "all" else ""
        lines.append([area, f"{len(found):,}", f"{len(found) - len(lost):,}", str(len(lost)), first])
    return markdown(["area", "tried", "held", "lost", "first lost"], lines)


def kernels(rows: Found) -> str:
    """The largest departure of a loss curve from the baseline's with the kernels of another processor."""
    lines = []
    for grid in (False, True):
        found = [row for row in rows if row["benchmark"].startswith("pdadmm-q ") == grid]
        largest = 100 * max(abs(row[end]) for row in found for end in ("low", "high"))
        limit = 100 * max(row["threshold"] for row in found)
        methods = sorted({row["benchmark"].partition(" ")[0] for row in found})
        lines.append([", ".join(methods), str(len(found)), f"{largest:.2g} %", f"{limit:g} %"])
    return markdown(["methods", "benchmarks", "largest departure of a loss curve", "threshold"], lines)


def simulated(rows: Found) -> str:
    """A table as the study of the statistics wrote it."""
    header = [column for column in rows[0] if column != "table" and not column.startswith("env_")]
    return markdown(header, [[row[column] for column in header] for row in rows])


TABLES = (
    (CONVERGENCE, convergence), (CONVERGENCE_DL, convergence_dl), (DRIFT, drift), (DENORMALS, denormals),
    (MEMORY, memory), (FEATURES, features), (DDP, ddp), (LARGE, large), (TORTURE, torture), (KERNELS, kernels),
    *((part, simulated) for part in (COVERAGE, TIMES, ACCURACIES, MEASURED)),
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], *TABLES))
