"""A stop-watch for work on a device; it is read only after the device has finished."""

from __future__ import annotations

from collections.abc import Callable

import torch

from pdadmm_bench.core.clock import Clock


def timed(work: Callable[[], None], device: torch.device, count: int = 1) -> float:
    """Seconds of one call of ``work``, as the mean of ``count`` calls in a row."""
    clock = Clock(synchronize=waits_for(device))
    with clock.measure("work"):
        for _ in range(count):
            work()
    return clock.last / count


def waits_for(device: torch.device) -> Callable[[], None]:
    """The function that waits until ``device`` has finished its work."""
    return torch.cuda.synchronize if device.type == "cuda" else lambda: None
