"""The weights of a layer, in one of two forms, and the layer that they belong to.

:class:`Weights` is the matrix itself. The first layer, whose input never changes, may have coefficients of its input
rows instead (:mod:`pdadmm_bench.optim.admm.sample_space`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from pdadmm_bench.optim.admm import exact
from pdadmm_bench.optim.admm.descent import Descent
from pdadmm_bench.optim.admm.exact import Kept
from pdadmm_bench.optim.admm.products import Products
from pdadmm_bench.optim.admm.row_sums import RowSums
from pdadmm_bench.optim.admm.sample_space import SampleSpaceWeights
from pdadmm_bench.optim.base import square
from pdadmm_bench.optim.cost import in_sample_space, in_span_of_rows
from pdadmm_bench.optim.hyperparameters.choices import Decay, FirstLayerForm
from pdadmm_bench.optim.reduction import AllRows, Reduction


@dataclass
class Weights:
    """The weight matrix W (n_l, n_{l-1}) itself."""

    W: Tensor
    to_identity: bool = field(default=False, metadata={"state": False})
    """Whether W decays toward I, not toward 0."""
    kept: Kept | None = field(default=None, metadata={"state": False})
    """The inverse of exact steps, where the layer's input never changes."""

    def descend(
        self, by: Descent, p: Tensor, r: Tensor, b: Tensor, nu: float, mu: float,
        *, seen: Tensor | None = None, known: Sequence[Tensor] = (),
    ) -> None:  # fmt: skip
        """The step of W on (ν/2)‖p Wᵀ + b − z‖² + (μ/2)‖W‖² (or ‖W − I‖²), and r as :meth:`Descent.descend_p`.

        Args:
            b: (n_l,), which is minimised together with W where it is projected out, and else left alone.
            known: z, and s where the layer has one: p Wᵀ + b is r + z − s. :meth:`descend_in_span` needs it.
        """
        by.minimise_b(b, r, seen)
        residual = r if seen is None else seen
        if known and self.stays_in_span(by, r.shape[-2]):
            self.descend_in_span(by, p, r, residual, b, nu, mu, known)
            return
        offset = self.offset(by.products)
        if by.minimises_W:
            self.minimise(by, offset, p, r, residual, b, nu, mu)
            return
        p = by.products.factor("kept", p)
        gradient = by.rows.gradient_of_W(by.products, offset, p, residual, nu, mu).wait()
        by.move_W(self.W, gradient, r, by.products.image(p, gradient.mT), b, nu, mu)

    def minimise(
        self, by: Descent, offset: Tensor, p: Tensor, r: Tensor, seen: Tensor, b: Tensor, nu: float, mu: float
    ) -> None:
        """Put W, or W and b, at the minimiser for the residual ``seen``, and r with it."""
        products, mean = by.products, self.mean_input(p, by.rows) if by.projected else None
        found = exact.direction_of_W(products, by.rows, offset, p, seen, nu, mu, kept=self.kept, mean=mean)
        if products.narrow:
            image, step, shift = exact.step_of_W(products, by.rows, found, nu, mu, by.centre)
            products.move(self.W, found.direction, step)
            by.take_along(r, image, step, b, shift)
            return
        # The image is added to r by its own product, so it is never written to memory.
        self.W.sub_(found.direction)
        products.add(r, p, found.direction.mT, beta=1, alpha=-1)
        if mean is not None:
            shift = exact.image_of_mean(found.direction, mean)
            r.add_(shift)
            b.add_(shift.view_as(b))

    def stays_in_span(self, by: Descent, rows: int) -> bool:
        """Whether a step for so many rows is :meth:`descend_in_span`'s."""
        here = by.rows.alone and not by.products.narrow and self.kept is None
        return here and in_span_of_rows(rows, *self.W.mT.shape[-2:])

    def descend_in_span(
        self, by: Descent, p: Tensor, r: Tensor, residual: Tensor, b: Tensor, nu: float, mu: float,
        known: Sequence[Tensor],
    ) -> None:  # fmt: skip
        """The same step for few rows, whose gradient is ν rᵀp + μ(W − T): its image is ν ppᵀr + μ p (W − T)ᵀ.

        N × N products of the rows take the place of products with W, and p Wᵀ is known from the residual.
        """
        products = by.products
        decaying = self.decaying(p, r, b, known, products)
        if not by.minimises_W:
            gradient = by.rows.gradient_of_W(products, self.offset(products), p, residual, nu, mu).wait()
            image = products.add(decaying, exact.gram_of(p, products), residual, beta=mu, alpha=nu)
            by.move_W(self.W, gradient, r, image, b, nu, mu)
            return
        rows = p
        if by.projected:
            mean, its_image = self.mean_input(p, by.rows), by.rows.column_mean(decaying).clone()
            rows = torch.sub(p, mean, out=products.scratch.like("centred", p))
            decaying.sub_(its_image)
        gram = exact.gram_of(rows, products)
        inverse = exact.inverse_of(gram, nu, mu, in_range=mu == 0)
        share, decayed, coefficients = exact.coefficients_of_W(products, inverse, decaying, residual, mu)
        r.sub_(products.add(decayed, gram, coefficients, beta=1, alpha=nu))
        if by.projected:
            of_rows = exact.image_of_mean(coefficients.mT, exact.image_of_mean(p, mean))
            b.add_((share * its_image).add_(of_rows, alpha=nu).view_as(b))
        self.W.mul_(1 - share)
        if self.to_identity:
            self.W.diagonal(dim1=-2, dim2=-1).add_(share.view(-1, 1) if self.W.dim() == 3 else share)
        products.add(self.W, coefficients.mT, p, beta=1, alpha=-nu)

    def decaying(self, p: Tensor, r: Tensor, b: Tensor, known: Sequence[Tensor], products: Products) -> Tensor:
        """p (W − T)ᵀ (…, N, n_l), for what W decays toward, from the carried residual, in a buffer."""
        image = torch.add(r, known[0], out=products.scratch.like("decaying", r)).sub_(b)
        for s in known[1:]:
            image.sub_(s)
        if self.to_identity:
            image[..., : p.shape[-1]].sub_(p[..., : image.shape[-1]])
        return image

    def mean_input(self, p: Tensor, rows: RowSums) -> Tensor:
        """The mean of the rows of p, (n_{l-1},) or (k, 1, n_{l-1}), computed once where p never changes."""
        if self.kept is None:
            return rows.column_mean(p).clone()
        if self.kept.mean is None:
            self.kept.mean = rows.column_mean(p).clone()
        return self.kept.mean

    def offset(self, products: Products) -> Tensor:
        """W less what it decays toward, in a buffer that the caller may overwrite."""
        offset = products.scratch.like("gradient", self.W).copy_(self.W)
        if self.to_identity:
            offset.diagonal(dim1=-2, dim2=-1).sub_(1)
        return offset

    def matrix(self) -> Tensor:
        """W, not to be modified."""
        return self.W

    def image(self, x: Tensor) -> Tensor:
        """x Wᵀ for any rows x."""
        return functional.linear(x, self.W)

    def decayed(self) -> Tensor:
        """The term that weight decay makes small: ‖W‖², or ‖W − I‖²."""
        return square(self.W - torch.eye(*self.W.shape, device=self.W.device) if self.to_identity else self.W)


