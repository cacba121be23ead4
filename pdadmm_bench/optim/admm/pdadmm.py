"""pdADMM: parallel deep learning by the alternating direction method of multipliers, without gradients of the network.

Wang, Chai, Cheng, Zhao (ICDM 2020, arXiv 2009.02868); Wang et al. (TNNLS 2022, arXiv 2105.09837). One iteration runs
p → W → b → z → q → u; each line is independent over layers, which is why layers can live on different workers.

Three facts make it cheap. The subproblems of p and W are quadratic, so the majoriser that the papers search for by
backtracking is a closed form. The residual r = p Wᵀ + b − z is carried through every update, never recomputed, so a
hidden layer costs four matrix products. And after a q-update u = ν(q − f(z)), so neither u nor v = q − u/ρ is kept: a
hidden layer holds p, z, r and q, and z, q, u are one pass over them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.typed import Typed
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.models import mlp
from pdadmm_bench.models.mlp import Layer
from pdadmm_bench.optim.admm import subproblems as sub
from pdadmm_bench.optim.admm.buffers import BLOCK_VALUES, Scratch, row_blocks, temporary
from pdadmm_bench.optim.admm.descent import DECAY_DESCRIPTION, Affine, Decay, Descent, Weights, layer_weights, spread
from pdadmm_bench.optim.admm.products import Products
from pdadmm_bench.optim.base import Links, Optimizer, Report, loss_sum, per_layer, square
from pdadmm_bench.optim.compiled import fused
from pdadmm_bench.optim.wire import BFloat16, Wire

RHO_CAP, RHO_FACTOR, RHO_MIN_DECREASE = 1.0, 10.0, 1e-3
"""The authors' schedule: ρ × 10, up to 1, when the training cost fell by less than 0.001 twice running."""
GROUP_VALUES = BLOCK_VALUES
"""Values of an array up to which equal layers are batched: what elementwise work keeps in a cache."""
BF16_REFRESH = 25
"""Iterations between exact residuals under bf16 products, unless ``refresh`` says otherwise."""


class PdADMMHyperparameters(Typed):
    """Penalties and step rules of pdADMM."""

    rho: float = Field(1e-3, gt=0, description="ρ, penalty of p_{l+1} = q_l")
    nu: float = Field(1e-3, gt=0, description="ν, penalty of the layer equations")
    mu: float = Field(1e-3, ge=0, description="μ, weight decay")
    mu_per: Literal["layer", "input", "spread"] = Field(
        "layer",
        description="input: μ times the number of a layer's inputs, as its penalty ν‖p Wᵀ − z‖² grows with them; "
        "spread: the same, but in the first layer times the spread of the features' rows",
    )
    decay: Decay = Field("zero", description=DECAY_DESCRIPTION)
    step_rule: Literal["exact", "backtracking"] = Field(
        "exact", description="closed-form majoriser, or the authors' backtracking from 20"
    )
    rho_schedule: Literal["constant", "authors"] = Field(
        "constant", description="authors: ρ and ν × 10 (up to 1) when the training cost stalls"
    )
    first_layer: Literal["auto", "features", "samples"] = Field(
        "auto", description="form of the first layer's weights: the matrix, or coefficients of the training rows"
    )
    refresh: int | None = Field(
        None, ge=0, description="iterations between exact residuals, 0 for never (default: 0, and 25 with bf16)"
    )


@dataclass
class LayerState(Affine):
    """Variables of one layer. ``p`` is the input x in layer 1, and ``q`` is absent in the output layer."""

    p: Tensor
    z: Tensor
    r: Tensor
    """Carried residual p Wᵀ + b − z."""
    mu: float = field(default=0.0, metadata={"state": False})
    """Decay of this layer's weights."""
    q: Tensor | None = None
    u: Tensor | None = None
    """The dual, where a method restricts q; elsewhere it is ν(q − f(z))."""
    v: Tensor | None = None
    """q − u/ρ of the layer before, where that layer is another worker's."""
    moved: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    """‖q − q of the iteration before‖²."""
    wire: Wire = field(default_factory=Wire, metadata={"state": False})
    """How p and v of this layer travel, or are rounded where they need not."""
    wire_right: Wire = field(default_factory=Wire, metadata={"state": False})
    """The same for the next layer's."""


