"""The tables of docs/protocol.md: what each search found, and what the campaign took, from ``reports/``.

    python tools/docs/campaign.py            # writes the tables
    python tools/docs/campaign.py --check    # fails where the page has other numbers than the rows

The trials of a search are in its table in ``reports/tuning``; hours are of the rows that are kept.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from marked import ROOT, Marked, main, markdown

from pdadmm_bench.core.rows import Row

sys.path.append(str(ROOT / "tools" / "studies"))  # the searches are read as there
from protocol_3 import PROBLEMS, Accuracies, Trials, accuracies, over_all, repeated

PAGES = (ROOT / "docs" / "protocol.md",)
REPORTS = ROOT / "reports"


@dataclass(frozen=True)
class Search(Marked):
    """The table of a search, from its file of trials."""

    problems: str = ""

    def load(self) -> list[Row]:
        """A row for each method and start that was searched."""
        found = accuracies([self.rows], PROBLEMS[self.problems])
        return list(rows_of(found, common=self.problems != "depth"))


def search(problems: str) -> Search:
    """The table of the search of ``problems``."""
    table = ROOT / PROBLEMS[problems].table
    return Search(f"search-{problems}", table, PAGES, problems)


FEW, MANY, DEPTH = (search(problems) for problems in ("few", "many", "depth"))


def rows_of(found: Accuracies, common: bool) -> Iterator[Row]:
    """Of each method and start whose best trials were repeated: the mean validation accuracy of its setting, and runs.

    Args:
        common: leave starts other than the common one out.
    """
    for (optimizer, start), trials in found.items():
        reached = best_mean(trials)
        if reached is None or (common and not start.common):
            continue
        runs = [values for by_graph in trials.values() for values in by_graph.values()]
        batches = f", batches of {start.batch_size}" if start.batch_size else ""
        yield {
            "method": optimizer + batches,
            "start": "two layers first" if start.common else start.init,
            "accuracy": reached,
            "search": len(runs),
            "again": sum(len(values) - 1 for values in runs),
        }


def best_mean(trials: Trials) -> float | None:
    """Over the searched graphs, the mean of the best setting of those that were repeated on all; None without one."""
    datasets = sorted({name for by_graph in trials.values() for name in by_graph})
    again = repeated(trials)
    settings = over_all(again, datasets)
    return mean(mean(again[settings[0]][name]) for name in datasets) if settings else None


def searched(rows: list[Row]) -> str:
    """The method with the highest accuracy first."""
    starts = len({row["start"] for row in rows}) > 1
    lines = []
    for row in sorted(rows, key=lambda row: -row["accuracy"]):
        names = [row["method"], *([row["start"]] if starts else [])]
        lines.append([*names, f"{100 * row['accuracy']:.1f} %", f"{row['search']} + {row['again']}"])
    header = [
        "method",
        *(["start"] if starts else []),
        "mean validation accuracy of the chosen setting",
        "runs, search + again",
    ]
    return markdown(header, lines, labels=1 + starts)


GRAPHS = Marked("graphs", REPORTS / "accuracy" / "rows.json.gz", PAGES)


def graphs(rows: list[Row]) -> str:
    """Sizes of the graphs with few labels, and the root mean square of every hop in the training rows, unscaled."""
    lines = []
    for name in sorted({row["dataset_name"] for row in rows}):
        row = next(row for row in rows if row["dataset_name"] == name)
        nodes, train, columns = (f"{row[f'dataset_{column}']:,}" for column in ("nodes", "train_count", "features"))
        hops = [float(value) for value in row["dataset_feature_rms"].split()]
        sizes = [nodes, columns, str(row["dataset_classes"]), train]
        lines.append([name, *sizes, " ".join(f"{value:.4f}" for value in hops), f"{(hops[0] / hops[-1]) ** 2:.1f}"])
    header = [
        "graph",
        "nodes",
        "features",
        "classes",
        "training rows",
        "x, Ãx, …, Ã⁴x",
        "mean square of x over that of Ã⁴x",
    ]
    return markdown(header, lines)


PARTS: dict[str, tuple[str, ...]] = {
    "few labels: all methods, two and ten layers": ("accuracy/rows",),
    "few labels: from other starts": ("accuracy/starts",),
    "few labels: seconds, one run at a time": ("sooner/rows",),
    "ablation, few labels and 60 % of Photo": ("tuning/ablation", "tuning/ablation-many"),
    "penalties that grow with depth": ("tuning/penalties-by-depth",),
    "many labels: all methods": ("many-labels/rows",),
    "many labels: `pdadmm`, `pdadmm-m` and Adam from other starts": ("tuning/many-labels-starts",),
    "a task that needs depth: Adam at 2 to 20 layers": ("depth/rows",),
    "a task that needs depth: all methods": ("depth-methods/rows", "tuning/depth-blocks"),
    "many labels: seconds, one run at a time": ("many-sooner/rows",),
    "two workers": ("rivals/rows", "tuning/rivals"),
}


@dataclass(frozen=True)
class Campaign(Marked):
    """Rows of several files."""

    def load(self) -> list[Row]:
        """Runs and seconds of every part."""
        found = []
        for part, files in PARTS.items():
            rows = [row for file in files for row in Marked("", REPORTS / f"{file}.json.gz", ()).load()]
            found.append({"part": part, "runs": len(rows), "seconds": sum(row["time_train_s"] or 0 for row in rows)})
        return found


TOOK = Campaign("took", Path("reports"), PAGES)


def took(rows: list[Row]) -> str:
    """Runs and hours of training by part."""
    whole = {"part": "in all", **{name: sum(row[name] for row in rows) for name in ("runs", "seconds")}}
    lines = [[row["part"], str(row["runs"]), f"{row['seconds'] / 3600:.1f}"] for row in (*rows, whole)]
    return markdown(["", "runs", "core-hours"], lines)


TABLES = ((GRAPHS, graphs), (FEW, searched), (MANY, searched), (DEPTH, searched), (TOOK, took))

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], *TABLES))
