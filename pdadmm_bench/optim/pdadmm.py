"""pdADMM: parallel deep learning by the alternating direction method of multipliers, without gradients of the network.

Wang, Chai, Cheng, Zhao (ICDM 2020, arXiv 2009.02868); Wang et al. (TNNLS 2022, arXiv 2105.09837). One iteration runs
p → W → b → z → q → u; each line is independent over layers, which is why layers can live on different workers.

Two facts make it cheap. The subproblems of p and W are quadratic, so the majoriser that the papers search for by
backtracking is a closed form. And the residual r = p Wᵀ + b − z is carried through every update instead of being
recomputed, so a hidden layer costs four matrix products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.typed import Typed
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.models.mlp import Layer
from pdadmm_bench.optim import subproblems as sub
from pdadmm_bench.optim.base import Links, Optimizer, Report, loss_sum, per_layer, square
from pdadmm_bench.optim.scratch import Scratch, row_blocks
from pdadmm_bench.optim.wire import BFloat16, Wire

RHO_CAP, RHO_FACTOR, RHO_MIN_DECREASE = 1.0, 10.0, 1e-3
"""The authors' schedule: ρ × 10, up to 1, when the training cost fell by less than 0.001 twice running."""


class PdADMMHyperparameters(Typed):
    """Penalties and step rules of pdADMM."""

    rho: float = Field(1e-3, gt=0, description="ρ, penalty of p_{l+1} = q_l")
    nu: float = Field(1e-3, gt=0, description="ν, penalty of the layer equations")
    mu: float = Field(1e-3, ge=0, description="μ, weight decay")
    step_rule: Literal["exact", "backtracking"] = Field(
        "exact", description="closed-form majoriser, or the authors' backtracking from 20"
    )
    rho_schedule: Literal["constant", "authors"] = Field(
        "constant", description="authors: ρ and ν × 10 (up to 1) when the training cost stalls"
    )


@dataclass
class LayerState:
    """Variables of one layer. ``p`` is the input x in layer 1, and ``q``, ``u`` are absent in the output layer."""

    W: Tensor
    b: Tensor
    p: Tensor
    z: Tensor
    r: Tensor
    """Carried residual p Wᵀ + b − z."""
    v: Tensor | None = None
    """q − u/ρ of the layer before, which p is pulled to; None in layer 1, where p is fixed."""
    q: Tensor | None = None
    u: Tensor | None = None
    q_old: Tensor | None = None
    wire: Wire = field(default_factory=Wire, metadata={"state": False})
    """How p and v of this layer travel, or are rounded where they need not."""
    wire_right: Wire = field(default_factory=Wire, metadata={"state": False})
    """The same for the next layer's."""


@dataclass
class State:
    """Variables of a block, and what its right neighbour said last."""

    layers: list[LayerState]
    rho: float
    nu: float
    factor: float
    """What ρ and ν are multiplied by before the next q-update (the schedule's decision)."""
    costs: list[float]
    started: bool
    """Whether an iteration is over, so that v of the block before is on its way."""
    y: Tensor = field(metadata={"state": False})
    links: Links = field(metadata={"state": False})
    p_right: Tensor | None = field(default=None, metadata={"state": False})
    scratch: Scratch = field(default_factory=Scratch, metadata={"state": False})


