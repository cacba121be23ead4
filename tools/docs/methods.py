"""What the pages that compare methods have in common: their names, the pairs, and the seconds to a common accuracy."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import inf, isfinite
from statistics import median

from marked import markdown
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from pdadmm_bench.core.history import History
from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.figures.style import colour_of
from pdadmm_bench.report.tables.near_best import seconds_to_near_best

Pair = tuple[str, int, int]
"""Dataset, seed of the starting weights and seed of the split."""


def soonest(rows: Sequence[Row], histories: Mapping[str, History], first: Sequence[str]) -> str:
    """Median seconds to 99 % of the best validation accuracy of any method in the pair, and how many runs get there.

    Args:
        first: the methods of the first lines; the others follow by name.
    """
    seconds = seconds_to_near_best(rows, histories)
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[method_of(row)][row["dataset_name"]].append(seconds.get(row["run_id"], inf))
    datasets = sorted({row["dataset_name"] for row in rows})
    order = sorted(found, key=lambda method: (method not in first, method))
    lines = [[method, *(seconds_cell(found[method][dataset]) for dataset in datasets)] for method in order]
    return markdown(["seconds, and runs that get there", *datasets], lines)


def seconds_cell(seconds: Sequence[float]) -> str:
    """The median and how many runs get there; never, where half of them do not."""
    there = [value for value in seconds if isfinite(value)]
    # The median of all runs, of which those that never get there are the slowest.
    value = f"{median(seconds):.1f} s" if len(there) > len(seconds) / 2 else "never"
    return f"{value} ({len(there)}/{len(seconds)})" if seconds else "–"


def draw_curve(axes: Axes, method: str, curves: Sequence[History], over: str) -> None:
    """Validation accuracy of a method, the median of its runs at each evaluated iteration.

    Args:
        over: what is to the right: ``train_seconds`` or ``iteration``.
    """
    points = list(zip(*curves, strict=False))
    if not points:
        return
    x = [median(step[over] for step in at) for at in points]
    y = [100 * median(step["acc_val"] for step in at) for at in points]
    style = ":" if "batches" in method else "--" if "blocks" in method else "-"
    axes.plot(x, y, style, color=colour_of(method.partition(",")[0]), label=method, linewidth=1.4)


def log_axis(axes: Axes) -> None:
    """A logarithmic x with plain numbers."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def pair_of(row: Row) -> Pair:
    """The pair of a run."""
    spec = json.loads(row["spec"])
    return row["dataset_name"], spec["seed"], spec["split_seed"]


def method_of(row: Row) -> str:
    """The optimizer of a run with what tells it from others of its suite."""
    spec = json.loads(row["spec"])
    batches = f", batches of {spec['batch_size']}" if spec.get("batch_size") else ""
    blocks = f", {spec['set']['blocks']} blocks" if spec["set"].get("blocks", 1) > 1 else ""
    start = "" if row["model_warm_start"] else f", from {spec['init']}"
    return f"{row['optimizer_name']}{batches}{blocks}{start}"
