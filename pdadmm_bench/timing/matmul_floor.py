"""The floor of an iteration: its matrix products and factorizations, and nothing else.

One step is recorded product by product, with the tensors it multiplies. The floor multiplies them again, in the same
order, precision and memory layout, into existing outputs. Tensors that a product of the step wrote, scratch or state,
are replaced by copies, which the floor reuses as the step reuses the originals. All other tensors are those of the
step, and are only read. So the floor uses as many distinct arrays as the step does, and does not change its state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

aten = torch.ops.aten

FACTORS = {
    aten.mm: 0, aten.bmm: 0,
    aten.addmm: 1, aten.addmm_: 1, aten._addmm_activation: 1, aten.baddbmm: 1, aten.baddbmm_: 1,
}  # fmt: skip
"""Operations that multiply matrices, and the position of the first factor. Some also add, which is elementwise."""

FACTORIZATIONS = (aten.linalg_cholesky_ex, aten.cholesky_inverse)
"""Operations of exact steps that are no products; the floor makes them again, from copies of what they took."""

Call = tuple[Tensor, Tensor, Tensor]
"""Left factor, right factor, product."""


@dataclass(frozen=True)
class Product:
    """A matrix product (m, k) × (k, n), ``batch`` of them at once."""

    batch: int
    m: int
    k: int
    n: int
    dtype: str
    left: str
    """The memory layout of a factor: rows or columns that are contiguous, or neither ("strided")."""
    right: str

    @classmethod
    def of(cls, left: Tensor, right: Tensor) -> Product:
        """The product of these factors."""
        batch, (m, k), n = (left.shape[0] if left.dim() == 3 else 1), left.shape[-2:], right.shape[-1]
        return cls(batch, m, k, n, str(left.dtype).removeprefix("torch."), _layout(left), _layout(right))

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        return 2 * self.batch * self.m * self.k * self.n


def _layout(x: Tensor) -> str:
    rows, columns = x.stride()[-2:]
    return "rows" if columns == 1 else "columns" if rows == 1 else "strided"


class Floor:
    """The products of one step; a call computes them again.

    Raises ``NotImplementedError`` when the step does arithmetic in bulk that cannot be replayed, such as a convolution.
    """

    def __init__(self, step: Callable[[], object]):
        recorder = _ProductRecorder()
        # Compiled passes have no products. A pass whose first call is recorded would never be compiled afterwards.
        with torch.compiler.set_stance("force_eager"), recorder:
            step()
        self.products = [Product.of(left, right) for left, right, _ in recorder.calls]
        self._calls = _apart(recorder.calls)
        self.factorizations = recorder.factorizations

    def __call__(self) -> None:
        for left, right, out in self._calls:
            multiply = torch.mm if out.dim() == 2 else torch.bmm
            if out.dtype == left.dtype:
                multiply(left, right, out=out)
            else:  # narrow factors, wide product
                multiply(left, right, out_dtype=out.dtype, out=out)
        for factorize, matrix in self.factorizations:
            factorize(matrix)

    @property
    def flops(self) -> int:
        """Operations in the products of one call."""
        return sum(product.flops for product in self.products)

    def table(self) -> list[dict[str, Any]]:
        """One line for all equal products: the fields of :class:`Product`, their ``count``, and ``flops`` in all."""
        counts = Counter(self.products)
        return [{**asdict(p), "count": count, "flops": count * p.flops} for p, count in counts.items()]


class _ProductRecorder(TorchDispatchMode):
    """Keeps the tensors of every product, so that no two of them ever share an address by chance."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.factorizations: list[tuple[Any, Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        operation = func.overloadpacket
        if operation in FACTORIZATIONS:
            self.factorizations.append((operation, args[0].detach().clone()))
        result = func(*args, **(kwargs or {}))
        if operation in FACTORS:
            left, right = args[FACTORS[operation] :][:2]
            self.calls.append((left.detach(), right.detach(), result.detach()))
        elif operation in flop_registry:
            raise NotImplementedError(f"the floor knows products of matrices, not {func}")
        return result


def _apart(calls: list[Call]) -> list[Call]:
    """The calls with a copy of each storage that they write, wherever that storage is read or written."""
    copies = {_address(out): out.untyped_storage().clone() for _, _, out in calls}

    def own(x: Tensor) -> Tensor:
        copy = copies.get(_address(x))
        return x if copy is None else x.new_empty(0).set_(copy, x.storage_offset(), x.size(), x.stride())

    return [(own(left), own(right), own(out)) for left, right, out in calls]


def _address(x: Tensor) -> int:
    return x.untyped_storage().data_ptr()
