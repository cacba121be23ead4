"""The partition of layers over workers: contiguous blocks, balanced under a cost model or given by the user."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from pdadmm_bench.core.block import Block, even_sizes
from pdadmm_bench.core.errors import UserError

ROUNDING = 1e-9
"""Two sums of layer costs with a smaller relative difference are equal."""


def partition(text: str, costs: Sequence[float], workers: int) -> list[Block]:
    """The blocks of ``workers`` workers, in order.

    Args:
        text: ``auto`` makes the most expensive block as cheap as possible; among such partitions it takes the one
            whose blocks differ least in length, longer ones first. ``even`` ignores the costs. ``3,4,3`` is the number
            of layers of each worker.
        costs: the cost of every layer, in any unit.

    Raises :class:`UserError` for a partition that does not fit the layers and workers.
    """
    layers = len(costs)
    if workers < 1:
        raise UserError(f"{workers} workers: give at least 1")
    if workers > layers:
        raise UserError(f"{workers} workers cannot share {layers} layers: give at most {layers} workers")
    if text == "auto":
        sizes = _balanced(costs, workers)
    elif text == "even":
        sizes = even_sizes(layers, workers)
    else:
        sizes = _given(text, layers, workers)
    stops = list(accumulate(sizes))
    return [Block(stop - size, stop, layers) for size, stop in zip(sizes, stops, strict=True)]


def partition_of_blocks(text: str, costs: Sequence[float], workers: int, units: Sequence[Block]) -> list[Block]:
    """As :func:`partition`, where a worker has whole ``units``: the blocks of a method, which cover the layers.

    Raises :class:`UserError` also for a partition that splits one of them.
    """
    if workers > len(units):
        raise UserError(
            f"{workers} workers cannot share the {len(units)} blocks of the method: give at most {len(units)} workers, "
            f"or more blocks (--set blocks={workers})"
        )
    if text in ("auto", "even"):
        found = partition(text, [sum(costs[index] for index in unit) for unit in units], workers)
        return [Block(units[block.start].start, units[block.stop - 1].stop, len(costs)) for block in found]
    blocks, stops = partition(text, costs, workers), {unit.stop for unit in units}
    if any(block.stop not in stops for block in blocks):
        sizes = ",".join(str(len(unit)) for unit in units)
        raise UserError(
            f"partition {text!r} splits a block of the method, whose blocks have {sizes} layers: give each worker "
            "whole blocks, or auto"
        )
    return blocks


def _given(text: str, layers: int, workers: int) -> list[int]:
    example = ",".join(str(size) for size in even_sizes(layers, workers))
    right = f"give auto, even, or {workers} numbers that add up to {layers}, such as {example}"
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"partition {text!r} is not a list of whole numbers: {right}") from None
    if len(sizes) != workers:
        raise UserError(f"partition {text!r} has {len(sizes)} blocks for {workers} workers: {right}")
    if min(sizes) < 1:
        raise UserError(f"partition {text!r} has a block without layers: {right}")
    if sum(sizes) != layers:
        raise UserError(f"partition {text!r} has {sum(sizes)} layers and the network {layers}: {right}")
    return sizes


def _balanced(costs: Sequence[float], workers: int) -> list[int]:
    """Exact, by dynamic programming over (workers left, first layer left): O(workers · layers²)."""
    layers = len(costs)
    before = [0.0, *accumulate(costs)]
    # least[i]: the lowest possible cost of the most expensive block, for layers i … on the workers counted so far.
    least = [before[layers] - before[i] for i in range(layers)]
    for count in range(2, workers + 1):
        least = [
            min(max(before[j] - before[i], least[j]) for j in range(i + 1, layers - count + 2))
            for i in range(layers - count + 1)
        ]
    limit = least[0] + ROUNDING * before[layers]
    # best[i]: (Σ size², negated sizes) of the evenest partition of layers i … into blocks within the limit.
    best: list[tuple[int, list[int]] | None] = [None] * layers + [(0, [])]
    for _ in range(workers):
        following, best = best, [None] * (layers + 1)
        for i in range(layers):
            choices = [
                (rest[0] + (j - i) ** 2, [i - j, *rest[1]])
                for j in range(i + 1, layers + 1)
                if before[j] - before[i] <= limit and (rest := following[j]) is not None
            ]
            best[i] = min(choices, default=None)
    assert best[0] is not None
    return [-size for size in best[0][1]]
