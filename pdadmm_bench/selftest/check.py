"""A check of the self-test, its verdicts, and the small runs that checks are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from pdadmm_bench.core.spec import RunSpec, run_spec
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.timing.generated import generated_problem

LIMIT_S = 120.0
"""The time limit of a check that names none."""
ROWS, FEATURES, CLASSES = 120, 40, 4
"""The shape of the problem of small runs."""
ITERATIONS = 5

Values = dict[str, Any]
"""What a check measured, for its JSON line."""


class Failed(Exception):
    """A check found what must not be; the text says what."""


class Skipped(Exception):
    """A check cannot be made here; the text says why."""


@dataclass(frozen=True)
class Check:
    """A function that returns what it measured, or raises :class:`Failed` or :class:`Skipped`."""

    name: str
    function: Callable[..., Values]
    """Importable in another process; called with the kind of device, and ``arguments``."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    limit_s: float = LIMIT_S


def small(device: str, optimizer: str, **values: Any) -> RunSpec:
    """The settings of a small run."""
    common = {"layers": 4, "hidden": 32, "iterations": ITERATIONS, "warm_start": "none", "preset": "none", "threads": 1}
    return run_spec({**common, "optimizer": optimizer, "device": device, **values})


def problem() -> Problem:
    """The problem of small runs."""
    return generated_problem(ROWS, FEATURES, CLASSES)


def require_ok(row: Mapping[str, Any]) -> None:
    """Raise :class:`Failed` with the reason of a run that did not end well."""
    if row["status"] != "ok":
        raise Failed(f"{row['optimizer_name']} on {row['dist_device']}: {row['status']}: {row['status_reason']}")


def difference(ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]]) -> float:
    """The largest relative difference of two histories in objective and loss."""
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        for name in {"objective", "loss", "loss_train"} & a.keys():
            worst = max(worst, abs(a[name] - b[name]) / max(abs(b[name]), 1e-12))
    return worst


def require_cuda(device: str, what: str) -> None:
    """Raise :class:`Skipped` on a CPU."""
    if device != "cuda":
        raise Skipped(f"{what} is a matter of CUDA devices")


def devices(device: str) -> int:
    """How many workers can have a device of their own; on a CPU, two."""
    return torch.cuda.device_count() if device == "cuda" else 2


def require_several(device: str) -> int:
    """The number of workers for checks of several; raises :class:`Skipped` where there is one device."""
    count = devices(device)
    if count < 2:
        raise Skipped(f"needs two CUDA devices, and there is {count}")
    return count
