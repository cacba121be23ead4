"""Pipelined backpropagation for the gradient methods, with torch.distributed.pipelining.

Each worker is one stage of contiguous layers. There is no batch norm, so micro-batches are exact: the loss is the sum
over rows divided by N, the number of all training rows, also where several pipelines share them. Rows that pad those of
a pipeline to a multiple of the number of micro-batches have a label that the loss ignores.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe, ScheduleInterleavedZeroBubble
from torch.nn import functional

from pdadmm_bench.data.problem import Problem
from pdadmm_bench.models.backprop import Backprop
from pdadmm_bench.parallel.exchange import Traffic

SCHEDULES = {"gpipe": ScheduleGPipe, "1f1b": Schedule1F1B, "zero-bubble": ScheduleInterleavedZeroBubble}
IGNORED = -100
"""The label of padding rows, which the loss ignores."""


class StagePipeline:
    """One stage with its schedule (a :class:`~pdadmm_bench.optim.base.Pipeline`).

    Args:
        group: the workers of all stages, in order.
        all_rows: training rows N of all pipelines.
    """

    def __init__(
        self, network: Backprop, problem: Problem,
        *, group: dist.ProcessGroup, all_rows: int, schedule: str, microbatches: int, device: torch.device,
        traffic: Traffic,
    ):  # fmt: skip
        rows, self.passes = len(problem.train.x), microbatches
        padding = -rows % microbatches
        x, y = problem.train.x.to(network.dtype), problem.train.y
        self.x = functional.pad(x, (0, 0, 0, padding)) if network.block.is_first else None
        self.y = functional.pad(y, (0, padding), value=IGNORED) if network.block.is_last else None
        self.traffic, self.device = traffic, device
        network.splits = schedule == "zero-bubble"
        self.stage = _Stage(network, (rows + padding) // microbatches, group, device, traffic)

        def loss(logits: Tensor, target: Tensor) -> Tensor:
            return functional.cross_entropy(logits, target, ignore_index=IGNORED, reduction="sum") / all_rows

        # The zero-bubble schedule takes a list of stages; with one stage per worker it is ZB-H1 of arXiv 2401.10241.
        stages: Any = [self.stage] if network.splits else self.stage
        self.schedule = SCHEDULES[schedule](stages, microbatches, loss_fn=loss, scale_grads=False)

    def step(self) -> Tensor:
        """All micro-batches forward and backward; the mean training loss on the last stage, 0 elsewhere."""
        losses: list[Tensor] = []
        inputs = () if self.x is None else (self.x,)
        last: dict[str, Any] = {} if self.y is None else {"target": self.y, "losses": losses}
        with self.traffic.waiting():  # for neighbours, where the stage does not compute: transfers and the bubble
            self.schedule.step(*inputs, **last, return_outputs=False)
        return torch.stack(losses).sum().detach() if losses else torch.zeros((), device=self.device)


class _Module(nn.Module):
    """The passes of a block as a module, which a stage needs."""

    def __init__(self, network: Backprop):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)


class _Stage(PipelineStage):
    """A stage for micro-batches of ``rows`` rows that counts its bytes and marks where it computes."""

    def __init__(self, network: Backprop, rows: int, group: dist.ProcessGroup, device: torch.device, traffic: Traffic):
        # With known shapes torch makes no trial run; the backward pass of one would leave gradients in the parameters.
        first, last = network.layers[0], network.layers[-1]
        received = torch.empty(rows, first.weight.shape[1], dtype=network.dtype, device="meta")
        sent = torch.empty(rows, last.weight.shape[0], dtype=network.output_dtype, device="meta")
        super().__init__(
            _Module(network), group.rank(), group.size(), device,
            input_args=received.requires_grad_(not network.block.is_first), output_args=sent.requires_grad_(),
            group=group, dw_builder=network.weight_gradients if network.splits else None,
        )  # fmt: skip
        self.traffic = traffic

    def forward_one_chunk(self, *args: Any, **kwargs: Any) -> Any:
        with self.traffic.computing():
            return super().forward_one_chunk(*args, **kwargs)

    def backward_one_chunk(self, *args: Any, **kwargs: Any) -> Any:
        with self.traffic.computing():
            return super().backward_one_chunk(*args, **kwargs)

    def backward_weight_one_chunk(self, *args: Any, **kwargs: Any) -> Any:
        with self.traffic.computing():
            return super().backward_weight_one_chunk(*args, **kwargs)

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
