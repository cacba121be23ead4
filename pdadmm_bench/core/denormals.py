"""Denormal numbers: products with them take a CPU many times as long as others, so they become zero."""

from __future__ import annotations

import torch


def flush_denormals() -> bool:
    """Let this thread, and the threads that it starts, take float32 values below 1.2e-38 as 0; returns whether they do.

    Weights, gradients and multipliers that fade reach this range, and nothing that is evaluated depends on them. A CPU
    that cannot do it computes as before. A GPU has no such cost. The mode belongs to a thread and goes to those that
    it starts, so this comes before the first parallel operation of a process.
    """
    return torch.set_flush_denormal(True)
