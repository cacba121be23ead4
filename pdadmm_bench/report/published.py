"""Published numbers with their source, read from ``reports/published``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pdadmm_bench.core import resources
from pdadmm_bench.core.errors import UserError


def load(name: str) -> dict[str, Any]:
    """The data of ``reports/published/<name>.toml``; raises :class:`UserError` for a missing or broken file."""
    path = resources.find(f"reports/published/{name}.toml")
    if path is None:
        raise UserError(f"reports/published/{name}.toml is missing; reinstall the package")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a TOML file: {error}") from None


def sources(data: dict[str, Any], used: Iterable[str]) -> list[str]:
    """A line per source in ``used``: its key and the publication."""
    return [f"[{key}] {data['sources'][key]}" for key in dict.fromkeys(used)]


@dataclass(frozen=True)
class PublishedSpeedup:
    """How many times faster an optimizer is with ``workers`` workers than alone, as a paper reports it."""

    dataset: str
    optimizer: str
    layers: int
    hidden: int
    workers: int
    speedup: float
    source: str
    """The key of the publication."""
    accuracy: str
    """How exactly the number could be read, in words."""


def published_speedups(data: dict[str, Any]) -> Iterator[PublishedSpeedup]:
    """Every speedup in the data of ``reports/published/speedup.toml``."""
    for block in data["speedup"]:
        common = {key: block.get(key) for key in ("source", "accuracy", "hidden")}
        if block["kind"] == "workers":
            for method in block["methods"]:
                for workers, value in zip(block["workers"], method["speedups"], strict=True):
                    yield PublishedSpeedup(
                        dataset=block["dataset"], layers=block["layers"], workers=workers,
                        optimizer=method["optimizer"], speedup=value, **common,
                    )  # fmt: skip
        elif block["kind"] == "layers":
            for graph in block["datasets"]:
                for layers, value in zip(block["layers"], graph["speedups"], strict=True):
                    yield PublishedSpeedup(
                        dataset=graph["dataset"], layers=layers, workers=block["workers"],
                        optimizer=block["optimizer"], speedup=value, **common,
                    )  # fmt: skip


def speedups_by_dataset(optimizer: str, layers: int, hidden: int, workers: int) -> dict[str, float]:
    """The published speedups of this optimizer, network and number of workers; the first of each dataset."""
    found: dict[str, float] = {}
    for each in published_speedups(load("speedup")):
        if (each.optimizer, each.layers, each.hidden, each.workers) == (optimizer, layers, hidden, workers):
            found.setdefault(each.dataset, each.speedup)
    return found
