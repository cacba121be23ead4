"""The exact minimisers of the subproblems of p and W, by Cholesky factors that all rows, or all units, share.

Both subproblems are ridge regressions. With G and g the gradients, W ← W − G (ν pᵀp + μI)⁻¹ and
p ← p − g (ν WᵀW + ρI)⁻¹. Where a Gram matrix has fewer rows the other way round, the dual form takes that one: N × N
for W where N < n_{l-1}, and n_l × n_l for p where that costs less. Taylor et al. (ICML 2016, arXiv 1605.02026) and
Zeng et al. (ICML 2019, arXiv 1803.00225) minimise exactly too.

Factors are computed in float64 and inverted, so that the solution is a matrix product. The ridge gets a proximal term
of the size of the Gram matrix's rounding errors, with which the objective does not rise by rounding. In bfloat16 the
Gram matrix and the solution stay float32, the direction is rounded for its image, and an exact line search along it
follows. The dual forms, whose products are small, are float32 throughout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pdadmm_bench.optim.admm.products import Products, full_precision
from pdadmm_bench.optim.admm.row_sums import RowSums
from pdadmm_bench.optim.cost import dual_for_p, dual_for_W
from pdadmm_bench.optim.reduction import AllRows

ROUNDING = 4
"""The proximal term is so many units of rounding of ν·trace(Gram matrix), which bounds its largest eigenvalue."""
SMALLEST = 1e-12
"""At least this part of the trace, so that an inverse of float64 has digits left."""


class Inverse(NamedTuple):
    """(ν·gram + σI)⁻¹ with the ridge σ, which is the wanted one and the proximal term."""

    matrix: Tensor
    """(…, n, n)"""
    ridge: Tensor
    """() or (k, 1, 1)."""


def inverse_of(
    gram: Tensor, weight: float, ridge: float | Tensor, trace: Tensor | None = None, in_range: bool = False
) -> Inverse:
    """The inverse of ``weight``·gram + ridge·I, by a Cholesky factor in float64.

    Args:
        gram: (…, n, n) symmetric, positive semidefinite.
        trace: of the matrix whose rounding errors ``gram`` has, if not its own.
        in_range: leave out the null space of ``gram``, where coefficients of rows change nothing but could grow without
            bound. A factor λ/(λ + ε) for the eigenvalues λ of ``weight``·gram and the proximal term ε does that.

    Values that are not finite give an inverse that is not finite, and no error.
    """
    if trace is None:
        trace = trace_of(gram)
    proximal = max(ROUNDING * torch.finfo(gram.dtype).eps, SMALLEST) * weight * trace
    proximal = torch.where(proximal > 0, proximal, 1.0)  # nothing to solve: the gradient is 0 too
    sigma = ridge + proximal
    matrix = _inverse(gram, weight, sigma)
    if in_range:
        small = proximal.double().view(-1, 1, 1) if gram.dim() == 3 else proximal.double()
        matrix = matrix - small * (matrix @ _inverse(gram, weight, proximal))
    return Inverse(matrix.to(gram.dtype), sigma if gram.dim() == 2 else sigma.view(-1, 1, 1))


def _inverse(gram: Tensor, weight: float, ridge: Tensor) -> Tensor:
    full = gram.to(torch.float64, copy=True).mul_(weight)
    full.diagonal(dim1=-2, dim2=-1).add_(ridge.double().unsqueeze(-1))
    return torch.cholesky_inverse(torch.linalg.cholesky_ex(full).L)


def gram_of(a: Tensor, plain: Products) -> Tensor:
    """a aᵀ; valid until the next call."""
    with full_precision():
        return torch.matmul(a, a.mT, out=plain.scratch.of("gram", (*a.shape[:-1], a.shape[-2]), a))


def trace_of(gram: Tensor) -> Tensor:
    """The trace of a matrix (), or of each matrix of a batch (k,)."""
    return gram.diagonal(dim1=-2, dim2=-1).sum(-1)


@dataclass
class Kept:
    """An inverse that is kept as long as its penalties are the same, for a layer whose input never changes."""

    inverse: Inverse | None = None
    penalties: tuple[float, float] = (0.0, 0.0)
    mean: Tensor | None = None
    """The mean of the rows of the input, where it was asked for."""

    def get(self, compute: Callable[[], Inverse], *penalties: float) -> Inverse:
        """The inverse for these penalties, computed where there is none."""
        if self.inverse is None or self.penalties != penalties:
            self.inverse, self.penalties = compute(), (penalties[0], penalties[1])
        return self.inverse


class Solution(NamedTuple):
    """A direction in the type of the products, and what an exact line search along it needs."""

    direction: Tensor
    exact: Tensor
    """The direction in the type of the state."""
    gradient: Tensor
    """The gradient in the type of the state."""

    def length(
        self, products: Products, image: Tensor, weight: float, ridge: float, rows: RowSums, own: RowSums
    ) -> Tensor:
        """The step along the direction: 1, or with narrow products the minimum along what they made of it.

        Args:
            rows: sums over the rows of the image; own: over those of the direction, which W has no other worker's of.
        """
        if not products.narrow:
            return one(self.exact)
        (image_norm,), (norm,) = rows.norms(image), own.norms(self.exact)
        curvature = weight * image_norm.square() + ridge * norm.square()
        return torch.where(curvature > 0, own.inner(self.gradient, self.exact) / curvature, 0.0)


def one(like: Tensor) -> Tensor:
    """The step of length 1."""
    return like.new_ones(())


def image_of_mean(W: Tensor, mean: Tensor) -> Tensor:
    """W times the mean of rows, (n_{l-1},) or (k, 1, n_{l-1}), which is the mean of the rows' images."""
    return torch.linalg.vecdot(W, mean).view(*mean.shape[:-1], -1)


