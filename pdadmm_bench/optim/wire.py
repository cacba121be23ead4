"""The wire format of tensors between workers: float32, bfloat16, or codes of a finite set.

The same rounding is applied between layers on one worker (:meth:`Wire.round`), so a result does not depend on the
partition.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Wire:
    """float32, unchanged."""

    name: str = "fp32"
    dtype: torch.dtype = torch.float32

    def encode(self, x: Tensor, out: Tensor) -> None:
        """Write the encoded ``x`` to ``out``, a buffer of ``dtype`` and the shape of ``x``."""
        out.copy_(x)

    def decode(self, payload: Tensor) -> Tensor:
        """The float32 tensor that ``payload`` encodes."""
        return payload

    def round(self, x: Tensor) -> Tensor:
        """``x`` encoded and decoded, as a neighbour receives it."""
        return x

    def fitted(self, start: Tensor) -> Wire:
        """The format for a boundary whose first tensor is ``start``, which both workers have."""
        return self


@dataclass(frozen=True)
class BFloat16(Wire):
    """The upper half of a float32: 8 bits of precision."""

    name: str = "bf16"
    dtype: torch.dtype = torch.bfloat16

    def decode(self, payload: Tensor) -> Tensor:
        return payload.float()

    def round(self, x: Tensor) -> Tensor:
        return x.to(self.dtype).to(x.dtype)


@dataclass(frozen=True)
class Codes(Wire):
    """The index of the nearest of ``levels`` equally spaced values from ``low`` to ``high``, in one byte or two."""

    low: float = 0.0
    high: float = 1.0
    levels: int = 256
    scaled: bool = False
    """Whether ``low`` and ``high`` are multiples of the largest value of the boundary's first tensor."""

    @classmethod
    def of(cls, low: float, high: float, levels: int, scaled: bool = False) -> Codes:
        """uint8 for up to 256 levels, else int16."""
        name, dtype = ("uint8", torch.uint8) if levels <= 256 else ("int16", torch.int16)
        return cls(name, dtype, low, high, levels, scaled)

    def fitted(self, start: Tensor) -> Codes:
        unit = float(start.max()) if self.scaled and start.numel() else 0.0
        return replace(self, low=self.low * unit, high=self.high * unit, scaled=False) if unit > 0 else self

    @property
    def width(self) -> float:
        """Distance between two levels."""
        return (self.high - self.low) / (self.levels - 1)

    @property
    def offset(self) -> int:
        """The first code; below 0 for two bytes, because torch only sends signed 16-bit integers."""
        return 0 if self.dtype == torch.uint8 else torch.iinfo(self.dtype).min

    def numbers(self, x: Tensor) -> Tensor:
        """The numbers of the nearest levels, 0, …, levels − 1, as floats."""
        return ((x.clamp(self.low, self.high) - self.low) / self.width).round_()

    def encode(self, x: Tensor, out: Tensor) -> None:
        out.copy_(self.numbers(x).add_(self.offset))

    def decode(self, payload: Tensor) -> Tensor:
        return payload.float().sub_(self.offset).mul_(self.width).add_(self.low)

    def round(self, x: Tensor) -> Tensor:
        return self.numbers(x).mul_(self.width).add_(self.low)
