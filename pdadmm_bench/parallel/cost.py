"""What an iteration costs: work, memory and messages per layer, and from them the time of an iteration on G workers.

Counted from the code of ``pdadmm_bench.optim`` rather than fitted, and compared with it by the tests: matrix products,
arrays that elementwise operations read or write, arrays a state holds. A layer has arrays of three sizes, N·n_{l-1}
(its input), N·n_l (its output) and n_l·n_{l-1} (its weights), for N rows and widths [n_0, …, n_L]; the first layer of
an ADMM may work with the N·N products of its input rows instead of its weights
(:mod:`pdadmm_bench.optim.admm.descent`).

Units are seconds, bytes and floating-point operations; state and arithmetic are float32. Everything here is a
prediction: it leaves out evaluation, kernel launches, the cost of encoding a message and workers sharing a memory bus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from pdadmm_bench.core.block import Block

FLOAT_BYTES = 4
LABEL_BYTES = 8
WIRE_BYTES = {"fp32": 4, "bf16": 2, "int16": 2, "uint8": 1}
"""Bytes per value of each wire format."""
MESSAGE_BUFFERS = 3
"""Buffers per neighbour in wire format: one to send from, two to receive into (:mod:`.exchange`)."""
Z_Q_U_PASSES = 50
"""Passes of the z-, q- and u-update of one hidden layer of pdADMM."""
ROUNDING_PASSES = 12
"""Passes of rounding a tensor to the codes of the wire, which pdADMM-G-Q does between layers of one worker too."""
OUTPUT_PASSES = 330
"""Passes of the exact z_L update: three or four Newton steps in float64, which counts twice."""
ACCUMULATION_PASSES = 2
"""Passes over the weights with which a further micro-batch adds its gradient, within the product: read, write."""
FLOPS_PER_BYTE = 10.0
"""Matrix-product rate over memory rate of the machine that layers are balanced for: CPU cores and GPUs alike lie
between 5 and 20. A constant, so that every worker and every repetition finds the same partition."""


class Arrays(NamedTuple):
    """A number of arrays of each of a layer's sizes."""

    inputs: float = 0
    outputs: float = 0
    weights: float = 0
    gram: float = 0

    def values(self, n_in: int, n_out: int, rows: int) -> float:
        """Values in these arrays; a weight array counts with its bias."""
        weights = self.weights * n_out * (n_in + 1)
        return rows * (self.inputs * n_in + self.outputs * n_out + self.gram * rows) + weights


@dataclass(frozen=True)
class Work:
    """One layer in one iteration: matrix products of 2·N·n_{l-1}·n_l operations, elementwise passes, and state."""

    products: int
    passes: Arrays
    """Arrays read or written outside matrix products; an operation a + b on one size makes three passes."""
    states: Arrays
    gram_products: int = 0
    """Matrix products of 2·N·N·n_l operations."""


@dataclass(frozen=True)
class Profile:
    """What an optimizer does to the first layer (whose input is fixed), the hidden ones and the output layer."""

    first: Work
    hidden: Work
    last: Work
    sampled: Work | None
    """The first layer in sample space, where the optimizer knows that form."""
    scratch: Arrays
    """Temporary arrays alive at once, at most, of whichever layer is at work."""
    parallelism: Literal["overlap", "pipeline", "sequential"]
    """How workers share an iteration: all at once (pdADMM), through micro-batches, or one after the other."""
    wire: str = "fp32"
    """Wire format when none is asked for."""


def _admm(products: int, first: float, hidden: Arrays, stored: int = 3) -> Profile:
    """pdADMM's shape: the first layer does without the two products and the passes over its input that p takes.

    Args:
        stored: arrays of the output's size in a hidden layer: z, r, q.
    """
    state = Arrays(1, stored, 1)  # p or x; W, b
    return Profile(
        first=Work(2, Arrays(0, first, hidden.weights), state),
        hidden=Work(products, hidden, state),
        last=Work(products, hidden._replace(outputs=28 + OUTPUT_PASSES), Arrays(1, 2, 1)),
        # Coefficients and the image of the starting weights come on top, and the products of the rows.
        sampled=Work(0, Arrays(0, first + 11), Arrays(1, stored + 2, 1, 1), gram_products=1),
        scratch=Arrays(inputs=1, outputs=1),
        parallelism="overlap",
    )


