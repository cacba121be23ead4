"""pdADMM: parallel deep learning by the alternating direction method of multipliers, without gradients of the network.

Wang, Chai, Cheng, Zhao (ICDM 2020, arXiv 2009.02868); Wang et al. (TNNLS 2022, arXiv 2105.09837). One iteration runs
p → W → b → z → q → u. Each of these updates is independent over layers, so layers can be on different workers.

Three facts make an iteration cheap. The subproblems of p and W are quadratic, so the majoriser that the papers search
for by backtracking has a closed form. The residual r = p Wᵀ + b − z is carried through every update and never
recomputed, so a hidden layer takes four matrix products. After a q-update u = ν(q − f(z)), so neither u nor v = q − u/ρ
is kept: a hidden layer holds p, z, r and q, and z, q and u are updated in one pass over them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.typed import Typed
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.models.mlp import Layer
from pdadmm_bench.optim.admm import costate, penalty_schedule
from pdadmm_bench.optim.admm import subproblems as sub
from pdadmm_bench.optim.admm.base import ADMMOptimizer
from pdadmm_bench.optim.admm.batching import batch_size, in_batches
from pdadmm_bench.optim.admm.buffers import Scratch, row_blocks
from pdadmm_bench.optim.admm.elementwise import gap_of, v_of, z_q_u
from pdadmm_bench.optim.admm.output_layer import output_z_in_steps
from pdadmm_bench.optim.admm.products import full_precision
from pdadmm_bench.optim.admm.state import CompiledPasses, LayerBatch, PdADMMLayer, PdADMMState
from pdadmm_bench.optim.admm.weights import spread
from pdadmm_bench.optim.base import Links, Report, inner, loss_sum, per_layer, square
from pdadmm_bench.optim.compiled import compile_elementwise
from pdadmm_bench.optim.cost import PDADMM, CostProfile, on_device, with_steps
from pdadmm_bench.optim.hyperparameters.admm import PdADMMHyperparameters
from pdadmm_bench.optim.hyperparameters.choices import EXACT
from pdadmm_bench.optim.reduction import Reduction
from pdadmm_bench.optim.wire import BFloat16, Wire

REFRESH = {"bf16": 25, "tf32": 25}
"""Iterations between exact residuals with products of low precision, unless ``refresh`` is given."""


class PdADMM(ADMMOptimizer[PdADMMState]):
    """The papers' method with the exact majoriser and a carried residual."""

    summary: ClassVar[str] = "layer-parallel, gradient-free ADMM (ICDM 2020; TNNLS 2022)"
    Hyperparameters: ClassVar[type[Typed]] = PdADMMHyperparameters
    compiles: ClassVar[bool] = True
    splits_rows: ClassVar[bool] = True
    batches: ClassVar[bool] = True
    """Whether small equal layers may be updated together."""
    z_pass: ClassVar[Callable[..., Tensor]] = staticmethod(z_q_u)
    """The elementwise pass over a hidden layer that follows the update of b."""

    def cautions(self) -> list[str]:
        rho, nu = self.hyperparameters.rho, self.hyperparameters.nu
        if rho > 4 * nu:
            return []
        return [f"rho={rho:g}, nu={nu:g} is outside the convergence theorem (rho > 4 nu): the Lagrangian may rise"]

    def steady(self) -> bool:
        settings = self.hyperparameters
        return settings.rho_schedule == "constant" and self.refresh_period == 0 and settings.step not in EXACT

    @property
    def refresh_period(self) -> int:
        """Iterations between exact residuals, 0 for never."""
        if self.hyperparameters.refresh is not None:
            return int(self.hyperparameters.refresh)
        return REFRESH.get(self.precision, 0)

    @property
    def cost_profile(self) -> CostProfile:
        return with_steps(self.layer_steps(), self.hyperparameters.step, self.hyperparameters.bias, self.precision)

    def layer_steps(self) -> CostProfile:
        """The profile with one step per layer."""
        return PDADMM if self.device == "cpu" else on_device(PDADMM, solved=1, compiled=self.compile)

    def wires(self) -> dict[str, Wire]:
        return {"fp32": Wire(), "bf16": BFloat16()}

    def init(self, problem: Problem, layers: Sequence[Layer], block: Block, links: Links) -> PdADMMState:
        """Feed-forward start: p_{l+1} = q_l = f(z_l), u = 0 and every residual zero."""
        settings = self.hyperparameters
        states: list[PdADMMLayer] = []
        descent = self.descent(links.reduce)
        for start in self.feed_forward_start(problem, layers, block, links, descent):
            layer = PdADMMLayer(
                start.weights, start.b, start.p, start.z, torch.zeros_like(start.z),
                mu=self.mu_of(start.index, start.p, links.reduce),
            )  # fmt: skip
            layer.moved = layer.moved.to(start.z.device)
            if start.index > 0:
                layer.wire = links.wire.fitted(links.reduce.largest(start.p.max()))
            if start.output is not None:
                layer.q = start.output.clone()
                layer.wire_right = links.wire.fitted(links.reduce.largest(layer.q.max()))
            states.append(layer)
        if links.left:
            links.left.wire = states[0].wire
            states[0].v = states[0].wire.round(states[0].p).clone()
        if links.right:
            links.right.wire = states[-1].wire_right
        functions: list[Callable[..., Any]] = [gap_of, self.z_pass, output_z_in_steps]
        passes = CompiledPasses(*map(compile_elementwise, functions)) if self.compile else None
        stiffness = block.total / 2 if settings.nu_per == "depth" else 1.0
        rho, nu = stiffness * settings.rho, stiffness * settings.nu
        return PdADMMState(
            states, rho, nu, rho, nu, [], 0, problem.train.y, links,
            descent=descent, second=self.descent(links.reduce), compiled=passes,
        )  # fmt: skip

    def mu_of(self, index: int, p: Tensor, reduce: Reduction) -> float:
        """μ of layer ``index``, whose input is p (N, n)."""
        settings = self.hyperparameters
        if settings.mu_per == "layer":
            return float(settings.mu)
        return float(settings.mu * (spread(p, reduce) if settings.mu_per == "spread" and index == 0 else p.shape[1]))

    def step(self, state: PdADMMState) -> None:
        left, right, layers = state.links.left, state.links.right, state.layers
        first, last = layers[0], layers[-1]
        rho, nu = state.next_rho, state.next_nu
        if state.iteration == 0 and self.hyperparameters.start == "costate":
            with self.part("start"), full_precision():
                costate.start(state, self.placed)
        if right:
            right.post_receive()
        if left and state.iteration > 0:
            with self.part("exchange"):
                first.v = left.receive()
        if not state.batches:
            rows = state.links.reduce.longest(len(first.z))
            together = self.batches and not self.deterministic
            state.batches = in_batches(layers, batch_size(layers, rows) if together else 1)
        # Boundary layers come first, so that their tensors travel while the inner layers are updated.
        self.update_p_W(first, [], state)
        if last is not first:
            self.update_p_W(last, layers[-2].variables(), state)
        if right:
            with self.part("exchange"):
                state.p_right = right.receive()
            self.update_b_z_q_u(last, state.p_right, Wire(), nu, rho, state)
            with self.part("exchange"):
                right.send(self.message(last, nu, rho, state.scratch))
        else:
            self.update_b_z_output(last, state)
        # Then p and W of the other layers, from the old q and z of the layers before; and only then, from the new p of
        # the layers after, their b, z, q and u. Within each of the two, no layer reads what another one writes.
        in_turns = state.links.reduce.in_turns
        in_turns(partial(self.update_p_W_in, state, batch) for batch in state.batches if batch.before)
        in_turns(partial(self.update_b_z_q_u_in, state, batch, nu, rho) for batch in state.batches)
        state.rho, state.nu, state.iteration = rho, nu, state.iteration + 1

    def update_p_W_in(self, state: PdADMMState, batch: LayerBatch, lane: int) -> None:
        """:meth:`update_p_W` of the layers of a batch, with the buffers of a lane."""
        self.update_p_W(batch.layer, batch.before, state.in_lane(lane))

    def update_b_z_q_u_in(self, state: PdADMMState, batch: LayerBatch, nu: float, rho: float, lane: int) -> None:
        """:meth:`update_b_z_q_u` of the layers of a batch, with the buffers of a lane."""
        self.update_b_z_q_u(batch.layer, batch.p_next, batch.wire, nu, rho, state.in_lane(lane))

    def update_p_W(self, layer: PdADMMLayer, before: Sequence[Tensor], state: PdADMMState) -> None:
        """Update p and W of a layer; ``before`` is q, z (and u) of the layer before, where this block has it."""
        self.refresh(layer, state)
        if before or layer.v is not None:
            with self.part("p"):
                self.update_p(layer, self.gap(layer, before, state), state)
            if not before and state.links.left:
                with self.part("exchange"):
                    state.links.left.send(layer.p)
                    # Posted now, v arrives while the layers between are updated: a device starts a receive only when
                    # the work that was issued before it is done.
                    state.links.left.post_receive()
        with self.part("W"):
            known = [layer.z] if layer.s is None else [layer.z, layer.s]
            layer.weights.descend(state.descent, layer.p, layer.r, layer.b, state.nu, layer.mu, known=known)

    def gap(self, layer: PdADMMLayer, before: Sequence[Tensor], state: PdADMMState) -> Tensor:
        """p − v, where v = q − u/ρ of the layer before is what p is pulled to."""
        out = state.scratch.like("gradient", layer.p)
        if not before:
            assert layer.v is not None
            return torch.sub(layer.p, layer.v, out=out)
        if state.compiled:
            return state.compiled.gap(out, layer.p, *before, nu=state.nu, rho=state.rho, wire=layer.wire)
        for rows, p, *variables in row_blocks(out, layer.p, *before):
            gap_of(rows, p, *variables, nu=state.nu, rho=state.rho, wire=layer.wire, scratch=state.scratch)
        return out

    def message(self, layer: PdADMMLayer, nu: float, rho: float, scratch: Scratch) -> Tensor:
        """v of the block's last layer, which is sent to the right neighbour."""
        message = scratch.like("gradient", layer.z)  # free by now
        for out, *variables in row_blocks(message, *layer.variables()):
            v_of(out, *variables, nu=nu, rho=rho, scratch=scratch)
        return message

    def update_p(self, layer: PdADMMLayer, gap: Tensor, state: PdADMMState) -> None:
        """p ← p − g/τ, and the residual with it."""
        state.descent.descend_p(layer.p, gap, layer.r, layer.W, state.nu, state.rho)

    def update_b(self, layer: PdADMMLayer, state: PdADMMState) -> Tensor:
        """Update b; return its change, which the next pass over r subtracts from every row."""
        with self.part("b"):
            shift = state.descent.rows.column_mean(layer.r)
            layer.b -= shift
        return shift

    def update_b_z_output(self, layer: PdADMMLayer, state: PdADMMState) -> None:
        """Update b, then z_L by exact root finding, then r = a − z."""
        shift = self.update_b(layer, state)
        with self.part("z_L"):
            a = layer.r.sub_(shift).add_(layer.z)
            if state.compiled and a.device.type != "cpu":
                layer.z.copy_(state.compiled.output_z(a, state.y, state.nu, layer.z))
            else:
                sub.output_z(a, state.y, state.nu, layer.z, out=layer.z, scratch=state.scratch)
            layer.r.sub_(layer.z)

    def update_b_z_q_u(
        self, layer: PdADMMLayer, p_next: Tensor, wire: Wire, nu: float, rho: float, state: PdADMMState
    ) -> None:
        """Update b, then z, q and u of a hidden layer, given the next layer's new p."""
        shift = self.update_b(layer, state)
        with self.part("z, q, u"):
            if state.compiled and layer.u is None:
                p, variables = wire.round(p_next), layer.variables()
                layer.moved.copy_(
                    state.compiled.z_q_u(p, layer.r, *variables, shift=shift, before=state.nu, nu=nu, rho=rho)
                )
                return
            layer.moved.zero_()
            for p, r, *variables in row_blocks(p_next, layer.r, *layer.variables()):
                restrict = None if layer.u is None else partial(self.restrict, layer)
                layer.moved += z_q_u(
                    wire.round(p), r, *variables, shift=shift, before=state.nu, nu=nu, rho=rho,
                    restrict=restrict, scratch=state.scratch,
                )  # fmt: skip

    def placed(self, layer: PdADMMLayer, q: Tensor) -> Tensor:
        """The p of ``layer`` for the q of the layer before: q itself; a method that restricts p overrides this."""
        return q

    def restrict(self, layer: PdADMMLayer, q: Tensor) -> Tensor:
        """q itself; a method that restricts q to a set overrides this, and keeps u."""
        return q

    def refresh(self, layer: PdADMMLayer, state: PdADMMState) -> None:
        """Recompute the residual exactly every ``refresh_period`` iterations, because rounding errors add up in it."""
        period = self.refresh_period
        if period and state.iteration > 0 and state.iteration % period == 0:
            with self.part("refresh"), full_precision():
                torch.matmul(layer.p, layer.W.mT, out=layer.r).add_(layer.b).sub_(layer.z)
                if layer.s is not None:
                    layer.r.add_(layer.s)

    def step_size(self, tau: Tensor) -> Tensor:
        """The step for a subproblem of curvature τ under the chosen rule."""
        return sub.exact_step(tau) if self.hyperparameters.step_rule == "exact" else sub.backtracking_step(tau)

    def evaluated(self, state: PdADMMState, step: Mapping[str, float]) -> None:
        if self.hyperparameters.rho_schedule == "constant":
            return
        state.costs = penalty_schedule.with_newest(state.costs, step["loss_train"])
        if penalty_schedule.stalled(state.costs):
            factor = penalty_schedule.growth(state.rho)
            state.next_rho, state.next_nu = factor * state.rho, factor * state.nu

    def report(self, state: PdADMMState) -> Report:
        """The Lagrangian (``objective``), Σ‖p_{l+1} − q_l‖² (``primal_residual``), Σ‖ρ Δq_l‖² (``dual_residual``)."""
        objective, primal, dual, loss = (per_layer(len(state.layers), state.y.device) for _ in range(4))
        following: list[tuple[Tensor | None, Wire]] = [(layer.p, layer.wire) for layer in state.layers[1:]]
        following.append((state.p_right, Wire()))
        for i, (layer, (p_next, wire)) in enumerate(zip(state.layers, following, strict=True)):
            objective[i] = state.nu / 2 * square(layer.r)
            if state.links.reduce.index == 0:
                objective[i] += layer.mu / 2 * layer.weights.decayed()
            if layer.q is None:
                risk = loss_sum(layer.z, state.y)
                objective[i] += risk
                loss[i] = risk / state.links.reduce.total(len(state.y))
            elif p_next is not None:
                dual[i] = state.rho**2 * layer.moved
                for p, q, z, *stored in row_blocks(p_next, *layer.variables()):
                    gap, error = wire.round(p) - q, q - z.relu()
                    u = stored[0] if stored else state.nu * error
                    primal[i] += square(gap)
                    objective[i] += state.nu / 2 * square(error) + inner(u, gap)
                objective[i] += state.rho / 2 * primal[i]
        return {"objective": objective, "primal_residual": primal, "dual_residual": dual, "loss": loss}

    def restore(self, state: PdADMMState, snapshot: Any) -> None:
        super().restore(state, snapshot)
        if state.iteration > 0 and state.links.left:
            state.links.left.post_receive()
        if state.iteration > 0 and state.links.right:
            state.links.right.send(self.message(state.layers[-1], state.nu, state.rho, state.scratch))
