"""Measured rates of this machine for the cost model: matrix products, elementwise operations, messages.

A rate is a median of repeats on sizes like those of the network, and takes a second or two. Workers of one machine
share its memory, so each is slower than one alone: their rates are measured in several processes at once. Messages go
between two processes on the loopback through Gloo. For workers on other machines or on GPUs, the user must give the
link's rates.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

import torch
import torch.distributed as dist

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.optim.admm.buffers import Scratch, row_blocks
from pdadmm_bench.optim.admm.elementwise import Z_Q_U_PASSES, z_q_u
from pdadmm_bench.parallel.cost import FLOAT_BYTES, Machine
from pdadmm_bench.parallel.group import joined
from pdadmm_bench.parallel.launch import Interrupted, WorkerFailure, launch

BUDGET_S = 1.0
"""Seconds of one measurement, which has at least three repeats all the same."""
MIN_REPEATS, MAX_REPEATS = 3, 50
MAX_PRODUCT_FLOPS = 10**10
"""Rows are cut so that one product stays below this (a fraction of a second on a core)."""
MAX_ARRAY_BYTES = 16 * 2**20
MAX_WIDTH = 8192
LAYERS = 3
MAX_MESSAGE_BYTES = 64 * 2**20
SMALL_MESSAGES = 200
TIMEOUT_S = 60.0


def measure(
    rows: int, width: int, threads: int, *, device: str = "cpu", link: bool = True, budget: float = BUDGET_S
) -> Machine:
    """All rates for a network of ``width`` units and ``rows`` rows; without ``link``, messages take no time."""
    bandwidth, latency = link_rate(FLOAT_BYTES * rows * width) if link else (math.inf, 0.0)
    return Machine(
        flops_per_s=product_rate(rows, width, threads, device, budget),
        memory_bytes_per_s=memory_rate(rows, width, threads, device, budget),
        bandwidth_bytes_per_s=bandwidth,
        latency_s=latency,
    )


def product_rate(rows: int, width: int, threads: int, device: str = "cpu", budget: float = BUDGET_S) -> float:
    """Operations per second of float32 matrix products of ``rows`` rows and a ``width`` × ``width`` matrix.

    Both shapes of an iteration are timed: (N, n)·(n, n) and (n, N)·(N, n). Products of wider matrices have the rate of
    those of :data:`MAX_WIDTH`, which fit in memory.
    """
    width = min(width, MAX_WIDTH)
    rows = max(1, min(rows, MAX_PRODUCT_FLOPS // (2 * width * width)))
    x, weight = (torch.rand(size, width, device=device) for size in (rows, width))
    seconds = [_seconds(product, threads, device, budget / 2) for product in (lambda: x @ weight.T, lambda: x.T @ x)]
    return 2 * 2 * rows * width * width / sum(seconds)


def memory_rate(rows: int, width: int, threads: int, device: str = "cpu", budget: float = BUDGET_S) -> float:
    """Bytes per second that elementwise operations on (``rows``, ``width``) arrays read and write.

    The z-, q- and u-update of pdADMM is timed on several layers in turn: it has most of an iteration's passes.
    """
    width = min(width, MAX_ARRAY_BYTES // FLOAT_BYTES)
    rows = max(1, min(rows, MAX_ARRAY_BYTES // (FLOAT_BYTES * width)))
    layers = [[torch.rand(rows, width, device=device) for _ in range(4)] for _ in range(LAYERS)]
    scratch, shift = Scratch(), torch.zeros(width, device=device)

    def update() -> None:
        for layer in layers:
            for p, r, q, z in row_blocks(*layer):
                z_q_u(p, r, q, z, shift=shift, before=0.01, nu=0.01, rho=0.05, scratch=scratch)

    num_bytes = FLOAT_BYTES * rows * width * Z_Q_U_PASSES * LAYERS
    return num_bytes / _seconds(update, threads, device, budget)


def rates_at_once(processes: int, rows: int, width: int, threads: int) -> tuple[float, float]:
    """What :func:`product_rate` and :func:`memory_rate` find in ``processes`` processes at once: medians over them."""
    return _together(processes, _measure_at_once, "--flops and --memory-bandwidth", rows, width, threads)


def _measure_at_once(rows: int, width: int, threads: int) -> tuple[float, float]:
    found = []
    with joined("cpu", TIMEOUT_S) as group:
        for rate in (product_rate, memory_rate):
            group.barrier()  # all begin together, and take as long
            found.append(median(group.gather(rate(rows, width, threads))))
    return found[0], found[1]


def link_rate(num_bytes: int) -> tuple[float, float]:
    """Bytes per second of messages of ``num_bytes``, and seconds of latency, between two processes on the loopback."""
    return _together(2, _measure_link, "--bandwidth and --latency", max(1, min(num_bytes, MAX_MESSAGE_BYTES)))


def _together(
    processes: int, measured: Callable[..., tuple[float, float]], options: str, *arguments: int
) -> tuple[float, float]:
    """What ``measured(*arguments)`` finds in ``processes`` processes; ``options`` give the rates without measuring."""
    try:
        rates: tuple[float, float] = launch(processes, measured, *arguments)
    except WorkerFailure as failure:
        raise UserError(f"{processes} processes cannot measure rates together ({failure}); give {options}") from None
    except Interrupted:
        raise KeyboardInterrupt from None
    return rates


def _measure_link(num_bytes: int) -> tuple[float, float]:
    """One end of the link: both exchange messages and measure bandwidth and latency."""
    torch.set_num_threads(1)
    with joined("cpu", TIMEOUT_S) as group:
        return _link_rates(group.rank, num_bytes)


def _link_rates(rank: int, num_bytes: int) -> tuple[float, float]:
    def round_trip(message: torch.Tensor) -> float:
        start = time.perf_counter()
        for sender in (0, 1):
            if rank == sender:
                dist.send(message, 1 - rank)
            else:
                dist.recv(message, 1 - rank)
        return time.perf_counter() - start

    def one_way(size: int, repeats: int) -> float:
        message = torch.zeros(size, dtype=torch.uint8)
        round_trip(message)
        return median(round_trip(message) for _ in range(repeats)) / 2

    latency = one_way(1, SMALL_MESSAGES)
    # The number of repeats must be the same at both ends, so it comes from the size alone: about 2 GiB in all.
    seconds = one_way(num_bytes, max(MIN_REPEATS, min(MAX_REPEATS, 2**30 // num_bytes)))
    # The latency stays in: on a busy machine its median can exceed the time of a large message.
    return num_bytes / seconds, latency


def _seconds(operation: Callable[[], object], threads: int, device: str, budget: float) -> float:
    """Median time of ``operation`` after one warm-up, over repeats that together take about ``budget`` seconds."""
    times: list[float] = []
    with _threads(threads):
        operation()
        while len(times) < MIN_REPEATS or (sum(times) < budget and len(times) < MAX_REPEATS):
            start = _now(device)
            operation()
            times.append(_now(device) - start)
    return median(times)


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Set torch to ``count`` threads within the block; restore the earlier number at its end."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
