"""The time of an iteration from the times of its parts: how workers overlap, wait, and exchange tensors.

There is a function for each kind of parallelism. It is given the layers of an optimizer, the block of each worker, the
rates of the machine, the bytes that cross each boundary, and the micro-batches and schedule of a pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pdadmm_bench.core.block import Block
from pdadmm_bench.optim.cost import Parallelism

if TYPE_CHECKING:
    from pdadmm_bench.parallel.cost import Layers, Machine

ACCUMULATION_PASSES = 2
"""Passes over the weights when a further micro-batch adds its gradient, within the product: read, write."""


class Times(NamedTuple):
    """Compute and exposed seconds of every worker; seconds of the iteration and of communication in it."""

    workers: list[tuple[float, float]]
    iteration: float
    exposed: float


def _overlap(layers: Layers, blocks: Sequence[Block], machine: Machine, messages: Sequence[int], *_: Any) -> Times:
    """pdADMM. A worker updates its first layer, its last layer, q of its right boundary, then the layers between.

    p is sent to the left when the first layer's p is updated. The left worker needs it after its own first and last
    layer. v is sent to the right before the layers between are updated. The right worker needs it after its own layers
    between. The part of a transfer that is longer than this window is exposed. The slowest worker sets the time of the
    iteration.
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
    return Times(workers, sum(slowest), slowest[1])


def _pipeline(
    layers: Layers, blocks: Sequence[Block], machine: Machine, messages: Sequence[int], microbatches: int, schedule: str
) -> Times:
    """M micro-batches through G stages take M + i(G − 1) turns of the slowest stage; then stages update.

    With GPipe and 1F1B a stage is idle for i = 1 turn per other stage (Huang et al., GPipe, NeurIPS 2019; Narayanan et
    al., PipeDream, SOSP 2019); they differ in the activations held. A turn is three products of the same size. With
    zero bubble the weight gradients of other micro-batches fill two of three (Qi et al., ICLR 2024, arXiv 2401.10241:
    F + B − W for ZB-H1, in the place of F + B + W), so i = 1/3. Transfers are exposed while the pipeline fills and
    drains, and where they take longer than a turn.
    """
    turns, updates = [], []
    accumulation = ACCUMULATION_PASSES * (microbatches - 1)
    for block in blocks:
        total = sum(layers.seconds(index, machine) for index in block)
        parameters = layers.parameter_bytes(block) / machine.memory_bytes_per_s
        update = parameters * layers.profile.hidden.passes.weights
        turns.append((total - update + parameters * accumulation) / microbatches)
        updates.append(update)
    transfer = max((machine.transfer_s(size / microbatches) for size in messages), default=0.0)
    exposed = 2 * (len(blocks) - 1) * transfer + (microbatches - 1) * max(0.0, transfer - max(turns))
    workers = [(microbatches * turn + update, exposed) for turn, update in zip(turns, updates, strict=True)]
    passed = microbatches + IDLE_TURNS[schedule] * (len(blocks) - 1)
    return Times(workers, passed * max(turns) + max(updates) + exposed, exposed)


def _sequential(layers: Layers, blocks: Sequence[Block], machine: Machine, messages: Sequence[int], *_: Any) -> Times:
    """dlADMM: a backward and a forward sweep through the workers one by one; each waits for what it receives."""
    transfers = [machine.transfer_s(size) for size in messages]
    workers = [
        (sum(layers.seconds(index, machine) for index in block), sum(transfers[max(g - 1, 0) : g + 1]))
        for g, block in enumerate(blocks)
    ]
    return Times(workers, sum(map(sum, workers)), 2 * sum(transfers))


def _delayed(layers: Layers, blocks: Sequence[Block], machine: Machine, messages: Sequence[int], *_: Any) -> Times:
    """FDG. Outputs travel during the next backward passes, gradients until the next iteration begins.

    A gradient leaves after the backward pass of a worker's first layers, and an output at the end of the iteration, so
    what a transfer takes longer than two thirds of an iteration, or than the rest of the backward passes, is exposed.
    """
    transfers = [machine.transfer_s(size) for size in messages]
    computes = [sum(layers.seconds(index, machine) for index in block) for block in blocks]
    workers = []
    for g, (block, compute) in enumerate(zip(blocks, computes, strict=True)):
        activation = max(0.0, transfers[g - 1] - BACKWARD_SHARE * compute) if g > 0 else 0.0
        rest = compute - layers.seconds(block.start, machine)
        gradient = max(0.0, transfers[g] - rest) if g < len(blocks) - 1 else 0.0
        workers.append((compute, max(activation, gradient)))
    slowest = max(workers, key=sum)
    return Times(workers, sum(slowest), slowest[1])


def _forward_locked(
    layers: Layers, blocks: Sequence[Block], machine: Machine, messages: Sequence[int], *_: Any
) -> Times:
    """DDG: T_F + max T_B. The forward passes, and the outputs between them, come one after the other."""
    transfers = sum(machine.transfer_s(size) for size in messages)
    computes = [sum(layers.seconds(index, machine) for index in block) for block in blocks]
    forward = (1 - BACKWARD_SHARE) * sum(computes) + transfers
    backward = BACKWARD_SHARE * max(computes)
    workers = [(compute, forward - (1 - BACKWARD_SHARE) * compute) for compute in computes]
    return Times(workers, forward + backward, transfers)


IDLE_TURNS = {"gpipe": 1, "1f1b": 1, "zero-bubble": 1 / 3}
"""Turns that a stage is idle for each other stage of a pipeline, by its schedule."""
BACKWARD_SHARE = 2 / 3
"""The part of an iteration of backpropagation that is its backward pass: two of three products."""
TIMES: Mapping[Parallelism, Callable[..., Times]] = {
    "overlap": _overlap, "pipeline": _pipeline, "sequential": _sequential,
    "delayed": _delayed, "forward-locked": _forward_locked,
}  # fmt: skip
