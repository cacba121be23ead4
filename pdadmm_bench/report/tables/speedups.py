"""Speedup tables: the same measurements by workers, by depth and by width, against a named reference.

The points come from result rows (:func:`points_of_rows`) or from the rows of ``scale`` (:func:`points_of_scale`), whose
speedups are medians of ratios within interleaved repetitions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pdadmm_bench.core.errors import unknown
from pdadmm_bench.core.names import mesh_word
from pdadmm_bench.core.rows import Row, shared
from pdadmm_bench.report.table import Cell, Column, Table, cell, flag_note, numbered
from pdadmm_bench.report.tables.settings import by_machine, label
from pdadmm_bench.stats.estimate import Estimate
from pdadmm_bench.stats.pairing import device_class, settings
from pdadmm_bench.stats.speedup import efficiency, speedups

#: The quantities that speedups are shown by, and their names.
SCALING_AXES = {"workers": "workers", "layers": "depth", "hidden": "width"}


@dataclass(frozen=True)
class Point:
    """One setting against the reference."""

    dataset: str
    optimizer: str
    layers: int
    hidden: int
    workers: int
    ratio: Estimate
    efficiency: Estimate
    machine: str
    reference: str
    unquotable: bool = False

    @property
    def own_reference(self) -> bool:
        """Whether the reference is the single worker of the same optimizer, whose own speedup is 1."""
        return self.reference == _reference(None)


def points_of_rows(rows: Iterable[Row], optimizer: str | None = None) -> tuple[list[Point], Counter[str]]:
    """A point for every setting, against one worker of ``optimizer`` (None: of its own), and the rows without a point.

    Raises :class:`UserError` for an optimizer without a single-worker run, or with several different ones.
    """
    rows = [row for row in rows if row["status"] != "skipped"]
    names = {str(row["optimizer_name"]) for row in rows}
    if optimizer is not None and optimizer not in names:
        raise unknown("reference optimizer", optimizer, names)
    reference: dict[str, Any] = {"gpus": 1} if optimizer is None else {"gpus": 1, "optimizer": optimizer}
    found: dict[tuple[Any, ...], Point] = {}
    unpaired: Counter[str] = Counter()
    for machine, mine in by_machine(rows).items():
        alone = [row for row in mine if not shared(row)]
        for part, flagged in ((alone, False), ([row for row in mine if shared(row)], True)):
            if not any(reference.items() <= settings(row).items() for row in part):
                unpaired.update({f"no single worker of the reference on {machine}": len(part)} if part else {})
                continue
            table = speedups(part, reference)
            unpaired.update(table.unpaired)
            everything = [line.setting for line in table.lines]
            for line in table.lines:
                unpaired.update(line.left_out)
                if line.ratio.value is not None:
                    point = _point(line.setting, label(line.setting, everything), optimizer, line, machine, flagged)
                    found.setdefault((machine, *_place(point)), point)
    return list(found.values()), unpaired


def _point(
    setting: Mapping[str, Any], name: str, optimizer: str | None, line: Any, machine: str, flagged: bool
) -> Point:
    return Point(
        str(setting.get("dataset")), name, setting["layers"], setting["hidden"], setting["gpus"],
        line.ratio, line.efficiency, machine, _reference(optimizer), flagged,
    )  # fmt: skip


def points_of_scale(rows: Iterable[Mapping[str, Any]], optimizer: str | None = None) -> list[Point]:
    """A point for every row of ``scale``; against another optimizer the ratio of two medians, without interval."""
    rows = list(rows)
    singles = {(row["optimizer_name"], *_scaled(row)): row for row in reversed(rows) if row["dist_workers"] == 1}
    names = {str(row["optimizer_name"]) for row in rows}
    if optimizer is not None and optimizer not in names:
        raise unknown("reference optimizer", optimizer, names)
    points = []
    for row in rows:
        machine = device_class(dict(row))
        ratio = Estimate(row["speedup"], row["speedup_low"], row["speedup_high"], row["n"])
        if optimizer not in (None, row["optimizer_name"]):
            single = singles.get((optimizer, *_scaled(row)))
            value = single["time_iteration_median_s"] / row["time_iteration_median_s"] if single else None
            ratio = Estimate(value, None, None, row["n"])
        parts = (str(row["optimizer_name"]), row["schedule"], mesh_word(row.get("dist_mesh")))
        name = " ".join(part for part in parts if part)
        if ratio.value is not None:
            point = Point(_data(row), name, row["model_layers"], row["model_hidden"], row["dist_workers"], ratio,
                          efficiency(ratio, row["dist_workers"]), machine, _reference(optimizer))  # fmt: skip
            points.append(replace(point, unquotable=shared(dict(row))))
    return points


def _scaled(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a row of ``scale`` and its reference have in common."""
    return _data(row), row["model_layers"], row["model_hidden"], device_class(dict(row))


