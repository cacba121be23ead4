"""Strong scaling: iteration times of 1, 2, … G workers, measured in turn, and their table.

All workers are started once. A repetition measures one configuration after the other, so that a machine whose speed
drifts slows all of them alike. A speedup is the median over repetitions of the ratio within one repetition.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch

from pdadmm_bench.core import quiet
from pdadmm_bench.core.env import environment
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.spec import RunSpec, axes_of, fitting_meshes, mesh_name, run_spec
from pdadmm_bench.data.cache import cache_folder
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.parallel.group import Workers, joined
from pdadmm_bench.parallel.launch import launch
from pdadmm_bench.parallel.partition import partition
from pdadmm_bench.timing.samples import interval
from pdadmm_bench.training.planned import by_optimizer
from pdadmm_bench.training.preflight import check_microbatches
from pdadmm_bench.training.run import time_iterations
from pdadmm_bench.training.setup import resolve


@dataclass(frozen=True)
class ScalingPoint:
    """One configuration: a run without its seed, over ``spec.gpus`` workers."""

    spec: RunSpec

    @property
    def axes(self) -> tuple[int, int]:
        """Workers along the layers, and along the rows."""
        axes = self.spec.axes()
        assert axes is not None
        return axes

    @property
    def key(self) -> tuple[str, str | None, int, tuple[int, int]]:
        """What tells two measurements apart: optimizer, schedule (None without a pipeline), layers, mesh."""
        return self.spec.optimizer, self.schedule, self.spec.model.layers, self.axes

    @property
    def schedule(self) -> str | None:
        """The pipeline schedule; None without a pipeline. A single worker is the reference of one."""
        staged = self.spec.gpus == 1 or self.axes[0] > 1
        return self.spec.schedule if staged and resolve(self.spec).pipelined else None

    def single_among(self, points: Sequence[ScalingPoint]) -> int | None:
        """The place of the single worker that this one is compared with, if it is there."""
        singles = [i for i, point in enumerate(points) if point.spec.gpus == 1 and self._like(point)]
        same = [i for i in singles if points[i].schedule == self.schedule]
        return next(iter([*same, *(singles if self.schedule is None else [])]), None)

    def _like(self, other: ScalingPoint) -> bool:
        return (self.spec.optimizer, self.spec.model.layers) == (other.spec.optimizer, other.spec.model.layers)


def scaling_points(
    common: Mapping[str, Any], *,
    optimizers: Sequence[str], layers: Sequence[int], schedules: Sequence[str], workers: Sequence[int],
    meshes: Sequence[str] = ("layers",),
) -> list[ScalingPoint]:  # fmt: skip
    """Every configuration, each once; ``common`` are the settings that all of them share.

    Raises :class:`UserError` for a configuration that cannot be run.
    """
    points: list[ScalingPoint] = []
    fitting = fitting_meshes(meshes, workers)
    hyperparameters = by_optimizer(common.get("set", {}), optimizers)
    places = [(count, mesh) for count in workers for mesh in fitting[count]]
    for depth in layers:
        for optimizer in optimizers:
            for schedule in schedules:
                for count, mesh in places:
                    values = {**common, "optimizer": optimizer, "layers": depth, "gpus": count, "schedule": schedule}
                    values |= {"mesh": mesh, "set": hyperparameters[optimizer]}
                    if (axes_of(mesh, count) or (1, 1))[0] == 1:
                        values["partition"] = "auto"
                    spec = run_spec(values)
                    point = ScalingPoint(spec)
                    partition(spec.partition, [1.0] * depth, point.axes[0])  # raises for one that does not fit
                    if reason := resolve(spec).unsupported:
                        raise UserError(reason)
                    if point.schedule and count > 1 and spec.given_microbatches:
                        check_microbatches(point.schedule, spec.given_microbatches, point.axes[0])
                    # Where there is no pipeline, the schedules are one and the same measurement.
                    if point.key not in [other.key for other in points]:
                        points.append(point)
    return points


def measure(
    points: Sequence[ScalingPoint], load: Callable[[], Problem], *, repeats: int, iterations: int, timeout: float
) -> list[dict[str, Any]]:
    """The rows of the strong-scaling table, measured on this machine with the workers of the largest point.

    Args:
        load: makes the problem, in worker 0; picklable.
        iterations: timed iterations per measurement.
        timeout: seconds after which a stalled exchange fails.

    Raises :class:`~pdadmm_bench.parallel.launch.WorkerFailure` and
    :class:`~pdadmm_bench.parallel.launch.Interrupted` as a launch does.
    """
    largest = max(points, key=lambda point: point.spec.gpus).spec
    device = resolve(largest).device  # decided once: every number of workers is measured on the same kind
    checked = quiet.kept(cache_folder())  # before the measurement, which may take longer than an answer counts
    found = launch(largest.gpus, _work, points, load, repeats, iterations, timeout, device, patience=timeout)
    return [{**row, "dist_device": device.type, "env_quiet": checked} for row in scaling_rows(points, found)]


def _work(
    points: Sequence[ScalingPoint], load: Callable[[], Problem], repeats: int, iterations: int, timeout: float,
    device: torch.device,
) -> list[list[dict[str, Any]]]:  # fmt: skip
    """Measure, as one worker, every point that this worker takes part in; worker 0 returns the results."""
    # Before joined(): the others wait longer there than in an exchange.
    problem = load() if os.environ["RANK"] == "0" else None
    found: list[list[dict[str, Any]]] = [[] for _ in points]
    with joined(device.type, timeout) as everyone:
        sizes = sorted({point.spec.gpus for point in points})
        groups = {size: Workers(size, timedelta(seconds=timeout)) for size in sizes}
        for point in points:
            groups[point.spec.gpus].form(*point.axes)
        for repeat in range(repeats):
            for values, point in zip(found, points, strict=True):
                spec = point.spec
                if everyone.rank < spec.gpus:
                    result = time_iterations(spec, problem, groups[spec.gpus], iterations, device)
                    if result is not None:
                        values.append(result)
                        _print_progress(repeat, repeats, point, result)
                everyone.follow()  # worker 0 is in every measurement; workers without a part wait here
    return found


def _print_progress(repeat: int, repeats: int, point: ScalingPoint, result: Mapping[str, Any]) -> None:
    """Print a line of progress; only worker 0 prints on the terminal."""
    spec = point.spec
    name = " ".join(str(part) for part in (spec.optimizer, point.schedule) if part)
    mesh = f" ({mesh_name(*point.axes)})" if point.axes[1] > 1 else ""
    line = f"[{repeat + 1}/{repeats}] {name} {spec.model.layers} layers, {spec.gpus} workers{mesh}"
    print(f"{line}: {result['time_iteration_median_s']:.4g} s/iteration", file=sys.stderr, flush=True)


def scaling_rows(points: Sequence[ScalingPoint], found: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The strong-scaling table: one flat row per configuration.

    ``speedup`` is relative to one worker with the same optimizer, schedule and layers, and null where that was not
    measured.
    """
    times = [[result["time_iteration_median_s"] for result in results] for results in found]
    rows = []
    for point, results, seconds in zip(points, found, times, strict=True):
        spec, (columns, shards), single = point.spec, point.axes, point.single_among(points)
        ratios = None if single is None else [a / b for a, b in zip(times[single], seconds, strict=True)]
        speedup = interval(ratios) if ratios else (None, None, None)
        time = interval(seconds)
        boundaries = columns - 1
        rows.append(
            {
                "optimizer_name": spec.optimizer,
                "schedule": point.schedule,
                "model_layers": spec.model.layers,
                "model_hidden": spec.model.hidden,
                "dist_workers": spec.gpus,
                "dist_threads": spec.threads,
                "dist_mesh": mesh_name(columns, shards) if shards > 1 else None,
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
                "dist_reduced_bytes": results[0].get("dist_reduced_bytes", 0),
                "memory_state_bytes": results[0]["memory_state_bytes"],
                "n": len(results),
                "dist_per_worker": results[0]["dist_per_worker"],
                **environment(),
            }
        )
    return rows


def _median(results: Sequence[dict[str, Any]], name: str) -> float:
    return float(np.median([result[name] for result in results]))
