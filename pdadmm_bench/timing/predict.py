"""Predictions of the cost model: the strong-scaling table of ``predict``, and the machine for planned runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from pdadmm_bench.core.env import cores
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.spec import RunSpec, axes_of, fitting_meshes, mesh_name, run_spec
from pdadmm_bench.optim import registry
from pdadmm_bench.optim.base import Optimizer
from pdadmm_bench.parallel.cost import FLOAT_BYTES, Machine, Prediction
from pdadmm_bench.parallel.forecast import ASSUMED_BANDWIDTH, ASSUMED_LATENCY_S, UNIT_MACHINE, forecast_iteration
from pdadmm_bench.parallel.layout import check_rows
from pdadmm_bench.report.published import speedups_by_dataset
from pdadmm_bench.timing import machine as rates
from pdadmm_bench.timing.predict_options import PredictOptions
from pdadmm_bench.training.planned import by_optimizer
from pdadmm_bench.training.setup import check_batch_size

MEASURE_S = 0.1
"""Seconds to measure each rate for planned runs; rates are measured once per power of two of rows."""
MAX_MEASURED_VALUES = 2**22
"""Largest number of values in the arrays of a measured rate: 16 MiB. Larger arrays take longer and give the same."""


def planning_machine(rows: int, width: int, threads: int, device: str) -> Machine:
    """This machine's rates for networks of ``width`` units and about ``rows`` rows, with assumed links.

    Args:
        threads: CPU threads of each worker.
        device: ``cpu`` or ``cuda``.
    """
    return _measured(
        min(1 << max(0, rows - 1).bit_length(), max(1, MAX_MEASURED_VALUES // width)), width, threads, device
    )


@cache
def _measured(rows: int, width: int, threads: int, device: str) -> Machine:
    measured = rates.measure(rows, width, threads, device=device, link=False, budget=MEASURE_S)
    return replace(measured, bandwidth_bytes_per_s=ASSUMED_BANDWIDTH, latency_s=ASSUMED_LATENCY_S)


@dataclass(frozen=True)
class MachinePreset:
    """A machine from its data sheet: rates, memory per worker, and where they come from."""

    machine: Machine
    memory_bytes: int
    source: str


ACHIEVED_FLOPS, ACHIEVED_MEMORY = 0.6, 0.75
"""Assumed share of a GPU's peak that matrix products and elementwise operations reach; it was not measured."""
PRESETS = {
    "k80": MachinePreset(
        Machine(
            flops_per_s=ACHIEVED_FLOPS * 8.74e12 / 2,
            memory_bytes_per_s=ACHIEVED_MEMORY * 480e9 / 2,
            bandwidth_bytes_per_s=12e9,
            latency_s=1e-5,
        ),
        memory_bytes=12 * 2**30,
        source=(
            "one of the two GPUs of a Tesla K80 board (NVIDIA, 2014: 8.74 TFLOP/s float32 with boost, 480 GB/s and "
            f"24 GB per board); assumed: {ACHIEVED_FLOPS:.0%} and {ACHIEVED_MEMORY:.0%} of these peaks are reached, "
            "PCIe 3.0 x16 moves 12 of its 15.75 GB/s, 10 µs latency"
        ),
    )
}


@dataclass(frozen=True)
class Predicted:
    """A row per optimizer, schedule, depth and number of workers, and the rates they are predicted with."""

    rows: list[dict[str, Any]]
    alone: Machine
    """A worker that has the machine for itself."""
    shared: Machine
    """One of several workers."""
    preset: MachinePreset | None
    """The preset of the predicted machine; None for this machine."""


def run_predict(options: PredictOptions, on_message: Callable[[str], None]) -> Predicted:
    """The predictions for ``options``; rates that are not given are measured.

    Raises :class:`~pdadmm_bench.core.errors.UserError`, before anything is measured, for an unknown optimizer and for
    a partition that does not fit the workers and layers, for a hyperparameter that is none, and for mini-batches that
    an optimizer or a pipeline does not take.
    """
    given = by_optimizer(options.set, options.optimizer)
    optimizers = {name: registry.get(name).create(given[name], name) for name in options.optimizer}
    for name, optimizer in optimizers.items():
        if assumed := optimizer.cost_profile.assumed_from:
            on_message(f"{name} declares no cost profile: {assumed}'s is assumed")
    _rows(options, optimizers, UNIT_MACHINE, UNIT_MACHINE)
    alone, shared = _machines(options)
    return Predicted(_rows(options, optimizers, alone, shared), alone, shared, PRESETS.get(options.machine))


