"""The checks on one device: correct results, no waiting of the host, the same bits again, speed, and memory."""

from __future__ import annotations

import json
import resource
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pdadmm_bench.core.env import environment
from pdadmm_bench.models import mlp
from pdadmm_bench.optim.compiled import missing_compiler
from pdadmm_bench.parallel.device_clock import device_clock
from pdadmm_bench.parallel.forecast import UNIT_MACHINE, forecast
from pdadmm_bench.parallel.group import Group
from pdadmm_bench.selftest.check import ITERATIONS, Failed, Skipped, Values, difference, problem, require_cuda, small
from pdadmm_bench.selftest.check import require_ok as ok
from pdadmm_bench.timing.generated import generated_problem
from pdadmm_bench.timing.profile import profile
from pdadmm_bench.timing.samples import Samples
from pdadmm_bench.timing.subject import Subject, Unsupported
from pdadmm_bench.training.checkpoint import Checkpoints
from pdadmm_bench.training.observer import Observer
from pdadmm_bench.training.run import run
from pdadmm_bench.training.setup import make_optimizer

TOLERANCES = {"fp32": 1e-3, "tf32": 3e-2, "bf16": 1e-1}
"""How far a device may be from the CPU in float32, relative, in objective and loss after a few iterations."""
MODES: dict[str, dict[str, Any]] = {
    "eager": {"compile": False}, "compiled": {"compile": True}, "graph": {"compile": False, "cuda_graphs": True},
}  # fmt: skip
REPEATS = 5
TIMED = 10
"""Iterations of which the medians are reported."""
ADDRESS_SPACE = 256 * 2**20
"""Bytes beyond the present ones, in which a run on a CPU must run out of memory."""


def about(device: str) -> Values:
    """What is tested: machine, device, versions of the libraries."""
    values: Values = dict(environment())
    values["compiler_missing"] = missing_compiler(torch.device(device))
    if device == "cuda":
        name = torch.cuda.get_device_properties(0)
        values |= {"capability": f"{name.major}.{name.minor}", "memory_bytes": name.total_memory}
        values |= {"nccl": ".".join(map(str, torch.cuda.nccl.version())), "cudnn": torch.backends.cudnn.version()}
    return values


def agrees(device: str, optimizer: str, precision: str, mode: str) -> Values:
    """A small run gives what the CPU gives in float32, to the rounding of the precision."""
    spec = small(device, optimizer, precision=precision, **MODES[mode])
    if mode == "compiled" and (reason := missing_compiler(torch.device(device))):
        raise Skipped(reason)
    chosen = make_optimizer(spec, torch.device(device))
    if mode == "compiled" and not chosen.compiles:
        raise Skipped(f"{optimizer} compiles nothing")
    if mode == "graph":
        require_cuda(device, "a CUDA graph")
    if reason := chosen.supports(spec):
        raise Skipped(reason)
    ours, theirs = run(spec, problem()), run(small("cpu", optimizer, compile=False), problem())
    ok(ours.row)
    ok(theirs.row)
    apart = difference(ours.history, theirs.history)
    if not apart <= TOLERANCES[precision]:
        raise Failed(f"objective or loss is {apart:.2g} away from the CPU's, more than {TOLERANCES[precision]:g}")
    return {"difference": apart, "weights_sha256": ours.row["weights_sha256"]}


def never_waits(device: str, optimizer: str) -> Values:
    """An iteration does not make the host wait for the device."""
    require_cuda(device, "waiting of the host")
    subject = Subject(small(device, optimizer), problem())
    for _ in range(2):
        subject.eager()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        subject.eager()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return {}


def replays(device: str, optimizer: str) -> Values:
    """Iterations from a CUDA graph give the bits of those that are launched one operation at a time."""
    require_cuda(device, "a CUDA graph")
    spec = small(device, optimizer, cuda_graphs=True)
    if reason := make_optimizer(spec, torch.device(device)).supports(spec):
        raise Skipped(reason)
    return _same(run(small(device, optimizer), problem()).row, run(spec, problem()).row, "replayed")


def repeats(device: str, optimizer: str) -> Values:
    """Two deterministic runs give the same bits."""
    first, second = (run(small(device, optimizer, deterministic=True), problem()).row for _ in range(2))
    return _same(first, second, "repeated")


