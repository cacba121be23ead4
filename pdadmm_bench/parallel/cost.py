"""The cost model: time and memory of one iteration on G workers, computed from the optimizer's cost profile.

A :class:`~pdadmm_bench.optim.cost.CostProfile` gives the work of the optimizer per layer. The cost model turns it into
operations, bytes and seconds for N rows, widths [n_0, …, n_L] and the rates of a machine. The tests compare the counts
with what the optimizers do.

Units are seconds, bytes and floating-point operations; state and arithmetic are float32. Everything here is a
prediction. It ignores evaluation, kernel launches, the encoding of messages, and that workers share a memory bus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.shard import Shard
from pdadmm_bench.optim.cost import Arrays, CostProfile, LayerWork, in_sample_space
from pdadmm_bench.parallel.iteration_times import TIMES

FLOAT_BYTES = 4
LABEL_BYTES = 8
WIRE_BYTES = {"fp32": 4, "bf16": 2, "int16": 2, "uint8": 1}
"""Bytes per value of each wire format."""
MESSAGE_BUFFERS = 3
"""Buffers per neighbour in wire format: one to send from, two to receive into (:mod:`.exchange`)."""
GATHER_PASSES = Arrays(inputs=2)
"""Passes over the rows of x when a mini-batch is gathered from them: read, write."""
FLOPS_PER_BYTE = 10.0
"""Rate of matrix products divided by rate of memory, for the machine that layers are balanced for. CPU cores and GPUs
lie between 5 and 20. It is a constant, so that every worker and every repetition finds the same partition."""


@dataclass(frozen=True)
class Machine:
    """Rates of one worker and of the link between two; a link carries both directions at once."""

    flops_per_s: float
    """Rate of float32 matrix products."""
    memory_bytes_per_s: float
    """Rate of elementwise operations, in bytes read and written."""
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
    """Seconds in which the worker waits for communication."""
    sent_bytes: int
    """To neighbours along the layers."""
    reduced_bytes: int
    """Sent in sums over rows."""


@dataclass(frozen=True)
class Prediction:
    """One iteration on all workers."""

    workers: tuple[WorkerCost, ...]
    """One along the layers for each block; those that share its rows are alike."""
    iteration_s: float
    exposed_s: float
    """Seconds of communication on the critical path."""
    boundary_bytes: int
    """Both directions of the busiest boundary; 0 for a single worker."""
    row_workers: int = 1
    """Workers that share the rows of a block."""

    @property
    def reduced_bytes(self) -> int:
        """Bytes that all workers send in sums over rows."""
        return self.row_workers * sum(worker.reduced_bytes for worker in self.workers)

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
    """The layers of one network under one optimizer's profile, for ``rows`` training rows."""

    profile: CostProfile
    widths: Sequence[int]
    rows: int
    batch_size: int = 0
    """Rows of a mini-batch, where an iteration is an epoch of them; 0 where a step takes all rows."""

    @property
    def steps(self) -> int:
        """Steps in an iteration, each of which passes over the weights."""
        return -(-self.rows // self.batch_size) if self.batch_size else 1

    @property
    def batch_share(self) -> float:
        """The part of the rows that a step has at once."""
        return self.batch_size / self.rows if self.batch_size else 1.0

    def __len__(self) -> int:
        return len(self.widths) - 1

    def work(self, index: int) -> LayerWork:
        """The work of the optimizer on layer ``index``, counted from 0."""
        if index == 0:
            sampled = self.profile.sampled
            fits = not self.batch_size and in_sample_space(self.rows, self.widths[0])
            if sampled and fits:
                return sampled
            return self.profile.first.fitted(self.widths[0], self.widths[1], self.rows)
        work = self.profile.last if index == len(self) - 1 else self.profile.hidden
        return work.fitted(self.widths[index], self.widths[index + 1], self.rows)

    def flops(self, index: int, work: LayerWork | None = None) -> int:
        """Floating-point operations in matrix products; of ``work`` where given, else of the layer's own."""
        return (work or self.work(index)).operations(self.widths[index], self.widths[index + 1], self.rows)

    def factorizing(self, index: int, work: LayerWork | None = None) -> int:
        """Operations in factorizations, in units of float32 ones."""
        return (work or self.work(index)).factorizing(self.widths[index], self.widths[index + 1], self.rows)

    def traffic(self, index: int, work: LayerWork | None = None) -> float:
        """Bytes that elementwise operations read and write."""
        passes = (work or self.work(index)).passes
        if self.batch_size:
            passes = passes._replace(weights=passes.weights * self.steps)
            passes = passes.plus(GATHER_PASSES) if index == 0 else passes
        return FLOAT_BYTES * self._values(passes, index)

    def cost(self, index: int) -> float:
        """The cost that a partition balances: operations, and traffic in the same unit."""
        return self.flops(index) + self.factorizing(index) + FLOPS_PER_BYTE * self.traffic(index)

    def seconds(self, index: int, machine: Machine, work: LayerWork | None = None) -> float:
        """Compute time."""
        operations = self.flops(index, work) + self.factorizing(index, work)
        return operations / machine.flops_per_s + self.traffic(index, work) / machine.memory_bytes_per_s

    def parameters(self, index: int) -> int:
        """Weights and biases."""
        return int(Arrays(weights=1).values(self.widths[index], self.widths[index + 1], self.rows))

    def parameter_bytes(self, block: Block) -> int:
        """Bytes of the weights and biases of some layers."""
        return FLOAT_BYTES * sum(self.parameters(index) for index in block)

    def state_bytes(self, index: int, in_flight: float = 1.0) -> float:
        """Memory of the state; ``in_flight`` is the part of the saved activations that is held at once."""
        states = self.work(index).states
        labels = LABEL_BYTES * self.rows if index == len(self) - 1 else 0
        outputs = states.outputs * in_flight * self.batch_share
        return labels + FLOAT_BYTES * self._values(states._replace(outputs=outputs).plus(self._waiting(index)), index)

    def scratch_bytes(self, index: int) -> float:
        """Temporary memory while the layer is updated."""
        scratch, share = self.profile.scratch, self.batch_share
        gathered = share if self.batch_size and index == 0 else 0.0
        scratch = scratch._replace(inputs=scratch.inputs * share + gathered, outputs=scratch.outputs * share)
        return FLOAT_BYTES * self._values(scratch, index)

    def _waiting(self, index: int) -> Arrays:
        """What waits for the delayed gradient of the layer's block: outputs, and weights but the first layer's.

        A method that goes forward before it goes backward has buffers for one more pass. At the end of a block there is
        the gradient too.
        """
        units = Block.even(len(self), self.profile.blocks or 1) if self.profile.delay else []
        after = sum(index < unit.start for unit in units)
        if not after:
            return Arrays()
        delay, forward_first = self.profile.delay * after, self.profile.parallelism == "forward-locked"
        buffered = forward_first or any(index == unit.stop - 1 for unit in units)
        return Arrays(outputs=delay - (not buffered), weights=delay + forward_first if index > 0 else 0)

    def _values(self, arrays: Arrays, index: int) -> float:
        return arrays.values(self.widths[index], self.widths[index + 1], self.rows)


def microbatches_for(workers: int) -> int:
    """The default number of micro-batches, which keeps the pipeline's bubble below a fifth."""
    return 4 * workers if workers > 1 else 1


def layer_costs(profile: CostProfile, widths: Sequence[int], rows: int) -> list[float]:
    """Cost of every layer, in units of one floating-point operation; what :func:`~.partition.partition` balances."""
    layers = Layers(profile, widths, rows)
    return [layers.cost(index) for index in range(len(layers))]


def predict_iteration(
    profile: CostProfile,
    widths: Sequence[int],
    rows: int,
    blocks: Sequence[Block],
    machine: Machine,
    *,
    wire: str = "fp32",
    schedule: str = "gpipe",
    microbatches: int = 1,
    batch_size: int = 0,
    row_workers: int = 1,
) -> Prediction:
    """Time, memory and messages of one iteration with the layers split into ``blocks``, and the rows among workers.

    Args:
        profile: the optimizer's cost profile.
        widths: [n_0, …, n_L].
        rows: training rows N.
        blocks: one per worker along the layers, in order.
        machine: rates of every worker and link.
        wire: format of the tensors between workers, a key of :data:`WIRE_BYTES`.
        schedule: ``gpipe``, ``1f1b`` or ``zero-bubble``, for gradient methods on several workers.
        microbatches: for the same methods; rows are padded to a multiple of it.
        batch_size: rows of a mini-batch of a gradient method, on all workers together; 0 for all rows.
        row_workers: how many workers share the rows of a block; the one with most rows is predicted.
    """
    profile, rows = for_shard(profile, rows, row_workers, len(blocks))
    if profile.parallelism == "pipeline" and len(blocks) > 1:
        rows = -(-rows // microbatches) * microbatches
    else:
        microbatches = 1
    layers = Layers(profile, widths, rows, -(-batch_size // row_workers))
    messages = [rows * widths[block.stop] * WIRE_BYTES[wire] for block in blocks[:-1]]
    times = TIMES[profile.parallelism](layers, blocks, machine, messages, microbatches, schedule)
    summing = max(_exposed_sums(layers, block, machine, row_workers) for block in blocks)
    workers = []
    for index, (block, (compute, exposed)) in enumerate(zip(blocks, times.workers, strict=True)):
        neighbours = messages[max(index - 1, 0) : index + 1]
        in_flight = 1.0 if schedule == "gpipe" else min(microbatches, len(blocks) - index) / microbatches
        state = sum(layers.state_bytes(layer, in_flight) for layer in block) + MESSAGE_BUFFERS * sum(neighbours)
        workers.append(
            WorkerCost(
                block=block,
                parameters=sum(layers.parameters(layer) for layer in block),
                state_bytes=round(state),
                scratch_bytes=round(max(layers.scratch_bytes(layer) for layer in block)),
                compute_s=compute,
                exposed_s=exposed + _exposed_sums(layers, block, machine, row_workers),
                sent_bytes=sum(neighbours),
                reduced_bytes=sum(_sum_bytes(layers, layer, row_workers) for layer in block),
            )
        )
    return Prediction(
        tuple(workers), times.iteration + summing, times.exposed + summing, 2 * max(messages, default=0), row_workers
    )


def for_shard(profile: CostProfile, rows: int, row_workers: int, columns: int) -> tuple[CostProfile, int]:
    """The profile and the rows of the worker that has most, where so many workers share ``rows``.

    A pipeline over several ``columns`` does not have the first layer in sample space.
    """
    if columns > 1 and profile.parallelism == "pipeline":
        profile = replace(profile, sampled=None)
    return (profile, rows) if row_workers == 1 else (profile.over_rows(), Shard(0, row_workers, rows).longest)


def _sum_bytes(layers: Layers, index: int, row_workers: int) -> int:
    """Bytes that a worker sends, and receives, in the sums over rows of a layer."""
    summed = layers.work(index).summed(layers.widths[index], layers.widths[index + 1])
    return layers.steps * ring_bytes(FLOAT_BYTES * summed, row_workers)


def _exposed_sums(layers: Layers, block: Block, machine: Machine, row_workers: int) -> float:
    """Seconds of sums over rows that show; small sums, such as those of step sizes, are left out.

    A backward pass computes while sums run, so the last one shows, and what takes longer. Other methods wait for each.
    """
    if row_workers == 1:
        return 0.0
    seconds = [machine.transfer_s(_sum_bytes(layers, index, row_workers)) for index in block]
    hidden = sum(layers.seconds(index, machine) for index in block) if layers.profile.parallelism == "pipeline" else 0.0
    return max(seconds[0], sum(seconds) - hidden)


def ring_bytes(num_bytes: int, workers: int) -> int:
    """Bytes that each of the ``workers`` sends, and receives, in a sum of ``num_bytes`` bytes: 2(R − 1)/R of them.

    The parts of the tensor go round in a ring once to be added, and once more as sums (Patarasuk and Yuan, 2009).
    """
    return 2 * (workers - 1) * num_bytes // workers
