"""Seconds of one iteration beside what it is to be judged by: its matrix products, Adam, the literal reference.

Everything is measured in one process, in turn. A repetition measures every contender once, in the opposite order of the
repetition before, and ratios are formed within a repetition, so that a machine whose speed drifts changes numerator and
denominator alike. What watching costs time (the stop-watch on the parts, the record of allocations) happens in
iterations of their own.
"""

from __future__ import annotations

import gc
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.autograd import profiler

from pdadmm_bench.core import memory, presets
from pdadmm_bench.core.block import Block
from pdadmm_bench.core.clock import Clock
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.spec import RunSpec, run_spec
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.models import mlp
from pdadmm_bench.optim.base import Links, Optimizer, state_bytes
from pdadmm_bench.optim.replay import Replay
from pdadmm_bench.timing.matmul_floor import Floor
from pdadmm_bench.timing.scaling import interval
from pdadmm_bench.training.setup import check_device, choose_device, make_optimizer, threads_per_worker

SAMPLE_S = 0.1
"""A measurement repeats work until it takes about this long, after once unmeasured: as in training, where the data of a
small problem stay in the caches from one iteration to the next."""
REFERENCE = "pdadmm-reference"
REFERENCE_PRODUCTS = 2
"""Products of the reference over those of pdadmm, at least: what its first iteration is foretold by."""
PENALTIES = ("rho", "nu", "mu")

OnProgress = Callable[[str, int, int], None]
"""Hears what is being done, and how many of how many steps of it are over."""


class Unsupported(UserError):
    """What was asked for is sound, but the optimizer, or this machine, cannot do it."""


@dataclass
class Found:
    """What has been measured so far. It is filled step by step, so that whatever ends a measurement, this is kept."""

    samples: dict[str, list[float]] = field(default_factory=dict)
    """Figure → one value per repetition."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Row values that were counted or set, rather than repeated."""

    def add(self, **values: float) -> None:
        """The figures of one more repetition."""
        for name, value in values.items():
            self.samples.setdefault(name, []).append(value)

    def row_values(self) -> dict[str, Any]:
        """Each figure as ``name``, ``name_low``, ``name_high``: median and 95 % interval; ``n``, the repetitions."""
        row: dict[str, Any] = dict(self.facts)
        for name, values in self.samples.items():
            with np.errstate(invalid="ignore"):  # what never came about is infinite
                row |= zip((name, f"{name}_low", f"{name}_high"), map(_finite, interval(values)), strict=True)
        return {**row, "n": max(map(len, self.samples.values()), default=0)}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


class Subject:
    """An optimizer in training on one device, as the runner sets it up; calling it makes one iteration.

    Raises :class:`Unsupported` for a spec that the optimizer cannot run, :class:`UserError` for one that is not sound.
    """

    def __init__(self, spec: RunSpec, problem: Problem):
        self.spec, self.problem, self.device = spec, problem, choose_device(spec.device)
        self.optimizer: Optimizer[Any] = make_optimizer(spec, len(problem.train.x))
        if reason := self.optimizer.supports(spec):
            raise Unsupported(reason)
        try:
            check_device(spec, self.device)
        except UserError as reason:
            raise Unsupported(str(reason)) from None
        self.threads = threads_per_worker(spec)
        self.prepare()
        block = Block.whole(spec.model.layers)
        sizes = mlp.widths(spec.model, problem.num_features, problem.num_classes)
        initial = mlp.initial_layers(spec.model, sizes, spec.seed, block)
        layers = [mlp.Layer(*(tensor.to(self.device) for tensor in layer)) for layer in initial]
        links = Links(wire=self.optimizer.wire(spec.wire))
        self.state = self.optimizer.init(problem.to(self.device), layers, block, links)
        self._step = Replay(self.optimizer, self.state).step if spec.cuda_graphs else self.eager
        self.first_s = _timed(self, self.device)

    def prepare(self) -> None:
        """Put torch's global switches where this subject wants them."""
        torch.set_num_threads(self.threads)
        torch.backends.cuda.matmul.allow_tf32 = self.spec.precision == "tf32"

    def eager(self) -> None:
        """One iteration that can be watched, whereas a replayed graph shows nothing of itself."""
        self.optimizer.step(self.state)

    def __call__(self) -> None:
        self._step()


