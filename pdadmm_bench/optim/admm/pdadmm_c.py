"""pdADMM-C: exact steps of W towards targets that the costates of backpropagation set in every iteration.

In pdADMM the multipliers carry the labels' influence one layer per iteration, and the p of the training rows moves away
from what the network computes. Here both are exact in every iteration. A forward sweep sets p_{l+1} = f(a_l) with
a_l = p_l W_lᵀ + b_l, a backward sweep sets the forces δ_l = ∂R/∂a_l, the target of a layer is z_l = a_l − δ_l/ν, and W
and b move to the minimiser of (ν/2)‖p Wᵀ + b − z‖² with a proximal term.

This is no longer a method without gradients. The step of W is δᵀp (pᵀp + κI)⁻¹/ν: the gradient, with the second moments
of the layer's inputs as its preconditioner. That is FOOF (Benzing, ICML 2022, arXiv 2201.12250), and close to LocoProp
(Amid, Anil, Warmuth, AISTATS 2022, arXiv 2106.06199). Workers wait for each other in both sweeps. Only the moments,
their factors and the steps of W of different layers are independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from pydantic import Field
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
from pdadmm_bench.optim.admm.weights import ADMMLayer, Decay, Weights, layer_weights
from pdadmm_bench.optim.base import Links, Report, loss_sum, per_layer
from pdadmm_bench.optim.cost import MINIMISING, Arrays, CostProfile, LayerWork


class PdADMMCHyperparameters(Typed):
    """Penalty, proximal term and inertia of pdADMM-C."""

    nu: float = Field(
        10.0, gt=0, description="ν, penalty of the layer equations: W goes 1/ν of the way to its fit of −δ"
    )
    mu: float = Field(0.0, ge=0, description="μ, weight decay")
    decay: Decay = "zero"
    damping: float = Field(
        0.03, gt=0, description="proximal term of W, in units of ν and the mean square of the layer's inputs"
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="part of the last step that W and b make again")


@dataclass
class CostateLayer(ADMMLayer):
    """Variables of one layer."""

    weights: Weights
    p: Tensor = field(metadata={"state": False})
    """(N, n_{l-1}) the input, computed anew in every iteration."""
    last_W: Tensor | None = None
    """(n_l, n_{l-1}) the last step of W; None without momentum."""
    last_b: Tensor | None = None


@dataclass
class CostateState:
    """Variables of a block."""

    layers: list[CostateLayer]
    output: Tensor = field(metadata={"state": False})
    """(N, n_l) f(z) of the block's last layer, or the logits."""
    y: Tensor = field(metadata={"state": False})
    links: Links = field(metadata={"state": False})
    descent: Descent = field(metadata={"state": False})
    loss: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    """R at the weights before the last step."""