@dataclass
class ADMMLayer:
    """A layer of an ADMM: its weights and bias. A method adds the variables of its own."""

    weights: Weights | SampleSpaceWeights
    b: Tensor
    """(n_l,)"""

    @property
    def W(self) -> Tensor:
        """The weight matrix, not to be modified."""
        return self.weights.matrix()

    def __call__(self, x: Tensor) -> Tensor:
        """x Wᵀ + b for any rows."""
        return self.weights.image(x).add_(self.b)


def layer_weights(
    index: int, total: int, W: Tensor, x: Tensor, form: FirstLayerForm, decay: Decay, descent: Descent
) -> Weights | SampleSpaceWeights:
    """The weights of layer ``index`` of ``total`` with input x (N, d), starting from ``W``, which is not modified."""
    if index == 0:
        return first_layer(W, x, form, descent)
    return Weights(W.clone(), to_identity=decay == "identity" and index < total - 1)


def first_layer(W: Tensor, x: Tensor, form: FirstLayerForm, descent: Descent) -> Weights | SampleSpaceWeights:
    """The weights of the layer whose input x (N, d) is fixed, starting from ``W``, which is not modified.

    ``auto`` is ``samples`` where :func:`~pdadmm_bench.optim.cost.in_sample_space` says that it costs less, and where
    this worker has all rows.
    """
    if form == "auto":
        form = "samples" if descent.rows.alone and in_sample_space(len(x), x.shape[1]) else "features"
    assert form == "features" or descent.rows.alone
    if form == "samples":
        return SampleSpaceWeights.of(W, x, per_unit=descent.kind == "row-unit", projected=descent.projected)
    return Weights(W.clone(), kept=Kept() if descent.minimises_W else None)


SPREAD_STEPS = 20
"""Power iterations. The error of σ₁² is (σ₂/σ₁)⁴⁰ times the difference of the two."""


def spread(x: Tensor, reduce: Reduction | None = None) -> float:
    """(‖x‖² − σ₁²)/N of rows x (N, d): the mean square of the rows without their strongest common direction.

    ``reduce`` is given where other workers have other rows.

    Non-negative features have a mean far from zero that says little about a node (four fifths of ‖x‖² in Amazon Photo).
    A decay in proportion to the spread weakens the directions that tell nodes apart equally on every graph.
    """
    reduce = reduce or AllRows()
    norms = torch.linalg.vector_norm(x, dim=1)
    longest = norms.argmax()
    largest = reduce.largest(norms[longest])
    # The longest row of all; where several workers have one as long, the sum of them does as well.
    direction = reduce.sum(x[longest] * (norms[longest] == largest) if reduce.size > 1 else x[longest])
    for _ in range(SPREAD_STEPS):
        direction = functional.normalize(reduce.sum(x.T @ (x @ direction)), dim=0)
    rest = reduce.sum(square(norms) - square(x @ direction))
    return float(rest.clamp(min=0) / reduce.total(len(x)))
