"""Whether this machine was quiet enough to measure on: what ``check`` found last, which rows of the next hour keep.

The record is a file in the cache. It counts on the machine that it was made on, and for an hour.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from pdadmm_bench.core.files import parse_json, write_atomic

VALID_S = 3600.0
"""Seconds for which an answer counts."""
MOST_SPREAD = 0.10
"""Of the time of a product that is always the same: the 95th percentile over the median, less one."""
MOST_OTHER_LOAD = 0.05
"""Share of the machine's cores that other processes may use."""
MOST_DRIFT = 0.05
"""How much slower the last third of the products may be than the first: a processor that is throttled slows down."""


@dataclass(frozen=True)
class Quietness:
    """What was measured."""

    spread: float
    drift: float
    other_load: float
    """Share of the cores that other processes used meanwhile."""

    def problems(self) -> list[str]:
        """What makes the machine unfit to measure on, one clause each."""
        found = [
            (self.spread > MOST_SPREAD, f"the same product takes up to {self.spread:.0%} longer than its median"),
            (self.drift > MOST_DRIFT, f"it became {self.drift:.0%} slower: the processor is throttled, or load came"),
            (self.other_load > MOST_OTHER_LOAD, f"other processes use {self.other_load:.0%} of the cores"),
        ]
        return [text for wrong, text in found if wrong]

    @property
    def answer(self) -> str:
        """``quiet: spread 2 %, other load 1 %``, for the row."""
        word = "not quiet" if self.problems() else "quiet"
        return f"{word}: spread {self.spread:.0%}, drift {self.drift:.0%}, other load {self.other_load:.0%}"


def keep(cache: Path, found: Quietness) -> None:
    """Write the record; raises :class:`~pdadmm_bench.core.errors.UserError` where the cache cannot be written."""
    write_atomic(_record(cache), json.dumps({**asdict(found), "machine": platform.node(), "at": time.time()}))


def kept(cache: Path, now: Callable[[], float] = time.time) -> str | None:
    """The answer for a row; None where ``check`` was not run on this machine within the last hour."""
    try:
        record = parse_json(_record(cache).read_bytes())
        made_at, machine = float(record.pop("at")), record.pop("machine")
        found = Quietness(**{name: float(value) for name, value in record.items()})
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None  # there is none, or it is damaged: no answer
    fresh = machine == platform.node() and 0 <= now() - made_at < VALID_S
    return found.answer if fresh else None


def _record(cache: Path) -> Path:
    return cache / "quiet.json"
