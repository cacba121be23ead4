"""Samples of repeated measurements: one value per repetition, and their median with an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pdadmm_bench.stats.estimate import aggregate


@dataclass
class Samples:
    """The values measured so far. They are added one by one, so that a measurement that ends early keeps them."""

    samples: dict[str, list[float]] = field(default_factory=dict)
    """Figure → one value per repetition."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Row values that were counted or set, and not measured repeatedly."""

    def add(self, **values: float) -> None:
        """Add the figures of one more repetition."""
        for name, value in values.items():
            self.samples.setdefault(name, []).append(value)

    def row_values(self) -> dict[str, Any]:
        """Each figure as ``name``, ``name_low``, ``name_high``: median and 95 % interval; ``n``, the repetitions."""
        row: dict[str, Any] = dict(self.facts)
        for name, values in self.samples.items():
            with np.errstate(invalid="ignore"):  # the time of an event that never happened is infinite
                row |= zip((name, f"{name}_low", f"{name}_high"), map(_finite, interval(values)), strict=True)
        return {**row, "n": max(map(len, self.samples.values()), default=0)}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def interval(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """The median with its 95 % bootstrap interval, as :func:`~pdadmm_bench.stats.estimate.aggregate` gives it."""
    found = aggregate(values)
    assert found.value is not None
    return found.value, found.low, found.high
