"""What the subproblems need of all training rows, where a worker may hold a part of them: means, norms, gradients.

p, z, q, u and z_L are elementwise, or separate over rows, so a worker updates those of its rows alone. W and b belong
to all rows: rᵀp, pᵀp, means over rows and the norms behind a step size are sums over rows. A worker with all rows
computes what it would compute without this module, to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pdadmm_bench.optim.admm import subproblems as sub
from pdadmm_bench.optim.admm.buffers import Scratch
from pdadmm_bench.optim.admm.products import Products
from pdadmm_bench.optim.reduction import Pending, Reduction


@dataclass
class RowSums:
    """Sums over the rows of this worker and those of the others."""

    reduce: Reduction
    scratch: Scratch

    @property
    def alone(self) -> bool:
        """Whether this worker has all rows."""
        return self.reduce.size == 1

    def column_mean(self, x: Tensor) -> Tensor:
        """The mean of all rows of x (N, n) as (n,), or of a batch (k, N, n) as (k, 1, n); valid until the next call."""
        if self.alone:
            return sub.column_mean(x, self.scratch)
        mean = sub.column_mean(x, self.scratch).to(torch.float32)
        return self.reduce.sum(mean.mul_(x.shape[-2] / self.reduce.total(x.shape[-2])))

    def norms(self, *matrices: Tensor) -> list[Tensor]:
        """‖·‖ of matrices that are split into rows, or of each matrix of a batch."""
        norms = [sub.norm(matrix) for matrix in matrices]
        if self.alone:
            return norms
        # In float64: a square of float32 may vanish.
        squares = self.reduce.sum(torch.stack(norms).double().square_())
        return list(squares.sqrt_().to(norms[0].dtype))

    def column_norms(self, x: Tensor) -> Tensor:
        """‖·‖ of every column, (…, 1, n)."""
        norms = sub.column_norms(x)
        return norms if self.alone else self.reduce.sum(norms.double().square_()).sqrt_().to(norms.dtype)

    def inner(self, x: Tensor, y: Tensor) -> Tensor:
        """⟨x, y⟩ of matrices that are split into rows, () or (k, 1, 1)."""
        product = (x * y).sum((-2, -1), keepdim=True)
        product = product if x.dim() == 3 else product.view(())
        return product if self.alone else self.reduce.sum(product.double()).to(product.dtype)

    def gradient_of_W(self, by: Products, offset: Tensor, p: Tensor, r: Tensor, nu: float, mu: float) -> Gradient:
        """μ·offset + ν rᵀp (…, n_l, n_{l-1}), on its way to the sum over rows; ``offset`` is overwritten."""
        if self.alone:
            return Gradient(by, by.direction(offset, r.mT, p, beta=mu, alpha=nu), None)
        part = by.add(offset, r.mT, p, beta=mu if self.reduce.index == 0 else 0.0, alpha=nu)
        return Gradient(by, part, self.reduce.start(part))


@dataclass
class Gradient:
    """A gradient of W, on its way to the sum over rows."""

    products: Products
    tensor: Tensor
    pending: Pending | None

    def wait(self) -> Tensor:
        """The gradient in the type of the products; valid until the next call."""
        return self.tensor if self.pending is None else self.products.factor("direction", self.pending.wait())