def _data(row: Mapping[str, Any]) -> str:
    return str(row.get("dataset_name") or "not named")  # as in files from before rows had a name


def speedup_tables(points: Sequence[Point]) -> list[Table]:
    """By workers, by depth and by width, for each class of machine; lines with a single depth or width are left out.

    A single worker is not compared with itself.
    """
    tables: list[Table] = []
    for axis in SCALING_AXES:
        found = []
        for machine in dict.fromkeys(point.machine for point in points):
            lines = series([point for point in points if point.machine == machine], axis)
            if lines:
                found.append(_table(lines, axis, machine))
        tables += numbered(found)
    return tables


def series(points: Iterable[Point], axis: str) -> list[list[Point]]:
    """Groups of points that differ in ``axis`` only, ordered by it. A single depth or width makes no group."""
    lines: dict[tuple[Any, ...], dict[int, Point]] = {}
    for point in points:
        if point.workers > 1 or not point.own_reference:
            lines.setdefault(_key(point, axis), {})[getattr(point, axis)] = point
    ordered = [[lines[key][value] for value in sorted(lines[key])] for key in sorted(lines, key=lambda key: key[:-1])]
    return ordered if axis == "workers" else [line for line in ordered if len(line) > 1]


def _setting(axis: str) -> list[str]:
    return ["dataset", *(other for other in SCALING_AXES if other != axis), "optimizer"]


def _key(point: Point, axis: str) -> tuple[Any, ...]:
    return tuple(getattr(point, name) for name in _setting(axis))


def _table(lines: Sequence[Sequence[Point]], axis: str, machine: str) -> Table:
    values = sorted({getattr(point, axis) for line in lines for point in line})
    table = []
    for line in lines:
        cells = [Cell(value) for value in _key(line[0], axis)]
        there = {getattr(point, axis): point for point in line}
        for value in values:
            at = there.get(value)
            cells += [cell(at.ratio, at.unquotable), Cell(at.efficiency.value)] if at else [Cell(), Cell()]
        table.append(cells)
    unit = {"workers": "workers", "layers": "layers", "hidden": "units"}[axis]
    heads = [Column(name, "text" if name in ("dataset", "optimizer") else "count") for name in _setting(axis)]
    for value in values:
        heads += [Column(f"{value} {unit}", "ratio"), Column(f"efficiency, {value} {unit}", "share")]
    return Table(
        f"speedup-by-{SCALING_AXES[axis]}",
        f"Speedup by {SCALING_AXES[axis]} against {lines[0][0].reference}: median [95 % interval], and efficiency",
        heads,
        table,
        [
            f"machine: {machine}",
            "efficiency: speedup per worker",
            *flag_note(found for line in table for found in line),
        ],
    )


def _reference(optimizer: str | None) -> str:
    return f"one worker of {optimizer}" if optimizer else "one worker of the same optimizer"


def _place(point: Point) -> tuple[Any, ...]:
    return point.dataset, point.optimizer, point.layers, point.hidden, point.workers