@dataclass
class Contender:
    """Work to be timed, under the settings of a subject."""

    work: Callable[[], None]
    subject: Subject
    count: int = 0
    """Calls per measurement, found in the first one."""

    def seconds(self) -> float:
        """Seconds of one call, as the mean of ``count``."""
        self.subject.prepare()
        if not self.count:
            single = _timed(self.work, self.subject.device)
            self.count = math.ceil(SAMPLE_S / single)
            if self.count == 1:
                return single
        if self.count > 1:
            self.work()
        return _timed(self.work, self.subject.device, self.count)


def _timed(work: Callable[[], None], device: torch.device, count: int = 1) -> float:
    clock = Clock(synchronize=_waits_for(device))
    with clock.measure("work"):
        for _ in range(count):
            work()
    return clock.last / count


def _waits_for(device: torch.device) -> Callable[[], None]:
    return torch.cuda.synchronize if device.type == "cuda" else lambda: None


def alternate(contenders: Mapping[str, Contender], repeats: int) -> Iterator[dict[str, float]]:
    """Seconds per call of every contender, a repetition at a time."""
    names = list(contenders)
    for repeat in range(repeats):
        order = names if repeat % 2 == 0 else names[::-1]
        yield {name: contenders[name].seconds() for name in order}


def profile(
    spec: RunSpec, problem: Problem, found: Found, *,
    repeats: int, adam: bool, reference: bool, budget_s: float, on_progress: OnProgress,
) -> None:  # fmt: skip
    """Fill ``found`` with an iteration of ``spec``, its floor, memory, allocations and parts, and its rivals.

    Args:
        adam, reference: whether an iteration of these is measured beside it.
        budget_s: seconds that the reference may take in all; it is left out where it would take longer.
    """
    on_progress("starting", 0, repeats)
    _forget_peak(spec)
    subject = Subject(spec, problem)
    floor = Floor(subject.eager)
    found.facts |= {
        **subject_facts(subject),
        "products_count": len(floor.products),
        "products_flops": floor.flops,
        "products": json.dumps(floor.table()),
        **allocations(subject),
    }
    contenders = {"iteration": Contender(subject, subject), "floor": Contender(floor, subject)}
    rivals = {"adam": _adam if adam else None, "reference": _reference if reference else None}
    for name, start in rivals.items():
        on_progress(f"starting {name}", 0, repeats)
        try:
            rival = start(subject, problem, budget_s / (repeats + 1)) if start else _not_wanted()
        except Unsupported as reason:
            found.facts[f"{name}_skipped"] = str(reason)
        else:
            contenders[name] = Contender(rival, rival)
            found.facts[f"{name}_products_flops"] = Floor(rival.eager).flops
    for done, seconds in enumerate(alternate(contenders, repeats), 1):
        found.add(**figures(seconds, floor.flops))
        on_progress(
            "iteration in turn with " + ", ".join(name for name in contenders if name != "iteration"), done, repeats
        )
    on_progress("parts of an iteration", repeats, repeats)
    found.facts["breakdown"] = json.dumps(breakdown(subject, max(3, repeats)))


def figures(seconds: Mapping[str, float], flops: int) -> dict[str, float]:
    """What one repetition says: seconds of each contender, and ratios within the repetition."""
    ours, floor = seconds["iteration"], seconds["floor"]
    values = {"iteration_s": ours, "floor_s": floor, "ratio_to_floor": ours / floor}
    values |= {"gflops_per_s": flops / ours / 1e9, "floor_gflops_per_s": flops / floor / 1e9}
    if "adam" in seconds:
        values |= {"adam_s": seconds["adam"], "ratio_to_adam": ours / seconds["adam"]}
    if "reference" in seconds:
        values |= {"reference_s": seconds["reference"], "reference_ratio": seconds["reference"] / ours}
    return values


def _not_wanted() -> Subject:
    raise Unsupported("not wanted")


