"""Speedup by workers, depth and width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pdadmm_bench.report.figures.picture import Curve, Panel, Picture, guide
from pdadmm_bench.report.table import numbered_names
from pdadmm_bench.report.tables.speedups import SCALING_AXES, Point, series
from pdadmm_bench.stats.estimate import Estimate


def speedup_pictures(points: Sequence[Point]) -> dict[str, Picture]:
    """A picture for each class of machine, by the name of its file: speedup by workers, and by depth and width."""
    found = []
    for machine in dict.fromkeys(point.machine for point in points):
        mine = [point for point in points if point.machine == machine]
        panels = [panel for axis in SCALING_AXES if (panel := _speedup(mine, axis)).curves]
        if panels:
            found.append(Picture(f"Speedup against {mine[0].reference} · {machine}", panels))
    return dict(zip(numbered_names("speedup", len(found)), found, strict=True))


def _speedup(points: Sequence[Point], axis: str) -> Panel:
    curves = []
    several = len({point.dataset for point in points}) > 1
    for line in series(points, axis):
        first = line[0]
        if axis == "workers" and first.own_reference:
            line = [replace(first, workers=1, ratio=Estimate(1.0, None, None, first.ratio.n)), *line]
        what = {
            "workers": f"{first.layers} × {first.hidden}",
            "layers": f"width {first.hidden}, {first.workers} workers",
            "hidden": f"depth {first.layers}, {first.workers} workers",
        }[axis]
        curves.append(
            Curve(
                ", ".join([first.optimizer, what, *([first.dataset] if several else [])]),
                [getattr(point, axis) for point in line],
                [point.ratio.value or 0.0 for point in line],
                [point.ratio.low for point in line],
                [point.ratio.high for point in line],
                [point.ratio.n for point in line],
                any(point.unquotable for point in line),
                first.optimizer.split()[0],
            )
        )
    ticks = tuple(sorted({x for curve in curves for x in curve.x}))
    ideal = guide("efficiency of 100 %", ticks, ticks) if axis == "workers" and ticks else None
    label = {"workers": "workers", "layers": "layers", "hidden": "units per hidden layer"}[axis]
    return Panel(f"speedup by {SCALING_AXES[axis]}", label, curves, kind="points", ticks=ticks, guide=ideal)
