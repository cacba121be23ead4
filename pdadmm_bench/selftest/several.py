"""The checks on several devices: the results of one, waiting that is seen, and workers that fail."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import torch

from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.optim.admm.pdadmm import PdADMM
from pdadmm_bench.optim.admm.state import PdADMMState
from pdadmm_bench.parallel.exchange import Neighbour
from pdadmm_bench.parallel.group import Workers, joined
from pdadmm_bench.parallel.launch import WorkerFailure, launch
from pdadmm_bench.selftest.check import (
    Failed,
    Values,
    difference,
    problem,
    require_cuda,
    require_ok,
    require_several,
    small,
)
from pdadmm_bench.selftest.one_device import TOLERANCES
from pdadmm_bench.timing import scaling
from pdadmm_bench.training.run import run, time_iterations
from pdadmm_bench.training.worker import join

EXCHANGE_S = 5.0
"""The time limit of an exchange: workers that stall are found after it."""
PATIENCE_S = 30.0
"""The time limit of an exchange where nothing stalls."""
GRACE_S = 20.0
"""By how much a launch may take longer than the limit, for the start and the end of processes."""
SLEEP_S = 0.1
ITERATIONS = 3
FAILS_AT = 4
"""The call of ``step`` in which a worker fails: the second iteration after two to warm up."""
SPECS: dict[str, dict[str, Any]] = {
    "pdadmm": {"optimizer": "pdadmm"},
    "pdadmm bf16 on the wire": {"optimizer": "pdadmm", "wire": "bf16"},
    "pdadmm-q": {"optimizer": "pdadmm-q"},
    "pdadmm-q of 1000 levels": {"optimizer": "pdadmm-q", "set": {"levels": 1000}},
    "pdadmm-m": {"optimizer": "pdadmm-m"},
    "pdadmm-c": {"optimizer": "pdadmm-c"},
    "dladmm": {"optimizer": "dladmm"},
    "ddg": {"optimizer": "ddg"},
    "fdg": {"optimizer": "fdg"},
    "adam gpipe": {"optimizer": "adam", "schedule": "gpipe"},
    "adam 1f1b": {"optimizer": "adam", "schedule": "1f1b"},
    "adam zero-bubble": {"optimizer": "adam", "schedule": "zero-bubble"},
    "adam rows": {"optimizer": "adam", "mesh": "rows"},
    "pdadmm rows": {"optimizer": "pdadmm", "mesh": "rows"},
}
ON_FOUR: dict[str, dict[str, Any]] = {
    "adam 2×2": {"optimizer": "adam", "mesh": "layers=2,rows=2"},
    "pdadmm 2×2": {"optimizer": "pdadmm", "mesh": "layers=2,rows=2"},
}
"""Where there are four devices."""
FAULTS = {
    "raise": "RuntimeError: the self-test failed on purpose",
    "oom": "OutOfMemoryError: CUDA out of memory (on purpose)",
    "SIGKILL": "killed by SIGKILL",
    "SIGSTOP": "does not answer",
}
"""What a worker does, and what the launch has to say about it."""


def agree_with_one(device: str) -> Values:
    """Every optimizer, wire, schedule and mesh gives on several devices what it gives on one.

    On a CPU those are the same bits, but for the order of sums over micro-batches and over rows.
    """
    workers = min(require_several(device), 4)
    chosen = {**SPECS, **(ON_FOUR if workers == 4 else {})}
    specs = {name: small(device, deterministic=True, **{**values, "mesh": "layers"}) for name, values in chosen.items()}
    together = {name: small(device, deterministic=True, gpus=workers, **values) for name, values in chosen.items()}
    found = launch(workers, _train, together, device)
    values: Values = {"workers": workers}
    for name, (row, history) in found.items():
        one = run(specs[name], problem())
        require_ok(row)
        require_ok(one.row)
        values[name] = difference(history, one.history)
        if not values[name] <= TOLERANCES["fp32"]:
            raise Failed(f"{name}: {values[name]:.2g} away from one device, more than {TOLERANCES['fp32']:g}")
    return values


def _train(specs: dict[str, RunSpec], device: str) -> dict[str, tuple[dict[str, Any], list[dict[str, float]]]]:
    with joined(device, PATIENCE_S) as group:
        results = {name: run(spec, problem(), group=group) for name, spec in specs.items()}
    return {name: (result.row, result.history) for name, result in results.items()}


def see_a_sleeper(device: str) -> Values:
    """While worker 1 sleeps, worker 0 waits, and that is exposed time."""
    require_several(device)
    values = launch(2, _sleep, device)
    details = json.loads(values["dist_per_worker"])
    exposed = details[0]["exposed_s"]
    if exposed < SLEEP_S / 2:
        raise Failed(f"worker 0 waited {exposed:.3g} s for a worker that slept {SLEEP_S:g} s")
    return {"exposed_s": exposed, "slept_s": SLEEP_S, "iteration_s": values["time_iteration_median_s"]}


def _sleep(device: str) -> Any:
    with joined(device, PATIENCE_S) as group, _before_step(group, lambda call: time.sleep(SLEEP_S)):
        return time_iterations(small(device, "pdadmm", gpus=2), problem(), group, ITERATIONS)


def measure_the_link(device: str) -> Values:
    """The rate of the link between two devices."""
    require_several(device)
    seconds_per_byte = launch(2, _measure_link, device)
    if not seconds_per_byte > 0:
        raise Failed("the link has no measured rate")
    return {"bytes_per_s": 1 / seconds_per_byte}


def _measure_link(device: str) -> float:
    with joined(device, PATIENCE_S) as group:
        worker = join(small(device, "pdadmm", gpus=2, hidden=1024), problem(), group)
        with worker.links() as links:
            worker.measure_links(links)  # the first makes the communicators
            worker.measure_links(links)
        return worker.link_seconds_per_byte


def receive_early(device: str) -> Values:
    """Seconds of an iteration with v's receive posted right after p is sent, and at the end of the iteration."""
    require_cuda(device, "the order of work in a stream")
    require_several(device)
    early, late = launch(2, _receive, device)
    return {"early_s": early, "late_s": late}


