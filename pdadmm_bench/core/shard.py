"""The contiguous rows one worker holds, where several workers hold the same layers."""

from __future__ import annotations

from dataclasses import dataclass

from pdadmm_bench.core.block import even_sizes


@dataclass(frozen=True)
class Shard:
    """Part ``index`` of ``total`` rows in ``size`` contiguous parts, whose sizes differ by at most 1, longer first."""

    index: int
    size: int
    total: int

    def __post_init__(self) -> None:
        assert 0 <= self.index < self.size

    @property
    def start(self) -> int:
        """The first row, counted from 0."""
        return sum(even_sizes(self.total, self.size)[: self.index])

    @property
    def stop(self) -> int:
        """The row after the last."""
        return self.start + len(self)

    @property
    def longest(self) -> int:
        """Rows of the longest part."""
        return even_sizes(self.total, self.size)[0]

    def __len__(self) -> int:
        return even_sizes(self.total, self.size)[self.index]
