"""One step of exactly majorised descent: the updates of p and W, the only ones with products of two matrices.

Both subproblems are quadratic. A gradient g and its image J g give the curvature along g in closed form, and the same
image moves the carried residual. So an update takes two products. The papers search for the step by backtracking.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from pdadmm_bench.optim.admm import subproblems as sub
from pdadmm_bench.optim.admm.products import Products

StepRule = Callable[[Tensor], Tensor]
"""Curvature → step."""


@dataclass
class Descent:
    """How a run takes its steps: the step rule, and the products with their precision and buffers."""

    rule: StepRule
    products: Products

    def descend_p(
        self, p: Tensor, gap: Tensor, r: Tensor, W: Tensor, nu: float, rho: float, seen: Tensor | None = None
    ) -> None:
        """p ← p − g/τ for (ν/2)‖p Wᵀ + b − z‖² + (ρ/2)‖p − v‖², and r with it.

        Args:
            p: (N, n_{l-1}); r: (N, n_l) carried residual p Wᵀ + b − z; W: (n_l, n_{l-1}).
            gap: p − v, overwritten by g.
            seen: the residual at which the gradient is taken, if it is not ``r``.
        """
        W = self.products.factor("kept", W)
        gradient = self.products.direction(gap, r if seen is None else seen, W, beta=rho, alpha=nu)
        image = self.products.image(gradient, W.mT)
        self.move(p, gradient, r, image, sub.curvature(gradient, image, nu, rho))

    def move(self, x: Tensor, gradient: Tensor, r: Tensor, image: Tensor, tau: Tensor) -> None:
        """x ← x − gradient/τ and r ← r − image/τ."""
        step = self.rule(tau)
        self.products.move(x, gradient, step)
        self.products.move(r, image, step)
