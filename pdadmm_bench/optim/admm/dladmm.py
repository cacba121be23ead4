"""dlADMM: deep learning ADMM with a backward and a forward sweep per iteration.

Wang, Yu, Chen, Zhao (KDD 2019, arXiv 1905.13611). The sweep L → 1 updates a, z, b, W, and the sweep 1 → L updates
W, b, z, a. The dual u, which only the output layer has, comes last. Each update reads the newest value of its
neighbours, so layers cannot be updated at the same time: on several workers this is naive model parallelism.

Layer l keeps its input p_l = a_{l-1}, and the activation f(z_{l-1}) that a_{l-1} is tied to. So every update of a layer
is local.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.typed import Typed
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.models.mlp import Layer
from pdadmm_bench.optim.admm import subproblems as sub
from pdadmm_bench.optim.admm.base import ADMMOptimizer
from pdadmm_bench.optim.admm.buffers import Scratch, row_blocks
from pdadmm_bench.optim.admm.descent import Descent
from pdadmm_bench.optim.admm.weights import ADMMLayer
from pdadmm_bench.optim.base import Links, Report, inner, loss_sum, per_layer, square
from pdadmm_bench.optim.cost import OUTPUT_PASSES, OUTPUT_SOLVES, Arrays, CostProfile, LayerWork, on_device, with_steps
from pdadmm_bench.optim.hyperparameters.admm import DlADMMHyperparameters
from pdadmm_bench.optim.hyperparameters.choices import EXACT


@dataclass
class DlADMMLayer(ADMMLayer):
    """Variables of one layer; ``p`` = a_{l-1} is the input x in layer 1, ``u`` exists in the output layer only."""

    p: Tensor
    z: Tensor
    r: Tensor
    """Carried residual p Wᵀ + b − z."""
    activation: Tensor | None = None
    """f(z_{l-1}), which p is tied to; None in layer 1."""
    a: Tensor | None = None
    """a_l, which the next layer holds as its p; None in the output layer."""
    u: Tensor | None = None


@dataclass
class DlADMMState:
    """Variables of a block."""

    layers: list[DlADMMLayer]
    y: Tensor = field(metadata={"state": False})
    links: Links = field(metadata={"state": False})
    descent: Descent = field(metadata={"state": False})

    @property
    def scratch(self) -> Scratch:
        """The buffers of all updates."""
        return self.descent.products.scratch


class DlADMM(ADMMOptimizer[DlADMMState]):
    """Backward then forward sweep, with the exact majoriser for a and W and a carried residual."""

    summary: ClassVar[str] = "sequential gradient-free ADMM with backward-forward sweeps (KDD 2019)"
    Hyperparameters: ClassVar[type[Typed]] = DlADMMHyperparameters
    splits_rows: ClassVar[bool] = True

    @property
    def cost_profile(self) -> CostProfile:
        settings = self.hyperparameters
        profile = CostProfile(
            first=LayerWork(4, Arrays(0, 88, 20), Arrays(1, 2, 1), sums=2),
            hidden=LayerWork(8, Arrays(18, 97, 20), Arrays(2, 2, 1), sums=2),
            last=LayerWork(8, Arrays(18, 80 + OUTPUT_SOLVES[2] * OUTPUT_PASSES, 20), Arrays(2, 3, 1), sums=2),
            sampled=LayerWork(0, Arrays(0, 110), Arrays(1, 4, 1, 1), gram_products=2),
            scratch=Arrays(inputs=1, outputs=1),
            parallelism="sequential",
        )
        if self.device != "cpu":
            profile = on_device(profile, solved=2, compiled=False)
        return with_steps(profile, settings.step, settings.bias, self.precision, sweeps=2)

    def steady(self) -> bool:
        return bool(self.hyperparameters.step not in EXACT)

    def init(self, problem: Problem, layers: Sequence[Layer], block: Block, links: Links) -> DlADMMState:
        """Feed-forward start with u = 0 and every residual zero."""
        states: list[DlADMMLayer] = []
        descent = self.descent(links.reduce)
        for start in self.feed_forward_start(problem, layers, block, links, descent):
            r = torch.zeros_like(start.z)
            layer = DlADMMLayer(start.weights, start.b, start.p, start.z, r, a=start.output)
            if start.index > 0:
                layer.activation = start.p.clone()
            if start.output is None:
                layer.u = torch.zeros_like(start.z)
            states.append(layer)
        return DlADMMState(states, problem.train.y, links, descent)

    def step(self, state: DlADMMState) -> None:
        left, right, layers = state.links.left, state.links.right, state.layers
        # Backward, L → 1: each layer updates z, b, W, then its input, which is a_l of the layer before.
        if right:
            right.post_receive()
            layers[-1].a = right.receive()
        for layer in reversed(layers):
            self.update_z(layer, state)
            self.update_b(layer, state)
            self.update_W(layer, state)
            self.update_p(layer, state)
        if left:
            left.send(layers[0].p)
            left.post_receive()  # after the send: the left neighbour receives before it sends
        # Forward, 1 → L: each layer takes the new f(z_{l-1}), updates its input, then W, b, z.
        for i, layer in enumerate(layers):
            if i > 0:
                layer.activation = torch.clamp(layers[i - 1].z, min=0, out=layer.activation)
            elif left:
                layer.activation = left.receive()
            self.update_p(layer, state)
            self.update_W(layer, state)
            self.update_b(layer, state)
            self.update_z(layer, state)
        if right:
            right.send(torch.clamp(layers[-1].z, min=0, out=state.scratch.like("activation", layers[-1].z)))
        elif (u := layers[-1].u) is not None:
            u.sub_(layers[-1].r, alpha=self.hyperparameters.rho)

    def penalty(self, layer: DlADMMLayer) -> float:
        """Weight of the layer's equation: ρ in the output layer, ν elsewhere."""
        return self.hyperparameters.nu if layer.u is None else self.hyperparameters.rho

    def residual(self, layer: DlADMMLayer, state: DlADMMState) -> Tensor:
        """The residual that the updates use: r, shifted by the dual in the output layer."""
        if layer.u is None:
            return layer.r
        return torch.add(layer.r, layer.u, alpha=-1 / self.hyperparameters.rho, out=state.scratch.like("seen", layer.r))

    def update_p(self, layer: DlADMMLayer, state: DlADMMState) -> None:
        """a_{l-1} ← a_{l-1} − g/τ."""
        if layer.activation is None:
            return
        with self.part("p"):
            gap = torch.sub(layer.p, layer.activation, out=state.scratch.like("gradient", layer.p))
            seen, weight = self.residual(layer, state), self.penalty(layer)
            state.descent.descend_p(layer.p, gap, layer.r, layer.W, weight, self.hyperparameters.nu, seen)

    def update_W(self, layer: DlADMMLayer, state: DlADMMState) -> None:
        """W ← W − G/θ."""
        with self.part("W"):
            seen, weight = self.residual(layer, state), self.penalty(layer)
            layer.weights.descend(
                state.descent, layer.p, layer.r, layer.b, weight, self.hyperparameters.mu, seen=seen, known=[layer.z]
            )

    def update_b(self, layer: DlADMMLayer, state: DlADMMState) -> None:
        """b ← its exact minimiser, and the residual with it."""
        with self.part("b"):
            mean = state.descent.rows.column_mean(self.residual(layer, state))
            layer.b -= mean
            layer.r -= mean

    def update_z(self, layer: DlADMMLayer, state: DlADMMState) -> None:
        """z ← its exact minimiser: a closed form in hidden layers, root finding in the output layer."""
        settings = self.hyperparameters
        if layer.u is not None:
            with self.part("z_L"):
                a = layer.r.add_(layer.z)
                target = torch.add(a, layer.u, alpha=-1 / settings.rho, out=state.scratch.like("seen", a))
                sub.output_z(target, state.y, settings.rho, layer.z, out=layer.z, scratch=state.scratch)
                layer.r.sub_(layer.z)
            return
        assert layer.a is not None
        with self.part("z"):
            for r, z, a in row_blocks(layer.r, layer.z, layer.a):
                sub.tied_z(r.add_(z), a, out=z, scratch=state.scratch)
                r.sub_(z)

    def report(self, state: DlADMMState) -> Report:
        """The Lagrangian (``objective``), ‖z_L − a_{L-1} W_Lᵀ − b_L‖² (``primal_residual``) and the training loss."""
        objective, primal, loss = (per_layer(len(state.layers), state.y.device) for _ in range(3))
        for i, layer in enumerate(state.layers):
            objective[i] = self.penalty(layer) / 2 * square(layer.r)
            if state.links.reduce.index == 0:
                objective[i] += self.hyperparameters.mu / 2 * layer.weights.decayed()
            if layer.activation is not None:
                objective[i] += self.hyperparameters.nu / 2 * square(layer.p - layer.activation)
            if layer.u is not None:
                risk = loss_sum(layer.z, state.y)
                primal[i] = square(layer.r)
                objective[i] += risk - inner(layer.u, layer.r)
                loss[i] = risk / state.links.reduce.total(len(state.y))
        return {"objective": objective, "primal_residual": primal, "loss": loss}