PDADMM = _admm(4, 73, Arrays(14, 75, 10))
PDADMM_Q = replace(_admm(5, 73 + ROUNDING_PASSES, Arrays(33 + ROUNDING_PASSES, 75 + ROUNDING_PASSES, 10)), wire="uint8")
PDADMM_Q_ROUNDING_Q = replace(
    _admm(4, 89 + ROUNDING_PASSES, Arrays(12 + ROUNDING_PASSES, 92 + ROUNDING_PASSES, 10), stored=4), wire="uint8"
)
"""pdADMM-G-Q with ``quantize=q``, where u is kept."""
DLADMM = Profile(
    first=Work(4, Arrays(0, 88, 20), Arrays(1, 2, 1)),
    hidden=Work(8, Arrays(18, 97, 20), Arrays(2, 2, 1)),
    last=Work(8, Arrays(18, 80 + 1.6 * OUTPUT_PASSES, 20), Arrays(2, 3, 1)),
    sampled=Work(0, Arrays(0, 110), Arrays(1, 4, 1, 1), gram_products=2),
    scratch=Arrays(inputs=1, outputs=1),
    parallelism="sequential",
)


def gradient_profile(statistics: int, passes: int, scratch: int = 0) -> Profile:
    """A gradient method: forward, weight gradient and, after the first layer, input gradient.

    Args:
        statistics: arrays of the weights' size that the optimizer keeps beside weight and gradient.
        passes: over arrays of the weights' size in its update.
        scratch: temporary arrays of the weights' size in its update.
    """
    state = Arrays(0, 1, 2 + statistics)  # one activation, weights, gradients
    return Profile(
        first=Work(2, Arrays(0, 7, passes), state._replace(inputs=1)),
        hidden=Work(3, Arrays(0, 7, passes), state),
        last=Work(3, Arrays(0, 10, passes), state._replace(outputs=2)),
        sampled=None,
        scratch=Arrays(outputs=1, weights=scratch),
        parallelism="pipeline",
    )


PROFILES = {
    "pdadmm": PDADMM,
    "pdadmm-q": PDADMM_Q,
    "dladmm": DLADMM,
    "sgd": gradient_profile(statistics=0, passes=3),
    "adam": gradient_profile(statistics=2, passes=7),
    "adagrad": gradient_profile(statistics=1, passes=5),
    "adadelta": gradient_profile(statistics=2, passes=29, scratch=2),
}
"""By the optimizer's name in the registry."""
GENERIC = PDADMM
"""Assumed for an optimizer that declares no profile: pdADMM's, as a method that updates all layers at once."""


@dataclass(frozen=True)
class Machine:
    """Rates of one worker and of the link between two; a link carries both directions at once."""

    flops_per_s: float
    """float32 matrix products."""
    memory_bytes_per_s: float
    """Elementwise operations, bytes read and written."""
    bandwidth_bytes_per_s: float
    latency_s: float

    def transfer_s(self, num_bytes: float) -> float:
        """Seconds one message takes."""
        return self.latency_s + num_bytes / self.bandwidth_bytes_per_s


@dataclass(frozen=True)
class WorkerCost:
    """One worker in one iteration."""

    block: Block
    parameters: int
    state_bytes: int
    """Layers, input rows or labels, and message buffers."""
    scratch_bytes: int
    compute_s: float
    exposed_s: float
    """Communication it waits for."""
    sent_bytes: int


@dataclass(frozen=True)
class Prediction:
    """One iteration on all workers."""

    workers: tuple[WorkerCost, ...]
    iteration_s: float
    exposed_s: float
    """Communication on the critical path."""
    boundary_bytes: int
    """Both directions of the busiest boundary; 0 for a single worker."""

    @property
    def exposed_share(self) -> float:
        """Part of the iteration that is exposed communication."""
        return self.exposed_s / self.iteration_s

    @property
    def state_bytes(self) -> int:
        """State memory of the largest worker."""
        return max(worker.state_bytes for worker in self.workers)


