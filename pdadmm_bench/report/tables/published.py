"""Published numbers beside ours: facts with their source from ``reports/published``, and how the protocols differ."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Sequence
from typing import Any

from pdadmm_bench.core import resources as share
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.table import Cell, Column, Table, cell
from pdadmm_bench.report.tables.accuracy import mean_accuracy
from pdadmm_bench.report.tables.settings import SettingRows, gather
from pdadmm_bench.report.tables.speedups import Point


def load(name: str) -> dict[str, Any]:
    """The data of ``reports/published/<name>.toml``; raises :class:`UserError` for a file that is none."""
    path = share.find(f"reports/published/{name}.toml")
    if path is None:
        raise UserError(f"reports/published/{name}.toml is missing; reinstall the package")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a TOML file: {error}") from None


def published_tables(rows: Iterable[Row], points: Sequence[Point]) -> list[Table]:
    """Accuracies, speedups and bytes that papers report, beside ours where the dataset or the workers are the same."""
    return [_accuracy(list(rows)), _speedup(points), _communication()]


def _accuracy(rows: Sequence[Row]) -> Table:
    data = load("accuracy")
    ours = [line for line in gather(rows) if mean_accuracy(line).n]
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
                    found = cell(mean_accuracy(each)) if each else Cell()
                    label = each.optimizer if each else name
                    table.append(
                        [Cell(dataset), Cell(label), Cell(own), found, Cell(network), theirs, Cell(block["source"])]
                    )
    heads = [
        Column("dataset"), Column("optimizer"), Column("ours: layers × hidden"), Column("ours", "accuracy"),
        Column("published: layers × hidden"), Column("published", "accuracy"), Column("source"),
    ]  # fmt: skip
    notes = [*data["differences"], *_sources(data, used)]
    if not table:
        notes = [f"none: no paper in reports/published has the datasets {', '.join(sorted(datasets)) or '(none)'}"]
    return Table("published-accuracy", "Published test accuracy beside ours", heads, table, notes)


def _speedup(points: Sequence[Point]) -> Table:
    data = load("speedup")
    table, used = [], []
    optimizers = {point.optimizer.split()[0] for point in points}
    for found in _published_speedups(data):
        if found["optimizer"] not in optimizers:
            continue
        mine: list[Point | None] = [
            point
            for point in points
            if (point.optimizer.split()[0], point.workers) == (found["optimizer"], found["workers"])
        ]
        used.append(found["source"])
        for point in mine or [None]:
            table.append(
                [
                    Cell(found["optimizer"]),
                    Cell(found["workers"]),
                    Cell(f"{point.dataset}, {point.layers} × {point.hidden}" if point else None),
                    cell(point.ratio, point.unquotable) if point else Cell(),
                    Cell(f"{found['dataset']}, {found['layers']} × {found['hidden']}"),
                    Cell(found["speedup"]),
                    Cell(f"{found['source']}, {found['accuracy']}"),
                ]
            )
    heads = [
        Column("optimizer"), Column("workers", "count"), Column("ours: dataset, layers × hidden"),
        Column("ours", "ratio"), Column("published: dataset, layers × hidden"), Column("published", "ratio"),
        Column("source"),
    ]  # fmt: skip
    notes = [*_SPEEDUP_DIFFERENCES, *_sources(data, used)]
    if not table:
        notes = ["none: there are no speedups of ours of an optimizer in reports/published/speedup.toml"]
    return Table("published-speedup", "Published speedups beside ours", heads, table, notes)


_SPEEDUP_DIFFERENCES = (
    "theirs are on Tesla K80 GPUs, ours on the machine named under our tables",
    "theirs are against the authors' own serial run of the same method; how the gradient methods were made parallel is "
    "not said",
    "their pdADMM searches its steps by backtracking and computes residuals again, so it does more per iteration",
)


def _published_speedups(data: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for block in data["speedup"]:
        common = {key: block.get(key) for key in ("source", "accuracy", "hidden")}
        if block["kind"] == "workers":
            for method in block["methods"]:
                for workers, value in zip(block["workers"], method["speedups"], strict=True):
                    yield {**common, "dataset": block["dataset"], "layers": block["layers"], "workers": workers,
                           "optimizer": method["optimizer"], "speedup": value}  # fmt: skip
        elif block["kind"] == "layers":
            for dataset in block["datasets"]:
                for layers, value in zip(block["layers"], dataset["speedups"], strict=True):
                    yield {**common, "dataset": dataset["dataset"], "layers": layers, "workers": block["workers"],
                           "optimizer": block["optimizer"], "speedup": value}  # fmt: skip


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
    notes = [*data["differences"], *_sources(data, [volume["source"] for volume in data["volume"]])]
    return Table("published-communication", "Published communication volumes", heads, table, notes)


def _sources(data: dict[str, Any], used: Iterable[str]) -> list[str]:
    return [f"[{key}] {data['sources'][key]}" for key in dict.fromkeys(used)]


def _spread(deviations: Sequence[float], place: int) -> str:
    """The printed standard deviation, where there is one that is no misprint."""
    return f"± {100 * deviations[place]:.1f}" if deviations and not math.isnan(deviations[place]) else ""
