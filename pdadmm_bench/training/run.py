"""The runner: owns the loop and the clock of one training run, and turns how it ended into a result row.

Training, evaluation and logging are timed apart. Only ``optimizer.step`` is on the training clock; the device is
synchronised before each reading. Warm-up steps run before on a throw-away state, so that the first measured iteration
does not pay for allocating, loading kernels or filling caches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from pdadmm_bench.core import memory
from pdadmm_bench.core.block import Block
from pdadmm_bench.core.clock import Clock
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.rows import STATUSES, Row, first_values, make_row
from pdadmm_bench.core.spec import RunSpec, run_spec
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.models import mlp
from pdadmm_bench.models.backprop import Backprop
from pdadmm_bench.models.deepen import deepened
from pdadmm_bench.optim.base import Links, Pipeline, state_bytes
from pdadmm_bench.optim.replay import Replay
from pdadmm_bench.parallel import layout as placement
from pdadmm_bench.parallel.cost import microbatches_for
from pdadmm_bench.parallel.exchange import Neighbour, Traffic, close
from pdadmm_bench.parallel.group import Group, Workers, finishing_iteration
from pdadmm_bench.parallel.layout import Work
from pdadmm_bench.training.checkpoint import Checkpoint, Checkpoints
from pdadmm_bench.training.observer import Observer
from pdadmm_bench.training.row import Step, failed, results_from
from pdadmm_bench.training.setup import check_device, choose_device, make_optimizer, threads_per_worker

WARMUP_ITERATIONS = 2


@dataclass
class Result:
    """A run's row, its steps, and the exception behind an unsuccessful one."""

    row: Row
    history: list[Step]
    layers: list[mlp.Layer] = field(default_factory=list)
    error: BaseException | None = None


class Stop(Exception):
    """The run is over before its last iteration: (status, reason)."""


def run(
    spec: RunSpec,
    problem: Problem | None,
    observers: Sequence[Observer] = (),
    now: Callable[[], float] = time.perf_counter,
    group: Group | None = None,
    checkpoints: Checkpoints | None = None,
) -> Result:
    """Train once, as one worker of ``group`` (default: alone).

    Only worker 0 needs the ``problem``, and only its observers are told. What goes wrong in training never raises: it
    is the row's ``status``, with the exception in ``Result.error``. With ``checkpoints`` a run that did not come to its
    end goes on where the last one was made, and observers are told of its earlier iterations again.
    """
    group = group or Group()
    checkpoint = checkpoints.of(spec, group) if checkpoints else None
    return _Run(spec, problem, observers, now, group, checkpoint=checkpoint).execute()


def time_iterations(spec: RunSpec, problem: Problem | None, group: Group, iterations: int) -> dict[str, Any] | None:
    """Only the time, traffic and memory of some iterations, without evaluation: ``time_*``, ``dist_*``, ``memory_*``.

    On worker 0, the others get None.
    """
    return _Run(spec, problem, (), time.perf_counter, group).time(iterations)


