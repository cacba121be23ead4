"""One training run: resolve it, warm it up, train it, and make its result row.

Training, evaluation and logging are timed separately (:mod:`.worker`, :mod:`.loop`). A failure of training never
raises: it is the row's ``status``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from pdadmm_bench.core.denormals import denormals_are_flushed, flushed_denormals
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.rows import STATUSES, Row, make_row
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.data.own_rows import described
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.models import mlp
from pdadmm_bench.parallel.forecast import planned_bytes
from pdadmm_bench.parallel.group import Group, finishing_iteration
from pdadmm_bench.training.checkpoint import Checkpoint, Checkpoints, Saved
from pdadmm_bench.training.loop import Loop
from pdadmm_bench.training.observer import Observer
from pdadmm_bench.training.row import (
    Step,
    Stop,
    failed,
    known_values,
    results_from,
    summarise_iterations,
    unequal_replicas,
)
from pdadmm_bench.training.warm_start import Trained, first_layers, train_stages
from pdadmm_bench.training.worker import WARMUP_ITERATIONS, Worker, join

__all__ = ["WARMUP_ITERATIONS", "Observer", "Result", "run", "time_iterations"]


@dataclass
class Result:
    """A run's row, its steps, its trained layers, and the exception behind an unsuccessful one."""

    row: Row
    history: list[Step]
    layers: list[mlp.Layer] = field(default_factory=list)
    """The trained layers of this worker's block."""
    error: BaseException | None = None


@flushed_denormals()
def run(
    spec: RunSpec,
    problem: Problem | None,
    observers: Sequence[Observer] = (),
    now: Callable[[], float] = time.perf_counter,
    group: Group | None = None,
    checkpoints: Checkpoints | None = None,
    device: torch.device | None = None,
) -> Result:
    """Train once, as one worker of ``group`` (default: alone).

    Only worker 0 needs the ``problem``, and only its observers are called. A failure of training never raises: it is
    the row's ``status``, with the exception in ``Result.error``. With ``checkpoints`` a run that did not finish goes on
    from its last checkpoint, and observers get its earlier iterations again.

    The settings of the data are those of the problem, whatever the ``spec`` says of them. Rows of one's own, which have
    none, are called custom data (:mod:`pdadmm_bench.data.own_rows`).

    Args:
        device: the device, if it was already decided for the whole command.
    """
    group = group or Group()
    if problem is not None:
        problem = described(problem)
        assert problem.settings is not None
        spec = spec.model_copy(update={"data": problem.settings})
    worker = join(spec, problem, group, device=device, now=now)
    spec = worker.spec  # that of worker 0, which has the problem
    checkpoint = checkpoints.of(spec, group) if checkpoints else None
    return _Run(worker, observers, checkpoint).execute()


@flushed_denormals()
def time_iterations(
    spec: RunSpec, problem: Problem | None, group: Group, iterations: int, device: torch.device | None = None
) -> dict[str, Any] | None:
    """Only the time, traffic and memory of some iterations, without evaluation: ``time_*``, ``dist_*``, ``memory_*``.

    Worker 0 gets the values; the others get None.
    """
    worker = join(spec, problem, group, device=device)
    worker.reset_peak()
    initial = worker.on_device(worker.initial_layers())
    if worker.measures_microbatches:
        worker.use_microbatches(worker.fastest_microbatches(initial))
    measured = []
    with worker.links() as links:
        worker.start(initial, links)
        for iteration in range(WARMUP_ITERATIONS + iterations):
            mine = worker.timed_step()
            if iteration >= WARMUP_ITERATIONS:
                measured.append(group.gather(mine))
    seconds = [max(one.seconds for one in everyone) for everyone in measured]
    workers = group.gather(worker.facts())
    worker.release()  # the next measurement needs the memory, and a garbage collection may come too late
    if unequal := unequal_replicas(workers, worker.layout.rows):
        raise RuntimeError(unequal)
    results = summarise_iterations(workers, measured, worker.layout.rows)
    results |= {"time_iteration_median_s": float(np.median(seconds)), "dist_partition": worker.layout.partition}
    return results if group.rank == 0 else None


