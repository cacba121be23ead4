"""The updates of p and W, the only ones with products of two matrices: a step of exactly majorised descent.

Both subproblems are quadratic. A gradient g and its image J g give the curvature along g in closed form, and the same
image moves the carried residual. So an update takes two products. The papers search for the step by backtracking.

The subproblem of p separates over rows, and that of W over units. So a step may have a length for each row of p and for
each unit of W from the same products (``row-unit``), or be the minimiser itself (``exact``,
:mod:`pdadmm_bench.optim.admm.exact`). With a projected bias, W and b are minimised together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from pdadmm_bench.optim.admm import exact
from pdadmm_bench.optim.admm import subproblems as sub
from pdadmm_bench.optim.admm.products import Products
from pdadmm_bench.optim.admm.row_sums import RowSums
from pdadmm_bench.optim.hyperparameters.choices import EXACT, Step
from pdadmm_bench.optim.reduction import AllRows, Reduction

StepRule = Callable[[Tensor], Tensor]
"""Curvature → step."""


class Move(NamedTuple):
    """A step of p: x ← x − step·direction and r ← r − step·image."""

    direction: Tensor
    image: Tensor
    step: Tensor
    """One for the whole matrix (), one for each matrix of a batch (k, 1, 1), or one for each row (…, N, 1)."""


@dataclass
class Descent:
    """How a run takes its steps: their kind, the step rule, and the products with their precision and buffers."""

    rule: StepRule
    products: Products
    kind: Step = "layer"
    projected: bool = False
    """Whether a step of W takes b along."""
    reduce: Reduction = field(default_factory=AllRows)
    """The workers with the other rows."""
    rows: RowSums = field(init=False)
    """Sums over all rows."""

    @property
    def minimises_W(self) -> bool:
        """Whether a step of W ends at the exact minimiser."""
        return self.kind in EXACT

    def __post_init__(self) -> None:
        self.rows = RowSums(self.reduce, self.products.scratch)

    def descend_p(
        self, p: Tensor, gap: Tensor, r: Tensor, W: Tensor, nu: float, rho: float, seen: Tensor | None = None
    ) -> None:
        """The step of p on (ν/2)‖p Wᵀ + b − z‖² + (ρ/2)‖p − v‖², and r with it.

        Args:
            p: (N, n_{l-1}); r: (N, n_l) carried residual p Wᵀ + b − z; W: (n_l, n_{l-1}).
            gap: p − v, overwritten.
            seen: the residual at which the gradient is taken, if it is not ``r``.
        """
        seen = r if seen is None else seen
        if self.kind == "exact" and not self.products.narrow:
            exact.minimise_p(self.products, p, gap, r, seen, W, nu, rho)
            return
        move = self.step_of_p(gap, seen, W, nu, rho)
        self.products.move(p, move.direction, move.step)
        self.products.move(r, move.image, move.step)

    def step_of_p(self, gap: Tensor, r: Tensor, W: Tensor, nu: float, rho: float) -> Move:
        """The step that :meth:`descend_p` takes, for the gradient g = ν r W + ρ·gap; valid until the next step."""
        if self.kind == "exact":
            return Move(*exact.step_of_p(self.products, self.rows, gap, r, W, nu, rho))
        W = self.products.factor("kept", W)
        gradient = self.products.direction(gap, r, W, beta=rho, alpha=nu)
        image = self.products.image(gradient, W.mT)
        if self.kind == "row-unit":
            tau = sub.curvature_from(sub.row_norms(gradient), sub.row_norms(image), nu, rho)
        else:
            gradient_norm, image_norm = self.rows.norms(gradient, image)
            tau = sub.curvature_from(gradient_norm, image_norm, nu, rho)
        return Move(gradient, image, self.rule(tau))

    def move_W(self, W: Tensor, gradient: Tensor, r: Tensor, image: Tensor, b: Tensor, nu: float, mu: float) -> None:
        """W ← W − gradient/θ, and r with it; where b is projected out, b as well.

        Args:
            image: p Gᵀ (N, n_l), overwritten.
            b: (n_l,) or, in a batch, (k, 1, n_l); moved where it is projected out.
        """
        mean = self.centre(image)
        if self.kind == "row-unit":
            theta = sub.curvature_from(sub.row_norms(gradient), self.rows.column_norms(image).mT, nu, mu)
            step = self.rule(theta)
            step_of_r = step.mT
        else:
            (image_norm,) = self.rows.norms(image)
            step = step_of_r = self.rule(sub.curvature_from(sub.norm(gradient), image_norm, nu, mu))
        self.products.move(W, gradient, step)
        self.take_along(r, image, step_of_r, b, mean)

    def take_along(self, r: Tensor, image: Tensor, step: Tensor, b: Tensor, mean: Tensor | None) -> None:
        """r ← r − step·image after a step of W, and b ← b + step·mean for the mean that was taken out of ``image``."""
        self.products.move(r, image, step)
        if mean is not None:
            b.add_((mean.to(b.dtype) * step).view_as(b))

    def minimise_b(self, b: Tensor, r: Tensor, seen: Tensor | None) -> None:
        """Where b is projected out: its exact minimiser before a step of W, so that the gradient is that of both."""
        if self.projected:
            shift = self.rows.column_mean(r if seen is None else seen)
            b.sub_(shift)
            r.sub_(shift)
            if seen is not None and seen is not r:
                seen.sub_(shift)

    def centre(self, image: Tensor) -> Tensor | None:
        """Where b is projected out: subtract from ``image`` the mean of its rows, and return that mean."""
        if not self.projected:
            return None
        mean = self.rows.column_mean(image)
        image.sub_(mean)
        return mean
