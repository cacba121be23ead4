"""Measures the entries of a speed file, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.rows import Row
from pdadmm_bench.core.spec import DataSpec
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.timing.speed_file.entry import Bench, SpeedEntry
from pdadmm_bench.timing.speed_file.file import measured


class EntryProgress(Protocol):
    """Called with the progress of the measurements."""

    def begin(self, name: str, number: int) -> None:
        """The entry ``name``, the ``number``-th one, begins."""

    def on_progress(self, what: str, done: int, total: int) -> None:
        """``done`` of ``total`` parts of the entry are measured; ``what`` is the next one."""

    def say(self, line: str) -> None:
        """A message that stays."""


class ProblemLoader:
    """Loads problems and keeps the last one, because entries on the same data follow each other."""

    def __init__(self, data_root: Path | None, cache: Path | None, offline: bool):
        self._data_root, self._cache, self._offline = data_root, cache, offline
        self._key = ""
        self._problem: Problem | None = None

    def __call__(self, spec: DataSpec) -> Problem:
        """The problem of ``spec``."""
        key = spec.model_dump_json()
        if self._problem is None or key != self._key:
            self._problem = None  # so that two are never in memory at once
            self._problem = load_problem(spec, data_root=self._data_root, cache=self._cache, offline=self._offline)
            self._key = key
        return self._problem


def measure_entries(
    entries: Sequence[SpeedEntry],
    load: Callable[[DataSpec], Problem],
    budget_s: float,
    progress: EntryProgress,
    keep: Callable[[Sequence[Row]], None],
    *,
    strict: bool = False,
) -> list[Row]:
    """Measure every entry; returns a row for each. Ctrl-C ends the measurements, and the last row has that status.

    Args:
        load: gives the problem of a dataset.
        budget_s: seconds that the literal reference may take in an entry.
        keep: called with all rows so far, after every entry.
        strict: raise a :class:`UserError` of an entry instead of keeping it as a row.
    """
    rows: list[Row] = []
    for number, entry in enumerate(entries, 1):
        progress.begin(entry.name, number)
        row, error = measured(entry, Bench(load, progress.on_progress, budget_s))
        if strict and isinstance(error, UserError):
            raise error
        rows.append(row)
        if row["status"] != "ok":
            progress.say(f"{entry.name}: {row['status']}, {row['status_reason']}")
        keep(rows)
        if row["status"] == "interrupted":
            break
    return rows
