"""Pipelined backpropagation for the gradient baselines, on torch.distributed.pipelining.

Each worker is one stage. There is no batch norm, so micro-batches are exact: the loss is the sum over rows divided by N,
and rows that pad N to a multiple of the number of micro-batches carry a label that counts for nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe
from torch.nn import functional

from pdadmm_bench.core.block import Block
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.dist.exchange import Traffic
from pdadmm_bench.dist.group import Workers
from pdadmm_bench.models import mlp
from pdadmm_bench.models.mlp import Layer

SCHEDULES = {"gpipe": ScheduleGPipe, "1f1b": Schedule1F1B}
IGNORED = -100
"""Label of padding rows, which the loss leaves out."""


class StagePipeline:
    """One stage with its schedule (a :class:`~pdadmm_bench.optim.base.Pipeline`)."""

    def __init__(
        self, layers: Sequence[Layer], problem: Problem, block: Block,
        *, group: Workers, schedule: str, microbatches: int, device: torch.device, traffic: Traffic,
    ):  # fmt: skip
        rows = len(problem.train.x)
        padding = -rows % microbatches
        self.x = functional.pad(problem.train.x, (0, 0, 0, padding)) if block.is_first else None
        self.y = functional.pad(problem.train.y, (0, padding), value=IGNORED) if block.is_last else None
        self.traffic, self.device = traffic, device
        self.stage = _Stage(_Module(layers, block), group, device, traffic)

        def loss(logits: Tensor, target: Tensor) -> Tensor:
            return functional.cross_entropy(logits, target, ignore_index=IGNORED, reduction="sum") / rows

        self.schedule = SCHEDULES[schedule](self.stage, microbatches, loss_fn=loss, scale_grads=False)

    def step(self) -> Tensor:
        """All micro-batches forward and backward; the mean training loss on the last stage, 0 elsewhere."""
        losses: list[Tensor] = []
        start, computed = time.perf_counter(), self.stage.computed_s
        inputs = () if self.x is None else (self.x,)
        last: dict[str, Any] = {} if self.y is None else {"target": self.y, "losses": losses}
        self.schedule.step(*inputs, **last, return_outputs=False)
        # What is not forward or backward work is waiting for neighbours: transfers and the pipeline's bubble.
        self.traffic.waited_s += time.perf_counter() - start - (self.stage.computed_s - computed)
        return torch.stack(losses).sum().detach() if losses else torch.zeros((), device=self.device)


class _Module(nn.Module):
    """The layers of a block as the module a stage wraps."""

    def __init__(self, layers: Sequence[Layer], block: Block):
        super().__init__()
        self.layers, self.block = layers, block

    def forward(self, x: Tensor) -> Tensor:
        return mlp.forward(self.layers, x, self.block)


class _Stage(PipelineStage):
    """A stage that counts the bytes it sends and the time it computes."""

    def __init__(self, module: nn.Module, group: Workers, device: torch.device, traffic: Traffic):
        super().__init__(module, group.rank, group.size, device, group=group.tensors)
        self.traffic, self.computed_s = traffic, 0.0

    def forward_one_chunk(self, *args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return super().forward_one_chunk(*args, **kwargs)
        finally:
            self.computed_s += time.perf_counter() - start

    def backward_one_chunk(self, *args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return super().backward_one_chunk(*args, **kwargs)
        finally:
            self.computed_s += time.perf_counter() - start

    def get_fwd_send_ops(self, *args: Any, **kwargs: Any) -> Any:
        return self._counted(super().get_fwd_send_ops(*args, **kwargs))

    def get_bwd_send_ops(self, *args: Any, **kwargs: Any) -> Any:
        return self._counted(super().get_bwd_send_ops(*args, **kwargs))

    def get_fwd_recv_ops(self, *args: Any, **kwargs: Any) -> Any:
        return self._counted(super().get_fwd_recv_ops(*args, **kwargs), sent=False)

    def get_bwd_recv_ops(self, *args: Any, **kwargs: Any) -> Any:
        return self._counted(super().get_bwd_recv_ops(*args, **kwargs), sent=False)

    def _counted(self, operations: list[Any], sent: bool = True) -> list[Any]:
        count = sum(operation.tensor.nbytes for operation in operations)
        if sent:
            self.traffic.sent_bytes += count
        else:
            self.traffic.received_bytes += count
        return operations