@dataclass
class Group:
    """Layers that are updated together: one, or a batch of equal ones with a leading dimension."""

    layer: LayerState
    before: list[Tensor]
    """q and z (and u) of the layers before, which p is pulled to; empty for the first layer of a block."""
    p_next: Tensor
    """p of the layers after."""
    wire: Wire
    """How it travels."""


class Fused(NamedTuple):
    """The compiled elementwise passes."""

    gap: Callable[..., Tensor]
    z_q_u: Callable[..., Tensor]


@dataclass
class State:
    """Variables of a block, and what its right neighbour said last."""

    layers: list[LayerState]
    rho: float
    nu: float
    next_rho: float
    """ρ and ν from the next q-update on (the schedule's decision)."""
    next_nu: float
    costs: list[float]
    iteration: int
    """Iterations done; v of the block before is on its way from the first on."""
    y: Tensor = field(metadata={"state": False})
    links: Links = field(metadata={"state": False})
    descent: Descent = field(metadata={"state": False})
    p_right: Tensor | None = field(default=None, metadata={"state": False})
    fused: Fused | None = field(default=None, metadata={"state": False})
    groups: list[Group] = field(default_factory=list, metadata={"state": False})
    """All layers but the last, from right to left."""

    @property
    def scratch(self) -> Scratch:
        """The buffers of all updates."""
        return self.descent.products.scratch


