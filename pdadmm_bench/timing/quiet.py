"""Measures whether the machine is quiet: a product that is always the same, and what other processes do meanwhile."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import torch

from pdadmm_bench.core.env import cores
from pdadmm_bench.core.quiet import Quietness

WIDTH = 384
"""Rows and columns of the factors: some milliseconds on a core."""
SECONDS = 3.0
LEAST_PRODUCTS = 30


def measure(seconds: float = SECONDS) -> Quietness:
    """Multiply the same matrices on one thread for ``seconds``."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        generator = torch.Generator().manual_seed(0)
        left, right = (torch.randn(WIDTH, WIDTH, generator=generator) for _ in range(2))
        out = left @ right
        times: list[float] = []
        start, busy, own = time.perf_counter(), _busy_s(), time.process_time()
        while time.perf_counter() - start < seconds or len(times) < LEAST_PRODUCTS:
            begin = time.perf_counter()
            torch.mm(left, right, out=out)
            times.append(time.perf_counter() - begin)
        wall = time.perf_counter() - start
        others = _busy_s() - busy - (time.process_time() - own)
    finally:
        torch.set_num_threads(threads)
    return judged(times, max(0.0, others) / wall / (os.cpu_count() or 1))


def judged(times: list[float], other_load: float) -> Quietness:
    """The figures from the seconds of each product."""
    third = len(times) // 3
    first, last = np.median(times[:third]), np.median(times[-third:])
    spread = float(np.quantile(times, 0.95) / np.median(times) - 1)
    return Quietness(spread=spread, drift=max(0.0, float(last / first - 1)), other_load=other_load)


def _busy_s() -> float:
    """Seconds that all cores of the machine have worked so far; where nobody counts them, by the load average."""
    try:
        user, nice, system, _, _, irq, softirq, steal = map(
            int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        )
    except (OSError, ValueError):
        return time.perf_counter() * min(os.getloadavg()[0], cores())
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
