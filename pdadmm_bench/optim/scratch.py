"""Temporaries that live as long as a state, and elementwise work in blocks of rows that fit a cache.

A fresh array of N·n values costs the system more than the arithmetic done on it, and a chain of elementwise operations
over arrays larger than the cache pays for memory at every operation. So the updates write into buffers kept here, and
chains go through a few rows at a time. Neither changes a result by a bit.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK_VALUES = 1 << 17
"""Values per block: half a megabyte of float32, so that a chain over five arrays stays near a core."""


class Scratch:
    """Buffers by name, as large as they were ever asked for."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def like(self, name: str, tensor: Tensor) -> Tensor:
        """The buffer ``name`` in the shape of ``tensor``; its content is whatever was left there."""
        return self.of(name, tuple(tensor.shape), tensor)

    def of(self, name: str, shape: tuple[int, ...], tensor: Tensor) -> Tensor:
        """The buffer ``name`` in ``shape``, with type and device of ``tensor``."""
        count = 1
        for size in shape:
            count *= size
        buffer = self._buffers.get(name)
        if buffer is None or buffer.numel() < count:
            buffer = self._buffers[name] = torch.empty(count, dtype=tensor.dtype, device=tensor.device)
        return buffer[:count].view(shape)


def row_blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Views of the same rows of every tensor, a block at a time; all rows at once where blocks do not pay."""
    first = tensors[0]
    if first.device.type != "cpu" or first.numel() <= BLOCK_VALUES:
        yield tensors
    else:
        rows = max(1, BLOCK_VALUES // first.shape[1])
        yield from zip(*(tensor.split(rows) for tensor in tensors), strict=True)