class PdADMM(Optimizer[State]):
    """The paper's method with the exact majoriser and a carried residual."""

    summary: ClassVar[str] = "layer-parallel, gradient-free ADMM (ICDM 2020; TNNLS 2022)"
    Hyperparameters: ClassVar[type[Typed]] = PdADMMHyperparameters

    def cautions(self) -> list[str]:
        rho, nu = self.hyperparameters.rho, self.hyperparameters.nu
        if rho > 4 * nu:
            return []
        return [f"rho={rho:g}, nu={nu:g} is outside the convergence theorem (rho > 4 nu): the Lagrangian may rise"]

    def wires(self) -> dict[str, Wire]:
        return {"fp32": Wire(), "bf16": BFloat16()}

    def init(self, problem: Problem, layers: Sequence[Layer], block: Block, links: Links) -> State:
        """Feed-forward start: p_{l+1} = q_l = f(z_l), u = 0 and every residual zero."""
        p = links.left.take(len(problem.train.x)) if links.left else problem.train.x
        states: list[LayerState] = []
        for index, (weight, bias) in zip(block, layers, strict=True):
            z = torch.addmm(bias, p, weight.T)
            state = LayerState(W=weight.clone(), b=bias.clone(), p=p, z=z, r=torch.zeros_like(z))
            if index > 0:
                state.wire = links.wire.fitted(p)
                state.v = state.wire.round(p).clone()
            if index < block.total - 1:
                state.q, state.u, state.q_old = z.relu(), torch.zeros_like(z), torch.zeros_like(z)
                state.wire_right = links.wire.fitted(state.q)
                p = state.q.clone()
            states.append(state)
        if links.left:
            links.left.wire = states[0].wire
        if links.right:
            links.right.wire = states[-1].wire_right
            links.right.hand(p)
        settings = self.hyperparameters
        return State(states, settings.rho, settings.nu, 1.0, [], False, problem.train.y, links)

    def step(self, state: State) -> None:
        left, right, layers = state.links.left, state.links.right, state.layers
        rho, nu = state.rho * state.factor, state.nu * state.factor
        if right:
            right.expect()
        if left and state.started:
            layers[0].v = left.receive()
        # Boundary layers first: their tensors then travel while the inner layers are updated.
        boundary = layers[:1] + layers[1:][-1:]
        for layer in boundary:
            self.update_layer(layer, state)
        if right:
            state.p_right = right.receive()
            v = state.scratch.like("v", layers[-1].z)
            self.update_q_and_u(layers[-1], state.p_right, v, nu, rho, state.scratch)
            right.send(v)
        for layer in layers[1:-1]:
            self.update_layer(layer, state)
        for layer, following in pairwise(layers):
            assert following.v is not None
            p_next = following.wire.round(following.p)
            self.update_q_and_u(layer, p_next, following.v, nu, rho, state.scratch)
            following.v = following.wire.round(following.v)
        if left:
            left.expect()
        state.rho, state.nu, state.factor, state.started = rho, nu, 1.0, True

    def update_layer(self, layer: LayerState, state: State) -> None:
        """p → W → b → z of one layer, which no other layer's update interferes with."""
        if layer.v is not None:
            self.update_p(layer, state)
            if state.links.left and layer is state.layers[0]:
                state.links.left.send(layer.p)
        self.update_W(layer, state)
        self.update_b(layer)
        self.update_z(layer, state)

    def update_p(self, layer: LayerState, state: State) -> None:
        """p ← p − g/τ, and the residual with it."""
        assert layer.v is not None
        gradient = state.scratch.like("gradient", layer.p)
        sub.p_gradient(layer.r, layer.W, layer.p, layer.v, state.nu, state.rho, out=gradient)
        image = torch.mm(gradient, layer.W.T, out=state.scratch.like("image", layer.r))
        step = self.step_size(sub.curvature(gradient, image, state.nu, state.rho))
        layer.p.addcmul_(gradient, step, value=-1)
        layer.r.addcmul_(image, step, value=-1)

    def update_W(self, layer: LayerState, state: State) -> None:
        """W ← W − G/θ, and the residual with it."""
        gradient, mu = state.scratch.like("gradient", layer.W), self.hyperparameters.mu
        sub.W_gradient(layer.r, layer.p, layer.W, state.nu, mu, out=gradient)
        image = torch.mm(layer.p, gradient.T, out=state.scratch.like("image", layer.r))
        step = self.step_size(sub.curvature(gradient, image, state.nu, mu))
        layer.W.addcmul_(gradient, step, value=-1)
        layer.r.addcmul_(image, step, value=-1)

    def update_b(self, layer: LayerState) -> None:
        """b ← b − mean r, the exact minimiser."""
        mean = layer.r.mean(0)
        layer.b -= mean
        layer.r -= mean

    def update_z(self, layer: LayerState, state: State) -> None:
        """Closed form in hidden layers, exact root finding in the output layer; then r = a − z."""
        if layer.q is None:
            a = layer.r.add_(layer.z)
            layer.z = sub.output_z(a, state.y, state.nu)
            layer.r.sub_(layer.z)
            return
        for r, z, q in row_blocks(layer.r, layer.z, layer.q):
            a = r.add_(z)
            sub.hidden_z(a, z, q, out=z, scratch=state.scratch)
            r.sub_(z)

    def update_q_and_u(
        self, layer: LayerState, p_next: Tensor, v: Tensor, nu: float, rho: float, scratch: Scratch
    ) -> None:
        """q, then u, given the next layer's new p; ``v`` becomes q − u/ρ, all that the next p needs of both."""
        assert layer.q is not None
        assert layer.q_old is not None
        assert layer.u is not None
        layer.q, layer.q_old = layer.q_old, layer.q
        for p, z, q, u, pull in row_blocks(p_next, layer.z, layer.q, layer.u, v):
            activation = torch.clamp(z, min=0, out=scratch.like("activation", z))
            self.round_q(layer, sub.q_minimiser(p, u, activation, nu, rho, out=q))
            u.add_(p, alpha=rho).sub_(q, alpha=rho)
            torch.add(q, u, alpha=-1 / rho, out=pull)

    def round_q(self, layer: LayerState, q: Tensor) -> None:
        """A place for methods that restrict q to round it."""

    def step_size(self, tau: Tensor) -> Tensor:
        """The step for a subproblem of curvature τ under the chosen rule."""
        return sub.exact_step(tau) if self.hyperparameters.step_rule == "exact" else sub.backtracking_step(tau)

    def evaluated(self, state: State, training_cost: float) -> None:
        if self.hyperparameters.rho_schedule == "constant":
            return
        state.costs = [*state.costs[-2:], training_cost]
        falls = [before - after for before, after in pairwise(state.costs)]
        if len(falls) == 2 and max(falls) < RHO_MIN_DECREASE:
            state.factor = max(1.0, min(RHO_FACTOR, RHO_CAP / state.rho))

    def report(self, state: State) -> Report:
        """The Lagrangian (``objective``), Σ‖p_{l+1} − q_l‖² (``primal_residual``), Σ‖ρ Δq_l‖² (``dual_residual``)."""
        objective, primal, dual, loss = (per_layer(len(state.layers), state.y.device) for _ in range(4))
        following = [layer.wire.round(layer.p) for layer in state.layers[1:]] + [state.p_right]
        for i, (layer, p_next) in enumerate(zip(state.layers, following, strict=True)):
            objective[i] = state.nu / 2 * square(layer.r) + self.hyperparameters.mu / 2 * square(layer.W)
            if layer.q is None:
                risk = loss_sum(layer.z, state.y)
                objective[i] += risk
                loss[i] = risk / len(state.y)
            elif p_next is not None:
                assert layer.u is not None
                assert layer.q_old is not None
                gap = p_next - layer.q
                primal[i] = square(gap)
                dual[i] = state.rho**2 * square(layer.q - layer.q_old)
                objective[i] += state.nu / 2 * square(layer.q - layer.z.relu())
                objective[i] += state.rho / 2 * primal[i] + (layer.u.double() * gap.double()).sum()
        return {"objective": objective, "primal_residual": primal, "dual_residual": dual, "loss": loss}

    def layers(self, state: State) -> list[Layer]:
        return [Layer(layer.W, layer.b) for layer in state.layers]

    def restore(self, state: State, snapshot: Any) -> None:
        super().restore(state, snapshot)
        if state.started and state.links.left:
            state.links.left.expect()
        if state.started and state.links.right:
            last = state.layers[-1]
            assert last.q is not None
            assert last.u is not None
            state.links.right.send(torch.add(last.q, last.u, alpha=-1 / state.rho))
