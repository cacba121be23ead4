"""The contract of sums over rows: what an optimizer asks of the workers that hold other rows of the same layers.

Each of these workers makes the same calls in the same order, with tensors of the same shape, and gets the same bits.
:class:`AllRows` is a worker that holds every row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from torch import Tensor

Task = Callable[[int], None]
"""A part of an iteration. It is given its lane, 0 or 1; tasks of different lanes write to different buffers."""


class Pending(Protocol):
    """A sum on its way."""

    def wait(self) -> Tensor:
        """The tensor that was given, once it is the sum."""


class Reduction(Protocol):
    """The workers with the rows of some layers, this one among them."""

    index: int
    """This worker's place among them."""
    size: int
    """How many they are."""

    def total(self, rows: int) -> int:
        """All training rows, of which this worker has ``rows``."""

    def longest(self, rows: int) -> int:
        """Training rows of the worker that has most, where this one has ``rows``."""

    def start(self, tensor: Tensor) -> Pending:
        """Start replacing a contiguous ``tensor`` by its sum over the workers; until it is there, leave it alone."""

    def sum(self, tensor: Tensor) -> Tensor:
        """``tensor``, replaced by its sum over the workers."""

    def in_turns(self, tasks: Iterable[Task]) -> None:
        """Run the tasks, which start in this order; while one waits for a sum, another one may go on."""

    def largest(self, tensor: Tensor) -> Tensor:
        """The elementwise maximum of ``tensor`` over the workers, a new tensor; for starts."""


class AllRows:
    """A worker with all rows, for whom every sum is there already."""

    index = 0
    size = 1

    def total(self, rows: int) -> int:
        return rows

    def longest(self, rows: int) -> int:
        return rows

    def start(self, tensor: Tensor) -> Pending:
        return _There(tensor)

    def sum(self, tensor: Tensor) -> Tensor:
        return tensor

    def in_turns(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            task(0)

    def largest(self, tensor: Tensor) -> Tensor:
        return tensor


class _There:
    def __init__(self, tensor: Tensor):
        self._tensor = tensor

    def wait(self) -> Tensor:
        return self._tensor