@dataclass(frozen=True)
class Layers:
    """The layers of one network under one optimizer, for ``rows`` training rows."""

    profile: Profile
    widths: Sequence[int]
    rows: int

    def __len__(self) -> int:
        return len(self.widths) - 1

    def work(self, index: int) -> Work:
        """What the optimizer does to layer ``index``, counted from 0."""
        if index == 0:
            sampled = self.profile.sampled
            return sampled if sampled and in_sample_space(self.rows, self.widths[0]) else self.profile.first
        return self.profile.last if index == len(self) - 1 else self.profile.hidden

    def flops(self, index: int, work: Work | None = None) -> int:
        """Floating-point operations in matrix products, of ``work`` instead of the layer's own if given."""
        work = work or self.work(index)
        inner = self.widths[index] * work.products + self.rows * work.gram_products
        return 2 * self.rows * self.widths[index + 1] * inner

    def traffic(self, index: int, work: Work | None = None) -> float:
        """Bytes that elementwise operations read and write."""
        return FLOAT_BYTES * self._values((work or self.work(index)).passes, index)

    def cost(self, index: int) -> float:
        """What layers are balanced by: operations, with traffic in their units."""
        return self.flops(index) + FLOPS_PER_BYTE * self.traffic(index)

    def seconds(self, index: int, machine: Machine, work: Work | None = None) -> float:
        """Compute time."""
        return self.flops(index, work) / machine.flops_per_s + self.traffic(index, work) / machine.memory_bytes_per_s

    def parameters(self, index: int) -> int:
        """Weights and biases."""
        return int(Arrays(weights=1).values(self.widths[index], self.widths[index + 1], self.rows))

    def state_bytes(self, index: int, in_flight: float = 1.0) -> float:
        """Memory between and within iterations; ``in_flight`` is the share of saved activations held at once."""
        states = self.work(index).states
        labels = LABEL_BYTES * self.rows if index == len(self) - 1 else 0
        return labels + FLOAT_BYTES * self._values(states._replace(outputs=states.outputs * in_flight), index)

    def scratch_bytes(self, index: int) -> float:
        """Temporary memory while the layer is at work."""
        return FLOAT_BYTES * self._values(self.profile.scratch, index)

    def _values(self, arrays: Arrays, index: int) -> float:
        return arrays.values(self.widths[index], self.widths[index + 1], self.rows)


def in_sample_space(rows: int, features: int) -> bool:
    """Whether the first layer of an ADMM works with coefficients of its input rows instead of its weights.

    One product of N·N·n instead of two of N·d·n, and elementwise work on N·n instead of d·n values; the N·N products of
    the rows must not take more memory than x itself does.
    """
    return rows < features


def microbatches_for(workers: int) -> int:
    """The default number of micro-batches: enough to keep the pipeline's bubble below a fifth."""
    return 4 * workers if workers > 1 else 1


def layer_costs(profile: Profile, widths: Sequence[int], rows: int) -> list[float]:
    """Cost of every layer, in units of one floating-point operation; what :func:`~.partition.partition` balances."""
    layers = Layers(profile, widths, rows)
    return [layers.cost(index) for index in range(len(layers))]


