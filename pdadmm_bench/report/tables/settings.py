"""Rows grouped by setting: the rows of one setting, over seeds and splits, make one line of a table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pdadmm_bench.core.names import short_names
from pdadmm_bench.core.rows import Row, shared, status_of
from pdadmm_bench.report.table import Cell, Column
from pdadmm_bench.stats.pairing import device_class, repetition, settings

#: The settings that have a column of their own.
OWN = ("dataset", "layers", "hidden", "gpus", "optimizer")
#: Settings that may follow from a column: a single worker has no partition, and two layers have no warm start. Such a
#: setting is not named beside the optimizer, but for a mesh over rows, which no number of workers implies.
FOLLOWING = {
    **dict.fromkeys(("mesh", "partition", "wire", "schedule", "microbatches", "threads"), "gpus"),
    **dict.fromkeys(("warm_start", "deepening", "iterations"), "layers"),
}


@dataclass(frozen=True)
class SettingRows:
    """Rows of one setting."""

    setting: dict[str, Any]
    optimizer: str
    """The optimizer, and the settings that tell this line from other lines of the optimizer."""
    rows: list[Row]

    @property
    def problem(self) -> tuple[Any, ...]:
        """Dataset, network and number of workers: lines are compared only within one problem."""
        return tuple(self.setting.get(name) for name in ("dataset", "layers", "hidden", "gpus"))

    @property
    def statuses(self) -> str:
        """``9 ok, 1 diverged``."""
        return ", ".join(f"{count} {status}" for status, count in Counter(row["status"] for row in self.rows).items())

    @property
    def failed(self) -> bool:
        return any(not status_of(row).complete for row in self.rows)


@dataclass(frozen=True)
class Differences:
    """In what problems differ from each other, for names that leave out what all of them share."""

    datasets: dict[str, str]
    """Their short names."""
    dataset: bool
    network: bool
    workers: bool

    @classmethod
    def of(cls, lines: Sequence[SettingRows]) -> Differences:
        """Those of the problems of ``lines``."""
        datasets, *others = ({line.problem[place] for line in lines} for place in range(4))
        layers, hidden, workers = (len(values) > 1 for values in others)
        return cls(short_names(map(str, datasets)), len(datasets) > 1, layers or hidden, workers)


def gather(rows: Iterable[Row]) -> list[SettingRows]:
    """A line per setting, by dataset, network and workers; optimizers in the order in which they first appear."""
    groups: dict[str, tuple[dict[str, Any], list[Row]]] = {}
    for row in rows:
        found = settings(row)
        groups.setdefault(json.dumps(found, sort_keys=True, default=str), (found, []))[1].append(row)
    all_settings = [setting for setting, _ in groups.values()]
    lines = [SettingRows(setting, label(setting, all_settings), found) for setting, found in groups.values()]
    return sorted(lines, key=lambda line: [_order(line.setting.get(name)) for name in OWN[:-1]])


def label(setting: dict[str, Any], others: Sequence[dict[str, Any]]) -> str:
    """The optimizer and the settings, outside the table's own columns, in which it differs within a dataset."""
    same = ("optimizer", "dataset")
    peers = [other for other in others if all(other.get(name) == setting.get(name) for name in same)]
    differing = [
        name
        for name in setting
        if name not in OWN and any(_brief(other.get(name)) != _brief(setting[name]) for other in peers)
        and not _follows(name, setting, peers)
    ]  # fmt: skip
    return " ".join([str(setting.get("optimizer")), *(f"{name}={setting[name]}" for name in differing)])


def once(rows: Iterable[Row]) -> list[Row]:
    """One row for each seed and split, since a second run of a seed is no second sample of an accuracy."""
    first: dict[Any, Row] = {}
    for row in sorted(rows, key=lambda row: (not status_of(row).complete, str(row.get("created") or ""))):
        first.setdefault(repetition(row), row)
    return list(first.values())


def quotable(rows: Sequence[Row]) -> tuple[list[Row], bool]:
    """The rows whose times count, and whether they must not be quoted.

    These are the rows of runs that had the machine alone. Where there is no such row, all rows are used, marked.
    """
    alone = [row for row in rows if not shared(row)]
    return (alone, False) if alone else (list(rows), any(map(shared, rows)))


def by_machine(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows by the class of machine. Rows of runs that never started have no class and are left out."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.get("dist_device") is not None:
            found.setdefault(device_class(row), []).append(row)
    return found


def columns(lines: Sequence[SettingRows], leave_out: Sequence[str] = ()) -> list[str]:
    """The settings that get a column: dataset, network, optimizer, and the workers where there are several."""
    several = len({line.setting.get("gpus") for line in lines}) > 1 or any(
        (line.setting.get("gpus") or 1) > 1 for line in lines
    )
    return [name for name in OWN if name not in leave_out and (name != "gpus" or several)]


def headings(names: Sequence[str]) -> list[Column]:
    """The columns of settings."""
    return [
        Column("workers" if name == "gpus" else name, "text" if name in ("dataset", "optimizer") else "count")
        for name in names
    ]


def setting_cells(line: SettingRows, names: Sequence[str]) -> list[Cell]:
    """A line's cells in the columns of settings."""
    return [Cell(line.optimizer if name == "optimizer" else line.setting.get(name)) for name in names]


def _follows(name: str, setting: dict[str, Any], peers: Sequence[dict[str, Any]]) -> bool:
    """Whether a setting follows from a column, as the number of threads follows from the number of workers."""
    cause = FOLLOWING.get(name)
    if cause is None or (name == "mesh" and setting[name] != "layers"):
        return False
    same = [peer for peer in peers if peer.get(cause) == setting.get(cause)]
    return len(same) < len(peers) and all(_brief(peer.get(name)) == _brief(setting[name]) for peer in same)


def _brief(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _order(value: Any) -> tuple[bool, float, str]:
    return (True, float(value), "") if isinstance(value, (int, float)) else (False, 0.0, str(value))
