"""The loop of a run: iterations on the clock, evaluation and logging off the clock, and the end of the run.

Every worker goes through the same loop. The values of each worker for an iteration are gathered on all workers, so that
all make the same decisions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pdadmm_bench.models import mlp
from pdadmm_bench.optim.base import Links
from pdadmm_bench.training.checkpoint import Checkpoint, Saved
from pdadmm_bench.training.observer import Observer
from pdadmm_bench.training.row import Step, Stop, WorkerIteration, failed
from pdadmm_bench.training.worker import Worker


class Loop:
    """The iterations of one run in one of its workers.

    Args:
        observers: called with every step; only worker 0 has any.
        checkpoint: where the run is saved while it goes on, if the user asked for it.
    """

    def __init__(self, worker: Worker, observers: Sequence[Observer], checkpoint: Checkpoint | None = None):
        self._worker, self._observers, self._checkpoint = worker, observers, checkpoint
        self.history: list[Step] = []
        self.iterations: list[list[WorkerIteration]] = []
        """What every worker did in each iteration."""
        self.first_step_s = 0.0
        """Seconds of the first warm-up step, outside the training clock; tracing and compiling are included."""
        self.saved: Saved | None = None
        """What an earlier process saved of the run; None again once the run goes on from there."""
        self._checkpoint_due = self._interrupted = False
        """Whether it is time for a checkpoint (worker 0 decides), and whether a worker was asked to stop."""

    def train(self, initial: Sequence[mlp.Layer], warm_start_s: float = 0.0) -> None:
        """Train from the block's starting weights to the last iteration; raises :class:`Stop` for an earlier end.

        Args:
            warm_start_s: training seconds of the warm start.
        """
        worker, last = self._worker, self._worker.spec.iterations
        initial = worker.on_device(initial)
        if worker.measures_microbatches:  # a run that goes on keeps what it had, and so its bits
            saved = self.saved and self.saved[0]["microbatches"]
            worker.use_microbatches(saved or worker.fastest_microbatches(initial))
        self.first_step_s = worker.warm_up(initial)
        with worker.links() as links:
            worker.measure_links(links)
            worker.start(initial, links)
            if self.saved:
                self._continue(*self.saved)
                self.saved = None
                worker.reset_peak()  # the copy that was read does not belong to training
            else:
                self._observe({"iteration": 0, "train_seconds": warm_start_s, **worker.evaluate(links)})
            for iteration in range(len(self.history), last + 1):
                step = self._iterate(iteration, links)
                self._observe(step)
                check(step, worker.spec.target, worker.spec.time_limit)
                self._keep_and_stop(done=iteration == last)

    def _iterate(self, iteration: int, links: Links) -> Step:
        """Make one iteration on the clock, then gather the values of every worker."""
        worker, spec = self._worker, self._worker.spec
        mine = worker.timed_step()
        with worker.clock.measure("evaluate"):
            report = {name: terms.tolist() for name, terms in worker.optimizer.report(worker.state).items()}
            due = self._checkpoint is not None and self._checkpoint.due
            everyone = worker.group.gather((mine, report, worker.group.interrupted, due))
            self._checkpoint_due = everyone[0][-1]
            self._interrupted = any(interrupted for _, _, interrupted, _ in everyone)
            self.iterations.append([iteration for iteration, *_ in everyone])
            slowest = max(iteration.seconds for iteration in self.iterations[-1])
            step: Step = {
                "iteration": iteration,
                "iteration_seconds": slowest,
                "train_seconds": self.history[-1]["train_seconds"] + slowest,
            }
            for name in report:  # summed in the order of layers, so that the partition does not change the sum
                step[name] = sum(term for _, terms, *_ in everyone for term in terms[name])
            if iteration % spec.eval_every == 0 or iteration == spec.iterations:
                step |= worker.evaluate(links)
                worker.optimizer.evaluated(worker.state, step)
        return step

    def _observe(self, step: Step) -> None:
        self.history.append(step)
        with self._worker.clock.measure("log"):
            for observer in self._observers:
                observer.stepped(step)

    def _keep_and_stop(self, done: bool) -> None:
        """Make a checkpoint if one is due; raise :class:`Stop` if the user stopped the run."""
        checkpoint, kept = self._checkpoint, ""
        if checkpoint and (self._checkpoint_due or self._interrupted or (done and checkpoint.of_stage)):
            kept = self._save(checkpoint)
        if self._interrupted:
            raise Stop("interrupted", f"stopped by the user{kept}")

    def _save(self, checkpoint: Checkpoint) -> str:
        """Make a checkpoint and return the end of a sentence about it; a full disk does not stop the training."""
        worker = self._worker
        with worker.clock.measure("checkpoint"):
            progress = {
                "iteration": int(self.history[-1]["iteration"]),
                "history": self.history,
                "work": [[asdict(worker) for worker in workers] for workers in self.iterations],
                "seconds": worker.clock.seconds,
                "microbatches": worker.layout.microbatches,
            }
            problem = checkpoint.save(progress, worker.optimizer.snapshot(worker.state))
        if problem:
            for observer in self._observers:
                observer.on_message(f"warning: {problem}; training goes on")
            return ""
        return f"; iteration {self.history[-1]['iteration']} is kept in {checkpoint.folder}"

    def _continue(self, progress: Mapping[str, Any], snapshot: Any) -> None:
        """Restore the state of the earlier process at its checkpoint."""
        worker = self._worker
        try:
            worker.optimizer.restore(worker.state, snapshot)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            if self._checkpoint is None or failed(error) == "oom":
                raise
            raise self._checkpoint.unusable("its tensors are not those of this optimizer and network") from error
        self.iterations = [[WorkerIteration(**one) for one in workers] for workers in progress["work"]]
        worker.clock.seconds = dict(progress["seconds"])
        for step in progress["history"]:
            self._observe(step)


def check(step: Step, target: float | None, time_limit: float | None) -> None:
    """Raise :class:`Stop` when a run should end after ``step``; every worker makes the same decision."""
    bad = [name for name, value in step.items() if not np.isfinite(value) and name not in ("loss_val", "loss_test")]
    if bad:
        raise Stop("diverged", f"{', '.join(bad)} not finite at iteration {step['iteration']}")
    if target is not None and step.get("acc_val", 0.0) >= target:
        raise Stop("target_reached", f"validation accuracy {target:g} at iteration {step['iteration']}")
    if time_limit is not None and step["train_seconds"] >= time_limit:
        raise Stop("timeout", f"{time_limit:g} training seconds used up at iteration {step['iteration']}")