def solution(products: Products, gradient: Tensor, inverse: Inverse) -> Solution:
    """``gradient`` times ``inverse``, multiplied in the type of the state."""
    scratch, matrix = products.scratch, inverse.matrix
    wide = gradient
    if gradient.dtype != matrix.dtype:
        wide = scratch.of("wide gradient", tuple(gradient.shape), matrix).copy_(gradient)
    exact = torch.matmul(wide, matrix, out=scratch.of("solution", tuple(gradient.shape), matrix))
    return Solution(products.factor("solution", exact), exact, wide)


class Direction(NamedTuple):
    """A direction D whose step is p ← p − D, or W ← W − D, and what an image of it needs."""

    direction: Tensor
    solution: Solution | None
    """None for the dual form, whose products are those of the state."""
    factor: Tensor
    """W, or p, in the type of the products."""


def direction_of_p(products: Products, gap: Tensor, r: Tensor, W: Tensor, nu: float, rho: float) -> Direction:
    """The way from p to the exact minimiser of (ν/2)‖p Wᵀ + b − z‖² + (ρ/2)‖p − v‖².

    Args:
        gap: p − v (…, N, n_{l-1}), overwritten; r: (…, N, n_l); W: (…, n_l, n_{l-1}).
    """
    plain = products.plain
    if dual_for_p(W.shape[-1], W.shape[-2]):
        gradient = plain.add(gap, r, W, beta=rho, alpha=nu)
        inverse = inverse_of(gram_of(W, plain), nu, rho)
        part = plain.image(gradient, W.mT) @ inverse.matrix
        return Direction(plain.add(gradient, part, W, beta=1, alpha=-nu).div_(inverse.ridge), None, W)
    inverse = inverse_of(gram_of(W.mT, plain), nu, rho)
    factor = products.factor("kept", W)
    found = solution(products, products.direction(gap, r, factor, beta=rho, alpha=nu), inverse)
    return Direction(found.direction, found, factor)


def step_of_p(
    products: Products, rows: RowSums, gap: Tensor, r: Tensor, W: Tensor, nu: float, rho: float
) -> tuple[Tensor, Tensor, Tensor]:
    """:func:`direction_of_p` D, with the same arguments, its image D Wᵀ, and the step along it."""
    direction, found, factor = direction_of_p(products, gap, r, W, nu, rho)
    image = (products.plain if found is None else products).image(direction, factor.mT)
    step = one(direction) if found is None else found.length(products, image, nu, rho, rows, rows)
    return direction, image, step


def minimise_p(
    products: Products, p: Tensor, gap: Tensor, r: Tensor, seen: Tensor, W: Tensor, nu: float, rho: float
) -> None:
    """Put p at its minimiser for the residual ``seen``, and r with it; of the precision of the state.

    The image is added to r by its own product, so that it is never written to memory.
    """
    direction = direction_of_p(products, gap, seen, W, nu, rho).direction
    p.sub_(direction)
    products.add(r, direction, W.mT, beta=1, alpha=-1)