class _Run:
    def __init__(
        self,
        spec: RunSpec,
        problem: Problem | None,
        observers: Sequence[Observer],
        now: Callable[[], float],
        group: Group,
        start: Sequence[mlp.Layer] | None = None,
        checkpoint: Checkpoint | None = None,
    ):
        self.spec, self.observers, self.now, self.group = spec, observers, now, group
        self.checkpoint = checkpoint
        self.device = choose_device(spec.device, group.size)
        self.threads = threads_per_worker(spec)
        torch.set_num_threads(self.threads)
        check_device(spec, self.device)
        torch.backends.cuda.matmul.allow_tf32 = spec.precision == "tf32"
        shell = group.broadcast(problem and placement.shell(problem, spec.model))
        self.sizes: list[int] = shell.sizes
        self.optimizer = make_optimizer(spec, shell.rows)
        self.blocks = placement.blocks(spec, self.sizes, shell.rows, group.size)
        self.block = self.blocks[group.rank]
        self.start = start
        self.whole_problem = problem if spec.stages() else None
        self.warm_start_s = 0.0
        self.problem = placement.share(problem or shell.problem, self.block).to(self.device)
        self.traffic = Traffic()
        self.clock = Clock(now, self._synchronize)
        self.history: list[Step] = []
        self.work: list[list[Work]] = []
        self.state: Any = None
        self.link_seconds_per_byte = 0.0
        self._step: Callable[[], None] = lambda: None
        self.due = self.interrupted = False
        """Whether it is time for a checkpoint (worker 0 says when), and whether a worker was asked to stop."""
        self.saved: tuple[dict[str, Any], Any] | None = None
        """How far the process before came, and this worker's snapshot, until the run goes on from there."""
        self.continued_from: int | None = None
        """The last iteration of the process before, where this one goes on with its run."""
        self.first_step_s = 0.0
        """What tracing and compiling add is in the first step of all, outside the training clock."""

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def execute(self) -> Result:
        status, reason = "ok", None
        error: BaseException | None = None
        facts = self._known()
        memory.reset_peak()
        try:
            drawn = self._drawn()
            digests = [digest for block in self.group.gather(mlp.digest(drawn)) for digest in block]
            facts["weights_initial_sha256"] = mlp.combine(digests)
            for observer in self.observers:
                observer.started(self.spec, facts)
            unsupported = self.optimizer.supports(self.spec)
            if unsupported:
                raise Stop("skipped", unsupported)
            self._look_for_checkpoint(facts)
            initial = self._warm_start() if self.spec.stages() else drawn
            with finishing_iteration(self.group) if self.checkpoint else nullcontext():
                self._train(self._on_device(initial))
        except Stop as stop:
            status, reason = stop.args
        except KeyboardInterrupt as interrupt:
            status, reason, error = "interrupted", "stopped by the user", interrupt
        except Exception as failure:
            status, reason, error = failed(failure), self._explain(failure), failure
        results = results_from(self.history, self.spec.target, self.clock.seconds)
        if error is None and self.state is not None:
            results |= self._work_results()
            results["time_first_step_s"] = self.first_step_s
            if self.spec.stages():
                results["time_warm_start_s"] = self.warm_start_s
        if self.checkpoint:
            results["time_checkpoint_s"] = self.clock.seconds.get("checkpoint", 0.0)
            results["env_continued_from"] = self.continued_from
        row = make_row({**facts, **results, "status": status, "status_reason": reason})
        for observer in self.observers:
            observer.finished(row, self.history)
        if self.checkpoint:
            if STATUSES[status].ended and not self.checkpoint.of_stage:
                self.checkpoint.discard()
            self.checkpoint.release()
        layers = self.optimizer.layers(self.state) if self.state is not None else []
        return Result(row, self.history, layers, error)

    def _drawn(self) -> Sequence[mlp.Layer]:
        """What this worker begins with before any training: of the first network of a warm start, where there is one.

        Those of its shallower network are all at worker 0, which trains it.
        """
        if self.start is not None:
            return self.start
        if not (stages := self.spec.stages()):
            return mlp.initial_layers(self.spec.model, self.sizes, self.spec.seed, self.block)
        model = self.spec.model.model_copy(update={"layers": stages[0][0]})
        sizes = mlp.widths(model, self.sizes[0], self.sizes[-1])
        everything = Block.whole(model.layers)
        return mlp.initial_layers(model, sizes, self.spec.seed, everything) if self.group.rank == 0 else []

    def _warm_start(self) -> list[mlp.Layer]:
        """This worker's starting weights after worker 0 trained the shallower networks, the others waiting.

        Each has the same hyperparameters as this run, and its seconds are charged to it.
        """
        ended = self._train_stages() if self.group.rank == 0 else None
        self.group.follow()
        status, what, self.warm_start_s = self.group.broadcast(ended)
        if status != "ok":
            raise Stop(status, what)
        return [what[index] for index in self.block]

    def _train_stages(self) -> tuple[str, Any, float]:
        """``ok``, the layers of the deepened network and the seconds of its stages; or how one ended, and why."""
        settings = self.spec.flat() | {
            "preset": "none", "set": self.optimizer.hyperparameters.model_dump(), "warm_start": "none",
            "gpus": 1, "partition": "auto", "target": None, "time_limit": None, "threads": self.threads,
        }  # fmt: skip
        layers, seconds = self._drawn(), 0.0
        stages = self.spec.stages()
        depths = [*(depth for depth, _ in stages[1:]), self.spec.model.layers]
        for (depth, iterations), deeper in zip(stages, depths, strict=True):
            spec = run_spec({**settings, "layers": depth, "iterations": iterations, "eval_every": iterations})
            watched = [_OfStage(observer, depth) for observer in self.observers]
            checkpoint = self.checkpoint and self.checkpoint.for_stage(spec)
            stage = _Run(spec, self.whole_problem, watched, self.now, Group(), layers, checkpoint).execute()
            if self.continued_from is None and stage.row.get("env_continued_from") is not None:
                self.continued_from = 0
            if stage.row["status"] != "ok":
                return stage.row["status"], f"warm start, {depth} layers: {stage.row['status_reason']}", seconds
            seconds += stage.row["time_train_s"]
            trained = [mlp.Layer(*(tensor.cpu() for tensor in layer)) for layer in stage.layers]
            layers = deepened(trained, deeper, self.spec.deepening)
        return "ok", layers, seconds

    def time(self, iterations: int) -> dict[str, Any] | None:
        memory.reset_peak()
        initial = mlp.initial_layers(self.spec.model, self.sizes, self.spec.seed, self.block)
        with self._links() as links:
            self._start(self._on_device(initial), links)
            for iteration in range(WARMUP_ITERATIONS + iterations):
                self.group.gather(None)
                mine = self._timed_step()
                if iteration >= WARMUP_ITERATIONS:
                    self.work.append(self.group.gather(mine))
        results = self._work_results()
        seconds = [max(worker.seconds for worker in work) for work in self.work]
        results |= {"time_iteration_median_s": float(np.median(seconds)), "dist_partition": self._partition_text()}
        return results if self.group.rank == 0 else None

    def _on_device(self, layers: Sequence[mlp.Layer]) -> list[mlp.Layer]:
        return [mlp.Layer(*(tensor.to(self.device) for tensor in layer)) for layer in layers]

    def _partition_text(self) -> str:
        return ",".join(str(len(block)) for block in self.blocks)

    def _start(self, initial: Sequence[mlp.Layer], links: Links) -> None:
        """The state before the first iteration, and what makes an iteration of it."""
        self.state = self.optimizer.init(self.problem, initial, self.block, links)
        replayed = Replay(self.optimizer, self.state).step if self.spec.cuda_graphs else None
        self._step = replayed or partial(self.optimizer.step, self.state)

    def _timed_step(self) -> Work:
        """One iteration of this worker on the clock."""
        self.traffic.take()
        with self.clock.measure("train"):
            self._step()
        return Work(seconds=self.clock.last, **self.traffic.take())

    def _look_for_checkpoint(self, facts: Row) -> None:
        """Take what a process before this one left of this run, if it did."""
        self.saved = self.checkpoint.load(facts) if self.checkpoint else None
        if self.saved and self.checkpoint:
            self.continued_from = int(self.saved[0]["iteration"])
            done = f"iteration {self.continued_from} of {self.spec.iterations} of {self.spec.model.layers} layers"
            self._notice(f"going on after {done}, from the checkpoint in {self.checkpoint.folder}")

    def _save(self, checkpoint: Checkpoint) -> str:
        """Make one; a disk that filled up costs no training. The end of a sentence about it."""
        with self.clock.measure("checkpoint"):
            progress = {
                "iteration": int(self.history[-1]["iteration"]),
                "history": self.history,
                "work": [[asdict(worker) for worker in workers] for workers in self.work],
                "seconds": self.clock.seconds,
            }
            problem = checkpoint.save(progress, self.optimizer.snapshot(self.state))
        if problem:
            self._notice(f"warning: {problem}; training goes on")
            return ""
        return f"; iteration {self.history[-1]['iteration']} is kept in {checkpoint.folder}"

    def _continue(self, progress: Mapping[str, Any], snapshot: Any) -> None:
        """Be where the process before was when it made the checkpoint."""
        self.optimizer.restore(self.state, snapshot)
        self.work = [[Work(**worker) for worker in workers] for workers in progress["work"]]
        self.clock.seconds = dict(progress["seconds"])
        for step in progress["history"]:
            self._observe(step)

    def _train(self, initial: list[mlp.Layer]) -> None:
        with self._links() as links:
            warm = self.optimizer.init(self.problem, initial, self.block, links)
            for _ in range(WARMUP_ITERATIONS):
                with self.clock.measure("warm up"):
                    self.optimizer.step(warm)
                self.first_step_s = self.first_step_s or self.clock.last
            del warm
        with self._links() as links:
            self.link_seconds_per_byte = self._measure_links(links)
            self._start(initial, links)
            if self.saved:
                self._continue(*self.saved)
                self.saved = None
                memory.reset_peak()  # the copy that was read is no part of training
            else:
                self._observe({"iteration": 0, "train_seconds": self.warm_start_s, **self._evaluate(links)})
            for iteration in range(len(self.history), self.spec.iterations + 1):
                step = self._iterate(iteration, links)
                self._observe(step)
                self._check(step)
                done = iteration == self.spec.iterations
                kept = ""
                if self.checkpoint and (self.due or self.interrupted or (done and self.checkpoint.of_stage)):
                    kept = self._save(self.checkpoint)
                if self.interrupted:
                    raise Stop("interrupted", f"stopped by the user{kept}")

    def _iterate(self, iteration: int, links: Links) -> Step:
        """One iteration on the clock, then what every worker has to say about it."""
        mine = self._timed_step()
        with self.clock.measure("evaluate"):
            report = {name: terms.tolist() for name, terms in self.optimizer.report(self.state).items()}
            due = self.checkpoint is not None and self.checkpoint.due
            everyone = self.group.gather((mine, report, self.group.interrupted, due))
            work = [worker for worker, *_ in everyone]
            self.due = everyone[0][-1]
            self.interrupted = any(interrupted for _, _, interrupted, _ in everyone)
            self.work.append(work)
            slowest = max(worker.seconds for worker in work)
            step: Step = {
                "iteration": iteration,
                "iteration_seconds": slowest,
                "train_seconds": self.history[-1]["train_seconds"] + slowest,
            }
            for name in report:  # summed in the order of layers, so that the partition does not change the sum
                step[name] = sum(term for _, terms, *_ in everyone for term in terms[name])
            if iteration % self.spec.eval_every == 0 or iteration == self.spec.iterations:
                step |= self._evaluate(links)
                self.optimizer.evaluated(self.state, step)
        return step

    def _evaluate(self, links: Links) -> Step:
        """Accuracy and mean cross-entropy of the three parts, through the blocks from the first to the last."""
        step: Step = {}
        for name, rows in self.problem.parts().items():
            x = links.left.take(len(rows.x)) if links.left else rows.x
            logits = self.optimizer.predict(self.state, x, self.block)
            if links.right:
                links.right.hand(logits)
            else:
                step[f"acc_{name}"] = float((logits.argmax(1) == rows.y).double().mean())
                step[f"loss_{name}"] = float(functional.cross_entropy(logits, rows.y))
        return self.group.broadcast(step, source=self.group.size - 1)

    @contextmanager
    def _links(self) -> Iterator[Links]:
        """The neighbours of this worker's block; nothing is on its way any more when the block of code ends well."""
        wire = self.optimizer.wire(self.spec.wire)
        if not isinstance(self.group, Workers) or self.group.size == 1:
            yield Links(wire=wire)
            return
        rows = len(self.problem.train.x)

        def neighbour(there: bool, rank: int, units: int) -> Neighbour | None:
            return Neighbour(rank, (rows, units), wire, self.device, self.traffic) if there else None

        rank = self.group.rank
        left = neighbour(not self.block.is_first, rank - 1, self.sizes[self.block.start])
        right = neighbour(not self.block.is_last, rank + 1, self.sizes[self.block.stop])
        try:
            yield Links(left, right, wire, self._pipeline)
        except Stop:
            close(left, right)
            raise
        close(left, right)

    def _pipeline(self, network: Backprop, problem: Problem) -> Pipeline:
        from pdadmm_bench.parallel.pipeline import StagePipeline  # a second's import that only gradient baselines need

        assert isinstance(self.group, Workers)
        microbatches = self.spec.microbatches or microbatches_for(self.group.size)
        return StagePipeline(
            network, problem,
            group=self.group, schedule=self.spec.schedule, microbatches=microbatches,
            device=self.device, traffic=self.traffic,
        )  # fmt: skip

    def _measure_links(self, links: Links) -> float:
        """Seconds per byte of a boundary tensor between neighbours, the slowest of this worker's links."""
        seconds = [0.0]
        rows = len(self.problem.train.x)
        for link, first in ((links.left, False), (links.right, True)):
            if isinstance(link, Neighbour):
                seconds.append(link.measure(rows, starts=first))
        return max(seconds)

    def _observe(self, step: Step) -> None:
        self.history.append(step)
        with self.clock.measure("log"):
            for observer in self.observers:
                observer.stepped(step)

    def _notice(self, text: str) -> None:
        for observer in self.observers:
            observer.on_message(text)

    def _check(self, step: Step) -> None:
        """Raise :class:`Stop` when the run should end here; every worker decides the same."""
        bad = [name for name, value in step.items() if not np.isfinite(value) and name not in ("loss_val", "loss_test")]
        if bad:
            raise Stop("diverged", f"{', '.join(bad)} not finite at iteration {step['iteration']}")
        target, limit = self.spec.target, self.spec.time_limit
        if target is not None and step.get("acc_val", 0.0) >= target:
            raise Stop("target_reached", f"validation accuracy {target:g} at iteration {step['iteration']}")
        if limit is not None and step["train_seconds"] >= limit:
            raise Stop("timeout", f"{limit:g} training seconds used up at iteration {step['iteration']}")

    def _explain(self, failure: Exception) -> str:
        if isinstance(failure, UserError):
            return str(failure)
        text = f"{type(failure).__name__}: {failure}"
        if failed(failure) == "oom":
            planned = placement.planned_bytes(self.spec, self.sizes, len(self.problem.train.x), self.block)
            text = text.splitlines()[0]
            text += f" (worker {self.group.rank}: {planned:,} bytes of state planned, {memory.peak_bytes():,} resident)"
        return text

    def _known(self) -> dict[str, Any]:
        """Row values known before training."""
        spec = self.spec
        hyperparameters = self.optimizer.hyperparameters.model_dump()
        return {
            **first_values(spec),
            **self.problem.facts,
            "dataset_name": self.problem.name,
            "dataset_split": self.problem.split,
            "dataset_sha256": self.problem.sha256,
            **{f"optimizer_{name}": value for name, value in hyperparameters.items()},
            "optimizer_compiled": self.optimizer.compile,
            "model_parameters": mlp.num_parameters(self.sizes),
            "dist_workers": self.group.size,
            "dist_device": self.device.type,
            "dist_threads": self.threads,
            "dist_partition": self._partition_text(),
            "dist_schedule": self._schedule(),
            "dist_wire": self.optimizer.wire(spec.wire).name if not self.optimizer.supports(spec) else None,
        }

    def _schedule(self) -> str | None:
        """The pipeline's schedule; None where the run goes through none."""
        pipelined = self.group.size > 1 and placement.profile_of(self.spec).parallelism == "pipeline"
        return self.spec.schedule if pipelined else None

    def _work_results(self) -> dict[str, Any]:
        """Row values about the workers: their memory, and medians over iterations of what they did."""
        cuda = self.device.type == "cuda"
        mine = {
            "layers": f"{self.block.start}-{self.block.stop - 1}",
            "parameters": mlp.num_parameters(self.sizes[self.block.start : self.block.stop + 1]),
            "state_bytes": state_bytes(self.state),
            "peak_bytes": torch.cuda.max_memory_allocated() if cuda else memory.peak_bytes(),
            "link_seconds_per_byte": self.link_seconds_per_byte,
            "digests": mlp.digest(self.optimizer.layers(self.state)),
        }
        return placement.summarise_work(self.group.gather(mine), self.work)


class _OfStage(Observer):
    """Tells the observer of a run about one stage of its warm start."""

    def __init__(self, observer: Observer, layers: int):
        self._observer, self._layers = observer, layers

    def stepped(self, step: Mapping[str, float]) -> None:
        self._observer.on_warm_start_step(self._layers, step)

    def on_message(self, text: str) -> None:
        self._observer.on_message(text)
