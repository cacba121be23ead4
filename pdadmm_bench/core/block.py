"""The contiguous layers one worker holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise


@dataclass(frozen=True)
class Block:
    """Layers ``start`` to ``stop - 1`` of a network of ``total`` layers, counted from 0."""

    start: int
    stop: int
    total: int

    def __post_init__(self) -> None:
        assert 0 <= self.start < self.stop <= self.total

    @classmethod
    def whole(cls, total: int) -> Block:
        """The block of a single worker: every layer."""
        return cls(0, total, total)

    @classmethod
    def even(cls, total: int, count: int) -> list[Block]:
        """The layers in ``count`` blocks, at most one per layer; lengths differ by at most one, longer ones first."""
        stops = accumulate(even_sizes(total, min(count, total)))
        return [cls(start, stop, total) for start, stop in pairwise([0, *stops])]

    @property
    def is_first(self) -> bool:
        """Whether the block starts at the network's input."""
        return self.start == 0

    @property
    def is_last(self) -> bool:
        """Whether the block ends at the network's output."""
        return self.stop == self.total

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.stop))


def even_sizes(total: int, parts: int) -> list[int]:
    """Sizes of ``parts`` parts of ``total`` layers or rows that differ by at most one, the larger ones first."""
    size, longer = divmod(total, parts)
    return [size + (part < longer) for part in range(parts)]
