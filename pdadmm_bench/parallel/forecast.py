"""The forecast of a run, before anything is loaded or started: the layers, time and memory of each worker.

The number of rows and the widths come from the dataset's card, the work per layer from the optimizer's cost profile,
and the rates from the caller. ``--dry-run``, the plan of a suite, ``predict`` and the planned memory of a worker all
use this forecast.
"""

from __future__ import annotations

from collections.abc import Sequence

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.spec import DataSpec, RunSpec, mesh_name
from pdadmm_bench.data.catalog import load_card
from pdadmm_bench.data.splits import split_counts
from pdadmm_bench.models import mlp
from pdadmm_bench.optim.base import Optimizer
from pdadmm_bench.optim.cost import CostProfile
from pdadmm_bench.parallel.cost import Machine, Prediction, for_shard, layer_costs, microbatches_for, predict_iteration
from pdadmm_bench.parallel.partition import partition, partition_of_blocks

ASSUMED_BANDWIDTH, ASSUMED_LATENCY_S = 2e9, 1e-4
"""Bytes per second and latency of a link between workers that was not measured, because a measurement starts two
processes. Gloo on the loopback reaches about these values."""
MESH_MACHINES = {
    "cpu": Machine(5e10, 5e9, ASSUMED_BANDWIDTH, ASSUMED_LATENCY_S),
    "cuda": Machine(4e13, 2.5e12, 2e11, 2e-5),
}
"""Rates by which ``mesh = auto`` is chosen: about those of a core, and of a data sheet's device with fast links; they
are assumed."""
UNIT_MACHINE = Machine(1.0, 1.0, 1.0, 0.0)
"""For values that are the same on every machine: memory and messages."""


def planned_rows(data: DataSpec) -> dict[str, int]:
    """The number of rows in ``train``, ``val`` and ``test`` by the dataset's card, without loading it."""
    return split_counts(load_card(data.dataset), data)


def planned_widths(spec: RunSpec) -> list[int]:
    """[n_0, …, n_L] of the run's network by the dataset's card.

    Reduced features are taken to have as many directions as their training rows and columns allow.
    """
    sizes = load_card(spec.data.dataset).sizes
    features = sizes.features * (spec.data.hops + 1)
    if spec.data.reduce != "none":
        features = min(features, planned_rows(spec.data)["train"])
        features = features if spec.data.reduce == "rows" else min(features, int(spec.data.reduce))
    return mlp.widths(spec.model, features, sizes.classes)


def planned_blocks(
    profile: CostProfile, text: str, widths: Sequence[int], rows: int, workers: int, row_workers: int = 1
) -> list[Block]:
    """The block of each worker under the partition ``text``; a single worker has all layers, whatever ``text`` is.

    ``auto`` gives each worker whole blocks of the method where it has some, and no fewer than workers.

    Args:
        workers: along the layers.
        row_workers: workers that share the ``rows`` of a block.
    """
    profile, rows = for_shard(profile, rows, row_workers, workers)
    costs = layer_costs(profile, widths, rows)
    if profile.blocks is not None and workers > 1:
        units = Block.even(len(costs), profile.blocks)
        if profile.delay or (text == "auto" and workers <= len(units)):
            return partition_of_blocks(text, costs, workers, units)
    return partition(text if workers > 1 else "even", costs, workers)


def chosen_mesh(spec: RunSpec, optimizer: Optimizer, widths: Sequence[int], rows: int) -> tuple[int, int]:
    """The workers along the layers and along the rows of ``mesh = auto``: the fastest by the cost model.

    Its rates are constants for a kind of device (:data:`MESH_MACHINES`), so that every repetition finds the same mesh.
    Among equals it takes the one with fewer workers along the rows.

    Args:
        optimizer: the one of ``spec``; rows are split where it can.
        widths: [n_0, …, n_L]; rows: training rows.

    Raises :class:`UserError` where no mesh of so many workers fits.
    """
    blocks = None if spec.partition in ("auto", "even") else spec.partition.count(",") + 1
    fitting = [
        (layers, spec.gpus // layers)
        for layers in range(min(spec.gpus, spec.model.layers), 0, -1)
        if spec.gpus % layers == 0
        and spec.gpus // layers <= rows
        and (layers == spec.gpus or optimizer.splits_rows)
        and blocks in (None, layers)
    ]
    if not fitting:
        raise UserError(
            f"mesh auto: no mesh of {spec.gpus} workers fits {spec.optimizer} with {spec.model.layers} layers, {rows} "
            f"training rows and partition {spec.partition}: give fewer workers"
        )
    if len(fitting) == 1:
        return fitting[0]

    def seconds(axes: tuple[int, int]) -> float:
        spec_of = spec.model_copy(update={"mesh": mesh_name(*axes)})
        return forecast(spec_of, optimizer, MESH_MACHINES[optimizer.device], widths, rows).iteration_s

    return min(fitting, key=seconds)


def forecast(
    spec: RunSpec, optimizer: Optimizer, machine: Machine, widths: Sequence[int] = (), rows: int = 0
) -> Prediction:
    """One iteration of ``spec``.

    Args:
        optimizer: the one of ``spec``; it declares the cost profile and the wire formats.
        machine: rates of every worker and link.
        widths: [n_0, …, n_L] where they are known, else those of the dataset's card.
        rows: training rows where they are known, else those of the dataset's card.
    """
    widths, rows = widths or planned_widths(spec), rows or planned_rows(spec.data)["train"]
    columns, shards = spec.axes() or chosen_mesh(spec, optimizer, widths, rows)
    return forecast_iteration(
        optimizer.cost_profile,
        widths,
        rows,
        machine,
        workers=columns,
        row_workers=shards,
        layers=spec.partition,
        wire=optimizer.wire(spec.wire).name,
        schedule=spec.schedule,
        microbatches=spec.given_microbatches,
        batch_size=spec.batch_size,
    )


def planned_bytes(spec: RunSpec, optimizer: Optimizer, widths: Sequence[int], rows: int, block: Block) -> int:
    """State memory of the worker of ``block`` by the cost model, with message buffers, as ``--dry-run`` shows it."""
    workers = forecast(spec, optimizer, UNIT_MACHINE, widths, rows).workers
    return next(worker.state_bytes for worker in workers if worker.block == block)


def forecast_iteration(
    profile: CostProfile,
    widths: Sequence[int],
    rows: int,
    machine: Machine,
    *,
    workers: int,
    row_workers: int = 1,
    layers: str,
    wire: str,
    schedule: str,
    microbatches: int | None,
    batch_size: int = 0,
) -> Prediction:
    """One iteration of an optimizer with this ``profile`` on ``workers`` workers along the layers.

    Args:
        row_workers: workers that share the rows of a block.
        layers: the partition: ``auto``, ``even``, or the layers of each worker as in ``3,4,3``.
        microbatches: of a pipelined step; None for the default.
    """
    return predict_iteration(
        profile,
        widths,
        rows,
        planned_blocks(profile, layers, widths, rows, workers, row_workers),
        machine,
        row_workers=row_workers,
        wire=wire,
        schedule=schedule,
        microbatches=microbatches or microbatches_for(workers),
        batch_size=batch_size,
    )
