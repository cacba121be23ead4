"""pdADMM-C: exact steps of W towards targets that the costates of backpropagation set.

In pdADMM the multipliers carry the labels' influence one layer per iteration, and the p of the training rows moves away
from what the network computes. Here p and the forces are computed. A forward sweep sets p_{l+1} = f(a_l) with
a_l = p_l W_lᵀ + b_l, a backward sweep sets the forces δ_l = ∂R/∂a_l, the target of a layer is z_l = a_l − δ_l/ν, and W
and b move to the minimiser of (ν/2)‖p Wᵀ + b − z‖² with a proximal term.

This is no longer a method without gradients. The step of W is δᵀp (pᵀp + κI)⁻¹/ν: the gradient, with the second moments
of the layer's inputs as its preconditioner. That is FOOF (Benzing, ICML 2022, arXiv 2201.12250), and close to LocoProp
(Amid, Anil, Warmuth, AISTATS 2022, arXiv 2106.06199).

With one block, workers wait for each other in both sweeps. With several blocks a sweep ends at each boundary between
them: a block takes the p and the δ that its neighbours computed in the iteration before, as pdADMM's layers do, and as
blocks do with delayed gradients (Huo et al., ICML 2018). All blocks then work at once, and neighbours exchange one
tensor each way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.typed import Typed
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.models.mlp import Layer
from pdadmm_bench.optim.admm import exact
from pdadmm_bench.optim.admm import subproblems as sub
from pdadmm_bench.optim.admm.base import ADMMOptimizer
from pdadmm_bench.optim.admm.descent import Descent
from pdadmm_bench.optim.admm.products import Products
from pdadmm_bench.optim.admm.weights import ADMMLayer, Weights, layer_weights
from pdadmm_bench.optim.base import Links, Report, loss_sum, per_layer
from pdadmm_bench.optim.cost import MINIMISING, Arrays, CostProfile, LayerWork
from pdadmm_bench.optim.hyperparameters.admm import PdADMMCHyperparameters
from pdadmm_bench.optim.reduction import Reduction


@dataclass
class Boundary:
    """What crosses the boundary between two blocks from one iteration to the next."""

    p: Tensor | None
    """(N, n_{l-1}) the input of the layer after it; None where the layer before it is another worker's."""
    force: Tensor
    """(N, n_{l-1}) δ W of the layer after it."""
    spare: Tensor = field(metadata={"state": False})
    """The buffer for the next ``force``."""


@dataclass
class CostateLayer(ADMMLayer):
    """Variables of one layer."""

    weights: Weights
    p: Tensor = field(metadata={"state": False})
    """(N, n_{l-1}) the input."""
    boundary: Boundary | None = None
    """The boundary of blocks before the layer, where one is."""
    last_W: Tensor | None = None
    """(n_l, n_{l-1}) the last step of W; None without momentum."""
    last_b: Tensor | None = None


@dataclass
class CostateState:
    """Variables of the layers of a worker."""

    layers: list[CostateLayer]
    output: Tensor = field(metadata={"state": False})
    """(N, n_l) f(z) of the last layer, or the logits."""
    y: Tensor = field(metadata={"state": False})
    links: Links = field(metadata={"state": False})
    descent: Descent = field(metadata={"state": False})
    sent: Tensor | None = None
    """``output``, where a block ends with the last layer and another worker has the next one."""
    iteration: int = 0
    loss: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    """R at the weights, and for the input, with which the last step was made."""


