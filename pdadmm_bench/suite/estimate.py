"""What a run will take, predicted by the cost model with this machine's rates: an estimate to plan a night by.

To the iterations it adds the evaluations, which the cost model leaves out and which are most of the work where few
nodes train and many are evaluated. Starting processes, logging and drawing are a constant per run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.data.catalog import load_card
from pdadmm_bench.models import mlp
from pdadmm_bench.parallel.cost import FLOAT_BYTES, Machine, layer_costs, microbatches_for, predict_iteration
from pdadmm_bench.parallel.layout import profile_of
from pdadmm_bench.parallel.partition import partition
from pdadmm_bench.timing import machine as rates
from pdadmm_bench.training.run import WARMUP_ITERATIONS
from pdadmm_bench.training.setup import resolve

MEASURE_S = 0.1
"""Time for each rate of this machine, which are measured once per power of two of rows."""
MOST_VALUES = 2**22
"""Of an array that rates are measured on: 16 MiB, beyond which a rate stays what it is and only takes longer."""
LINK_BANDWIDTH, LINK_LATENCY_S = 2e9, 1e-4
"""Assumed of links between workers, since measuring them starts two processes: about what Gloo does on the loopback."""
RUN_S, WORKERS_S = 0.5, 4.0
"""Assumed of every run for logging and drawing, and of a run over several workers for starting them."""
PROCESS_BYTES = 400 * 2**20
"""Assumed of every process: the interpreter, torch, and freed memory that was not given back."""


@dataclass(frozen=True)
class Estimate:
    """One run, on all its workers together."""

    seconds: float
    num_bytes: int
    layers: tuple[int, ...]
    """Of each worker: the partition."""


def estimate(spec: RunSpec, threads: int) -> Estimate:
    """What ``spec`` takes with ``threads`` threads per worker; an upper bound where it may stop at a target."""
    profile = profile_of(spec)
    sizes = load_card(spec.data.dataset).sizes
    train, others = _rows(spec)
    widths = mlp.widths(spec.model, sizes.features * (spec.data.hops + 1), sizes.classes)
    blocks = partition(spec.partition if spec.gpus > 1 else "even", layer_costs(profile, widths, train), spec.gpus)
    measured = _measured(train, spec.model.hidden)
    machine = _machine(measured, spec.model.hidden, threads, resolve(spec).device.type)
    prediction = predict_iteration(
        profile,
        widths,
        train,
        blocks,
        machine,
        wire=resolve(spec).optimizer.wire(spec.wire).name,
        schedule=spec.schedule,
        microbatches=spec.microbatches or microbatches_for(spec.gpus),
    )
    training = (WARMUP_ITERATIONS + spec.iterations) * prediction.iteration_s
    forward = 2 * (train + others) * sum(a * b for a, b in pairwise(widths)) / machine.flops_per_s
    evaluating = forward * (1 + spec.iterations // spec.eval_every)
    around = RUN_S + (WORKERS_S if spec.gpus > 1 else 0)
    state = sum(worker.state_bytes + worker.scratch_bytes for worker in prediction.workers)
    data = (
        FLOAT_BYTES * (train + others) * (widths[0] + 2 * max(widths[1:]))
    )  # the rows, and a layer's input and output
    return Estimate(
        seconds=min(training, spec.time_limit or training) + evaluating + around,
        num_bytes=state + data + (spec.gpus + (spec.gpus > 1)) * PROCESS_BYTES,
        layers=tuple(len(block) for block in blocks),
    )


def _rows(spec: RunSpec) -> tuple[int, int]:
    """Training rows, and validation and test rows, without loading the data."""
    card = load_card(spec.data.dataset)
    kind = card.split.kind if spec.data.split == "auto" else spec.data.split
    if kind == "public" and card.split.train:
        return card.split.train, (card.split.val or 0) + (card.split.test or 0)
    train = spec.data.train_per_class * card.sizes.classes
    return train, max(0, min(spec.data.num_val + spec.data.num_test, card.sizes.nodes - train))


def _measured(rows: int, width: int) -> int:
    """On how many rows rates are measured that are to hold for ``rows`` of them."""
    return min(1 << max(0, rows - 1).bit_length(), max(1, MOST_VALUES // width))


@cache
def _machine(rows: int, width: int, threads: int, device: str) -> Machine:
    measured = rates.measure(rows, width, threads, device=device, link=False, budget=MEASURE_S)
    return replace(measured, bandwidth_bytes_per_s=LINK_BANDWIDTH, latency_s=LINK_LATENCY_S)


class EtaEstimate:
    """How long the rest will take: the predictions, corrected by how the runs so far compared with theirs."""

    def __init__(self, predictions: Iterable[float], jobs: int):
        self._left, self._jobs = sum(predictions), jobs
        self._predicted = self._took = 0.0

    def over(self, predicted: float, took: float) -> None:
        """A run predicted to take so many seconds is over; ``took`` is 0 for one that was not made here."""
        self._left -= predicted
        if took:
            self._predicted += predicted
            self._took += took

    @property
    def seconds(self) -> float:
        """Seconds until the end."""
        return max(0.0, self._left) * (self._took / self._predicted if self._predicted else 1.0) / self._jobs