class PdADMM(Optimizer[State]):
    """The paper's method with the exact majoriser and a carried residual."""

    summary: ClassVar[str] = "layer-parallel, gradient-free ADMM (ICDM 2020; TNNLS 2022)"
    Hyperparameters: ClassVar[type[Typed]] = PdADMMHyperparameters
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "tf32", "bf16")
    compiles: ClassVar[bool] = True

    def cautions(self) -> list[str]:
        rho, nu = self.hyperparameters.rho, self.hyperparameters.nu
        if rho > 4 * nu:
            return []
        return [f"rho={rho:g}, nu={nu:g} is outside the convergence theorem (rho > 4 nu): the Lagrangian may rise"]

    def steady(self) -> bool:
        return self.hyperparameters.rho_schedule == "constant" and self.refresh_period == 0

    @property
    def refresh_period(self) -> int:
        """Iterations between exact residuals, 0 for never."""
        if self.hyperparameters.refresh is not None:
            return int(self.hyperparameters.refresh)
        return BF16_REFRESH if self.precision == "bf16" else 0

    def wires(self) -> dict[str, Wire]:
        return {"fp32": Wire(), "bf16": BFloat16()}

    def init(self, problem: Problem, layers: Sequence[Layer], block: Block, links: Links) -> State:
        """Feed-forward start: p_{l+1} = q_l = f(z_l), u = 0 and every residual zero."""
        p = links.left.take(len(problem.train.x)) if links.left else problem.train.x
        settings = self.hyperparameters
        states: list[LayerState] = []
        for index, (weight, bias) in zip(block, layers, strict=True):
            z = torch.addmm(bias, p, weight.T)
            weights = layer_weights(index, block.total, weight, p, settings.first_layer, settings.decay)
            state = LayerState(
                weights=weights, b=bias.clone(), p=p, z=z, r=torch.zeros_like(z), mu=self.mu_of(index, p)
            )
            state.moved = state.moved.to(z.device)
            if index > 0:
                state.wire = links.wire.fitted(p)
            if index < block.total - 1:
                state.q = z.relu()
                state.wire_right = links.wire.fitted(state.q)
                p = state.q.clone()
            states.append(state)
        if links.left:
            links.left.wire = states[0].wire
            states[0].v = states[0].wire.round(states[0].p).clone()
        if links.right:
            links.right.wire = states[-1].wire_right
            links.right.hand(p)
        descent = Descent(self.step_size, Products(self.precision, self.compile))
        passes = Fused(fused(gap_of), fused(z_q_u)) if self.compile else None
        return State(
            states, settings.rho, settings.nu, settings.rho, settings.nu, [], 0, problem.train.y, links,
            descent=descent, fused=passes,
        )  # fmt: skip

    def mu_of(self, index: int, p: Tensor) -> float:
        """μ of layer ``index``, whose input is p (N, n)."""
        settings = self.hyperparameters
        if settings.mu_per == "layer":
            return float(settings.mu)
        return float(settings.mu * (spread(p) if settings.mu_per == "spread" and index == 0 else p.shape[1]))

    def step(self, state: State) -> None:
        left, right, layers = state.links.left, state.links.right, state.layers
        first, last = layers[0], layers[-1]
        rho, nu = state.next_rho, state.next_nu
        if right:
            right.expect()
        if left and state.iteration > 0:
            with self.part("exchange"):
                first.v = left.receive()
        state.groups = state.groups or self.groups(layers)
        # Boundary layers first: their tensors then travel while the inner layers are updated.
        self.update_p_W(first, [], state)
        if last is not first:
            self.update_p_W(last, _variables(layers[-2]), state)
        if right:
            with self.part("exchange"):
                state.p_right = right.receive()
            self.update_b_z_q_u(last, state.p_right, Wire(), nu, rho, state)
            with self.part("exchange"):
                right.send(self.message(last, nu, rho, state.scratch))
        else:
            self.update_b_z_output(last, state)
        # Then from right to left: p of a layer reads q and z of the layer before as they were, and z, q, u of a layer
        # read the new p of the layer after.
        for group in state.groups:
            if group.before:
                self.update_p_W(group.layer, group.before, state)
            self.update_b_z_q_u(group.layer, group.p_next, group.wire, nu, rho, state)
        if left:
            left.expect()
        state.rho, state.nu, state.iteration = rho, nu, state.iteration + 1

    def groups(self, layers: Sequence[LayerState]) -> list[Group]:
        """All layers but the last one by one, from right to left; inner ones in batches where they are small."""
        size = GROUP_VALUES // layers[0].z.numel()
        alike = all(type(layer.wire) is Wire and layer.u is None for layer in layers)
        if not self.deterministic and alike and size > 1 and len(layers) > 3:
            return batched(layers, size)
        return [
            Group(layer, _variables(layers[index - 1]) if index else [], following.p, following.wire)
            for index, (layer, following) in enumerate(pairwise(layers))
        ][::-1]

    def update_p_W(self, layer: LayerState, before: Sequence[Tensor], state: State) -> None:
        """p and W of a layer, ``before`` being q, z (and u) of the layer in this block that p is pulled to."""
        self.refresh(layer, state)
        if before or layer.v is not None:
            with self.part("p"):
                self.update_p(layer, self.gap(layer, before, state), state)
            if not before and state.links.left:
                with self.part("exchange"):
                    state.links.left.send(layer.p)
        with self.part("W"):
            layer.weights.descend(state.descent, layer.p, layer.r, state.nu, layer.mu)

    def gap(self, layer: LayerState, before: Sequence[Tensor], state: State) -> Tensor:
        """p − v, v being what the layer before wants p to be."""
        out = state.scratch.like("gradient", layer.p)
        if not before:
            assert layer.v is not None
            return torch.sub(layer.p, layer.v, out=out)
        if state.fused and len(before) == 2:
            return state.fused.gap(out, layer.p, *before, nu=state.nu, rho=state.rho, wire=layer.wire)
        for rows, p, *variables in row_blocks(out, layer.p, *before):
            gap_of(rows, p, *variables, nu=state.nu, rho=state.rho, wire=layer.wire, scratch=state.scratch)
        return out

    def message(self, layer: LayerState, nu: float, rho: float, scratch: Scratch) -> Tensor:
        """v of the block's last layer, which the right neighbour waits for."""
        message = scratch.like("gradient", layer.z)  # free by now
        for out, *variables in row_blocks(message, *_variables(layer)):
            v_of(out, *variables, nu=nu, rho=rho, scratch=scratch)
        return message

    def update_p(self, layer: LayerState, gap: Tensor, state: State) -> None:
        """p ← p − g/τ, and the residual with it."""
        state.descent.descend_p(layer.p, gap, layer.r, layer.W, state.nu, state.rho)

    def update_b(self, layer: LayerState, state: State) -> Tensor:
        """b, and what that takes off every row of r, which the next pass over r makes good."""
        with self.part("b"):
            shift = sub.column_mean(layer.r, state.scratch)
            layer.b -= shift
        return shift

    def update_b_z_output(self, layer: LayerState, state: State) -> None:
        """b, then z_L by exact root finding; then r = a − z."""
        shift = self.update_b(layer, state)
        with self.part("z_L"):
            a = layer.r.sub_(shift).add_(layer.z)
            sub.output_z(a, state.y, state.nu, layer.z, out=layer.z, scratch=state.scratch)
            layer.r.sub_(layer.z)

    def update_b_z_q_u(
        self, layer: LayerState, p_next: Tensor, wire: Wire, nu: float, rho: float, state: State
    ) -> None:
        """b, then z, q and u of a hidden layer, given the next layer's new p."""
        shift = self.update_b(layer, state)
        with self.part("z, q, u"):
            if state.fused and layer.u is None:
                p, variables = wire.round(p_next), _variables(layer)
                layer.moved.copy_(
                    state.fused.z_q_u(p, layer.r, *variables, shift=shift, before=state.nu, nu=nu, rho=rho)
                )
                return
            layer.moved.zero_()
            for p, r, *variables in row_blocks(p_next, layer.r, *_variables(layer)):
                restrict = None if layer.u is None else partial(self.restrict, layer)
                layer.moved += z_q_u(
                    wire.round(p), r, *variables, shift=shift, before=state.nu, nu=nu, rho=rho,
                    restrict=restrict, scratch=state.scratch,
                )  # fmt: skip

    def restrict(self, layer: LayerState, q: Tensor) -> Tensor:
        """A place for methods that restrict q; those keep u."""
        return q

    def refresh(self, layer: LayerState, state: State) -> None:
        """Recompute the residual exactly, where and when rounding would build up in it."""
        period = self.refresh_period
        if period and state.iteration > 0 and state.iteration % period == 0:
            with self.part("refresh"):
                torch.matmul(layer.p, layer.W.mT, out=layer.r).add_(layer.b).sub_(layer.z)

    def step_size(self, tau: Tensor) -> Tensor:
        """The step for a subproblem of curvature τ under the chosen rule."""
        return sub.exact_step(tau) if self.hyperparameters.step_rule == "exact" else sub.backtracking_step(tau)

    def evaluated(self, state: State, step: Mapping[str, float]) -> None:
        if self.hyperparameters.rho_schedule == "constant":
            return
        state.costs = [*state.costs[-2:], step["loss_train"]]
        falls = [before - after for before, after in pairwise(state.costs)]
        if len(falls) == 2 and max(falls) < RHO_MIN_DECREASE:
            factor = max(1.0, min(RHO_FACTOR, RHO_CAP / state.rho))
            state.next_rho, state.next_nu = factor * state.rho, factor * state.nu

    def report(self, state: State) -> Report:
        """The Lagrangian (``objective``), Σ‖p_{l+1} − q_l‖² (``primal_residual``), Σ‖ρ Δq_l‖² (``dual_residual``)."""
        objective, primal, dual, loss = (per_layer(len(state.layers), state.y.device) for _ in range(4))
        following: list[tuple[Tensor | None, Wire]] = [(layer.p, layer.wire) for layer in state.layers[1:]]
        following.append((state.p_right, Wire()))
        for i, (layer, (p_next, wire)) in enumerate(zip(state.layers, following, strict=True)):
            objective[i] = state.nu / 2 * square(layer.r) + layer.mu / 2 * layer.weights.decayed()
            if layer.q is None:
                risk = loss_sum(layer.z, state.y)
                objective[i] += risk
                loss[i] = risk / len(state.y)
            elif p_next is not None:
                dual[i] = state.rho**2 * layer.moved
                for p, q, z, *stored in row_blocks(p_next, *_variables(layer)):
                    gap, error = wire.round(p) - q, q - z.relu()
                    u = stored[0] if stored else state.nu * error
                    primal[i] += square(gap)
                    objective[i] += state.nu / 2 * square(error) + (u.double() * gap.double()).sum()
                objective[i] += state.rho / 2 * primal[i]
        return {"objective": objective, "primal_residual": primal, "dual_residual": dual, "loss": loss}

    def layers(self, state: State) -> list[Layer]:
        return [Layer(layer.W, layer.b) for layer in state.layers]

    def predict(self, state: State, x: Tensor, block: Block) -> Tensor:
        return mlp.forward(state.layers, x, block)

    def restore(self, state: State, snapshot: Any) -> None:
        super().restore(state, snapshot)
        if state.iteration > 0 and state.links.left:
            state.links.left.expect()
        if state.iteration > 0 and state.links.right:
            state.links.right.send(self.message(state.layers[-1], state.nu, state.rho, state.scratch))