def _machines(options: PredictOptions) -> tuple[Machine, Machine]:
    """A worker alone and one of several, by the rates that are given; the others are the preset's, or measured."""
    named = {
        "flops_per_s": options.flops,
        "memory_bytes_per_s": options.memory_bandwidth,
        "bandwidth_bytes_per_s": options.bandwidth,
        "latency_s": options.latency,
    }
    given = {name: rate for name, rate in named.items() if rate is not None}
    if options.machine in PRESETS:
        machine = replace(PRESETS[options.machine].machine, **given)
        return machine, machine
    alone = replace(UNIT_MACHINE, **given)
    if max(options.workers) > 1 and not {"bandwidth_bytes_per_s", "latency_s"} <= given.keys():
        bandwidth, latency = rates.link_rate(FLOAT_BYTES * options.rows * options.hidden)
        alone = replace(alone, bandwidth_bytes_per_s=bandwidth, latency_s=latency, **given)
    if {"flops_per_s", "memory_bytes_per_s"} <= given.keys():
        return alone, alone
    network = (options.rows, options.hidden, options.threads)
    busy = min(max(options.workers), max(1, cores() // options.threads))
    alone = _with_rates(alone, rates.product_rate(*network), rates.memory_rate(*network), given)
    return alone, _with_rates(alone, *rates.rates_at_once(busy, *network), given) if busy > 1 else alone


def _with_rates(machine: Machine, flops: float, memory: float, given: Mapping[str, float]) -> Machine:
    """``machine`` with these measured rates of a worker, apart from those ``given``."""
    return replace(machine, **{"flops_per_s": flops, "memory_bytes_per_s": memory, **given})


def _rows(
    options: PredictOptions, optimizers: dict[str, Optimizer], alone: Machine, shared: Machine
) -> list[dict[str, Any]]:
    rows = []
    for name, optimizer in optimizers.items():
        pipelined = optimizer.cost_profile.parallelism == "pipeline"
        for schedule in options.schedule if pipelined else [None]:
            for layers in options.layers:
                single = _prediction(options, optimizer, alone, schedule, layers, (1, 1))
                for workers, (columns, shards) in _places(options):
                    if shards > 1 and columns == 1 and schedule not in (None, options.schedule[0]):
                        continue  # no pipeline, so the schedules are one and the same
                    machine = shared if workers > 1 else alone
                    prediction = _prediction(options, optimizer, machine, schedule, layers, (columns, shards))
                    if refusal := optimizer.refuses_batches(_spec(options, name, layers, columns, shards)):
                        raise UserError(refusal)
                    speedup = single.iteration_s / prediction.iteration_s
                    rows.append(
                        {
                            "predicted": True,
                            "optimizer_name": name,
                            "schedule": schedule if workers == 1 or columns > 1 else None,
                            "model_layers": layers,
                            "model_hidden": options.hidden,
                            "dist_workers": workers,
                            "dist_mesh": mesh_name(columns, shards) if shards > 1 else None,
                            "dist_partition": ",".join(str(len(worker.block)) for worker in prediction.workers),
                            "time_iteration_median_s": prediction.iteration_s,
                            "speedup": speedup,
                            "efficiency": speedup / workers,
                            "time_exposed_share": prediction.exposed_share,
                            "bytes_per_boundary": prediction.boundary_bytes * shards,
                            "dist_reduced_bytes": prediction.reduced_bytes,
                            "memory_state_bytes": prediction.state_bytes,
                            "memory_scratch_bytes": max(worker.scratch_bytes for worker in prediction.workers),
                            "published_speedups": speedups_by_dataset(name, layers, options.hidden, workers)
                            if shards == 1
                            else {},
                        }
                    )
    return rows


def _spec(options: PredictOptions, optimizer: str, layers: int, columns: int, shards: int) -> RunSpec:
    """What a run would be asked for, for an optimizer to refuse."""
    mesh, gpus = mesh_name(columns, shards), columns * shards
    values = {"optimizer": optimizer, "layers": layers, "gpus": gpus, "mesh": mesh, "batch_size": options.batch_size}
    spec = run_spec(values)
    check_batch_size(spec, options.rows)
    return spec


def _places(options: PredictOptions) -> list[tuple[int, tuple[int, int]]]:
    """Every number of workers with its meshes; raises :class:`UserError` for a mesh that does not fit."""
    places = []
    for workers, meshes in fitting_meshes(options.mesh, options.workers).items():
        for axes in dict.fromkeys(axes_of(mesh, workers) or (workers, 1) for mesh in meshes):
            check_rows(axes[1], options.rows)
            places.append((workers, axes))
    return places


def _prediction(
    options: PredictOptions, optimizer: Optimizer, machine: Machine, schedule: str | None, layers: int,
    axes: tuple[int, int],
) -> Prediction:  # fmt: skip
    columns, shards = axes
    return forecast_iteration(
        optimizer.cost_profile,
        options.widths(layers),
        options.rows,
        machine,
        workers=columns,
        row_workers=shards,
        layers=options.partition,
        wire=optimizer.wire("auto").name if options.wire == "auto" else options.wire,
        schedule=schedule or "gpipe",
        microbatches=options.microbatches,
        batch_size=options.batch_size,
    )
