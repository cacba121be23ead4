"""The view of ``--dry-run``: settings over their seeds, with network, hyperparameters and size, and the workers."""

from __future__ import annotations

from pdadmm_bench.cli.views.console import show
from pdadmm_bench.core.shard import Shard
from pdadmm_bench.core.spec import RunSpec, mesh_name
from pdadmm_bench.models import mlp
from pdadmm_bench.parallel.cost import Prediction
from pdadmm_bench.parallel.forecast import ASSUMED_BANDWIDTH, forecast, planned_rows, planned_widths
from pdadmm_bench.report.table import NOTHING
from pdadmm_bench.report.tables.run_plan import (
    NetworkPlan,
    RunPlanLine,
    WorkerPlanLine,
    run_plan_table,
    worker_plan_table,
)
from pdadmm_bench.timing.predict import planning_machine
from pdadmm_bench.training.preflight import auto_mesh
from pdadmm_bench.training.setup import resolve


def show_plan(specs: list[RunSpec]) -> None:
    """Print the runs as a table, then each network's workers; raises as the runs themselves would."""
    count = "1 run" if len(specs) == 1 else f"{len(specs)} runs"
    title = f"{count} on {specs[0].data.dataset} ({resolve(specs[0]).device}), nothing started"
    settings: dict[str, list[RunSpec]] = {}
    for spec in specs:
        settings.setdefault(spec.model_copy(update={"seed": 0}).model_dump_json(), []).append(spec)
    planned, possible = [], []
    for group in settings.values():
        spec, seeds = group[0], [each.seed for each in group]
        optimizer = resolve(spec).optimizer
        values = optimizer.hyperparameters.model_dump()
        reason = optimizer.supports(spec)
        if not reason:
            possible.append(spec)
        words = " ".join(f"{name}={_short(value)}" for name, value in values.items())
        parameters = mlp.num_parameters(planned_widths(spec))
        planned.append(
            RunPlanLine(
                spec.optimizer, seeds, spec.model.layers, spec.model.hidden, parameters, spec.gpus,
                _warm_start(spec), spec.iterations, f"skip: {reason}" if reason else words,
            )
        )  # fmt: skip
    tables = [run_plan_table(title, planned)]
    if possible:
        link = f"{ASSUMED_BANDWIDTH / 1e9:g} GB/s"
        title = f"workers; predicted: by the cost model, this machine's rates and links of {link}"
        tables.append(worker_plan_table(title, (_workers(spec, _predict(spec)) for spec in possible)))
    show(*tables)


def _warm_start(spec: RunSpec) -> str:
    """``2 layers: 40``: layers and iterations of every stage."""
    return ", ".join(f"{layers} layers: {iterations}" for layers, iterations in spec.stages()) or NOTHING


def _workers(spec: RunSpec, prediction: Prediction) -> NetworkPlan:
    rows = planned_rows(spec.data)["train"]
    shards = [Shard(place, prediction.row_workers, rows) for place in range(prediction.row_workers)]
    workers = [
        WorkerPlanLine(
            (worker.block.start + 1, worker.block.stop), worker.parameters, worker.state_bytes,
            worker.compute_s + worker.exposed_s, worker.sent_bytes + worker.reduced_bytes,
            (shard.start + 1, shard.stop) if len(shards) > 1 else None,
        )
        for worker in prediction.workers
        for shard in shards
    ]  # fmt: skip
    mesh = _mesh(spec, prediction) if spec.gpus > 1 else ""
    return NetworkPlan(spec.optimizer, spec.model.layers, spec.model.hidden, workers, prediction.iteration_s, mesh)


def _mesh(spec: RunSpec, prediction: Prediction) -> str:
    """What the workers share, and what ``--mesh auto`` would take if that is something else."""
    mesh = mesh_name(len(prediction.workers), prediction.row_workers)
    auto = auto_mesh(spec)
    return f"{mesh} (auto: {auto})" if auto else mesh


def _predict(spec: RunSpec) -> Prediction:
    """One iteration of ``spec`` on this machine."""
    resolved, rows = resolve(spec), planned_rows(spec.data)["train"]
    machine = planning_machine(rows, spec.model.hidden, resolved.threads, resolved.device.type)
    return forecast(spec, resolved.optimizer, machine)


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