class _Run:
    """One run in one worker.

    Args:
        start: the starting weights of the block, if they are not drawn.
    """

    def __init__(
        self, worker: Worker, observers: Sequence[Observer], checkpoint: Checkpoint | None,
        start: Sequence[mlp.Layer] | None = None,
    ):  # fmt: skip
        self._worker, self._observers, self._checkpoint, self._start = worker, observers, checkpoint, start
        self._spec, self._group = worker.spec, worker.group
        self._loop = Loop(worker, observers, checkpoint)
        self._warm_start_s = 0.0
        self._continued_from: int | None = None
        """The iteration of the checkpoint from which this process goes on, if it does."""

    def execute(self) -> Result:
        status, reason = "ok", None
        error: BaseException | None = None
        facts = {
            **known_values(self._worker.resolved, self._worker.problem),
            "env_denormals": "flushed" if denormals_are_flushed() else "kept",
        }
        self._worker.reset_peak()
        try:
            self._train(facts)
        except Stop as stop:
            status, reason = stop.args
        except KeyboardInterrupt as interrupt:
            status, reason, error = "interrupted", "stopped by the user", interrupt
        except Exception as failure:
            status, reason, error = failed(failure), self._explain(failure), failure
        workers = self._group.gather(self._worker.facts()) if error is None and self._worker.state is not None else []
        if unequal := unequal_replicas(workers, self._worker.layout.rows):
            status, reason, error, workers = "error", unequal, RuntimeError(unequal), []
        if error is not None:
            self._worker.forget_state(error)
        row = make_row({**facts, **self._results(workers), "status": status, "status_reason": reason})
        for observer in self._observers:
            observer.finished(row, self._loop.history)
        if self._checkpoint:
            if STATUSES[status].ended and not self._checkpoint.of_stage:
                self._checkpoint.discard()
            self._checkpoint.release()
        return Result(row, self._loop.history, self._worker.layers(), error)

    def _train(self, facts: Row) -> None:
        """Train from the starting weights to the end; add the digest of these weights to ``facts``."""
        initial = self._initial_layers()
        blocks = self._group.gather(mlp.digest(initial))[:: self._worker.layout.rows]  # once for every column
        digests = [digest for block in blocks for digest in block]
        facts["weights_initial_sha256"] = mlp.combine(digests)
        for observer in self._observers:
            observer.started(self._spec, facts)
        if unsupported := self._worker.resolved.unsupported:
            raise Stop("skipped", unsupported)
        self._loop.saved = self._saved(facts)
        if self._spec.stages():
            initial = self._warm_start()
        with finishing_iteration(self._group) if self._checkpoint else nullcontext():
            self._loop.train(initial, self._warm_start_s)

    def _initial_layers(self) -> Sequence[mlp.Layer]:
        """This worker's weights before any training; worker 0 has the whole first network of a warm start."""
        if self._start is not None:
            return self._start
        if not self._spec.stages():
            return self._worker.initial_layers()
        return first_layers(self._worker.resolved) if self._group.rank == 0 else []

    def _saved(self, facts: Row) -> Saved | None:
        """What an earlier process saved of this run, if any."""
        saved = self._checkpoint.load(facts) if self._checkpoint else None
        if saved and self._checkpoint:
            self._continued_from = int(saved[0]["iteration"])
            done = f"iteration {self._continued_from} of {self._spec.iterations} of {self._spec.model.layers} layers"
            for observer in self._observers:
                observer.on_message(f"going on after {done}, from the checkpoint in {self._checkpoint.folder}")
        return saved

    def _warm_start(self) -> list[mlp.Layer]:
        """This worker's starting weights; the workers of the first block train the shallower networks for all."""
        worker, trained = self._worker, None
        team = self._group.first(worker.layout.rows)
        if self._group.rank < team.size:
            trained = train_stages(worker.resolved, self._observers, team, partial(self._train_stage, team))
            if trained.continued and self._continued_from is None:
                self._continued_from = 0
        self._group.follow()
        trained = self._group.broadcast(trained)
        assert isinstance(trained, Trained)
        self._warm_start_s = trained.seconds
        if trained.status != "ok":
            raise Stop(trained.status, trained.reason)
        return [trained.layers[index] for index in worker.block]

    def _train_stage(
        self, team: Group, spec: RunSpec, layers: Sequence[mlp.Layer], observer: Observer
    ) -> tuple[Row, Sequence[mlp.Layer]]:
        """Train one stage of the warm start as one of the workers of ``team``."""
        checkpoint = self._checkpoint and self._checkpoint.for_stage(spec, team)
        stage = _Run(self._worker.of_stage(spec, team), [observer], checkpoint, layers).execute()
        if stage.error is not None and team.size > 1:  # the others may have failed with it, or wait for this worker
            raise stage.error
        return stage.row, stage.layers

    def _results(self, workers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Row values from the iterations, and from the facts of all ``workers`` where no error ended the run."""
        results = results_from(self._loop.history, self._spec.target, self._worker.clock.seconds)
        if workers:
            results |= summarise_iterations(workers, self._loop.iterations, self._worker.layout.rows)
            results["time_first_step_s"] = self._loop.first_step_s
            results |= self._amount_of_training(results["iterations"])
            results["dist_microbatches"] = self._worker.layout.microbatches if self._worker.layout.schedule else None
            if self._spec.stages():
                results["time_warm_start_s"] = self._warm_start_s
        if self._checkpoint:
            results["time_checkpoint_s"] = self._worker.clock.seconds.get("checkpoint", 0.0)
            results["env_continued_from"] = self._continued_from
        return results

    def _amount_of_training(self, iterations: int) -> dict[str, int]:
        """Training rows that all steps saw, and steps of the weights; an iteration is a pass through the rows."""
        assert self._worker.resolved.shape is not None
        rows = self._worker.resolved.shape.rows
        passes = iterations + sum(each for _, each in self._spec.stages())
        return {"model_rows_seen": passes * rows, "model_steps": passes * -(-rows // (self._spec.batch_size or rows))}

    def _explain(self, failure: Exception) -> str:
        """One sentence about what stopped the run."""
        if isinstance(failure, UserError):
            return str(failure)
        text = f"{type(failure).__name__}: {failure}"
        if failed(failure) == "oom":
            worker = self._worker
            planned = planned_bytes(self._spec, worker.optimizer, worker.shape.widths, worker.shape.rows, worker.block)
            text = text.splitlines()[0]
            text += f" (worker {self._group.rank}: {planned:,} bytes of state planned, {worker.memory_text()})"
        return text
