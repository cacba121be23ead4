"""A worker: one process of a run, its data, and its iterations on the clock.

Only ``optimizer.step`` is on the training clock; the device is synchronised before each reading. Warm-up steps run
first, on a temporary state, so that the first measured iteration does not include allocation, loading of kernels or
filling of caches.
"""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pdadmm_bench.core import memory
from pdadmm_bench.core.clock import Clock
from pdadmm_bench.core.shard import Shard
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.models import mlp
from pdadmm_bench.models.backprop import Backprop
from pdadmm_bench.models.roc_auc import roc_auc
from pdadmm_bench.optim.base import Links, Pipeline, loss_sum, state_bytes
from pdadmm_bench.optim.reduction import AllRows, Reduction
from pdadmm_bench.parallel.device_clock import device_clock
from pdadmm_bench.parallel.exchange import Neighbour, Traffic, close
from pdadmm_bench.parallel.group import Group, Workers
from pdadmm_bench.parallel.layout import ProblemShape, local_part, shared_out, without_features
from pdadmm_bench.parallel.row_group import RowGroup
from pdadmm_bench.training.replay import Replay
from pdadmm_bench.training.row import Step, Stop, WorkerIteration
from pdadmm_bench.training.setup import ResolvedRun, check_device, resolve

WARMUP_ITERATIONS = 2
MICROBATCHES_TRIED = (1, 2, 4, 8)
"""Multiples of the stages of a pipeline that are tried where the number of micro-batches is measured."""
STEPS_TRIED = 3
"""Steps with each of them, after a first one; the fastest counts."""


