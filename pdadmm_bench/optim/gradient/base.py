"""The base of the gradient methods: steps of a torch optimizer on the mean cross-entropy.

An iteration is one step on all training rows, or an epoch of steps on mini-batches. A gradient method is a file with
its ``torch.optim`` class and its hyperparameters. In bf16 the matrix products have bfloat16 factors; weights, gradients
of weights, the loss and the optimizer's statistics are float32.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.seeds import derive
from pdadmm_bench.core.shard import Shard
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.models.backprop import Backprop
from pdadmm_bench.models.mlp import Layer
from pdadmm_bench.optim.admm.sample_space import SampleSpaceWeights
from pdadmm_bench.optim.base import Links, Optimizer, Pipeline, Report, per_layer
from pdadmm_bench.optim.cost import CostProfile, gradient_profile
from pdadmm_bench.optim.reduction import Pending, Reduction
from pdadmm_bench.optim.wire import BFloat16, Wire


@dataclass
class GradientState:
    """Parameters (leaves that require gradients), their network and torch optimizer, and the pipeline, if any."""

    layers: list[Layer]
    optimizer: torch.optim.Optimizer
    network: Backprop
    x: Tensor
    """The training rows, in the precision of the products."""
    y: Tensor
    pipeline: Pipeline | None
    reduce: Reduction
    summing: list[Pending]
    """The gradients of layers, on their way to be summed over rows."""
    loss: Tensor = field(default_factory=lambda: torch.zeros(()))
    """Training cross-entropy at the weights before the last step, this worker's part of the mean; of mini-batches, each
    at its own weights."""
    epoch: int = 0
    """Iterations so far."""
    sampled: SampleSpaceWeights | None = None
    """The first layer's weights by coefficients of the training rows, where they are in that form."""


class Batch(NamedTuple):
    """The rows of one step: this worker's, and how many there are of them on all workers."""

    x: Tensor
    y: Tensor
    rows: int
    share: float
    """The part of the training rows that the batch has."""


