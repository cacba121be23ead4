"""The authors' schedule of the penalties ρ and ν: both grow when the training cost no longer falls."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

RHO_CAP, RHO_FACTOR, RHO_MIN_DECREASE = 1.0, 10.0, 1e-3
"""ρ × 10, up to 1, when the training cost fell by less than 0.001 twice in a row."""


def with_newest(costs: Sequence[float], cost: float) -> list[float]:
    """The last costs that the schedule looks at, the newest at the end."""
    return [*costs[-2:], cost]


def stalled(costs: Sequence[float]) -> bool:
    """Whether the cost fell by less than the least decrease twice in a row."""
    falls = [before - after for before, after in pairwise(costs)]
    return len(falls) == 2 and max(falls) < RHO_MIN_DECREASE


def growth(rho: float) -> float:
    """The factor for ρ and ν, which keeps ρ at most at the cap and is never below 1."""
    return max(1.0, min(RHO_FACTOR, RHO_CAP / rho))
