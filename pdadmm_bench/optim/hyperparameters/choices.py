"""Choices that the hyperparameters of several optimizers have."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

Decay = Annotated[
    Literal["zero", "identity"],
    Field(description="what μ pulls hidden weights to; identity suits a warm start, first and last layer go to zero"),
]
FirstLayerForm = Annotated[
    Literal["auto", "features", "samples"],
    Field(description="form of the first layer's weights: the matrix, or coefficients of the training rows"),
]
Step = Annotated[
    Literal["layer", "row-unit", "exact-W", "exact"],
    Field(
        description="step of p and W: one length per layer, one per row of p and unit of W, the exact minimiser of W "
        "alone, or of both"
    ),
]
EXACT: tuple[Step, ...] = ("exact-W", "exact")
"""The kinds of steps that solve for W; they are not captured in a CUDA graph."""
Bias = Annotated[
    Literal["update", "projected"],
    Field(description="b has an update of its own, or is minimised together with W"),
]
PenaltySchedule = Annotated[
    Literal["constant", "authors"], Field(description="authors: ρ and ν × 10 (up to 1) when the training cost stalls")
]
