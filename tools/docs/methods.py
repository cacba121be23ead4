"""What the pages about seconds have in common: how they name methods, runs of a pair, and times to an accuracy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite
from statistics import median

from pdadmm_bench.core.rows import Row

Pair = tuple[str, int, int]
"""Dataset, seed of the starting weights and seed of the split."""


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
