"""What ``--dry-run`` shows: every run with its network, hyperparameters and size, and what each worker would do."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from pdadmm_bench.cli.views.console import show
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.data.cards import Card
from pdadmm_bench.data.catalog import load_card
from pdadmm_bench.models import mlp
from pdadmm_bench.parallel.cost import Machine, Prediction, layer_costs, microbatches_for, predict_iteration
from pdadmm_bench.parallel.layout import profile_of
from pdadmm_bench.parallel.partition import partition
from pdadmm_bench.report.tables.run_plan import (
    NetworkPlan,
    RunPlanLine,
    WorkerPlanLine,
    run_plan_table,
    worker_plan_table,
)
from pdadmm_bench.timing import machine as rates
from pdadmm_bench.training.setup import resolve, threads_per_worker

MEASURE_S = 0.2
"""Time for each rate of this machine: enough for a plan."""
LINK_BANDWIDTH, LINK_LATENCY_S = 2e9, 1e-4
"""Assumed of links between workers, since measuring them starts two processes: about what Gloo does on the loopback."""


def show_plan(specs: list[RunSpec]) -> None:
    """Print the runs as a table, then each network's workers; raises as the runs themselves would."""
    count = "1 run" if len(specs) == 1 else f"{len(specs)} runs"
    title = f"{count} on {specs[0].data.dataset} ({resolve(specs[0]).device}), nothing started"
    planned = []
    distinct: dict[str, RunSpec] = {}
    for spec in specs:
        optimizer = resolve(spec).optimizer
        values = optimizer.hyperparameters.model_dump()
        reason = optimizer.supports(spec)
        if not reason:
            distinct.setdefault(spec.model_copy(update={"seed": 0}).model_dump_json(), spec)
        words = " ".join(f"{name}={_short(value)}" for name, value in values.items())
        planned.append(
            RunPlanLine(
                spec.optimizer, spec.seed, spec.model.layers, spec.model.hidden, mlp.num_parameters(_widths(spec)),
                spec.gpus, spec.iterations, f"skip: {reason}" if reason else words,
            )
        )  # fmt: skip
    tables = [run_plan_table(title, planned)]
    if distinct:
        link = f"{LINK_BANDWIDTH / 1e9:g} GB/s"
        title = f"workers; predicted: by the cost model, this machine's rates and links of {link}"
        tables.append(worker_plan_table(title, (_workers(spec, _predict(spec)) for spec in distinct.values())))
    show(*tables)


def _workers(spec: RunSpec, prediction: Prediction) -> NetworkPlan:
    workers = [
        WorkerPlanLine(
            (worker.block.start + 1, worker.block.stop), worker.parameters, worker.state_bytes,
            worker.compute_s + worker.exposed_s, worker.sent_bytes,
        )
        for worker in prediction.workers
    ]  # fmt: skip
    return NetworkPlan(spec.optimizer, spec.model.layers, spec.model.hidden, workers, prediction.iteration_s)


def _predict(spec: RunSpec) -> Prediction:
    """One iteration of ``spec`` on this machine."""
    profile, widths, rows = profile_of(spec), _widths(spec), _training_rows(spec, load_card(spec.data.dataset))
    blocks = partition(spec.partition if spec.gpus > 1 else "even", layer_costs(profile, widths, rows), spec.gpus)
    device = resolve(spec).device.type
    machine = _machine(rows, spec.model.hidden, threads_per_worker(spec), device)
    return predict_iteration(
        profile,
        widths,
        rows,
        blocks,
        machine,
        wire=resolve(spec).optimizer.wire(spec.wire).name,
        schedule=spec.schedule,
        microbatches=spec.microbatches or microbatches_for(spec.gpus),
    )


@cache
def _machine(rows: int, width: int, threads: int, device: str) -> Machine:
    measured = rates.measure(rows, width, threads, device=device, link=False, budget=MEASURE_S)
    return replace(measured, bandwidth_bytes_per_s=LINK_BANDWIDTH, latency_s=LINK_LATENCY_S)


def _widths(spec: RunSpec) -> list[int]:
    sizes = load_card(spec.data.dataset).sizes
    return mlp.widths(spec.model, sizes.features * (spec.data.hops + 1), sizes.classes)


def _training_rows(spec: RunSpec, card: Card) -> int:
    """Training nodes, without loading the data."""
    kind = card.split.kind if spec.data.split == "auto" else spec.data.split
    if kind == "public" and card.split.train:
        return card.split.train
    return spec.data.train_per_class * card.sizes.classes


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
