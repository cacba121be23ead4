"""The literal reference of pdADMM: a direct implementation of the papers and of the authors' public code.

pdADMM is measured against it, in time and in final accuracy. The reference has closed forms of its own, so that it can
serve as an oracle. Autograd gives the gradients of p and W, every residual is computed when it is needed, and the step
is found by backtracking: the curvature starts at 20 and doubles until the quadratic model lies above the objective.
It omits unnecessary work of the authors' code: a product is not repeated within an update, and rounding causes no
doublings.
Sources: arXiv 2009.02868 and 2105.09837; order of updates and equations as in :mod:`pdadmm_bench.optim.admm.pdadmm`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.core.typed import Typed
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.models.mlp import Layer
from pdadmm_bench.optim.admm import penalty_schedule
from pdadmm_bench.optim.admm.subproblems import BACKTRACKING_CAP, BACKTRACKING_FACTOR, BACKTRACKING_START
from pdadmm_bench.optim.base import Links, Optimizer, Report, inner, loss_sum, per_layer, square
from pdadmm_bench.optim.hyperparameters.admm import ReferenceHyperparameters

SOFTMAX_CURVATURE = 0.5
"""Bound of the second derivative of softmax cross-entropy, whose inverse is the step of the z_L update."""
RESOLUTION = 1000
"""Differences of an objective below this many units of rounding are ignored. A residual is a difference of larger
numbers, so the relative error of its sum of squares in float32 is about 1e-4. Otherwise rounding would make trials fail
once a layer has converged."""


@dataclass
class ReferenceLayer:
    """Variables of one layer. ``p`` is the input x in layer 1; ``q``, ``q_old`` and ``u`` stay empty in the last."""

    W: Tensor
    b: Tensor
    p: Tensor
    z: Tensor
    q: Tensor
    q_old: Tensor
    u: Tensor


@dataclass
class ReferenceState:
    """Variables of all layers, and the penalties in force."""

    layers: list[ReferenceLayer]
    rho: float
    nu: float
    costs: list[float]
    y: Tensor = field(metadata={"state": False})


class Reference(Optimizer[ReferenceState]):
    """pdADMM exactly as the papers describe it, on one worker."""

    summary: ClassVar[str] = "reference to measure pdadmm against: autograd, real backtracking, nothing carried"
    Hyperparameters: ClassVar[type[Typed]] = ReferenceHyperparameters
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)

    def supports(self, spec: RunSpec) -> str | None:
        if spec.gpus > 1:
            return f"{spec.optimizer} is a reference for one worker, not for {spec.gpus}"
        return super().supports(spec)

    def init(self, problem: Problem, layers: Sequence[Layer], block: Block, links: Links) -> ReferenceState:
        """Feed-forward start: p_{l+1} = q_l = f(z_l) and u = 0."""
        p = problem.train.x
        states = []
        for index, (weight, bias) in zip(block, layers, strict=True):
            z = p @ weight.T + bias
            q = z.relu() if index < block.total - 1 else z.new_empty(0)
            variables = {"q": q, "q_old": q.clone(), "u": torch.zeros_like(q)}
            states.append(ReferenceLayer(W=weight.clone(), b=bias.clone(), p=p, z=z, **variables))
            p = q.clone()
        return ReferenceState(states, self.hyperparameters.rho, self.hyperparameters.nu, [], problem.train.y)

    def step(self, state: ReferenceState) -> None:
        """p → W → b → z → q → u, each over all layers."""
        layers, nu, rho, mu = state.layers, state.nu, state.rho, self.hyperparameters.mu
        with self.part("p"):
            for before, layer in pairwise(layers):
                layer.p = update_p(layer, before, nu, rho)
        with self.part("W"):
            for layer in layers:
                layer.W = update_W(layer, nu, mu)
        with self.part("b"):
            for layer in layers:
                layer.b = layer.b - residual(layer).mean(0)
        with self.part("z"):
            for layer in layers[:-1]:
                layer.z = hidden_z(residual(layer) + layer.z, layer.z, layer.q)
        with self.part("z_L"):
            last, settings = layers[-1], self.hyperparameters
            a = residual(last) + last.z
            last.z = output_z(a, last.z, state.y, nu, settings.output_steps, settings.output_tolerance)
        with self.part("q"):
            for layer, following in pairwise(layers):
                layer.q_old, layer.q = layer.q, minimising_q(layer, following.p, nu, rho)
        with self.part("u"):
            for layer, following in pairwise(layers):
                layer.u = layer.u + rho * (following.p - layer.q)

    def evaluated(self, state: ReferenceState, step: Mapping[str, float]) -> None:
        if self.hyperparameters.rho_schedule == "constant":
            return
        state.costs = penalty_schedule.with_newest(state.costs, step["loss_train"])
        if penalty_schedule.stalled(state.costs):
            factor = penalty_schedule.growth(state.rho)
            state.rho, state.nu = factor * state.rho, factor * state.nu

    def report(self, state: ReferenceState) -> Report:
        """The Lagrangian (``objective``), Σ‖p_{l+1} − q_l‖² (``primal_residual``), Σ‖ρ Δq_l‖² (``dual_residual``)."""
        objective, primal, dual, loss = (per_layer(len(state.layers), state.y.device) for _ in range(4))
        for i, layer in enumerate(state.layers):
            objective[i] = state.nu / 2 * square(residual(layer)) + self.hyperparameters.mu / 2 * square(layer.W)
        for i, (layer, following) in enumerate(pairwise(state.layers)):
            gap = following.p - layer.q
            primal[i], dual[i] = square(gap), state.rho**2 * square(layer.q - layer.q_old)
            objective[i] += state.nu / 2 * square(layer.q - layer.z.relu())
            objective[i] += state.rho / 2 * primal[i] + inner(layer.u, gap)
        risk = loss_sum(state.layers[-1].z, state.y)
        objective[-1] += risk
        loss[-1] = risk / len(state.y)
        return {"objective": objective, "primal_residual": primal, "dual_residual": dual, "loss": loss}

    def layers(self, state: ReferenceState) -> list[Layer]:
        return [Layer(layer.W, layer.b) for layer in state.layers]


def residual(layer: ReferenceLayer) -> Tensor:
    """r = p Wᵀ + b − z (N, n_l), computed."""
    return layer.p @ layer.W.T + layer.b - layer.z


def sum_of_squares(x: Tensor) -> Tensor:
    """‖x‖² as a tensor that autograd can differentiate."""
    return x.square().sum()


def update_p(layer: ReferenceLayer, before: ReferenceLayer, nu: float, rho: float) -> Tensor:
    """A majorised step of p on (ν/2)‖p Wᵀ + b − z‖² + ⟨u, p − q⟩ + (ρ/2)‖p − q‖², q and u of the layer before."""
    q, u = before.q, before.u

    def objective(p: Tensor) -> Tensor:
        gap = p - q
        fit = nu / 2 * sum_of_squares(p @ layer.W.T + layer.b - layer.z)
        return fit + (u * gap).sum() + rho / 2 * sum_of_squares(gap)

    return majorised_step(objective, layer.p)


def update_W(layer: ReferenceLayer, nu: float, mu: float) -> Tensor:
    """A majorised step of W on (ν/2)‖p Wᵀ + b − z‖² + (μ/2)‖W‖²."""

    def objective(W: Tensor) -> Tensor:
        return nu / 2 * sum_of_squares(layer.p @ W.T + layer.b - layer.z) + mu / 2 * sum_of_squares(W)

    return majorised_step(objective, layer.W)


def majorised_step(objective: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """x − g/t with the first t of 20, 40, 80, … whose quadratic model at x is not below ``objective`` at the new point.

    The result is ``x`` itself when ten doublings are not enough.
    """
    start = x.detach().requires_grad_()
    value = objective(start)
    (gradient,) = torch.autograd.grad(value, start)
    with torch.no_grad():
        curvature, rounding = BACKTRACKING_START, RESOLUTION * torch.finfo(x.dtype).eps * value
        for _ in range(BACKTRACKING_CAP + 1):
            trial = x - gradient / curvature
            change = trial - x
            model = value + ((gradient + curvature / 2 * change) * change).sum()
            if objective(trial) - model <= rounding:
                return trial
            curvature *= BACKTRACKING_FACTOR
    return x


def hidden_z(a: Tensor, z_old: Tensor, q: Tensor) -> Tensor:
    """argmin_z (z − a)² + (q − ReLU(z))² + (z − z_old)², elementwise: the better minimiser of the two sides of 0."""

    def cost(z: Tensor) -> Tensor:
        return (z - a).square() + (q - z.relu()).square() + (z - z_old).square()

    below = ((a + z_old) / 2).clamp(max=0)
    above = ((a + q + z_old) / 3).clamp(min=0)
    return torch.where(cost(above) < cost(below), above, below)


def output_z(a: Tensor, z: Tensor, y: Tensor, nu: float, steps: int, tolerance: float) -> Tensor:
    """argmin_z R(z; y) + (ν/2)‖z − a‖² by accelerated proximal gradient from ``z`` (Beck and Teboulle, 2009)."""
    target = functional.one_hot(y, a.shape[1]).to(a.dtype)
    point, momentum = z, 1.0
    for _ in range(steps):
        slope = point.softmax(1) - target
        z_new = (SOFTMAX_CURVATURE * point - slope + nu * a) / (SOFTMAX_CURVATURE + nu)
        change = z_new - z
        if change.norm() <= tolerance * z_new.norm():
            return z_new
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        point = z_new + (momentum - 1) / following * change
        z, momentum = z_new, following
    return z


def minimising_q(layer: ReferenceLayer, p_next: Tensor, nu: float, rho: float) -> Tensor:
    """argmin_q (ν/2)‖q − f(z)‖² + ⟨u, p_{l+1} − q⟩ + (ρ/2)‖p_{l+1} − q‖²."""
    return (rho * p_next + layer.u + nu * layer.z.relu()) / (rho + nu)