class PdADMMC(ADMMOptimizer[CostateState]):
    """A forward and a backward sweep, then an exact step of W and b in every layer."""

    summary: ClassVar[str] = "exact layer-wise steps of W on backpropagation's forces; not gradient-free (FOOF)"
    Hyperparameters: ClassVar[type[Typed]] = PdADMMCHyperparameters
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "tf32")

    @property
    def cost_profile(self) -> CostProfile:
        # The sweeps are one product each, δᵀp the third. A minimiser counts what it has beyond those of a step.
        state = Arrays(1, 0, 2)
        passes = Arrays(3, 12, 12, squares=MINIMISING.squares / 2)  # of W alone
        return CostProfile(
            first=LayerWork(2, Arrays(1, 12, 12), state.plus(Arrays(squares=1)), minimisers=("kept W",)),
            hidden=LayerWork(3, passes, state, minimisers=("W",)),
            last=LayerWork(3, passes.plus(Arrays(0, 16)), state.plus(Arrays(0, 1)), minimisers=("W",)),
            sampled=None,
            scratch=Arrays(inputs=1, outputs=2, weights=2),
            parallelism="sequential",
        )

    def descent(self) -> Descent:
        return Descent(sub.exact_step, Products(self.precision), "exact", projected=True)

    def init(self, problem: Problem, layers: Sequence[Layer], block: Block, links: Links) -> CostateState:
        settings, x, descent = self.hyperparameters, problem.train.x, self.descent()
        states: list[CostateLayer] = []
        for index, (weight, bias) in zip(block, layers, strict=True):
            weights = layer_weights(index, block.total, weight, x, "features", settings.decay, descent)
            assert isinstance(weights, Weights)
            p = x if index == 0 else x.new_empty(len(x), weight.shape[1])
            layer = CostateLayer(weights, bias.clone(), p)
            if settings.momentum:
                layer.last_W, layer.last_b = torch.zeros_like(weight), torch.zeros_like(bias)
            states.append(layer)
        output = x.new_empty(len(x), len(layers[-1].bias))
        return CostateState(states, output, problem.train.y, links, descent)

    def step(self, state: CostateState) -> None:
        with self.part("forward"):
            self.forward(state)
        force = self.force_of_output(state)
        for index in reversed(range(len(state.layers))):
            layer = state.layers[index]
            below: Tensor | None = None
            with self.part("backward"):
                if index > 0:
                    below = state.descent.products.mm(force, layer.W, out=scratch_of(state, layer.p, index))
                    below.mul_(layer.p > 0)
                elif state.links.left:
                    state.links.left.send_now(force @ layer.W)
            with self.part("W"):
                self.move(layer, force, state)
            if below is not None:
                force = below

    def forward(self, state: CostateState) -> None:
        """Set p of every layer and the block's output from the current weights."""
        left, right, layers = state.links.left, state.links.right, state.layers
        if left:
            layers[0].p = left.receive_now(len(state.output))
        for index, layer in enumerate(layers):
            out = layers[index + 1].p if index + 1 < len(layers) else state.output
            torch.addmm(layer.b, layer.p, layer.W.T, out=out)
            if right or out is not state.output:
                out.relu_()
        if right:
            right.send_now(state.output)

    def force_of_output(self, state: CostateState) -> Tensor:
        """∂R/∂z of the block's last layer; overwrites ``state.output``."""
        if state.links.right:
            with self.part("exchange"):
                force = state.links.right.receive_now(len(state.output))
            return force.mul_(state.output > 0)
        state.loss = loss_sum(state.output, state.y)
        force = torch.softmax(state.output, dim=1)
        force[torch.arange(len(force), device=force.device), state.y] -= 1
        return force

    def move(self, layer: CostateLayer, force: Tensor, state: CostateState) -> None:
        """The step of W and b; ``force`` (N, n_l) is overwritten."""
        settings, products = self.hyperparameters, state.descent.products
        residual = force.div_(settings.nu)
        shift = sub.column_mean(residual, products.scratch).clone()
        residual.sub_(shift)
        found = exact.direction_of_W(
            products, layer.weights.offset(products), layer.p, residual, settings.nu, settings.mu,
            kept=layer.weights.kept, centre=state.descent.centre, damping=settings.damping,
        )  # fmt: skip
        step = found.direction
        shift -= step @ sub.column_mean(layer.p, products.scratch)
        if layer.last_W is not None and layer.last_b is not None:
            step = layer.last_W.mul_(settings.momentum).add_(step)
            shift = layer.last_b.mul_(settings.momentum).add_(shift)
        layer.weights.W.sub_(step)
        layer.b.sub_(shift)

    def report(self, state: CostateState) -> Report:
        """The training loss before the last step; the objective is the loss."""
        loss = per_layer(len(state.layers), state.y.device)
        loss[-1] = state.loss / len(state.output)  # labels are with the last block alone
        return {"loss": loss, "objective": loss}


def scratch_of(state: CostateState, like: Tensor, index: int) -> Tensor:
    """One of two buffers for the forces, by turns."""
    return state.descent.products.scratch.like(f"force {index % 2}", like)
