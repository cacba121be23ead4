"""Performance profiles: the share of the problems that a solver solves within a factor of the best solver.

Dolan, Moré: Benchmarking optimization software with performance profiles. Mathematical Programming 91, 2002. A miss
never counts as solved, at any factor. With three solvers or more a profile shows how each compares with the best, not
how they rank among each other (Gould, Scott: A note on performance profiles, ACM TOMS 43, 2016).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

Costs = Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True)
class PerformanceProfile:
    """Ratios to the best solver of each problem."""

    problems: tuple[str, ...]
    """Those that every solver has tried: what the shares are shares of."""
    ratios: dict[str, tuple[float, ...]]
    """By solver, a ratio ≥ 1 for each of ``problems``; infinity for a miss."""
    unsolved: tuple[str, ...]
    """The problems that no solver solved; they stay in the count."""
    left_out: tuple[str, ...]
    """The problems that some solver has not tried; they cannot be compared."""

    def share(self, solver: str, factor: float) -> float:
        """The share of the problems that ``solver`` solved within ``factor`` of the best; NaN without problems."""
        ratios = self.ratios[solver]
        solved = sum(math.isfinite(ratio) and ratio <= factor for ratio in ratios)
        return solved / len(ratios) if ratios else math.nan

    def curve(self, solver: str) -> tuple[list[float], list[float]]:
        """The steps of the profile: factors, ascending from 1, and the share from each factor on."""
        factors = sorted({1.0, *(ratio for ratio in self.ratios[solver] if math.isfinite(ratio))})
        return factors, [self.share(solver, factor) for factor in factors]


def performance_profile(costs: Costs) -> PerformanceProfile:
    """The profile of ``costs[solver][problem]``, which are positive, such as seconds to a target.

    A miss is None or infinity.

    Raises ``ValueError`` for a cost that is not positive.
    """
    tried = dict.fromkeys(problem for solver in costs.values() for problem in solver)
    problems = tuple(problem for problem in tried if all(problem in solver for solver in costs.values()))
    table = {
        solver: [math.inf if values[problem] is None else float(values[problem] or 0) for problem in problems]
        for solver, values in costs.items()
    }
    if any(not cost > 0 for row in table.values() for cost in row):
        raise ValueError("costs are positive numbers, None or infinity for a miss")
    best = [min(column) for column in zip(*table.values(), strict=True)]
    return PerformanceProfile(
        problems=problems,
        ratios={
            solver: tuple(
                cost / least if math.isfinite(cost) else math.inf for cost, least in zip(row, best, strict=True)
            )
            for solver, row in table.items()
        },
        unsolved=tuple(problem for problem, least in zip(problems, best, strict=True) if not math.isfinite(least)),
        left_out=tuple(problem for problem in tried if problem not in problems),
    )
