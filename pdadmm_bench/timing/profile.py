"""The profile of one iteration: its seconds, compared with its matrix products, Adam and the literal reference.

Everything is measured in one process, in turn. A repetition measures every contender once, in the opposite order of the
repetition before. Ratios are formed within a repetition, so that a machine whose speed drifts changes numerator and
denominator alike. Measurements that cost time (the stop-watch on the parts, the record of allocations) have iterations
of their own.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.autograd import profiler

from pdadmm_bench.core import memory, presets
from pdadmm_bench.core.clock import Clock
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.spec import RunSpec, run_spec
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.optim import REFERENCE
from pdadmm_bench.optim.base import Optimizer, state_bytes
from pdadmm_bench.timing.in_turn import Contender, alternate
from pdadmm_bench.timing.matmul_floor import Floor
from pdadmm_bench.timing.samples import Samples, interval
from pdadmm_bench.timing.stopwatch import timed, waits_for
from pdadmm_bench.timing.subject import Subject, Unsupported

REFERENCE_PRODUCTS = 2
"""The reference makes at least this many times the products of pdadmm; this predicts its first iteration."""
PENALTIES = ("rho", "nu", "mu")


OnProgress = Callable[[str, int, int], None]
"""Called with the present activity, its finished steps and its total steps."""


def profile(
    spec: RunSpec, problem: Problem, found: Samples, *,
    repeats: int, adam: bool, reference: bool, budget_s: float, on_progress: OnProgress,
) -> None:  # fmt: skip
    """Fill ``found`` with an iteration of ``spec``, its floor, memory, allocations and parts, and its rivals.

    Args:
        adam, reference: whether an iteration of Adam, and of the reference, is measured too.
        budget_s: seconds that the reference may take in all; it is left out if it would take longer.
    """
    on_progress("starting", 0, repeats)
    _forget_peak()
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
    """The figures of one repetition: seconds of each contender, and ratios within the repetition."""
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
    values = {**subject.spec.flat(), "optimizer": "adam", "set": {}, "preset": "default"}
    return Subject(run_spec(values), problem)


def _reference(subject: Subject, problem: Problem, most_s: float) -> Subject:
    """The reference; raises :class:`Unsupported` if an iteration is predicted, or measured, to exceed ``most_s``."""
    foretold = REFERENCE_PRODUCTS * timed(subject, subject.device)
    if foretold > most_s:
        raise Unsupported(f"an iteration takes at least about {foretold:.2g} s, the budget leaves {most_s:.2g} s")
    rival = Subject(reference_spec(subject.spec, subject.optimizer), problem)
    if (seconds := timed(rival, rival.device)) > most_s:
        raise Unsupported(f"an iteration takes {seconds:.2g} s, the budget leaves {most_s:.2g} s")
    return rival


def reference_spec(spec: RunSpec, optimizer: Optimizer[Any]) -> RunSpec:
    """The literal reference on the same problem: with the penalties its authors published, else those of ``spec``."""
    plain = {"precision": "fp32", "compile": False, "cuda_graphs": False}
    values = {**spec.flat(), **plain, "optimizer": REFERENCE, "preset": "published", "set": {}}
    try:
        presets.resolve(run_spec(values))
    except UserError:
        ours = optimizer.hyperparameters.model_dump()
        values |= {"preset": presets.NONE, "set": {name: ours[name] for name in PENALTIES if name in ours}}
    return run_spec(values)


def subject_facts(subject: Subject) -> dict[str, Any]:
    """Row values of an optimizer that has begun: its hyperparameters, its device, and its memory so far."""
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


def _forget_peak() -> None:
    gc.collect()
    memory.reset_peak()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def allocations(subject: Subject) -> dict[str, int]:
    """Tensors allocated on the subject's device during one iteration: number, bytes of all, bytes of the largest."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else the profiler prints when it starts and stops
    subject.claim_torch()
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
    subject.claim_torch()
    unwatched = subject.optimizer.part
    seen: dict[str, list[float]] = {}
    for _ in range(iterations):
        clock = Clock(synchronize=waits_for(subject.device))
        subject.optimizer.part = clock.measure
        whole = timed(subject.eager, subject.device)
        for name, seconds in {**clock.seconds, "other": whole - sum(clock.seconds.values())}.items():
            seen.setdefault(name, []).append(seconds)
    subject.optimizer.part = unwatched
    return {name: interval(values)[0] for name, values in seen.items()}
