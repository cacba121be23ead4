"""Performance profiles: the share of problems that each optimizer solves within a factor of the fastest."""

from __future__ import annotations

from collections.abc import Sequence

from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.figures.picture import Curve, Panel, Picture
from pdadmm_bench.report.table import numbered_names
from pdadmm_bench.report.tables.performance_profile import performance_profiles
from pdadmm_bench.stats.performance_profile import PerformanceProfile


def performance_profile_pictures(rows: Sequence[Row]) -> dict[str, Picture]:
    """A picture for each class of machine and number of workers, by the name of its file."""
    found = []
    for (machine, workers), each in performance_profiles(rows).items():
        end = 2 * max(each.curve(solver)[0][-1] for solver in each.ratios)
        panel = Panel(
            "share of problems solved", "times the fastest", [_steps(each, solver, end) for solver in each.ratios],
            kind="steps", log_x=True, percent=True, ticks=_factors(end),
        )  # fmt: skip
        count = len(each.problems)
        title = f"Time to target: performance profile over {count} problem{'' if count == 1 else 's'}"
        found.append(Picture(f"{title} · workers: {workers} · {machine}", [panel]))
    return dict(zip(numbered_names("profile", len(found)), found, strict=True))


def _steps(each: PerformanceProfile, solver: str, end: float) -> Curve:
    """The curve of one solver, up to the factor ``end``: after its last step a profile is constant."""
    x, y = each.curve(solver)
    return Curve(solver, [*x, end], [*y, y[-1]], optimizer=solver.split()[0])


def _factors(end: float) -> tuple[float, ...]:
    """1, 2, 5, 10, 20, … up to ``end``; at most eight of them."""
    steps = (1.0, 2.0, 5.0) if end < 500 else (1.0,)
    return tuple(step * 10**power for power in range(12) for step in steps if step * 10**power <= end)
