"""The tables of ``run --dry-run``: every setting over its seeds, and what each worker of it would hold and do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pdadmm_bench.report.table import Cell, Column, Table


@dataclass(frozen=True)
class RunPlanLine:
    """Runs that would be made, and differ in the seed only."""

    optimizer: str
    seeds: Sequence[int]
    layers: int
    hidden: int
    parameters: int
    workers: int
    warm_start: str
    """The shallower networks that are trained first, or nothing."""
    iterations: int
    hyperparameters: str
    """As words, or the reason why the run would be skipped."""


@dataclass(frozen=True)
class WorkerPlanLine:
    """One worker of a run, as the cost model predicts it. Its layers and rows are the first and the last, from 1."""

    layers: tuple[int, int]
    parameters: int
    state_bytes: int
    seconds: float
    """Of one iteration."""
    sent_bytes: int
    """In one iteration."""
    rows: tuple[int, int] | None = None
    """Where others have the same layers: its training rows."""


@dataclass(frozen=True)
class NetworkPlan:
    """The workers of one run, and the predicted seconds of an iteration of all of them together."""

    optimizer: str
    layers: int
    hidden: int
    workers: Sequence[WorkerPlanLine]
    seconds: float
    mesh: str = ""
    """What several workers share, and what they would by ``mesh = auto`` where that is something else."""


def run_plan_table(title: str, runs: Iterable[RunPlanLine]) -> Table:
    """A line per setting."""
    heads = [
        Column("optimizer"), Column("seeds"), Column("layers × units"), Column("parameters", "count"),
        Column("workers", "count"), Column("warm start"), Column("iterations", "count"), Column("hyperparameters"),
    ]  # fmt: skip
    lines = [
        [
            Cell(run.optimizer), Cell(_seeds(run.seeds)), Cell(f"{run.layers} × {run.hidden}"), Cell(run.parameters),
            Cell(run.workers), Cell(run.warm_start), Cell(run.iterations), Cell(run.hyperparameters),
        ]
        for run in runs
    ]  # fmt: skip
    return Table("runs", title, heads, lines)


def worker_plan_table(title: str, plans: Iterable[NetworkPlan]) -> Table:
    """A line per worker of each run, and a line for all its workers together; rows where workers share them."""
    plans = list(plans)
    shared = any(worker.rows for plan in plans for worker in plan.workers)
    heads = [
        Column("optimizer"), Column("layers × units"), Column("worker"), Column("layers"),
        *([Column("rows")] if shared else []),
        Column("parameters", "count"), Column("state memory", "bytes"), Column("predicted iteration", "seconds"),
        Column("predicted sent/iteration", "bytes"),
    ]  # fmt: skip
    lines: list[list[Cell]] = []
    ends = []
    for plan in plans:
        network = f"{plan.layers} × {plan.hidden}"
        for rank, worker in enumerate(plan.workers):
            lines.append(
                [
                    Cell(plan.optimizer), Cell(network), Cell(str(rank)), Cell(_range(worker.layers)),
                    *([Cell(_range(worker.rows) if worker.rows else "all")] if shared else []),
                    Cell(worker.parameters), Cell(worker.state_bytes), Cell(worker.seconds), Cell(worker.sent_bytes),
                ]
            )  # fmt: skip
        blank = Cell("")
        rows = [blank] if shared else []
        lines.append(
            [Cell(plan.optimizer), blank, Cell("all"), Cell(plan.mesh), *rows, blank, blank, Cell(plan.seconds), blank]
        )
        ends.append(len(lines) - 1)
    return Table("workers", title, heads, lines, section_ends=frozenset(ends))


def _seeds(seeds: Sequence[int]) -> str:
    """``0–6`` where each follows the one before, else ``0, 100, 200``."""
    first, last = seeds[0], seeds[-1]
    if len(seeds) > 1 and list(seeds) == list(range(first, last + 1)):
        return _range((first, last))
    return ", ".join(map(str, seeds))


def _range(ends: tuple[int, int]) -> str:
    return f"{ends[0]}–{ends[1]}"
