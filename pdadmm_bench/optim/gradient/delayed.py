"""Delayed gradients: blocks of layers that run their backward passes side by side, each with a gradient of before.

The layers are K blocks, k = 1, …, K, in even parts. K belongs to the method, so that the number of workers changes
nothing: a worker has whole blocks. In every iteration a block sends its output to the right, and to the left the
gradient with respect to its input. Both methods here run the backward pass of a block d_k iterations after the forward
pass that it belongs to, at the activations and the weights of that forward pass, which are kept for so long:

* DDG (:mod:`.ddg`) goes forward through all blocks, one after the other, and then backward in all at once; d_k = K − k.
* FDG (:mod:`.fdg`) goes forward in all blocks at once too, with the output that the block before had an iteration
  before; d_k = 2(K − k).

A block has no gradient before iteration d_k. Until then its weights stay as they are.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.typed import Typed
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.models.backprop import Backprop
from pdadmm_bench.models.mlp import Layer
from pdadmm_bench.optim.base import Links, Optimizer, Report, per_layer
from pdadmm_bench.optim.cost import Arrays, CostProfile
from pdadmm_bench.optim.gradient.adadelta import Adadelta
from pdadmm_bench.optim.gradient.adagrad import Adagrad
from pdadmm_bench.optim.gradient.adam import Adam
from pdadmm_bench.optim.gradient.base import (
    GradientOptimizer,
    part_of_mean,
    restore_layers,
    saved_layers,
    summed_network,
)
from pdadmm_bench.optim.gradient.sgd import SGD
from pdadmm_bench.optim.hyperparameters.gradient import DelayedHyperparameters
from pdadmm_bench.optim.reduction import Pending
from pdadmm_bench.optim.wire import BFloat16, Wire

INNER: Mapping[str, type[GradientOptimizer]] = {"sgd": SGD, "adam": Adam, "adagrad": Adagrad, "adadelta": Adadelta}
KEEPING_PASSES = Arrays(weights=2)
"""Passes when the weights of a forward pass are kept: read, write."""


class Pass(NamedTuple):
    """A forward pass whose backward pass is still to come."""

    activations: list[Tensor]
    """From the input of the block to its output, (N, n) each."""
    weights: list[Tensor]
    """The weights of every layer at that time. The input gradient of the network's first layer is not wanted, so its
    place holds an empty tensor."""


@dataclass
class DelayedBlock:
    """One block: its layers (leaves that require gradients), their network and torch optimizer, and what waits."""

    block: Block
    after: int
    """The number of blocks after it, K − k."""
    layers: list[Layer]
    network: Backprop
    optimizer: torch.optim.Optimizer
    summing: list[Pending]
    """The gradients of layers, on their way to be summed over rows."""
    passes: list[Pass] = field(default_factory=list)
    """Forward passes without a backward pass yet, the oldest first."""
    free: list[list[Tensor]] = field(default_factory=list)
    """Buffers for the weights of a pass."""
    gradient: Tensor | None = None
    """With respect to the output of the oldest pass, once the block after has sent it."""
    input: Tensor | None = None
    """The input of the next forward pass."""

    def forward(self, x: Tensor) -> Tensor:
        """The output for the input ``x``, which is kept with all activations and, unless this is the last block,
        weights."""
        activations = self.network.forward(x)
        self.passes.append(Pass(activations, [] if self.block.is_last else self._kept_weights()))
        return activations[-1]

    def backward(self, gradient: Tensor, wanted: bool) -> Tensor | None:
        """Step along the gradient of the oldest pass; return that of its input where it is ``wanted``."""
        oldest = self.passes.pop(0)
        self.network.start()
        below = self.network.backward(gradient, oldest.activations, wanted, oldest.weights or None)
        for gradients in self.summing:
            gradients.wait()
        self.summing.clear()
        self.optimizer.step()
        if oldest.weights:
            self.free.append(oldest.weights)
        return below

    def _kept_weights(self) -> list[Tensor]:
        weights = [layer.weight.detach() for layer in self.layers]
        if self.block.is_first:
            weights[0] = weights[0].new_empty(0)
        kept = self.free.pop() if self.free else [torch.empty_like(weight) for weight in weights]
        for buffer, weight in zip(kept, weights, strict=True):
            buffer.copy_(weight)
        return kept


@dataclass
class DelayedState:
    """The blocks of one worker, in order, and what it has sent."""

    blocks: list[DelayedBlock]
    x: Tensor
    """The training rows."""
    y: Tensor
    links: Links
    first_from_right: int
    """The iteration, counted from 0, in which the block after the last one here sends its first gradient."""
    loss: Tensor
    """Mean training cross-entropy, this worker's part of it, at the activations that the last block had."""
    iteration: int = 0
    sent_left: Tensor | None = None
    """The last gradient that was sent to the left."""
    sent_right: Tensor | None = None
    """The last output that was sent to the right."""

    @property
    def awaits_gradient(self) -> bool:
        """Whether the right neighbour sends a gradient in this iteration."""
        return self.links.right is not None and self.iteration >= self.first_from_right

    def receive_gradient(self) -> None:
        """Take the gradient that the right neighbour sent in the last iteration, and await that of this one."""
        right = self.links.right
        if right is None:
            return
        if self.iteration > self.first_from_right:
            self.blocks[-1].gradient = right.receive()
        if self.awaits_gradient:
            right.post_receive()

    def pass_back(self, index: int, gradient: Tensor) -> None:
        """Hand the gradient with respect to the input of block ``index`` to the block before, for its next step."""
        if index > 0:
            self.blocks[index - 1].gradient = self.links.wire.round(gradient)
        elif self.links.left:
            self.sent_left = gradient
            self.links.left.send(gradient)


