"""Strong scaling: iteration times of 1, 2, … G workers, measured in turn, and what the table says about them.

All workers are started once. A repetition measures every configuration after the other, so that a machine whose speed
drifts slows all of them alike; a speedup is the median over repetitions of the ratio within one repetition.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch

from pdadmm_bench.core.env import environment
from pdadmm_bench.core.seeds import derive
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.data.problem import Problem, Rows
from pdadmm_bench.parallel.group import Workers, joined
from pdadmm_bench.stats.estimate import aggregate
from pdadmm_bench.training.run import time_iterations
from pdadmm_bench.training.setup import choose_device


@dataclass(frozen=True)
class Measurement:
    """One configuration: a run without its seed, over ``spec.gpus`` workers."""

    spec: RunSpec

    @property
    def series(self) -> tuple[str, str | None, int]:
        """What stays the same along a scaling curve: optimizer, schedule (None for one that has none), layers."""
        return self.spec.optimizer, self.schedule, self.spec.model.layers

    @property
    def schedule(self) -> str | None:
        """The pipeline schedule, where the optimizer runs through one."""
        from pdadmm_bench.parallel.layout import profile_of

        return self.spec.schedule if profile_of(self.spec).parallelism == "pipeline" else None


def generated_problem(rows: int, features: int, classes: int, seed: int = 0) -> Problem:
    """Random rows of the given shape, for timing only; validation and test are one row each."""
    generator = torch.Generator().manual_seed(derive("generated", seed))

    def part(count: int) -> Rows:
        y = torch.arange(count) % classes
        return Rows(x=torch.randn(count, features, generator=generator), y=y)

    parts: dict[str, Any] = {"train": part(rows), "val": part(1), "test": part(1)}
    return Problem(name=generated_name(rows, features, classes), split="none", num_classes=classes, sha256="", **parts)


def generated_name(rows: int, features: int, classes: int) -> str:
    """What such rows are called in place of a dataset."""
    return f"generated[rows={rows},features={features},classes={classes}]"


def work(
    measurements: Sequence[Measurement], load: Callable[[], Problem], repeats: int, iterations: int, timeout: float
) -> list[list[dict[str, Any]]]:
    """One of the started workers: measures every configuration it takes part in; worker 0 returns what was found."""
    sizes = sorted({measurement.spec.gpus for measurement in measurements})
    device = choose_device(measurements[0].spec.device, sizes[-1]).type
    # Before it joins: the others wait longer for that than for an exchange.
    problem = load() if os.environ["RANK"] == "0" else None
    found: list[list[dict[str, Any]]] = [[] for _ in measurements]
    with joined(device, timeout) as everyone:
        groups = {size: Workers(size, timedelta(seconds=timeout)) for size in sizes}
        for repeat in range(repeats):
            for values, measurement in zip(found, measurements, strict=True):
                spec = measurement.spec
                if everyone.rank < spec.gpus:
                    result = time_iterations(spec, problem, groups[spec.gpus], iterations)
                    if result is not None:
                        values.append(result)
                        _say(repeat, repeats, measurement, result)
                everyone.follow()  # worker 0 is in every measurement; those without a part in this one wait here
    return found


def _say(repeat: int, repeats: int, measurement: Measurement, result: dict[str, Any]) -> None:
    spec = measurement.spec
    name = " ".join(str(part) for part in (spec.optimizer, measurement.schedule) if part)
    line = f"[{repeat + 1}/{repeats}] {name} {spec.model.layers} layers, {spec.gpus} workers"
    print(f"{line}: {result['time_iteration_median_s']:.4g} s/iteration", file=sys.stderr, flush=True)


def scaling_rows(
    measurements: Sequence[Measurement], found: Sequence[Sequence[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """The strong-scaling table: one flat row per configuration, against the fewest workers of its series.

    ``speedup`` is relative to one worker of the same series where that was measured, else it is null.
    """
    times = [[result["time_iteration_median_s"] for result in results] for results in found]
    singles = {m.series: t for m, t in zip(measurements, times, strict=True) if m.spec.gpus == 1}
    rows = []
    for measurement, results, seconds in zip(measurements, found, times, strict=True):
        spec, single = measurement.spec, singles.get(measurement.series)
        ratios = None if single is None else [a / b for a, b in zip(single, seconds, strict=True)]
        speedup = interval(ratios) if ratios else (None, None, None)
        time = interval(seconds)
        boundaries = spec.gpus - 1
        rows.append(
            {
                "optimizer_name": spec.optimizer,
                "schedule": measurement.schedule,
                "model_layers": spec.model.layers,
                "model_hidden": spec.model.hidden,
                "dist_workers": spec.gpus,
                "dist_threads": spec.threads,
                "dist_partition": results[0]["dist_partition"],
                "time_iteration_median_s": time[0],
                "time_iteration_low_s": time[1],
                "time_iteration_high_s": time[2],
                "speedup": speedup[0],
                "speedup_low": speedup[1],
                "speedup_high": speedup[2],
                "efficiency": None if speedup[0] is None else speedup[0] / spec.gpus,
                "time_compute_s": _median(results, "time_compute_s"),
                "time_exposed_s": _median(results, "time_exposed_s"),
                "time_exposed_share": _median(results, "time_exposed_share"),
                "bytes_per_boundary": results[0]["dist_sent_bytes"] // boundaries if boundaries else 0,
                "memory_state_bytes": results[0]["memory_state_bytes"],
                "n": len(results),
                "dist_per_worker": results[0]["dist_per_worker"],
                **environment(),
            }
        )
    return rows


def interval(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """The median with its 95 % bootstrap interval, as :func:`~pdadmm_bench.stats.estimate.aggregate` gives it."""
    found = aggregate(values)
    assert found.value is not None
    return found.value, found.low, found.high


def _median(results: Sequence[dict[str, Any]], name: str) -> float:
    return float(np.median([result[name] for result in results]))