def v_of(
    out: Tensor, q: Tensor, z: Tensor, u: Tensor | None = None, *, nu: float, rho: float, scratch: Scratch | None = None
) -> Tensor:
    """q − u/ρ of some rows of a layer, u being ν(q − f(z)) where it is not kept."""
    if u is not None:
        return torch.add(q, u, alpha=-1 / rho, out=out)
    activation = torch.clamp(z, min=0, out=temporary(scratch, "activation", z))
    return sub.pull(q, activation, nu, rho, out=out)


def gap_of(
    out: Tensor, p: Tensor, q: Tensor, z: Tensor, u: Tensor | None = None,
    *, nu: float, rho: float, wire: Wire, scratch: Scratch | None = None,
) -> Tensor:  # fmt: skip
    """p − v of some rows, q, z and u being those of the layer before."""
    return torch.sub(p, wire.round(v_of(out, q, z, u, nu=nu, rho=rho, scratch=scratch)), out=out)


def z_q_u(
    p: Tensor, r: Tensor, q: Tensor, z: Tensor, u: Tensor | None = None,
    *, shift: Tensor, before: float, nu: float, rho: float,
    restrict: Callable[[Tensor], Tensor] | None = None, scratch: Scratch | None = None,
) -> Tensor:  # fmt: skip
    """z, q and u of some rows of a hidden layer, in place, and the residual with them; ‖change of q‖².

    Elementwise from end to end, so one pass over memory is enough: in blocks of rows with a ``scratch``, or fused by a
    compiler without one.

    Args:
        p: (N, n) the next layer's new p; r: residual, to which z has to be added back; q, z: the layer's.
        u: the dual where it is kept, else ν(q − f(z)).
        shift: (n,) what b's update takes off the rows of r.
        before: ν of the last q-update, which u came from; nu, rho: of this one.
        restrict: what a q restricted to a set has to go through.
    """
    activation = torch.clamp(z, min=0, out=temporary(scratch, "activation", z))
    if u is not None:
        u_by_nu = torch.mul(u, 1 / nu, out=temporary(scratch, "u", u))
    else:
        u_by_nu = torch.sub(q, activation, out=temporary(scratch, "u", q))
        if before != nu:
            u_by_nu.mul_(before / nu)
    a = r.sub_(shift).add_(z)
    sub.hidden_z(a, z, q, out=z, scratch=scratch)
    r.sub_(z)
    torch.clamp(z, min=0, out=activation)
    q_new = sub.q_minimiser(p, u_by_nu.add_(activation), nu, rho, out=u_by_nu)
    if u is not None:
        q_new = restrict(q_new) if restrict else q_new
        u.add_(p, alpha=rho).sub_(q_new, alpha=rho)
    moved = sub.norm(q.sub_(q_new)).square()
    q.copy_(q_new)
    return moved


