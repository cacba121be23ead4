"""Random rows of a given shape, for timing only."""

from __future__ import annotations

from typing import Any

import torch

from pdadmm_bench.core.seeds import derive
from pdadmm_bench.data.problem import Problem, Rows


def generated_problem(rows: int, features: int, classes: int, seed: int = 0) -> Problem:
    """Random rows of the given shape, for timing only; validation and test are one row each."""
    generator = torch.Generator().manual_seed(derive("generated", seed))

    def part(count: int) -> Rows:
        y = torch.arange(count) % classes
        return Rows(x=torch.randn(count, features, generator=generator), y=y)

    parts: dict[str, Any] = {"train": part(rows), "val": part(1), "test": part(1)}
    return Problem(name=generated_name(rows, features, classes), split="none", num_classes=classes, sha256="", **parts)


def generated_name(rows: int, features: int, classes: int) -> str:
    """The name of such rows, in place of a dataset's name."""
    return f"generated[rows={rows},features={features},classes={classes}]"
