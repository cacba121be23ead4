"""The weights of a layer, in one of two forms, and the layer that they belong to.

:class:`Weights` is the matrix itself. The input x of the first layer is fixed, so every iterate of its weights is
c·W₀ + Aᵀx for a scalar c and coefficients A (N, n). With K = x xᵀ (N, N) a step needs neither W nor the d features.
This is :class:`SampleSpaceWeights`: one product of N·N·n instead of two of N·d·n.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from pdadmm_bench.optim.admm import subproblems as sub
from pdadmm_bench.optim.admm.descent import Descent
from pdadmm_bench.optim.base import square
from pdadmm_bench.optim.cost import in_sample_space

Decay = Annotated[
    Literal["zero", "identity"],
    Field(description="what μ pulls hidden weights to; identity suits a warm start, first and last layer go to zero"),
]
FirstLayerForm = Annotated[
    Literal["auto", "features", "samples"],
    Field(description="form of the first layer's weights: the matrix, or coefficients of the training rows"),
]


@dataclass
class Weights:
    """The weight matrix W (n_l, n_{l-1}) itself."""

    W: Tensor
    to_identity: bool = field(default=False, metadata={"state": False})
    """Whether W decays toward I, not toward 0."""

    def descend(self, by: Descent, p: Tensor, r: Tensor, nu: float, mu: float, seen: Tensor | None = None) -> None:
        """W ← W − G/θ for (ν/2)‖p Wᵀ + b − z‖² + (μ/2)‖W‖² (or ‖W − I‖²), and r as :meth:`Descent.descend_p`."""
        gradient = by.products.scratch.like("gradient", self.W).copy_(self.W)
        if self.to_identity:
            gradient.diagonal(dim1=-2, dim2=-1).sub_(1)
        p = by.products.factor("kept", p)
        gradient = by.products.direction(gradient, (r if seen is None else seen).mT, p, beta=mu, alpha=nu)
        image = by.products.image(p, gradient.mT)
        by.move(self.W, gradient, r, image, sub.curvature(gradient, image, nu, mu))

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
class SampleSpaceWeights:
    """W = c·W₀ + Aᵀx by its coefficients, for a layer whose input x never changes.

    Where rows of x are linearly dependent, A has a part that does not change Aᵀx, up to ν/μ times the residual. A decay
    that is small beside the data, 0 < μ ≪ ν‖K‖, then loses digits of W. Without decay no digits are lost.
    """

    A: Tensor
    """(N, n) coefficients of the rows of x."""
    c: Tensor
    """The factor of the starting weights, a scalar."""
    start: Tensor = field(metadata={"state": False})
    """W₀ (n, d)."""
    start_image: Tensor = field(metadata={"state": False})
    """x W₀ᵀ (N, n)."""
    start_norm: Tensor = field(metadata={"state": False})
    """‖W₀‖, a scalar."""
    gram: Tensor = field(metadata={"state": False})
    """K = x xᵀ (N, N)."""
    gram_norm: Tensor = field(metadata={"state": False})
    """‖K‖, a scalar."""
    x: Tensor = field(metadata={"state": False})
    evaluated: _Evaluated = field(default_factory=lambda: _Evaluated(), metadata={"state": False})

    @classmethod
    def of(cls, start: Tensor, x: Tensor) -> SampleSpaceWeights:
        """The coordinates of ``start``: c = 1, A = 0."""
        image = x @ start.T
        norm = torch.linalg.vector_norm(start)
        gram = x @ x.T
        zero, one = torch.zeros_like(image), torch.ones_like(norm)
        return cls(zero, one, start, image, norm, gram, torch.linalg.vector_norm(gram), x)

    def descend(self, by: Descent, p: Tensor, r: Tensor, nu: float, mu: float, seen: Tensor | None = None) -> None:
        """The same step: G = Hᵀx + μc·W₀ with H = ν r + μ A, so p Gᵀ = K H + μc·x W₀ᵀ."""
        rest, scratch = mu * self.c, by.products.scratch
        H = torch.mul(r if seen is None else seen, nu, out=scratch.like("gradient", r)).add_(self.A, alpha=mu)
        image = by.products.mm(self.gram, H, out=scratch.like("image", r))
        square = torch.dot(H.view(-1), image.view(-1)) + 2 * rest * torch.dot(H.view(-1), self.start_image.view(-1))
        norm = (square + (rest * self.start_norm).square()).clamp(min=0).sqrt()
        image.addcmul_(self.start_image, rest)
        theta = sub.curvature_from(norm, torch.linalg.vector_norm(image), nu, mu)
        if mu == 0:
            # Where rows of x are linearly dependent and nothing decays, G and its image vanish while H does not. Both
            # are then rounding errors, which do not give the curvature, so its largest value, ν‖K‖, is taken.
            rounding = torch.finfo(H.dtype).eps * len(H) ** 0.5 * self.gram_norm
            known = square > rounding * torch.dot(H.view(-1), H.view(-1))
            theta = torch.where(known, theta, nu * self.gram_norm)
        by.move(self.A, H, r, image, theta)
        self.c -= by.rule(theta) * rest

    def matrix(self) -> Tensor:
        """W, formed anew: one product of N·d·n."""
        return (self.start * self.c).addmm_(self.A.T, self.x)

    def image(self, x: Tensor) -> Tensor:
        """x Wᵀ for any rows x, without W. The parts that stay the same are kept for the next call with these rows."""
        start_image, kernel = self.evaluated.of(x, lambda: (x @ self.start.T, x @ self.x.T))
        return (start_image * self.c).addmm_(kernel, self.A)

    def decayed(self) -> Tensor:
        """The term that weight decay makes small: ‖W‖² = c²‖W₀‖² + ⟨A, 2c·x W₀ᵀ + K A⟩."""
        image = (self.gram @ self.A).double().addcmul_(self.start_image.double(), 2 * self.c.double())
        return (self.c * self.start_norm).double().square() + (self.A.double() * image).sum()


class _Evaluated:
    """x W₀ᵀ and x x_trainᵀ of the few matrices x that a run evaluates. It does not count as state."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[Tensor, tuple[Tensor, Tensor]]] = {}

    def of(self, x: Tensor, compute: Callable[[], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """The result of ``compute`` for this tensor. The tensor is kept too, so that no other gets its address."""
        if x.data_ptr() not in self._found:
            self._found[x.data_ptr()] = x, compute()
        return self._found[x.data_ptr()][1]


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
    index: int, total: int, W: Tensor, x: Tensor, form: FirstLayerForm, decay: Decay
) -> Weights | SampleSpaceWeights:
    """The weights of layer ``index`` of ``total`` with input x (N, d), starting from ``W``, which is not modified."""
    if index == 0:
        return first_layer(W, x, form)
    return Weights(W.clone(), to_identity=decay == "identity" and index < total - 1)


def first_layer(W: Tensor, x: Tensor, form: FirstLayerForm) -> Weights | SampleSpaceWeights:
    """The weights of the layer whose input x (N, d) is fixed, starting from ``W``, which is not modified.

    ``auto`` is ``samples`` where :func:`~pdadmm_bench.optim.cost.in_sample_space` says that it costs less.
    """
    if form == "auto":
        form = "samples" if in_sample_space(len(x), x.shape[1]) else "features"
    return SampleSpaceWeights.of(W, x) if form == "samples" else Weights(W.clone())


SPREAD_STEPS = 20
"""Power iterations. The error of σ₁² is (σ₂/σ₁)⁴⁰ times the difference of the two."""


def spread(x: Tensor) -> float:
    """(‖x‖² − σ₁²)/N of rows x (N, d): the mean square of the rows without their strongest common direction.

    Non-negative features have a mean far from zero that says little about a node (four fifths of ‖x‖² in Amazon Photo).
    A decay in proportion to the spread weakens the directions that tell nodes apart equally on every graph.
    """
    norms = torch.linalg.vector_norm(x, dim=1)
    direction = x[norms.argmax()]
    for _ in range(SPREAD_STEPS):
        direction = functional.normalize(x.T @ (x @ direction), dim=0)
    return float((square(norms) - square(x @ direction)).clamp(min=0) / len(x))
