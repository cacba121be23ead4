"""Matrix products, or batches of them, in the precision of a run, and the steps that are taken with them.

``fp32`` and ``tf32`` are torch's plain product; the runner sets torch's switch for tf32. What later iterations stand
on, such as an exact residual, is computed under :func:`full_precision`. ``bf16`` rounds both factors to bfloat16,
multiplies with float32 accumulation, and rounds the result to bfloat16 once. The direction of a step and its image stay
in bfloat16. A step may go along any direction, so the state moves along the rounded direction that was
multiplied, and no float32 copy of it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from pdadmm_bench.optim.admm.buffers import Scratch, row_blocks, temporary
from pdadmm_bench.optim.compiled import compile_elementwise


@contextmanager
def full_precision() -> Iterator[None]:
    """In the block, float32 products are not rounded to tf32."""
    settings = torch.backends.cuda.matmul
    before = settings.allow_tf32
    settings.allow_tf32 = False
    try:
        yield
    finally:
        settings.allow_tf32 = before


class Products:
    """Products of one precision, and the buffers they need; with ``compile``, elementwise passes are compiled."""

    def __init__(self, precision: str = "fp32", compile: bool = False, scratch: Scratch | None = None):
        self._low = precision == "bf16"
        self.scratch = scratch or Scratch()
        """The buffers of the products and of all updates."""
        self.compiled = self._low and compile
        """Whether the elementwise passes of bf16 are compiled; the other precisions have none."""
        self._passes = {each: compile_elementwise(each) for each in (weighted_sum, moved)} if self.compiled else None

    @property
    def narrow(self) -> bool:
        """Whether products are narrower than the state."""
        return self._low

    @property
    def plain(self) -> Products:
        """The products of the state's own precision, with the same buffers."""
        return Products(scratch=self.scratch) if self._low else self

    def factor(self, name: str, x: Tensor) -> Tensor:
        """``x`` in the type of the products, for use in several; valid until the next ``factor`` of that name."""
        return self._lowered(name, x) if self._low else x

    def mm(self, a: Tensor, b: Tensor, out: Tensor) -> Tensor:
        """out ← a b."""
        return out.copy_(self._product("product", a, b)) if self._low else torch.matmul(a, b, out=out)

    def image(self, a: Tensor, b: Tensor) -> Tensor:
        """a b in the type of the products; valid until the next call."""
        return self._product("image", a, b)

    def add(self, out: Tensor, a: Tensor, b: Tensor, beta: float, alpha: float) -> Tensor:
        """out ← β·out + α·a b."""
        if self._low:
            self._pass(weighted_sum, out, out, self._product("product", a, b), beta=beta, alpha=alpha)
            return out
        add = out.addmm_ if out.dim() == 2 else out.baddbmm_
        return add(a, b, beta=beta, alpha=alpha)

    def direction(self, gradient: Tensor, a: Tensor, b: Tensor, beta: float, alpha: float) -> Tensor:
        """β·gradient + α·a b in the type of the products; valid until the next call. ``gradient`` is overwritten."""
        if not self._low:
            return self.add(gradient, a, b, beta, alpha)
        out = self.scratch.of("direction", tuple(gradient.shape), gradient, torch.bfloat16)
        self._pass(weighted_sum, out, gradient, self._product("product", a, b), beta=beta, alpha=alpha)
        return out

    def move(self, x: Tensor, direction: Tensor, step: Tensor) -> None:
        """x ← x − step·direction; ``step`` is one for the whole matrix, one for each row, or one for each column."""
        if direction.dtype == x.dtype:
            x.addcmul_(direction, step, value=-1)
        elif step.dim() == x.dim() and len(step) == len(x):
            self._pass(moved, x, direction, step)  # split into blocks as x is
        else:
            self._pass(moved, x, direction, step=step)

    def _pass(self, function: Callable[..., Any], *tensors: Tensor, **settings: Any) -> None:
        """``function`` of the tensors, compiled or a few rows at a time."""
        if self._passes:
            self._passes[function](*tensors, **settings)
        else:
            for rows in row_blocks(*tensors):
                function(*rows, **settings, scratch=self.scratch)

    def _product(self, name: str, a: Tensor, b: Tensor) -> Tensor:
        a, b = self.factor("left", a), self.factor("right", b)
        return torch.matmul(a, b, out=self.scratch.of(name, (*a.shape[:-1], b.shape[-1]), a))

    def _lowered(self, name: str, x: Tensor) -> Tensor:
        if x.dtype == torch.bfloat16:
            return x
        if not x.is_contiguous():
            return self._lowered(name, x.mT).mT  # a transposed matrix is copied in the order of memory
        return self.scratch.of(name, tuple(x.shape), x, torch.bfloat16).copy_(x)


def weighted_sum(
    out: Tensor, wide: Tensor, narrow: Tensor, *, beta: float, alpha: float, scratch: Scratch | None = None
) -> Tensor:
    """out ← β·wide + α·narrow, added in the type of ``wide``."""
    total = torch.mul(wide, beta, out=temporary(scratch, "total", wide))
    return out.copy_(total.add_(temporary(scratch, "wide", wide).copy_(narrow), alpha=alpha))


def moved(x: Tensor, direction: Tensor, step: Tensor, *, scratch: Scratch | None = None) -> Tensor:
    """x ← x − step·direction for a direction of a narrower type."""
    return x.addcmul_(temporary(scratch, "wide", x).copy_(direction), step, value=-1)
