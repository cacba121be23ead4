"""Validation accuracy over training seconds of committed runs, and the seconds until one is near the best.

The warm start's seconds are in. A pair has dataset, seed and split in common; the best of a pair is that of any method.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import inf, isfinite
from pathlib import Path
from statistics import median

from pdadmm_bench.core import history
from pdadmm_bench.core.rows import Row
from pdadmm_bench.suite.results import Results

Curve = list[tuple[float, float]]
"""Training seconds and validation accuracy of each evaluated iteration."""
Pair = tuple[str, int, int]
"""Dataset, seed of the starting weights and seed of the split."""


def take_curves(folders: Sequence[Path], file: Path) -> None:
    """Keep the curve of every run of results folders in ``file``, by the run's spec; without a folder it stays."""
    if not folders:
        return
    curves: dict[str, Curve] = {}
    for folder in folders:
        results = Results(folder)
        for path in sorted(folder.glob("runs/*.json")):
            row = json.loads(path.read_text(encoding="utf-8"))
            steps = history.read(results.history_file(path.stem), row["run_id"])
            curves[row["spec"]] = [
                (round(step["train_seconds"], 4), round(step["acc_val"], 5)) for step in steps if "acc_val" in step
            ]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(json.dumps(curves, sort_keys=True).encode(), mtime=0))


def load_curves(file: Path) -> dict[str, Curve]:
    """The kept curves by spec."""
    curves: dict[str, Curve] = json.loads(gzip.decompress(file.read_bytes()))
    return curves


def best_by_pair(rows: Sequence[Row]) -> dict[Pair, float]:
    """The best validation accuracy that any run of a pair reached."""
    best: dict[Pair, float] = defaultdict(float)
    for row in rows:
        best[pair_of(row)] = max(best[pair_of(row)], row["acc_val_best"] or 0.0)
    return best


def seconds_to(
    share: float, rows: Sequence[Row], curves: Mapping[str, Curve], best: Mapping[Pair, float]
) -> list[float]:
    """Training seconds of each run to ``share`` of its pair's best; infinite for a run that does not get there.

    The iteration 0 that a curve begins with does not count, as it does not for ``time_to_near_best_s``.
    """
    found = []
    for row in rows:
        target = share * best[pair_of(row)]
        found.append(next((seconds for seconds, value in curves[row["spec"]][1:] if value >= target), inf))
    return found


def seconds_cell(seconds: Sequence[float]) -> str:
    """The median and how many runs get there; never, where half of them do not."""
    there = [value for value in seconds if isfinite(value)]
    # The median of all runs, of which those that never get there are the slowest.
    value = f"{median(seconds):.1f} s" if len(there) > len(seconds) / 2 else "never"
    return f"{value} ({len(there)}/{len(seconds)})" if seconds else "–"


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