class PdADMMC(ADMMOptimizer[CostateState]):
    """A forward and a backward sweep, then an exact step of W and b in every layer."""

    summary: ClassVar[str] = "exact steps of W on backpropagation's forces, in blocks at once; not gradient-free (FOOF)"
    Hyperparameters: ClassVar[type[Typed]] = PdADMMCHyperparameters
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "tf32")
    splits_rows: ClassVar[bool] = True

    @property
    def cost_profile(self) -> CostProfile:
        # The sweeps are one product each, δᵀp the third. A minimiser counts what it has beyond those of a step.
        state = Arrays(1, 0, 2)
        passes = Arrays(3, 12, 12, squares=MINIMISING)  # of W alone
        blocks = self.hyperparameters.blocks
        kept = state.plus(Arrays(2 if blocks > 1 else 0))  # two forces at a boundary, as if each layer were a block
        return CostProfile(
            first=LayerWork(2, Arrays(1, 12, 12), state.plus(Arrays(squares=1)), minimisers=("kept W",)),
            hidden=LayerWork(3, passes, kept, minimisers=("W",)),
            last=LayerWork(3, passes.plus(Arrays(0, 16)), kept.plus(Arrays(0, 1)), minimisers=("W",)),
            sampled=None,
            scratch=Arrays(inputs=1, outputs=2, weights=2),
            parallelism="sequential" if blocks == 1 else "overlap",
            blocks=None if blocks == 1 else blocks,
        )

    def descent(self, reduce: Reduction) -> Descent:
        return Descent(sub.exact_step, Products(self.precision), "exact", projected=True, reduce=reduce)

    def init(self, problem: Problem, layers: Sequence[Layer], block: Block, links: Links) -> CostateState:
        settings, x, descent = self.hyperparameters, problem.train.x, self.descent(links.reduce)
        ends = {part.stop for part in Block.even(block.total, settings.blocks)}
        states: list[CostateLayer] = []
        for index, (weight, bias) in zip(block, layers, strict=True):
            weights = layer_weights(index, block.total, weight, x, "features", settings.decay, descent)
            assert isinstance(weights, Weights)
            p = x if index == 0 else x.new_empty(len(x), weight.shape[1])
            layer = CostateLayer(weights, bias.clone(), p)
            if index in ends:
                force, spare = torch.empty_like(p), torch.empty_like(p)
                layer.boundary = Boundary(p if states else None, force, spare)
            if settings.momentum:
                layer.last_W, layer.last_b = torch.zeros_like(weight), torch.zeros_like(bias)
            states.append(layer)
        output = x.new_empty(len(x), len(layers[-1].bias))
        sent = output if links.right and block.stop in ends else None
        return CostateState(states, output, problem.train.y, links, descent, sent)

    def step(self, state: CostateState) -> None:
        # A block reads what the block after it and the one before it left in the last iteration, and overwrites what
        # they read; so the last block is first. In the first iteration nothing is left yet: it is one whole sweep.
        whole = state.iteration == 0
        stop = len(state.layers)
        for start in reversed(range(stop)):
            if start == 0 or (state.layers[start].boundary and not whole):
                self.sweep(range(start, stop), whole, state)
                stop = start
        for layer in state.layers:
            if boundary := layer.boundary:
                boundary.force, boundary.spare = boundary.spare, boundary.force
        if whole:
            self.hand_over(state)
        state.iteration += 1

    def hand_over(self, state: CostateState) -> None:
        """Send what the neighbours need in the next iteration, and post the receives of what is needed here."""
        if (left := state.links.left) and (boundary := state.layers[0].boundary):
            left.post_receive()
            left.send(boundary.force)
        if (right := state.links.right) and state.sent is not None:
            right.send(state.sent)
            right.post_receive()

    def sweep(self, layers: range, whole: bool, state: CostateState) -> None:
        """Forward, backward and the steps of some layers of this worker.

        Args:
            whole: nothing is taken from the last iteration, at no boundary.
        """
        with self.part("forward"):
            self.forward(layers, whole, state)
        force = self.force_of_output(layers.stop, whole, state)
        for index in reversed(layers):
            with self.part("backward"):
                below = self.passed_back(force, index, index > layers.start, whole, state)
            with self.part("W"):
                self.move(state.layers[index], force, state)
            if below is not None:
                force = below

    def forward(self, layers: range, whole: bool, state: CostateState) -> None:
        """Set p of the layers after the first, and the output, which may be the next layer's p."""
        left, right, every = state.links.left, state.links.right, state.layers
        if left and layers.start == 0:
            with self.part("exchange"):
                if whole or every[0].boundary is None:
                    every[0].p = left.receive_now(len(state.output))
                else:
                    every[0].p = left.receive()
                    left.post_receive()
        for index in layers:
            layer = every[index]
            out = every[index + 1].p if index + 1 < len(every) else state.output
            torch.addmm(layer.b, layer.p, layer.W.T, out=out)
            if right or out is not state.output:
                out.relu_()
        if right and layers.stop == len(every):
            if whole or state.sent is None:
                right.send_now(state.output)
            else:
                right.send(state.output)

    def force_of_output(self, stop: int, whole: bool, state: CostateState) -> Tensor:
        """∂R/∂z of the layer before ``stop``."""
        right = state.links.right
        if stop < len(state.layers):
            following = state.layers[stop]
            assert following.boundary is not None
            return following.boundary.force.mul_(following.p > 0)
        if right is None:
            state.loss = loss_sum(state.output, state.y)
            force = torch.softmax(state.output, dim=1)
            force[torch.arange(len(force), device=force.device), state.y] -= 1
            return force
        with self.part("exchange"):
            if whole or state.sent is None:
                force = right.receive_now(len(state.output))
            else:
                force = right.receive()
                right.post_receive()
        return force.mul_(state.output > 0)

    def passed_back(self, force: Tensor, index: int, inside: bool, whole: bool, state: CostateState) -> Tensor | None:
        """∂R/∂z of the layer before ``index``, where it is ``inside`` the sweep; else δ W is left or sent for it."""
        left, layer = state.links.left, state.layers[index]
        if not inside and index == 0 and left is None:
            return None
        boundary, own = layer.boundary, scratch_of(state, layer.p, index)
        below = state.descent.products.mm(force, layer.W, out=own if boundary is None else boundary.spare)
        if inside:
            return own.copy_(below).mul_(layer.p > 0) if boundary else below.mul_(layer.p > 0)
        if left and index == 0:
            if whole or boundary is None:
                left.send_now(below)
            else:
                left.send(below)
        return None

    def move(self, layer: CostateLayer, force: Tensor, state: CostateState) -> None:
        """The step of W and b; ``force`` (N, n_l) is overwritten."""
        settings, products = self.hyperparameters, state.descent.products
        residual = force.div_(settings.nu)
        shift = state.descent.rows.column_mean(residual).clone()
        residual.sub_(shift)
        mean = layer.weights.mean_input(layer.p, state.descent.rows)
        step = exact.direction_of_W(
            products, state.descent.rows, layer.weights.offset(products), layer.p, residual, settings.nu, settings.mu,
            kept=layer.weights.kept, mean=mean, damping=settings.damping,
        ).direction  # fmt: skip
        shift -= step @ mean
        if layer.last_W is not None and layer.last_b is not None:
            step = layer.last_W.mul_(settings.momentum).add_(step)
            shift = layer.last_b.mul_(settings.momentum).add_(shift)
        layer.weights.W.sub_(step)
        layer.b.sub_(shift)

    def restore(self, state: CostateState, snapshot: Any) -> None:
        super().restore(state, snapshot)
        if state.iteration > 0:
            self.hand_over(state)

    def report(self, state: CostateState) -> Report:
        """The training loss before the last step; the objective is the loss."""
        loss = per_layer(len(state.layers), state.y.device)
        loss[-1] = state.loss / state.links.reduce.total(len(state.output))  # labels are with the last block alone
        return {"loss": loss, "objective": loss}


def scratch_of(state: CostateState, like: Tensor, index: int) -> Tensor:
    """One of two buffers for the forces, by turns."""
    return state.descent.products.scratch.like(f"force {index % 2}", like)