def _receive(device: str) -> tuple[float, float]:
    spec = small(device, "pdadmm", gpus=2, layers=10, hidden=1024, iterations=20)
    with joined(device, PATIENCE_S) as group:
        early = time_iterations(spec, problem(), group, 20)
        with _late_receives(group):
            late = time_iterations(spec, problem(), group, 20)
    return tuple(found["time_iteration_median_s"] if found else 0.0 for found in (early, late))  # type: ignore[return-value]


@contextmanager
def _late_receives(group: Workers) -> Iterator[None]:
    """In the block, the receive from the left neighbour is posted at the end of a step."""
    post, step = Neighbour.post_receive, PdADMM.step
    delayed: list[Neighbour] = []

    def later(neighbour: Neighbour) -> None:
        if neighbour.peer < group.rank:
            delayed.append(neighbour)
        else:
            post(neighbour)

    def step_then_post(optimizer: PdADMM, state: PdADMMState) -> None:
        step(optimizer, state)
        while delayed:
            post(delayed.pop())

    with patch.object(Neighbour, "post_receive", later), patch.object(PdADMM, "step", step_then_post):
        yield


def name_the_culprit(device: str, fault: str) -> Values:
    """Worker 1 fails in the middle of an iteration; it is named, with the reason, in time."""
    require_several(device)
    start = time.monotonic()
    try:
        launch(2, _fail, device, fault)
    except WorkerFailure as failure:
        seconds = time.monotonic() - start
        if failure.rank != 1 or not failure.reason.startswith(FAULTS[fault]):
            raise Failed(f"worker {failure.rank} was named: {failure.reason}") from failure
        if seconds > EXCHANGE_S + GRACE_S:
            raise Failed(f"it took {seconds:.0f} s") from failure
        return {"reason": str(failure), "seconds": seconds}
    raise Failed("nothing was noticed")


def _fail(device: str, fault: str) -> None:
    def act(call: int) -> None:
        if call != FAILS_AT:
            return
        if fault == "raise":
            raise RuntimeError("the self-test failed on purpose")
        if fault == "oom":
            raise torch.OutOfMemoryError("CUDA out of memory (on purpose)")
        os.kill(os.getpid(), getattr(signal, fault))

    with joined(device, EXCHANGE_S) as group, _before_step(group, act):
        result = run(small(device, "pdadmm", gpus=2), problem(), group=group)
        if result.error is not None:
            raise result.error


@contextmanager
def _before_step(group: Workers, act: Callable[[int], None]) -> Iterator[None]:
    """In the block, worker 1 does ``act`` before each step of pdADMM, with the number of the step."""
    step, calls = PdADMM.step, 0

    def acting(optimizer: PdADMM, state: PdADMMState) -> None:
        nonlocal calls
        calls += 1
        if group.rank == 1:
            act(calls)
        step(optimizer, state)

    with patch.object(PdADMM, "step", acting):
        yield


def scale(device: str, most: int) -> Values:
    """Strong scaling over 1, 2, … devices."""
    counts = [count for count in (1, 2, 4) if count <= min(most, require_several(device))]
    common = small(device, "pdadmm", layers=8, hidden=64).flat()
    points = scaling.scaling_points(
        common, optimizers=["pdadmm"], layers=[8], schedules=["gpipe"], workers=counts,
    )  # fmt: skip
    rows = scaling.measure(points, partial(problem), repeats=1, iterations=ITERATIONS, timeout=PATIENCE_S)
    return {f"{row['dist_workers']} workers": row["time_iteration_median_s"] for row in rows}
