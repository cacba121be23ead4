"""Estimates the seconds and bytes of a run of a suite, from the forecast with this machine's rates.

The cost model predicts the iterations. The evaluations are added here: they are most of the work where few nodes train
and many are evaluated. Starting processes, logging and drawing are a constant per run.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.parallel.cost import FLOAT_BYTES
from pdadmm_bench.parallel.forecast import forecast, planned_rows, planned_widths
from pdadmm_bench.timing.predict import planning_machine
from pdadmm_bench.training.run import WARMUP_ITERATIONS
from pdadmm_bench.training.setup import resolve

RUN_S, WORKERS_S = 0.5, 4.0
"""Seconds assumed for logging and drawing in every run, and for starting the workers of a run over several."""
PROCESS_BYTES = 400 * 2**20
"""Memory assumed for every process: the interpreter, torch, and freed memory that was not given back."""


@dataclass(frozen=True)
class RunEstimate:
    """The estimate of one run, for all its workers together."""

    seconds: float
    num_bytes: int
    layers: tuple[int, ...]
    """The partition: the number of layers of each worker."""


def estimate(spec: RunSpec, threads: int) -> RunEstimate:
    """The estimate of ``spec`` with ``threads`` threads per worker; an upper bound if it may stop at a target."""
    resolved, rows, widths = resolve(spec), planned_rows(spec.data), planned_widths(spec)
    machine = planning_machine(rows["train"], spec.model.hidden, threads, resolved.device.type)
    prediction = forecast(spec, resolved.optimizer, machine)
    training = (WARMUP_ITERATIONS + spec.iterations) * prediction.iteration_s
    forward = 2 * sum(rows.values()) * sum(a * b for a, b in pairwise(widths)) / machine.flops_per_s
    evaluating = forward * (1 + spec.iterations // spec.eval_every)
    around = RUN_S + (WORKERS_S if spec.gpus > 1 else 0)
    state = sum(worker.state_bytes + worker.scratch_bytes for worker in prediction.workers)
    # The rows, and the input and output of a layer in an evaluation.
    data = FLOAT_BYTES * sum(rows.values()) * (widths[0] + 2 * max(widths[1:]))
    return RunEstimate(
        seconds=min(training, spec.time_limit or training) + evaluating + around,
        num_bytes=state + data + (spec.gpus + (spec.gpus > 1)) * PROCESS_BYTES,
        layers=tuple(len(worker.block) for worker in prediction.workers),
    )
