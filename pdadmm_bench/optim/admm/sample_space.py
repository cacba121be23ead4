"""The first layer's weights by their coefficients of the training rows.

The input x of the first layer is fixed, so every iterate of its weights is c·W₀ + Aᵀx for a scalar c, or one for each
unit, and coefficients A (N, n). With K = x xᵀ (N, N) a step needs neither W nor the d features: one product of N·N·n
instead of two of N·d·n.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pdadmm_bench.optim.admm import subproblems as sub
from pdadmm_bench.optim.admm.descent import Descent
from pdadmm_bench.optim.admm.exact import Kept, inverse_of
from pdadmm_bench.optim.admm.products import full_precision
from pdadmm_bench.optim.base import in_rows


@dataclass
class SampleSpaceWeights:
    """W = c·W₀ + Aᵀx by its coefficients, for a layer whose input x never changes.

    Where rows of x are linearly dependent, A has a part that does not change Aᵀx, up to ν/μ times the residual. A decay
    that is small beside the data, 0 < μ ≪ ν‖K‖, then loses digits of W. Without decay no digits are lost.
    """

    A: Tensor
    """(N, n) coefficients of the rows of x."""
    c: Tensor
    """The factor of the starting weights: a scalar, or one for each unit (n,) where units have steps of their own."""
    start: Tensor = field(metadata={"state": False})
    """W₀ (n, d)."""
    start_image: Tensor = field(metadata={"state": False})
    """x W₀ᵀ (N, n), for the same rows as ``gram``."""
    start_norm: Tensor = field(metadata={"state": False})
    """‖W₀‖, a scalar; ‖·‖ of each of its rows (n,) where ``c`` is."""
    gram: Tensor = field(metadata={"state": False})
    """K = x xᵀ (N, N), of the rows less their mean where b is projected out."""
    gram_norm: Tensor = field(metadata={"state": False})
    """‖K‖, a scalar."""
    x: Tensor = field(metadata={"state": False})
    start_mean: Tensor | None = field(default=None, metadata={"state": False})
    """The mean of the rows of x W₀ᵀ (n,), where b is projected out."""
    mean_kernel: Tensor | None = field(default=None, metadata={"state": False})
    """The products of the rows that ``gram`` is of with the mean of the rows of x (N,), where b is projected out."""
    kept: Kept = field(default_factory=Kept, metadata={"state": False})
    """The inverse of exact steps."""
    evaluated: _Evaluated = field(default_factory=lambda: _Evaluated(), metadata={"state": False})

    @classmethod
    def of(cls, start: Tensor, x: Tensor, per_unit: bool = False, projected: bool = False) -> SampleSpaceWeights:
        """The coordinates of ``start``: c = 1, A = 0."""
        mean = x.mean(0) if projected else None
        rows = x if mean is None else x - mean
        with full_precision():
            image, gram = rows @ start.T, rows @ rows.T
        norm = torch.linalg.vector_norm(start, dim=1) if per_unit else torch.linalg.vector_norm(start)
        zero, one = torch.zeros_like(image), torch.ones_like(norm)
        weights = cls(zero, one, start, image, norm, gram, torch.linalg.vector_norm(gram), x)
        if mean is not None:
            weights.start_mean, weights.mean_kernel = start @ mean, rows @ mean
        return weights

    def descend(
        self, by: Descent, p: Tensor, r: Tensor, b: Tensor, nu: float, mu: float,
        *, seen: Tensor | None = None, known: Sequence[Tensor] = (),
    ) -> None:  # fmt: skip
        """The same step: G = Hᵀx + μc·W₀ with H = ν r + μ A, so p Gᵀ = K H + μc·x W₀ᵀ.

        Where b is projected out, the columns of r, and so of H and A, have mean 0, and x stands for its rows less their
        mean.
        """
        by.minimise_b(b, r, seen)
        rest, scratch = mu * self.c, by.products.scratch
        H = torch.mul(r if seen is None else seen, nu, out=scratch.like("gradient", r)).add_(self.A, alpha=mu)
        if by.minimises_W:
            self.minimise(by, H, r, b, nu, mu)
            return
        image = by.products.mm(self.gram, H, out=scratch.like("image", r))
        dot = column_dots if self.c.dim() else dots
        square = dot(H, image) + 2 * rest * dot(H, self.start_image)
        norm = (square + (rest * self.start_norm).square()).clamp(min=0).sqrt()
        image.addcmul_(self.start_image, rest)
        image_norm = sub.column_norms(image).view(-1) if self.c.dim() else torch.linalg.vector_norm(image)
        theta = sub.curvature_from(norm, image_norm, nu, mu)
        if mu == 0:
            # Where rows of x are linearly dependent and nothing decays, G and its image vanish while H does not. Both
            # are then rounding errors, which do not give the curvature, so its largest value, ν‖K‖, is taken.
            rounding = torch.finfo(H.dtype).eps * len(H) ** 0.5 * self.gram_norm
            sure = square > rounding * dot(H, H)
            theta = torch.where(sure, theta, nu * self.gram_norm)
        self.move(by, H, image, r, b, by.rule(theta), rest)

    def minimise(self, by: Descent, H: Tensor, r: Tensor, b: Tensor, nu: float, mu: float) -> None:
        """The exact step: with the ridge σ of :mod:`.exact`, A ← A − (νK + σI)⁻¹ (H − (νμc/σ) x W₀ᵀ), c ← c (1 − μ/σ).

        It is in the precision of the state, and K and the inverse stay the same in all iterations.
        """
        plain = by.products.plain
        inverse = self.kept.get(lambda: inverse_of(self.gram, nu, mu, in_range=True), nu, mu)
        rest = mu / inverse.ridge * self.c
        change = plain.image(inverse.matrix, H.addcmul_(self.start_image, nu * rest, value=-1))
        H.copy_(change)
        if by.projected:  # rounding leaves a mean, which x would show
            H.sub_(sub.column_mean(H, plain.scratch))
        image = plain.mm(self.gram, H, out=plain.scratch.like("image", r)).addcmul_(self.start_image, rest)
        self.move(by, H, image, r, b, by.rule(torch.ones_like(self.c)), rest)

    def move(
        self, by: Descent, change: Tensor, image: Tensor, r: Tensor, b: Tensor, step: Tensor, rest: Tensor
    ) -> None:
        """A ← A − step·change and c ← c − step·rest, and r and b with them."""
        if self.start_mean is not None and self.mean_kernel is not None:
            b.add_(torch.mv(change.T, self.mean_kernel).addcmul_(self.start_mean, rest) * step)
        by.products.move(self.A, change, step)
        by.products.move(r, image, step)
        self.c -= step * rest

    def matrix(self) -> Tensor:
        """W, formed anew: one product of N·d·n."""
        return (self.start * self.c.unsqueeze(-1)).addmm_(self.A.T, self.x)

    def image(self, x: Tensor) -> Tensor:
        """x Wᵀ for any rows x, without W. The parts that stay the same are kept for the next call with these rows."""
        start_image, kernel = self.evaluated.of(x, lambda: (x @ self.start.T, x @ self.x.T))
        return (start_image * self.c).addmm_(kernel, self.A)

    def decayed(self) -> Tensor:
        """The term that weight decay makes small: ‖W‖² = c²‖W₀‖² + ⟨A, 2c·x W₀ᵀ + K A⟩."""
        double_c = 2 * self.c.double()
        products = [
            (A.double() * image.double().addcmul_(start.double(), double_c)).sum()
            for A, image, start in in_rows(self.A, self.gram @ self.A, self.start_image)
        ]
        return (self.c * self.start_norm).double().square().sum() + torch.stack(products).sum()


class _Evaluated:
    """x W₀ᵀ and x x_trainᵀ of the few matrices x that a run evaluates. It does not count as state."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[Tensor, tuple[Tensor, Tensor]]] = {}

    def of(self, x: Tensor, compute: Callable[[], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """The result of ``compute`` for this tensor. The tensor is kept too, so that no other gets its address."""
        if x.data_ptr() not in self._found:
            self._found[x.data_ptr()] = x, compute()
        return self._found[x.data_ptr()][1]


def dots(a: Tensor, b: Tensor) -> Tensor:
    """⟨a, b⟩ of two matrices."""
    return torch.dot(a.view(-1), b.view(-1))


def column_dots(a: Tensor, b: Tensor) -> Tensor:
    """⟨a_j, b_j⟩ of the columns of two matrices (N, n), as (n,)."""
    return torch.linalg.vecdot(a, b, dim=0)