class Worker:
    """One process of a run: its layers, its rows, its neighbours and its clock.

    Args:
        resolved: the run, with its layout.
        given: the rows of this worker, at least with what its layers need of them.
        group: all workers of the run.
        now: a monotonic time source in seconds.

    Raises :class:`~pdadmm_bench.core.errors.UserError` if the spec asks for something that the device cannot do.
    """

    def __init__(
        self, resolved: ResolvedRun, given: Problem, group: Group, now: Callable[[], float] = time.perf_counter
    ):
        assert resolved.layout is not None and resolved.shape is not None
        self.resolved, self.group, self.now, self._given = resolved, group, now, given
        self.spec, self.optimizer, self.device = resolved.spec, resolved.optimizer, resolved.device
        self.layout, self.shape = resolved.layout, resolved.shape
        column, index = self.layout.place(group.rank)
        self.block = self.layout.blocks[column]
        self.shard = Shard(index, self.layout.rows, self.shape.rows)
        check_device(self.spec, self.device)
        self.claim_torch()
        self.problem = local_part(given, self.block).to(self.device)
        self.device_clock = device_clock(self.device, group.limit_s if isinstance(group, Workers) else None)
        self.traffic = Traffic(self.device_clock)
        self.clock = Clock(now, self.device_clock.finish)  # no method of this worker, which would keep it alive
        self.state: Any = None
        self.link_seconds_per_byte = self.reduction_seconds_per_byte = 0.0
        self._step: Callable[[], None] = lambda: None
        self._replay: Replay | None = None

    def of_stage(self, spec: RunSpec, group: Group) -> Worker:
        """This process as a worker of ``group`` for a shallower network: ``spec``, with the rows that it has here.

        Every worker of ``group`` calls it; they have the features, and all layers.
        """
        widths = mlp.widths(spec.model, self.shape.widths[0], self.shape.widths[-1])
        shape = replace(self.shape, widths=tuple(widths))
        decided = resolve(spec, shape, device=self.device, workers=group.size) if group.rank == 0 else None
        return Worker(group.broadcast(decided), self._given, group, self.now)

    def claim_torch(self) -> None:
        """Set torch's global switches for this run; an earlier run in this process may have changed them."""
        torch.set_num_threads(self.resolved.threads)
        torch.backends.cuda.matmul.allow_tf32 = self.spec.precision == "tf32"
        # The sums of bf16 products are float32 (optim/admm/products.py); cuBLAS could add parts of them in bf16.
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False

    def synchronize(self) -> None:
        """Wait until the device has finished its work."""
        self.device_clock.finish()

    def reset_peak(self) -> None:
        """Forget the earlier peak of this process's memory, or of its device's."""
        memory.reset_peak()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def peak_bytes(self) -> int:
        """The largest memory since :meth:`reset_peak`: of tensors on the device, or of this process on a CPU."""
        return torch.cuda.max_memory_allocated() if self.device.type == "cuda" else memory.peak_bytes()

    def memory_text(self) -> str:
        """The peak of this worker's memory, for a message about memory that ran out."""
        if self.device.type != "cuda":
            return f"{self.peak_bytes():,} resident"
        device = torch.cuda.get_device_properties(torch.cuda.current_device())
        return f"{self.peak_bytes():,} allocated at most on a {device.name} of {device.total_memory:,}"

    def release(self) -> None:
        """Free the state, which may be most of the memory."""
        self.state = self._replay = None
        self._step = lambda: None

    def forget_state(self, error: BaseException) -> None:
        """Free the memory of a run that failed with ``error``, whose traceback holds the tensors of every call."""
        self.release()
        pending: list[BaseException | None] = [error]
        while pending:
            if cause := pending.pop():
                traceback.clear_frames(cause.__traceback__)
                pending += [cause.__cause__, cause.__context__]
        gc.collect()
        # Among several workers this would wait for a device that waits for them, and the process ends anyway.
        if self.device.type == "cuda" and self.group.size == 1:
            torch.cuda.empty_cache()

    def initial_layers(self) -> list[mlp.Layer]:
        """The starting weights of the block, on the CPU."""
        shape = self.shape
        return mlp.initial_layers(self.spec.model, list(shape.widths), self.spec.seed, self.block, shape.fan_in)

    def on_device(self, layers: Sequence[mlp.Layer]) -> list[mlp.Layer]:
        """``layers`` on the worker's device."""
        return [mlp.Layer(*(tensor.to(self.device) for tensor in layer)) for layer in layers]

    def start(self, initial: Sequence[mlp.Layer], links: Links) -> None:
        """Make the state before the first iteration from ``initial``, the block's weights on the device."""
        self.state = self.optimizer.init(self.problem, initial, self.block, links)
        self._replay = Replay(self.optimizer, self.state) if self.spec.cuda_graphs else None
        self._step = self._replay.step if self._replay else partial(self.optimizer.step, self.state)

    def step(self) -> None:
        """One iteration, replayed from a CUDA graph if the run asks for it."""
        self._step()

    def timed_step(self) -> WorkerIteration:
        """One iteration of this worker on the clock, which all workers start together."""
        if self._replay:
            self._replay.prepare()
        self.synchronize()
        self.traffic.take()
        self.group.barrier()
        with self.clock.measure("train"):
            self._step()
        return WorkerIteration(seconds=self.clock.last, **self.traffic.take())

    def warm_up(self, initial: Sequence[mlp.Layer]) -> float:
        """Make some iterations on a temporary state; return the seconds of the first, which includes tracing."""
        first_s = 0.0
        with self.links() as links:
            state = self.optimizer.init(self.problem, initial, self.block, links)
            for _ in range(WARMUP_ITERATIONS):
                with self.clock.measure("warm up"):
                    self.optimizer.step(state)
                first_s = first_s or self.clock.last
        return first_s

    @property
    def measures_microbatches(self) -> bool:
        """Whether the number of micro-batches is the fastest of a few, which :meth:`fastest_microbatches` finds."""
        return self.spec.microbatches == "auto" and self.layout.schedule is not None

    def use_microbatches(self, count: int) -> None:
        """Go through an iteration in so many micro-batches from now on; every worker calls it with the same number."""
        self.layout = replace(self.layout, microbatches=count)

    def fastest_microbatches(self, initial: Sequence[mlp.Layer]) -> int:
        """The number of micro-batches with the fastest step, of 1, 2, 4, … times the stages; the same on every worker.

        Each is tried on a temporary state, off the training clock. The slowest worker counts.
        """
        stages = len(self.layout.blocks)
        fit = [stages * times for times in MICROBATCHES_TRIED if stages * times <= self.shape.rows]
        seconds: dict[int, float] = {}
        for count in fit or [stages]:
            self.use_microbatches(count)
            with self.links() as links:
                state = self.optimizer.init(self.problem, initial, self.block, links)
                self.optimizer.step(state)
                taken = []
                for _ in range(STEPS_TRIED):
                    self.group.barrier()
                    with self.clock.measure("warm up"):
                        self.optimizer.step(state)
                    taken.append(self.clock.last)
            seconds[count] = max(self.group.gather(min(taken)))
        return min(seconds, key=lambda count: seconds[count])

    def evaluate(self, links: Links) -> Step:
        """Accuracy and mean cross-entropy of the three parts, through the blocks from the first to the last."""
        step: Step = {}
        scores: dict[str, tuple[Tensor, Tensor]] = {}
        for name, rows in self.problem.parts().items():
            x = links.left.receive_now(len(rows.x)) if links.left else rows.x
            logits = self.optimizer.predict(self.state, x, self.block)
            if links.right:
                links.right.send_now(logits)
                continue
            if self.problem.num_classes == 2:
                scores[name] = (logits[:, 1] - logits[:, 0]).cpu(), rows.y.cpu()
            if self.layout.rows == 1:
                step[f"acc_{name}"] = float((logits.argmax(1) == rows.y).double().mean())
                step[f"loss_{name}"] = float(functional.cross_entropy(logits, rows.y))
            else:
                step[f"acc_{name}"] = float((logits.argmax(1) == rows.y).sum())
                step[f"loss_{name}"] = float(loss_sum(logits, rows.y))
                step[f"rows_{name}"] = len(rows.y)
        if self.layout.rows > 1:
            steps, parts = zip(*self.group.gather((step, scores))[-self.layout.rows :], strict=True)
            return mean_over_rows(steps) | areas(parts)
        return self.group.broadcast(step | areas([scores]), source=self.group.size - 1)

    def measure_links(self, links: Links) -> None:
        """Measure seconds per byte of a boundary tensor between neighbours: the slowest of this worker's links.

        And those of a sum over rows, of as many values as the largest layer of the block has.
        """
        seconds = [0.0]
        for link, first in ((links.left, False), (links.right, True)):
            if isinstance(link, Neighbour):
                seconds.append(link.measure(len(self.shard), starts=first))
        self.link_seconds_per_byte = max(seconds)
        if isinstance(links.reduce, RowGroup):
            largest = max(mlp.num_parameters(self.shape.widths[layer : layer + 2]) for layer in self.block)
            self.reduction_seconds_per_byte = links.reduce.measure(largest, self.device)

    @contextmanager
    def links(self) -> Iterator[Links]:
        """The neighbours of this worker's layers; at a normal end of the context, every transfer is complete."""
        wire, group = self.optimizer.wire(self.spec.wire), self.group
        if not isinstance(group, Workers) or group.size == 1:
            yield Links(wire=wire)
            return

        def neighbour(there: bool, rank: int, units: int) -> Neighbour | None:
            shape = (len(self.shard), units)
            return Neighbour(rank, shape, wire, self.device, self.traffic, group.tensors) if there else None

        rank, rows = group.rank, self.layout.rows
        left = neighbour(not self.block.is_first, rank - rows, self.shape.widths[self.block.start])
        right = neighbour(not self.block.is_last, rank + rows, self.shape.widths[self.block.stop])
        reduce: Reduction = AllRows()
        if rows > 1:
            reduce = RowGroup(self.shard, group.tensors_of(self.layout.column(rank)), self.traffic)
        try:
            yield Links(left, right, wire, self._pipeline if len(self.layout.blocks) > 1 else None, reduce)
        except Stop:
            close(left, right)
            raise
        close(left, right)

    def _pipeline(self, network: Backprop, problem: Problem) -> Pipeline:
        from pdadmm_bench.parallel.pipeline import StagePipeline  # takes a second; only gradient methods need it

        assert isinstance(self.group, Workers)
        return StagePipeline(
            network, problem,
            group=self.group.tensors_of(self.layout.row(self.group.rank)), all_rows=self.shape.rows,
            schedule=self.spec.schedule, microbatches=self.layout.microbatches,
            device=self.device, traffic=self.traffic,
        )  # fmt: skip

    def layers(self) -> list[mlp.Layer]:
        """The block's weights; none before the start."""
        return self.optimizer.layers(self.state) if self.state is not None else []

    def facts(self) -> dict[str, Any]:
        """The values of this worker for the row, apart from its iterations."""
        return {
            "layers": f"{self.block.start}-{self.block.stop - 1}",
            "rows": f"{self.shard.start}-{self.shard.stop - 1}",
            "parameters": mlp.num_parameters(self.shape.widths[self.block.start : self.block.stop + 1]),
            "state_bytes": state_bytes(self.state),
            "peak_bytes": self.peak_bytes(),
            "link_seconds_per_byte": self.link_seconds_per_byte,
            "reduction_seconds_per_byte": self.reduction_seconds_per_byte,
            "digests": mlp.digest(self.layers()),
        }


