"""Temporary arrays that are kept as long as a state, and elementwise work in blocks of rows that fit a cache.

Allocating an array of N·n values takes longer than the arithmetic on it. A chain of elementwise operations over arrays
larger than the cache waits for memory at every operation. So updates write to buffers that are kept, and chains process
a few rows at a time. Neither changes any bit of a result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK_VALUES = 1 << 17
"""Values per block: half a megabyte of float32, so that a chain over five arrays stays near a core."""


class Scratch:
    """Buffers by name; each grows to the largest size that was asked for."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, torch.dtype], Tensor] = {}

    def like(self, name: str, tensor: Tensor) -> Tensor:
        """The buffer ``name`` in the shape of ``tensor``; its content is undefined."""
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
    """A tensor like ``like`` to write to: the buffer ``name``, or a new one, which a compiler removes."""
    return torch.empty_like(like) if scratch is None else scratch.like(name, like)


def row_blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Views of the same rows of every tensor, one block after the other; all rows at once where blocks save nothing."""
    first = tensors[0]
    if first.device.type != "cpu" or first.numel() <= BLOCK_VALUES:
        yield tensors
    else:
        rows = max(1, BLOCK_VALUES // first.shape[1])
        yield from zip(*(tensor.split(rows) for tensor in tensors), strict=True)