def _adam(subject: Subject, problem: Problem, _: float) -> Subject:
    values = {**subject.spec.flat(), "optimizer": "adam", "set": {}, "preset": "default", "cuda_graphs": False}
    return Subject(run_spec(values), problem)


def _reference(subject: Subject, problem: Problem, most_s: float) -> Subject:
    """The reference, unless an iteration takes more than ``most_s`` seconds, which is foretold before it is tried."""
    foretold = REFERENCE_PRODUCTS * _timed(subject, subject.device)
    if foretold > most_s:
        raise Unsupported(f"an iteration takes at least about {foretold:.2g} s, the budget leaves {most_s:.2g} s")
    rival = Subject(reference_spec(subject.spec, subject.optimizer), problem)
    if (seconds := _timed(rival, rival.device)) > most_s:
        raise Unsupported(f"an iteration takes {seconds:.2g} s, the budget leaves {most_s:.2g} s")
    return rival


def reference_spec(spec: RunSpec, optimizer: Optimizer[Any]) -> RunSpec:
    """The literal reference on the same problem: with the penalties its authors published for it, else with ours."""
    plain = {"precision": "fp32", "compile": False, "cuda_graphs": False}
    values = {**spec.flat(), **plain, "optimizer": REFERENCE, "preset": "published", "set": {}}
    try:
        presets.resolve("published", REFERENCE, spec.data.dataset, spec.model)
    except UserError:
        ours = optimizer.hyperparameters.model_dump()
        values |= {"preset": presets.NONE, "set": {name: ours[name] for name in PENALTIES if name in ours}}
    return run_spec(values)


def subject_facts(subject: Subject) -> dict[str, Any]:
    """Row values of an optimizer that has begun: its hyperparameters, where it runs, memory up to now."""
    cuda = subject.device.type == "cuda"
    return {
        **{f"optimizer_{name}": value for name, value in subject.optimizer.hyperparameters.model_dump().items()},
        "dataset_name": subject.problem.name,
        "dataset_rows": len(subject.problem.train.x),
        "dataset_features": subject.problem.num_features,
        "dataset_classes": subject.problem.num_classes,
        "optimizer_compiled": subject.optimizer.compile,
        "dist_device": subject.device.type,
        "dist_threads": subject.threads,
        "memory_state_bytes": state_bytes(subject.state),
        "memory_peak_bytes": torch.cuda.max_memory_allocated() if cuda else memory.peak_bytes(),
        "first_iteration_s": subject.first_s,
    }


def _forget_peak(spec: RunSpec) -> None:
    gc.collect()
    memory.reset_peak()
    if choose_device(spec.device).type == "cuda":
        torch.cuda.reset_peak_memory_stats()


def allocations(subject: Subject) -> dict[str, int]:
    """Tensors allocated on the subject's device during one iteration: number, bytes of all, bytes of the largest."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else it tells the terminal that it starts and stops
    subject.prepare()
    with profiler.profile(profile_memory=True) as record:
        subject.eager()
    kind = getattr(torch.profiler.DeviceType, subject.device.type.upper())
    events = record.kineto_results.events()
    sizes = [event.nbytes() for event in events if event.name() == "[memory]" and event.device_type() == kind]
    sizes = [size for size in sizes if size > 0]
    return {
        "allocations_count": len(sizes),
        "allocations_bytes": sum(sizes),
        "allocations_largest_bytes": max(sizes, default=0),
    }


def breakdown(subject: Subject, iterations: int) -> dict[str, float]:
    """Median seconds of each part that the optimizer names, and of the rest under ``other``."""
    subject.prepare()
    unwatched = subject.optimizer.part
    seen: dict[str, list[float]] = {}
    for _ in range(iterations):
        clock = Clock(synchronize=_waits_for(subject.device))
        subject.optimizer.part = clock.measure
        whole = _timed(subject.eager, subject.device)
        for name, seconds in {**clock.seconds, "other": whole - sum(clock.seconds.values())}.items():
            seen.setdefault(name, []).append(seconds)
    subject.optimizer.part = unwatched
    return {name: interval(values)[0] for name, values in seen.items()}
