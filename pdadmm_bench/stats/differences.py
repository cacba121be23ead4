"""What differs between two sides: the settings that are compared on purpose, and all other differences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from pdadmm_bench.core.rows import Row
from pdadmm_bench.stats.pairing import PairGroup

#: Columns of the layout, which is often not asked for but chosen by the program.
LAYOUT = ("dist_device", "dist_partition", "dist_wire")

Changes = dict[str, tuple[str, ...]]


def compared(groups: Iterable[PairGroup]) -> Changes:
    """The settings on which the sides differ, with ``x → y`` for each pair of values."""
    return _collect((name, str(group.value(name))) for group in groups for name in group.compared)


def other_differences(groups: Sequence[PairGroup]) -> Changes:
    """Other columns in which pairs differ: versions, threads, hyperparameters, initial weights, time of day."""
    changes = []
    for group in groups:
        for one, other in group.pairs:
            changes += [
                (name, f"{one.get(name)} → {other.get(name)}")
                for name in sorted(one.keys() | other.keys())
                if one.get(name) != other.get(name) and _worth_telling(name, group.compared)
            ]
            starts = (one.get("weights_initial_sha256"), other.get("weights_initial_sha256"))
            if None not in starts and starts[0] != starts[1]:
                changes.append(("weights_initial_sha256", "another start for the same seed"))
        changes += _not_in_turn(group)
    return _collect(changes)


def _worth_telling(name: str, compared: Sequence[str]) -> bool:
    """Whether a differing column is worth reporting: it does not follow from the settings that are compared."""
    if name.partition("_")[2] in compared:
        return False
    if name.startswith("optimizer_"):
        return "optimizer" not in compared  # another optimizer has other hyperparameters
    if name in LAYOUT:
        return "gpus" not in compared  # another number of workers has another layout
    return name == "dist_threads" or name.startswith("env_")


def in_turn(pairs: Sequence[tuple[Row, Row]]) -> bool:
    """Whether the sides were measured in turn, so that a machine whose speed drifts slows both runs of a pair alike.

    All runs are put in the order in which they were started. The median distance between the two runs of a pair has to
    be at most three places, or a quarter of the number of pairs. Rows without a time of day count as in turn.
    """
    if len(pairs) <= 2:
        return True  # no two of four runs are more than three places apart
    from scipy import stats  # takes most of a second, and few runs are compared

    created = [str(row.get("created") or "") for side in zip(*pairs, strict=True) for row in side]
    places = stats.rankdata(created)
    distances = np.abs(places[: len(pairs)] - places[len(pairs) :])
    return bool(np.median(distances) <= max(3.0, len(pairs) / 4))


def _not_in_turn(group: PairGroup) -> list[tuple[str, str]]:
    if in_turn(group.pairs):
        return []
    a, b = (min(str(pair[side].get("created")) for pair in group.pairs) for side in (0, 1))
    return [("created", f"{a} → {b}, not in turn: what the machine did since is in every time")]


def _collect(changes: Iterable[tuple[str, str]]) -> Changes:
    found: dict[str, dict[str, None]] = {}
    for name, change in changes:
        found.setdefault(name, {})[change] = None
    return {name: tuple(texts) for name, texts in found.items()}
