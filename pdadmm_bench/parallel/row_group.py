"""Sums over the workers that hold different rows of the same layers: counted, timed, and asynchronous where asked for.

:class:`RowGroup` is the :class:`~pdadmm_bench.optim.reduction.Reduction` of an optimizer. A sum is one all-reduce of
torch.distributed. Gloo and NCCL add in an order that depends on the number of workers and the size of the tensor only,
so the same mesh gives the same bits, and every worker gets the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor

from pdadmm_bench.core.shard import Shard
from pdadmm_bench.optim.reduction import Task
from pdadmm_bench.parallel.cost import ring_bytes
from pdadmm_bench.parallel.device_clock import HostClock
from pdadmm_bench.parallel.exchange import Traffic
from pdadmm_bench.parallel.turns import Turns


@dataclass
class RowGroup:
    """The workers with the parts of the training rows of which ``shard`` is this worker's."""

    shard: Shard
    group: dist.ProcessGroup
    traffic: Traffic
    index: int = field(init=False)
    size: int = field(init=False)
    _turns: Turns = field(default_factory=Turns, init=False)

    def __post_init__(self) -> None:
        self.index, self.size = self.shard.index, self.shard.size

    def total(self, rows: int) -> int:
        return self.shard.total

    def longest(self, rows: int) -> int:
        return self.shard.longest

    def start(self, tensor: Tensor) -> Sum:
        self.traffic.reduced_bytes += ring_bytes(tensor.nbytes, self.size)
        return Sum(tensor, dist.all_reduce(tensor, group=self.group, async_op=True), self.traffic, self._turns)

    def sum(self, tensor: Tensor) -> Tensor:
        return self.start(tensor).wait()

    def in_turns(self, tasks: Iterable[Task]) -> None:
        if isinstance(self.traffic.clock, HostClock):
            self._turns.run(tasks)
            return
        for task in tasks:  # a device waits in its stream, and the process does not
            task(0)

    def largest(self, tensor: Tensor) -> Tensor:
        own = tensor.new_zeros(self.size, *tensor.shape)
        own[self.index] = tensor
        return self.sum(own).amax(0)

    def measure(self, num_values: int, device: torch.device, repeats: int = 3) -> float:
        """Seconds per byte of :func:`ring_bytes` of a sum of so many values, by the fastest; all workers call it."""
        clock, tensor, seconds = self.traffic.clock, torch.zeros(num_values, device=device), []
        for _ in range(repeats):
            clock.finish()
            first = clock.mark()
            self.sum(tensor)
            last = clock.mark()
            clock.finish()
            seconds.append(clock.seconds(first, last))
        return min(seconds) / ring_bytes(tensor.nbytes, self.size)


@dataclass
class Sum:
    """A sum on its way (a :class:`~pdadmm_bench.optim.reduction.Pending`)."""

    tensor: Tensor
    work: dist.Work | None
    traffic: Traffic
    turns: Turns

    def wait(self) -> Tensor:
        if self.work is not None:
            self.turns.give_way()
            with self.traffic.waiting():
                self.work.wait()
            self.work = None
        return self.tensor
