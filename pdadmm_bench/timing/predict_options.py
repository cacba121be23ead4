"""What ``predict`` is asked for; checked without torch, so that a mistake is told at once."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from pdadmm_bench.core.spec import MOST_THREADS, Schedule
from pdadmm_bench.core.typed import Typed


class PredictOptions(Typed):
    """The network, the workers and the machine to predict for."""

    workers: list[int]
    layers: list[int]
    hidden: int = Field(gt=0)
    rows: int = Field(gt=0)
    features: int = Field(gt=0)
    classes: int = Field(gt=1)
    optimizer: list[str]
    mesh: list[str]
    partition: str
    wire: Literal["auto", "fp32", "bf16", "uint8"]
    schedule: list[Schedule]
    microbatches: int | None = Field(gt=0)
    batch_size: int = Field(ge=0)
    set: dict[str, Any]
    machine: Literal["this", "k80"]
    threads: int = Field(gt=0, le=MOST_THREADS)
    flops: float | None = Field(gt=0)
    memory_bandwidth: float | None = Field(gt=0)
    bandwidth: float | None = Field(gt=0)
    latency: float | None = Field(ge=0)

    @field_validator("workers", "layers", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> list[int]:
        try:
            numbers = [int(part) for part in value.split(",")]
        except ValueError:
            raise ValueError("give whole numbers with commas between, such as 4,8,16") from None
        if min(numbers) < 1 or len(set(numbers)) != len(numbers):
            raise ValueError("give each number once, from 1 on")
        return numbers

    @field_validator("layers")
    @classmethod
    def _deep(cls, layers: list[int]) -> list[int]:
        if min(layers) < 2:
            raise ValueError("a network has at least 2 layers")
        return layers

    def widths(self, layers: int) -> list[int]:
        """[n_0, …, n_L]."""
        return [self.features, *[self.hidden] * (layers - 1), self.classes]