def predict_iteration(
    profile: Profile,
    widths: Sequence[int],
    rows: int,
    blocks: Sequence[Block],
    machine: Machine,
    *,
    wire: str = "fp32",
    schedule: str = "gpipe",
    microbatches: int = 1,
) -> Prediction:
    """Time, memory and messages of one iteration with the layers split into ``blocks``.

    Args:
        profile: the optimizer's.
        widths: [n_0, …, n_L].
        rows: training rows N.
        blocks: one per worker, in order.
        machine: rates of every worker and link.
        wire: format of the tensors between workers, a key of :data:`WIRE_BYTES`.
        schedule: ``gpipe`` or ``1f1b``, for gradient methods on several workers.
        microbatches: for the same; rows are padded to a multiple of it.
    """
    if profile.parallelism == "pipeline" and len(blocks) > 1:
        rows = -(-rows // microbatches) * microbatches
    else:
        microbatches = 1
    layers = Layers(profile, widths, rows)
    messages = [rows * widths[block.stop] * WIRE_BYTES[wire] for block in blocks[:-1]]
    times = _TIMES[profile.parallelism](layers, blocks, machine, messages, microbatches)
    workers = []
    for index, (block, (compute, exposed)) in enumerate(zip(blocks, times.workers, strict=True)):
        neighbours = messages[max(index - 1, 0) : index + 1]
        in_flight = min(microbatches, len(blocks) - index) / microbatches if schedule == "1f1b" else 1.0
        state = sum(layers.state_bytes(layer, in_flight) for layer in block) + MESSAGE_BUFFERS * sum(neighbours)
        workers.append(
            WorkerCost(
                block=block,
                parameters=sum(layers.parameters(layer) for layer in block),
                state_bytes=round(state),
                scratch_bytes=round(max(layers.scratch_bytes(layer) for layer in block)),
                compute_s=compute,
                exposed_s=exposed,
                sent_bytes=sum(neighbours),
            )
        )
    return Prediction(tuple(workers), times.iteration, times.exposed, 2 * max(messages, default=0))


class _Times(NamedTuple):
    """Compute and exposed seconds of every worker; seconds of the iteration and of communication in it."""

    workers: list[tuple[float, float]]
    iteration: float
    exposed: float


def _overlap(layers: Layers, blocks: Sequence[Block], machine: Machine, messages: Sequence[int], _: int) -> _Times:
    """pdADMM. A worker updates its first layer, its last layer, then q of its right boundary, then the layers between.

    p leaves to the left once the first layer's p is updated and is wanted after the left worker's own first and last
    layer; v leaves to the right before the layers between are updated and is wanted after the right worker's own. What
    a transfer takes beyond that window is exposed. The slowest worker sets the time of the iteration.
    """
    transfers = [machine.transfer_s(size) for size in messages]
    boundary, inner = [], []
    for block in blocks:
        ends = sorted({block.start, block.stop - 1})
        boundary.append(sum(layers.seconds(index, machine) for index in ends))
        inner.append(sum(layers.seconds(index, machine) for index in block if index not in ends))
    workers = []
    for g in range(len(blocks)):
        exposed = 0.0
        if g > 0:
            exposed += max(0.0, transfers[g - 1] - inner[g])
        if g < len(blocks) - 1:
            index = blocks[g + 1].start
            p_update = layers.seconds(index, machine) - layers.seconds(index, machine, layers.profile.first)
            exposed += max(0.0, transfers[g] - max(0.0, boundary[g] - p_update))
        workers.append((boundary[g] + inner[g], exposed))
    slowest = max(workers, key=sum)
    return _Times(workers, sum(slowest), slowest[1])


def _pipeline(
    layers: Layers, blocks: Sequence[Block], machine: Machine, messages: Sequence[int], microbatches: int
) -> _Times:
    """GPipe and 1F1B: M micro-batches through G stages take M + G − 1 turns of the slowest stage, then it updates.

    The idle share is (G − 1)/(M + G − 1) with either schedule (Huang et al., GPipe, NeurIPS 2019; Narayanan et al.,
    PipeDream, SOSP 2019); they differ in the activations held. Transfers are exposed while the pipeline fills and
    drains, and where they take longer than a turn.
    """
    turns, updates = [], []
    accumulation = ACCUMULATION_PASSES * (microbatches - 1)
    for block in blocks:
        total = sum(layers.seconds(index, machine) for index in block)
        parameters = FLOAT_BYTES * sum(layers.parameters(index) for index in block) / machine.memory_bytes_per_s
        update = parameters * layers.profile.hidden.passes.weights
        turns.append((total - update + parameters * accumulation) / microbatches)
        updates.append(update)
    transfer = max((machine.transfer_s(size / microbatches) for size in messages), default=0.0)
    exposed = 2 * (len(blocks) - 1) * transfer + (microbatches - 1) * max(0.0, transfer - max(turns))
    workers = [(microbatches * turn + update, exposed) for turn, update in zip(turns, updates, strict=True)]
    return _Times(workers, (microbatches + len(blocks) - 1) * max(turns) + max(updates) + exposed, exposed)


def _sequential(layers: Layers, blocks: Sequence[Block], machine: Machine, messages: Sequence[int], _: int) -> _Times:
    """dlADMM: a backward and a forward sweep through the workers one by one; each waits for what it receives."""
    transfers = [machine.transfer_s(size) for size in messages]
    workers = [
        (sum(layers.seconds(index, machine) for index in block), sum(transfers[max(g - 1, 0) : g + 1]))
        for g, block in enumerate(blocks)
    ]
    return _Times(workers, sum(map(sum, workers)), 2 * sum(transfers))


_TIMES = {"overlap": _overlap, "pipeline": _pipeline, "sequential": _sequential}
