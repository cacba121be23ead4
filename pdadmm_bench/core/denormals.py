"""Denormal numbers: products with them take a CPU many times as long as others, so a run takes them as zero."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """In the block, let this thread take float32 values below 1.2e-38 as 0; afterwards it is as before.

    Weights, gradients and multipliers that fade reach this range. A sum does not notice, but a ReLU whose input
    counts as 0 passes no gradient, so a long run can end elsewhere (docs/speed.md). A CPU that cannot do it computes
    as before. A GPU has no such cost. The mode belongs to a thread and goes to those that it starts, so that the
    threads of parallel operations have it if the first of these comes in such a block.
    """
    before = denormals_are_flushed()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def denormals_are_flushed() -> bool:
    """Whether this thread takes them as 0."""
    return float(torch.tensor(2e-38) * 0.25) == 0