def direction_of_W(
    products: Products, rows: RowSums, offset: Tensor, p: Tensor, r: Tensor, nu: float, mu: float,
    *, kept: Kept | None, mean: Tensor | None, damping: float = 0.0,
) -> Direction:  # fmt: skip
    """The way from W to the exact minimiser of (ν/2)‖p Wᵀ + b − z‖² + (μ/2)‖W − T‖² over W, or over W and b.

    Args:
        rows: sums over rows; where this worker has not all of them, there is no dual form.
        offset: W − T (…, n_l, n_{l-1}), overwritten.
        p: (…, N, n_{l-1}); r: (…, N, n_l), with columns of mean 0 where b is minimised too.
        kept: holds the inverse of a layer whose input never changes.
        mean: the mean of the rows of p, (n_{l-1},) or (k, 1, n_{l-1}), where b is minimised too.
        damping: a proximal term on W, in units of ν times the mean eigenvalue of pᵀp (without a mean taken off, so that
            inputs which hardly differ from row to row give no long steps).
    """
    dual = rows.alone and dual_for_W(*p.shape[-2:])
    scratch, plain = products.scratch, products.plain

    def compute() -> Inverse:
        x = p
        if dual and mean is not None:
            x = torch.sub(p, mean, out=scratch.like("centred", p))
        gram = rows.reduce.sum(gram_of(x if dual else x.mT, plain))
        trace = trace_of(gram)
        if mean is not None and not dual:
            row = mean.view(*p.shape[:-2], 1, -1)
            gram.addcmul_(row.mT, row, value=-rows.reduce.total(p.shape[-2]))
        if damping:
            (norm,) = rows.norms(p)
            return inverse_of(gram, nu, mu + damping * nu / p.shape[-1] * norm.square(), trace)
        return inverse_of(gram, nu, mu, trace, in_range=dual and mu == 0)

    if not dual:  # on its way over the rows while the moments are computed
        factor = products.factor("kept", p)
        gradient = rows.gradient_of_W(products, offset, factor, r, nu, mu)
    inverse = kept.get(compute, nu, mu) if kept else compute()
    if dual:
        decaying = plain.image(p, offset.mT)
        if mean is not None:
            decaying.sub_(image_of_mean(offset, mean))
        share, _, coefficients = coefficients_of_W(plain, inverse, decaying, r, mu)
        return Direction(plain.add(offset.mul_(share), coefficients.mT, p, beta=1, alpha=nu), None, p)
    found = solution(products, gradient.wait(), inverse)
    return Direction(found.direction, found, factor)


class Coefficients(NamedTuple):
    """The minimiser of W by its coefficients Y of the rows of p: W ← W − share·(W − T) − ν Yᵀp."""

    share: Tensor
    """() or (k, 1, 1)."""
    decayed: Tensor
    """share·p (W − T)ᵀ (…, N, n_l), of the rows less their mean where b is minimised too."""
    coefficients: Tensor
    """Y (…, N, n_l); its columns have mean 0 where b is minimised too, so that p need not be centred."""


def coefficients_of_W(plain: Products, inverse: Inverse, decaying: Tensor, r: Tensor, mu: float) -> Coefficients:
    """The dual form: Y = (ν ppᵀ + σI)⁻¹ (r − share·p (W − T)ᵀ) with the ridge σ and share = μ/σ.

    Args:
        decaying: p (W − T)ᵀ (…, N, n_l), overwritten, of the rows that ``inverse`` is of.
    """
    share = mu / inverse.ridge
    target = torch.sub(r, decaying.mul_(share), out=plain.scratch.like("target", r))
    found = torch.matmul(inverse.matrix, target, out=plain.scratch.like("coefficients", r))
    return Coefficients(share, decaying, found)


def step_of_W(
    products: Products, rows: RowSums, found: Direction, nu: float, mu: float,
    centre: Callable[[Tensor], Tensor | None],
) -> tuple[Tensor, Tensor, Tensor | None]:  # fmt: skip
    """The image of a direction of W, the step along it, and the mean that ``centre`` took out of the image."""
    by = products.plain if found.solution is None else products
    image = by.image(found.factor, found.direction.mT)
    mean = centre(image)
    if found.solution is None:
        return image, one(found.direction), mean
    own = RowSums(AllRows(), products.scratch)
    return image, found.solution.length(products, image, nu, mu, rows, own), mean
