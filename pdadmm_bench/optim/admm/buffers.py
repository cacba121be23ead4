"""Temporaries that live as long as a state, and elementwise work in blocks of rows that fit a cache.

A fresh array of N·n values costs the system more than the arithmetic done on it, and a chain of elementwise operations
over arrays larger than the cache pays for memory at every operation. So the updates write into buffers kept here, and
chains go through a few rows at a time. Neither changes a result by a bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK_VALUES = 1 << 17
"""Values per block: half a megabyte of float32, so that a chain over five arrays stays near a core."""


class Scratch:
    """Buffers by name, as large as they were ever asked for."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, torch.dtype], Tensor] = {}

    def like(self, name: str, tensor: Tensor) -> Tensor:
        """The buffer ``name`` in the shape of ``tensor``; its content is whatever was left there."""
        return self.of(name, tuple(tensor.shape), tensor)

    def of(self, name: str, shape: tuple[int, ...], tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """The buffer ``name`` in ``shape``, on the device of ``tensor`` and of its type unless ``dtype`` is given."""
        dtype = dtype or tensor.dtype
        buffer = self._buffers.get((name, dtype))
        if buffer is None or buffer.numel() < math.prod(shape):
            buffer = torch.empty(math.prod(shape), dtype=dtype, device=tensor.device)
            self._buffers[name, dtype] = buffer
        return buffer[: math.prod(shape)].view(shape)


def temporary(scratch: Scratch | None, name: str, like: Tensor) -> Tensor:
    """A tensor like ``like`` to write into: the buffer ``name``, or a fresh one, which a compiler fuses away."""
    return torch.empty_like(like) if scratch is None else scratch.like(name, like)


def row_blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Views of the same rows of every tensor, a block at a time; all rows at once where blocks do not pay."""
    first = tensors[0]
    if first.device.type != "cpu" or first.numel() <= BLOCK_VALUES:
        yield tensors
    else:
        rows = max(1, BLOCK_VALUES // first.shape[1])
        yield from zip(*(tensor.split(rows) for tensor in tensors), strict=True)