class DelayedGradients(Optimizer[DelayedState]):
    """Base of the methods with delayed gradients."""

    Hyperparameters: ClassVar[type[Typed]] = DelayedHyperparameters
    splits_rows: ClassVar[bool] = True
    forward_locked: ClassVar[bool]
    """Whether the forward pass goes through the blocks one after the other, within an iteration."""

    def delay(self, blocks_after: int) -> int:
        """d_k of a block with so many blocks after it."""
        return blocks_after * (1 if self.forward_locked else 2)

    def inner(self) -> GradientOptimizer:
        """The optimizer whose torch optimizer every block has."""
        settings = self.hyperparameters
        values = {"lr": settings.lr, "weight_decay": settings.weight_decay}
        if settings.inner == "sgd":
            values["momentum"] = settings.momentum
        cls = INNER[settings.inner]
        return cls(cls.Hyperparameters(**values))

    def wires(self) -> dict[str, Wire]:
        return {"fp32": Wire(), "bf16": BFloat16()}

    @property
    def cost_profile(self) -> CostProfile:
        profile = self.inner().cost_profile
        hidden, last = profile.hidden, profile.last
        return replace(
            profile,
            hidden=replace(hidden, passes=hidden.passes.plus(KEEPING_PASSES)),
            last=replace(last, states=last.states._replace(outputs=0)),  # the logits are not kept
            sampled=None,
            parallelism="forward-locked" if self.forward_locked else "delayed",
            blocks=self.hyperparameters.blocks,
            delay=self.delay(1),
        )

    def init(self, problem: Problem, layers: Sequence[Layer], block: Block, links: Links) -> DelayedState:
        everywhere = Block.even(block.total, self.hyperparameters.blocks)
        wholes = [(place, part) for place, part in enumerate(everywhere) if part.start in block]
        assert (wholes[0][1].start, wholes[-1][1].stop) == (block.start, block.stop), "a worker has whole blocks"
        blocks = []
        for place, part in wholes:
            places = slice(part.start - block.start, part.stop - block.start)
            own = [Layer(*(tensor.clone().requires_grad_() for tensor in layer)) for layer in layers[places]]
            network, summing = summed_network(own, part, links.reduce)
            optimizer = self.inner().torch_optimizer([tensor for layer in own for tensor in layer])
            blocks.append(DelayedBlock(part, len(everywhere) - 1 - place, own, network, optimizer, summing))
        loss = torch.zeros((), device=blocks[0].layers[0].weight.device)
        first = self.delay(blocks[-1].after - 1)
        return DelayedState(blocks, problem.train.x, problem.train.y, links, first, loss)

    @abstractmethod
    def step(self, state: DelayedState) -> None:
        """One forward and one backward pass of every block."""

    def backward(self, state: DelayedState, index: int) -> None:
        """The backward pass of the block at ``index``, if it has a gradient, and what it sends to the left.

        The forward pass at the start of FDG went through all blocks at once. The block before has no pass that belongs
        to that of this block, so it gets no gradient for it.
        """
        block = state.blocks[index]
        if block.gradient is None:
            return
        gradient, block.gradient = block.gradient, None
        wanted = not block.block.is_first and state.iteration >= self.delay(block.after)
        below = block.backward(gradient, wanted)
        if below is not None:
            state.pass_back(index, below)

    def loss_gradient(self, state: DelayedState, logits: Tensor) -> None:
        """Set the loss, and the gradient of the last block, from its output."""
        logits = logits.detach().requires_grad_()
        loss = part_of_mean(logits, state.y, state.links.reduce.total(len(state.y)))
        (state.blocks[-1].gradient,) = torch.autograd.grad(loss, logits)
        state.loss = loss.detach()

    def report(self, state: DelayedState) -> Report:
        """The training loss at the activations of the last block; the objective is the loss."""
        loss = per_layer(sum(len(block.layers) for block in state.blocks), state.loss.device)
        loss[-1] = state.loss
        return {"loss": loss, "objective": loss}

    def layers(self, state: DelayedState) -> list[Layer]:
        return [Layer(*(t.detach() for t in layer)) for block in state.blocks for layer in block.layers]

    def snapshot(self, state: DelayedState) -> Any:
        return {
            "blocks": [_snapshot(block) for block in state.blocks],
            "loss": state.loss,
            "iteration": state.iteration,
            "sent_left": state.sent_left,
            "sent_right": state.sent_right,
        }

    def restore(self, state: DelayedState, snapshot: Any) -> None:
        device = state.loss.device
        for block, saved in zip(state.blocks, snapshot["blocks"], strict=True):
            _restore(block, saved, state.x, device)
        state.loss, state.iteration = snapshot["loss"].to(device), snapshot["iteration"]
        for name in ("sent_left", "sent_right"):
            setattr(state, name, None if snapshot[name] is None else snapshot[name].to(device))


def _snapshot(block: DelayedBlock) -> dict[str, Any]:
    data = block.block.is_first  # whose input is not saved
    return {
        "layers": saved_layers(block.layers),
        "optimizer": block.optimizer.state_dict(),
        "passes": [[one.activations[data:], one.weights] for one in block.passes],
        "gradient": block.gradient,
        "input": None if data else block.input,
    }


def _restore(block: DelayedBlock, saved: Mapping[str, Any], x: Tensor, device: torch.device) -> None:
    def there(tensors: Sequence[Tensor]) -> list[Tensor]:
        return [tensor.to(device) for tensor in tensors]

    restore_layers(block.layers, saved["layers"])
    block.optimizer.load_state_dict(saved["optimizer"])
    data = [x] if block.block.is_first else []
    block.passes = [Pass([*data, *there(activations)], there(weights)) for activations, weights in saved["passes"]]
    block.gradient = None if saved["gradient"] is None else saved["gradient"].to(device)
    if not block.block.is_first:
        block.input = None if saved["input"] is None else saved["input"].to(device)
