"""The contiguous rows one worker holds, where several workers hold the same layers."""

from __future__ import annotations

from dataclasses import dataclass


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
        shortest, longer = divmod(self.total, self.size)
        return self.index * shortest + min(self.index, longer)

    @property
    def stop(self) -> int:
        """The row after the last."""
        return self.start + len(self)

    @property
    def longest(self) -> int:
        """Rows of the longest part."""
        return -(-self.total // self.size)

    def __len__(self) -> int:
        shortest, longer = divmod(self.total, self.size)
        return shortest + (self.index < longer)
