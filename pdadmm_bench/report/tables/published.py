"""Published numbers beside ours, with their source and how the protocols differ."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.published import load, published_speedups, sources
from pdadmm_bench.report.standings import estimate
from pdadmm_bench.report.table import Cell, Column, Table, cell
from pdadmm_bench.report.tables.settings import SettingRows, gather
from pdadmm_bench.report.tables.speedups import Point
from pdadmm_bench.stats.metrics import ACCURACY, metric


def published_tables(rows: Iterable[Row], points: Sequence[Point]) -> list[Table]:
    """Accuracies, speedups and bytes that papers report, beside ours where the dataset or the workers are the same."""
    return [_accuracy(list(rows)), _speedup(points), _communication()]


def _accuracy(rows: Sequence[Row]) -> Table:
    data = load("accuracy")
    ours = [line for line in gather(rows) if estimate(line, metric(ACCURACY)).n]
    datasets = {str(line.setting["dataset"]) for line in ours}
    table, used = [], []
    for block in data["accuracy"]:
        network = f"{block['layers']} × {block['hidden']}"
        for result in block["results"]:
            name = result["optimizer"]
            for place, dataset in enumerate(block["datasets"]):
                if dataset not in datasets:
                    continue
                mine: list[SettingRows | None] = [
                    each for each in ours if (each.setting["dataset"], each.setting["optimizer"]) == (dataset, name)
                ]
                spread = result.get("sd", [])
                n = block.get("runs")
                theirs = Cell(result["mean"][place], n=n, suffix=_spread(spread, place))
                used.append(block["source"])
                for each in mine or [None]:
                    own = f"{each.setting['layers']} × {each.setting['hidden']}" if each else None
                    found = cell(estimate(each, metric(ACCURACY))) if each else Cell()
                    label = each.optimizer if each else name
                    table.append(
                        [Cell(dataset), Cell(label), Cell(own), found, Cell(network), theirs, Cell(block["source"])]
                    )
    heads = [
        Column("dataset"), Column("optimizer"), Column("ours: layers × hidden"), Column("ours", "accuracy"),
        Column("published: layers × hidden"), Column("published", "accuracy"), Column("source"),
    ]  # fmt: skip
    notes = [*data["differences"], *sources(data, used)]
    if not table:
        notes = [f"none: no paper in reports/published has the datasets {', '.join(sorted(datasets)) or '(none)'}"]
    return Table("published-accuracy", "Published test accuracy beside ours", heads, table, notes)


def _speedup(points: Sequence[Point]) -> Table:
    data = load("speedup")
    table, used = [], []
    optimizers = {point.optimizer.split()[0] for point in points}
    for found in published_speedups(data):
        if found.optimizer not in optimizers:
            continue
        mine: list[Point | None] = [
            point for point in points if (point.optimizer.split()[0], point.workers) == (found.optimizer, found.workers)
        ]
        used.append(found.source)
        for point in mine or [None]:
            table.append(
                [
                    Cell(found.optimizer),
                    Cell(found.workers),
                    Cell(f"{point.dataset}, {point.layers} × {point.hidden}" if point else None),
                    cell(point.ratio, point.unquotable) if point else Cell(),
                    Cell(f"{found.dataset}, {found.layers} × {found.hidden}"),
                    Cell(found.speedup),
                    Cell(f"{found.source}, {found.accuracy}"),
                ]
            )
    heads = [
        Column("optimizer"), Column("workers", "count"), Column("ours: dataset, layers × hidden"),
        Column("ours", "ratio"), Column("published: dataset, layers × hidden"), Column("published", "ratio"),
        Column("source"),
    ]  # fmt: skip
    notes = [*_SPEEDUP_DIFFERENCES, *sources(data, used)]
    if not table:
        notes = ["none: there are no speedups of ours of an optimizer in reports/published/speedup.toml"]
    return Table("published-speedup", "Published speedups beside ours", heads, table, notes)


_SPEEDUP_DIFFERENCES = (
    "theirs are on Tesla K80 GPUs, ours on the machine named under our tables",
    "theirs are against the authors' own serial run of the same method; how the gradient methods were made parallel is "
    "not said",
    "their pdADMM searches its steps by backtracking and computes residuals again, so it does more per iteration",
)


def _communication() -> Table:
    data = load("communication")
    table = []
    for volume in data["volume"]:
        base = volume["gigabytes"][0]
        for variant, value in zip(data["variants"], volume["gigabytes"], strict=True):
            cells = [
                Cell(volume["dataset"]),
                Cell(variant),
                Cell(value * 1e9),
                Cell(value / base),
                Cell(volume["source"]),
            ]
            table.append(cells)
    heads = [
        Column("dataset"), Column("quantised"), Column("sent", "bytes"), Column("of unquantised", "share"),
        Column("source"),
    ]  # fmt: skip
    notes = [*data["differences"], *sources(data, [volume["source"] for volume in data["volume"]])]
    return Table("published-communication", "Published communication volumes", heads, table, notes)


def _spread(deviations: Sequence[float], place: int) -> str:
    """The printed standard deviation; empty where there is none, or where it is a misprint (NaN)."""
    return f"± {100 * deviations[place]:.1f}" if deviations and not math.isnan(deviations[place]) else ""