def continues(device: str, optimizer: str) -> Values:
    """A run that is stopped, and goes on from its checkpoint, gives the bits of an undisturbed one."""
    spec, group = small(device, optimizer), Group()
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder), 3600.0, lambda name: "")
        stopped = run(spec, problem(), [_StopsAt(group, ITERATIONS // 2)], group=group, checkpoints=checkpoints)
        if stopped.row["status"] != "interrupted":
            raise Failed(f"the run did not stop: {stopped.row['status']}: {stopped.row['status_reason']}")
        second = run(spec, problem(), checkpoints=checkpoints)
    if not second.row["env_continued_from"]:
        raise Failed("the second run began anew")
    return _same(run(spec, problem()).row, second.row, "continued")


class _StopsAt(Observer):
    """Asks a run to stop after an iteration."""

    def __init__(self, group: Group, iteration: int):
        self._group, self._iteration = group, iteration

    def stepped(self, step: Mapping[str, float]) -> None:
        self._group.interrupted = step["iteration"] == self._iteration


def _same(expected: Mapping[str, Any], found: Mapping[str, Any], what: str) -> Values:
    ok(expected)
    ok(found)
    if expected["weights_sha256"] != found["weights_sha256"]:
        raise Failed(f"the {what} run has other weights: {found['weights_sha256']}, not {expected['weights_sha256']}")
    return {"weights_sha256": found["weights_sha256"]}


def measures(device: str, rows: int, features: int, classes: int, layers: int, hidden: int) -> Values:
    """The speed and memory of pdADMM on a problem of this shape, beside its floor and Adam."""
    shape = {"layers": layers, "hidden": hidden, "threads": None}
    spec, data = small(device, "pdadmm", **shape), generated_problem(rows, features, classes)
    found = Samples()
    profile(
        spec, data, found, repeats=REPEATS, adam=True, reference=False, budget_s=0,
        on_progress=lambda activity, done, total: None,
    )  # fmt: skip
    values = found.row_values()
    parts = json.loads(values["breakdown"])
    widths = mlp.widths(spec.model, features, classes)
    planned = forecast(spec, make_optimizer(spec, torch.device(device)), UNIT_MACHINE, widths, rows).workers[0]
    figures: Values = {
        "iteration_s": values["iteration_s"], "floor_s": values["floor_s"], "adam_s": values.get("adam_s"),
        "ratio_to_floor": values["ratio_to_floor"], "ratio_to_adam": values.get("ratio_to_adam"),
        "share_of_z_L": parts.get("z_L", 0.0) / sum(parts.values()),
        "planned_bytes": planned.state_bytes + planned.scratch_bytes, "state_bytes": values["memory_state_bytes"],
        "peak_bytes": values["memory_peak_bytes"], "allocations": values["allocations_count"],
        "device_s": _device_seconds(Subject(spec, data)), "operations": _operations(Subject(spec, data)),
    }  # fmt: skip
    for name in ("pdadmm", "adam"):
        graphed = small(device, name, cuda_graphs=True, **shape)
        try:
            figures[f"{name}_graphed_s"] = _device_seconds(Subject(graphed, data))
        except Unsupported as reason:
            figures[f"{name}_graphed_s"], figures[f"{name}_graphed_why"] = None, str(reason)
    return figures


def _device_seconds(subject: Subject) -> float:
    """The median time of an iteration by marks in the work of the device."""
    clock, seconds = device_clock(subject.device), []
    for _ in range(2):
        subject()
    for _ in range(TIMED):
        clock.finish()
        first = clock.mark()
        subject()
        last = clock.mark()
        clock.finish()
        seconds.append(clock.seconds(first, last))
    return median(seconds)


def _operations(subject: Subject) -> int:
    """Kernels of an iteration on a CUDA device; on a CPU, calls of torch's operations."""
    if subject.device.type == "cuda":
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as record:
            subject.eager()
            torch.cuda.synchronize()
        return sum(event.device_type == torch.profiler.DeviceType.CUDA for event in record.events())
    with _Counter() as counter:
        subject.eager()
    return counter.count


class _Counter(TorchDispatchMode):
    """Counts the calls of torch's operations."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def runs_out_of_memory(device: str) -> Values:
    """Memory that runs out is the status ``oom``, and the next run in this process succeeds."""
    with _little_memory(device):
        large = run(small(device, "pdadmm", hidden=20_000), problem())
    if large.row["status"] != "oom":
        raise Failed(f"the status was {large.row['status']}: {large.row['status_reason']}")
    ok(run(small(device, "pdadmm"), problem()).row)  # while the error of the other is kept
    return {"reason": large.row["status_reason"]}


@contextmanager
def _little_memory(device: str) -> Iterator[None]:
    """In the block, this process may have only a little more memory than it has now."""
    if device == "cuda":
        torch.cuda.set_per_process_memory_fraction(0.01)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ADDRESS_SPACE, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
