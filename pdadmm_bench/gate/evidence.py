"""The evidence of one side about a benchmark: its runs over seeds, their loss curves, and times of an iteration.

A benchmark is a setting of a suite without its seeds. It has a name for readers, and a version, which is a hash of
every setting. The same name with another version, or on other data, is another benchmark.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pdadmm_bench.core.rows import Row, status_of
from pdadmm_bench.core.spec import RunSpec

REPEATED = ("seed", "split_seed")
CALLED = ("dataset", "layers", "hidden", "optimizer", "gpus")
"""The settings that name a benchmark."""
DEFAULTS = RunSpec().flat()
"""Settings with this value are left out, so that a new option does not turn old benchmarks into others."""

#: Columns of a row that are kept: what is judged, and what explains it.
_KEPT = ("status", "status_reason", "iterations", "dist_sent_bytes")
_KEPT_PREFIXES = ("acc_", "loss_", "memory_", "weights_")
_DATA = "dataset_"
EXACT = "dataset_sha256"
"""The fact about the rows that the rounding of another processor changes, since features are sums of neighbours."""
_OF_THE_VISIT = ("dataset_cache_hit", "dataset_split_seed")

Setting = dict[str, Any]
CurvePoint = tuple[int, float, float]
"""Iteration, training loss, validation accuracy."""


@dataclass(frozen=True)
class SeedRun:
    """One seed: its row, as far as it is judged, and the evaluated points of its history."""

    row: Row
    curve: tuple[CurvePoint, ...]

    @property
    def finished(self) -> bool:
        """Whether the run is complete."""
        return status_of(self.row).complete


@dataclass
class Benchmark:
    """One side of a comparison."""

    name: str
    setting: Setting
    runs: dict[str, SeedRun] = field(default_factory=dict)
    """By seed (:func:`seed_of`)."""
    data: dict[str, Any] = field(default_factory=dict)
    """Facts about the rows of the first run: version, sizes, counts and hash."""
    seconds: list[float] = field(default_factory=list)
    """Of an iteration, one value per measurement; empty where time was not measured."""

    @property
    def version(self) -> str:
        """Hash of the setting, 12 hexadecimal digits."""
        return hashlib.sha256(json.dumps(self.setting, sort_keys=True).encode()).hexdigest()[:12]


def setting_of(flat: Mapping[str, Any]) -> Setting:
    """A run's flat settings without its seeds and without defaults."""
    return {name: value for name, value in asked(flat).items() if name not in REPEATED}


def asked(flat: Mapping[str, Any]) -> Setting:
    """The flat settings that are no defaults. So another revision, without the newest options, understands them."""
    return {name: value for name, value in flat.items() if name in CALLED or value != DEFAULTS[name]}


def in_full(setting: Mapping[str, Any]) -> Setting:
    """A setting completed by the defaults."""
    return {**DEFAULTS, **setting}


def seed_of(flat: Mapping[str, Any]) -> str:
    """The key of a run within its benchmark: ``seed``, or ``split_seed/seed`` where the split has a seed of its own."""
    return f"{flat['split_seed']}/{flat['seed']}" if flat.get("split_seed") else str(flat["seed"])


def data_of(row: Row) -> dict[str, Any]:
    """What a row says about the data."""
    return {name: value for name, value in row.items() if name.startswith(_DATA) and name not in _OF_THE_VISIT}


def run_of(row: Row, history: Sequence[Mapping[str, float]]) -> SeedRun:
    """The judged part of a run."""
    kept = {name: value for name, value in row.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    points = [
        (int(step["iteration"]), float(step["loss_train"]), float(step["acc_val"]))
        for step in history
        if "loss_train" in step and math.isfinite(step["loss_train"])
    ]
    return SeedRun(kept, tuple(points))


def names(settings: Sequence[Setting]) -> list[str]:
    """A name for each of the different ``settings``: ``pdadmm 4×32 sbm``, and what distinguishes it."""
    short = [_short(setting) for setting in settings]
    found = []
    for name, setting in zip(short, settings, strict=True):
        alike = [other for other, its in zip(settings, short, strict=True) if its == name]
        keys = dict.fromkeys(key for other in alike for key in other)
        differing = [key for key in keys if len({_value(other, key) for other in alike}) > 1]
        found.append(" ".join([name, *(f"{key}={_value(setting, key)}" for key in differing)]))
    return found


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What differs between two settings, or facts about data, as ``iterations 40 → 50``."""
    return [
        f"{key} {_value(before, key)} → {_value(after, key)}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def _short(setting: Setting) -> str:
    dataset = str(setting["dataset"]).partition("[")[0]
    name = f"{setting['optimizer']} {setting['layers']}×{setting['hidden']} {dataset}"
    return name if setting["gpus"] == 1 else f"{name} {setting['gpus']} workers"


def _value(setting: Mapping[str, Any], key: str) -> str:
    value = setting.get(key, DEFAULTS.get(key))
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value):
        return value[:10]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