def join(
    spec: RunSpec, problem: Problem | None, group: Group,
    *, device: torch.device | None = None, now: Callable[[], float] = time.perf_counter,
) -> Worker:  # fmt: skip
    """This process as a worker of ``group``: worker 0 resolves the run and sends it to the others.

    Args:
        problem: needed on worker 0 only.
        device: the device, if it was already decided for the whole command.

    Raises :class:`~pdadmm_bench.core.errors.UserError` as :func:`~pdadmm_bench.training.setup.resolve` does.
    """
    decided = None
    if group.rank == 0:
        assert problem is not None
        shape = ProblemShape.of(problem, spec.model)
        decided = resolve(spec, shape, device=device, workers=group.size), without_features(problem)
    resolved, bare = group.broadcast(decided)
    if isinstance(group, Workers):
        group.form(len(resolved.layout.blocks), resolved.layout.rows)
    own = shared_out(problem or bare, resolved.shape.widths[0], resolved.layout, group)
    return Worker(resolved, own, group, now)


def mean_over_rows(parts: Sequence[Step]) -> Step:
    """``acc_*`` and ``loss_*`` from the sums over some rows and the numbers of these rows, ``rows_*``."""
    names = [name.removeprefix("acc_") for name in parts[0] if name.startswith("acc_")]
    rows = {name: sum(part[f"rows_{name}"] for part in parts) for name in names}
    return {
        f"{kind}_{name}": sum(part[f"{kind}_{name}"] for part in parts) / rows[name]
        for name in names
        for kind in ("acc", "loss")
    }


def areas(parts: Sequence[Mapping[str, tuple[Tensor, Tensor]]]) -> Step:
    """``acc_roc_auc_*`` from the scores and classes of some rows in each part, where both classes have a row."""
    found: Step = {}
    for name in parts[0]:
        scores, y = (torch.cat(each) for each in zip(*(part[name] for part in parts), strict=True))
        if (area := roc_auc(scores, y)) is not None:
            found[f"acc_roc_auc_{name}"] = area
    return found