class GradientOptimizer(Optimizer[GradientState]):
    """A torch optimizer as an :class:`~pdadmm_bench.optim.base.Optimizer`."""

    precisions: ClassVar[tuple[str, ...]] = ("fp32", "tf32", "bf16")
    takes_batches: ClassVar[bool] = True
    splits_rows: ClassVar[bool] = True

    @abstractmethod
    def torch_optimizer(self, parameters: list[Tensor]) -> torch.optim.Optimizer:
        """The ``torch.optim`` instance for these parameters, in its fastest form for their device."""

    capturable: ClassVar[bool] = False
    """Whether the torch optimizer can be captured in a CUDA graph, where :attr:`replayed` asks for it."""

    def steady(self) -> bool:
        return self.capturable and not self.batch_size  # the order of rows is drawn on the host

    @property
    def cost_profile(self) -> CostProfile:
        """A pipeline; the statistics and passes of the update are Adam's where a class declares no profile."""
        return replace(gradient_profile(statistics=2, passes=7), assumed_from="adam")

    def wires(self) -> dict[str, Wire]:
        """Stages send activations and gradients in the precision in which they compute them."""
        return {"bf16": BFloat16()} if self.precision == "bf16" else {"fp32": Wire()}

    def init(self, problem: Problem, layers: Sequence[Layer], block: Block, links: Links) -> GradientState:
        layers = [Layer(*(tensor.clone().requires_grad_() for tensor in layer)) for layer in layers]
        network, summing = summed_network(
            layers, block, links.reduce, torch.bfloat16 if self.precision == "bf16" else torch.float32
        )
        if self.replayed:  # the first step, which allocates the statistics, is not captured
            warnings.filterwarnings("ignore", message="This instance was constructed with capturable=True")
        optimizer = self.torch_optimizer([tensor for layer in layers for tensor in layer])
        pipeline = links.pipeline(network, problem) if links.pipeline else None
        x = problem.train.x if pipeline else problem.train.x.to(network.dtype)
        return GradientState(layers, optimizer, network, x, problem.train.y, pipeline, links.reduce, summing)

    def step(self, state: GradientState) -> None:
        losses = []
        if state.pipeline:
            with self.part("gradient"):
                state.network.start(state.pipeline.passes)
                losses.append(state.pipeline.step())
            self.update(state)
        else:
            for batch in self.batches(state):
                with self.part("gradient"):
                    state.network.start()
                    loss = self.loss(state, batch)
                    loss.backward()
                    losses.append(batch.share * loss.detach())
                self.update(state)
        state.loss = torch.stack(losses).sum()
        state.epoch += 1

    def update(self, state: GradientState) -> None:
        """The step of the torch optimizer, once the gradients are those of all rows."""
        if state.summing:
            with self.part("reduce"):
                for gradients in state.summing:
                    gradients.wait()
            state.summing.clear()
        with self.part("update"):
            state.optimizer.step()

    def batches(self, state: GradientState) -> Iterator[Batch]:
        """The rows of each step of an iteration: all, or ``batch_size`` at a time; the last batch has what is left.

        Where workers share the rows, each has those of a batch that are its own, which may be none.
        """
        shard = Shard(state.reduce.index, state.reduce.size, state.reduce.total(len(state.y)))
        if not self.batch_size:
            yield Batch(state.x, state.y, shard.total, 1.0)
            return
        for rows in epoch_order(shard.total, self.seed, state.epoch).split(self.batch_size):
            own = rows[(rows >= shard.start) & (rows < shard.stop)] - shard.start
            own = own.to(state.y.device)
            yield Batch(state.x[own], state.y[own], len(rows), len(rows) / shard.total)

    def loss(self, state: GradientState, batch: Batch) -> Tensor:
        """The mean cross-entropy of a batch, or this worker's part of it."""
        return part_of_mean(state.network(batch.x), batch.y, batch.rows)

    def report(self, state: GradientState) -> Report:
        """The training loss before the last step, or the mean over the epoch's; the objective is the loss."""
        loss = per_layer(len(state.layers), state.y.device)
        loss[-1] = state.loss
        return {"loss": loss, "objective": loss}

    def layers(self, state: GradientState) -> list[Layer]:
        return [Layer(layer.weight.detach(), layer.bias.detach()) for layer in state.layers]

    def snapshot(self, state: GradientState) -> Any:
        return {
            "layers": saved_layers(state.layers),
            "optimizer": state.optimizer.state_dict(),
            "epoch": state.epoch,
        }

    def restore(self, state: GradientState, snapshot: Any) -> None:
        restore_layers(state.layers, snapshot["layers"])
        state.optimizer.load_state_dict(snapshot["optimizer"])
        state.epoch = snapshot["epoch"]


def part_of_mean(logits: Tensor, y: Tensor, rows: int) -> Tensor:
    """The part of the mean cross-entropy over ``rows`` rows that comes from these ones."""
    if len(y) == rows:
        return functional.cross_entropy(logits, y)
    return functional.cross_entropy(logits, y, reduction="sum") / rows


def summed_network(
    layers: list[Layer], block: Block, reduce: Reduction, dtype: torch.dtype = torch.float32
) -> tuple[Backprop, list[Pending]]:
    """The network of ``layers`` and the sums of their gradients over rows, which start while a backward pass goes on.

    Without other rows there are no sums. Who waits for them clears the list.
    """
    summing: list[Pending] = []

    def ready(gradients: Tensor) -> None:
        summing.append(reduce.start(gradients))

    return Backprop(layers, block, dtype, ready=ready if reduce.size > 1 else None), summing


def saved_layers(layers: Sequence[Layer]) -> list[list[Tensor]]:
    """Weights and biases for a snapshot."""
    return [[tensor.detach() for tensor in layer] for layer in layers]


def restore_layers(layers: Sequence[Layer], saved: Sequence[Sequence[Tensor]]) -> None:
    """Copy what :func:`saved_layers` made into ``layers``, whose tensors require gradients."""
    with torch.no_grad():
        for layer, values in zip(layers, saved, strict=True):
            for tensor, value in zip(layer, values, strict=True):
                tensor.copy_(value)


def epoch_order(rows: int, seed: int, epoch: int) -> Tensor:
    """The numbers 0, …, ``rows`` − 1 in the random order of an epoch, which depends on nothing else than the three."""
    generator = torch.Generator().manual_seed(derive("batches", seed, epoch))
    return torch.randperm(rows, generator=generator)
