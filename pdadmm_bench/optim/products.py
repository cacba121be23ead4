"""Matrix products, or batches of them, in the precision a run asks for; in and out goes the state's own type.

``fp32`` and ``tf32`` are torch's plain product, the latter a switch that the runner sets. ``bf16`` rounds both factors
to bfloat16, multiplies with float32 accumulation, and rounds the result to bfloat16 once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pdadmm_bench.optim.scratch import Scratch, row_blocks


class Products:
    """Products of one precision, and the buffers they need."""

    def __init__(self, precision: str = "fp32"):
        self._low = precision == "bf16"
        self._scratch = Scratch()

    def factor(self, name: str, x: Tensor) -> Tensor:
        """``x`` as products take it, for several of them; valid until the next ``factor`` of that name."""
        return self._lowered(name, x) if self._low else x

    def mm(self, a: Tensor, b: Tensor, out: Tensor) -> Tensor:
        """out ← a b."""
        return out.copy_(self._product(a, b)) if self._low else torch.matmul(a, b, out=out)

    def add(self, out: Tensor, a: Tensor, b: Tensor, beta: float, alpha: float) -> Tensor:
        """out ← β·out + α·a b."""
        if not self._low:
            add = out.addmm_ if out.dim() == 2 else out.baddbmm_
            return add(a, b, beta=beta, alpha=alpha)
        for target, product in row_blocks(out, self._product(a, b)):
            wide = self._scratch.like("wide", target).copy_(product)
            target.mul_(beta).add_(wide, alpha=alpha)
        return out

    def _product(self, a: Tensor, b: Tensor) -> Tensor:
        shape = (*a.shape[:-1], b.shape[-1])
        out = self._scratch.of("product", shape, a, torch.bfloat16)
        return torch.matmul(self._lowered("left", a), self._lowered("right", b), out=out)

    def _lowered(self, name: str, x: Tensor) -> Tensor:
        if x.dtype == torch.bfloat16:
            return x
        if not x.is_contiguous():
            return self._lowered(name, x.mT).mT  # a transposed matrix is copied as it lies in memory
        return self._scratch.of(name, tuple(x.shape), x, torch.bfloat16).copy_(x)