def batched(layers: Sequence[LayerState], size: int) -> list[Group]:
    """Groups of the inner layers of a block, ``size`` at most in one; their tensors become parts of common ones.

    Small products and elementwise work cost their calls more than their arithmetic, and a batch makes the calls once.
    """
    p = _joined(layers[1:], "p")
    z, r, q = (_joined(layers[:-1], name) for name in ("z", "r", "q"))
    inner = layers[1:-1]
    b, moved = _joined(inner, "b").unsqueeze(1), _joined(inner, "moved").view(-1, 1, 1)
    weights: list[Any] = [layer.weights for layer in inner]
    W, to_identity = _joined(weights, "W"), weights[0].to_identity
    groups = [Group(layers[0], [], p[0], layers[1].wire)]
    for start in range(0, len(inner), size):
        stop = min(start + size, len(inner))
        some, after = slice(start, stop), slice(start + 1, stop + 1)  # of what goes in, and of what comes out
        layer = LayerState(
            Weights(W[some], to_identity), b[some], p[some], z[after], r[after],
            mu=inner[0].mu, q=q[after], moved=moved[some],
        )  # fmt: skip
        groups.append(Group(layer, [q[some], z[some]], p[after], Wire()))
    return groups[::-1]


def _joined(holders: Sequence[Any], name: str) -> Tensor:
    """The attribute ``name`` of all holders in one tensor, of which theirs are views from now on."""
    joined = torch.stack([getattr(holder, name) for holder in holders])
    for holder, part in zip(holders, joined, strict=True):
        setattr(holder, name, part)
    return joined


def _variables(layer: LayerState) -> list[Tensor]:
    """q and z of a hidden layer, and u where it is kept: what its z, q, u and v are computed from."""
    assert layer.q is not None
    return [layer.q, layer.z] if layer.u is None else [layer.q, layer.z, layer.u]
