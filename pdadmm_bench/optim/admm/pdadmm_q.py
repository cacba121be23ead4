"""pdADMM-G-Q: pdADMM whose layer inputs p take values in a finite set Δ only, so that they travel as small codes.

Wang et al. (TNNLS 2022, arXiv 2105.09837): p ← the nearest δ ∈ Δ to p − g/τ. The paper's Δ is {−1, 0, …, 20}; the
authors' code quantises q instead, to 1000 levels from −1 to 2. Features differ in scale by orders of magnitude between
datasets, so by default Δ is in units of the largest starting activation of each layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.typed import Typed
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.models.mlp import Layer
from pdadmm_bench.optim.admm import subproblems as sub
from pdadmm_bench.optim.admm.pdadmm import LayerState, PdADMM, PdADMMHyperparameters, State
from pdadmm_bench.optim.base import Links
from pdadmm_bench.optim.wire import Codes, Wire


class PdADMMQHyperparameters(PdADMMHyperparameters):
    """pdADMM's, and the set Δ of equally spaced levels."""

    quantize: Literal["p", "q"] = Field("p", description="which variable is restricted to Δ (the paper: p)")
    grid: Literal["scaled", "fixed"] = Field(
        "scaled", description="scaled: low and high are multiples of a layer's largest starting activation"
    )
    low: float = Field(-0.1, description="smallest level")
    high: float = Field(0.5, description="largest level")
    levels: int = Field(256, ge=2, le=65536, description="number of levels; up to 256 travel as one byte")

    @model_validator(mode="after")
    def _ordered(self) -> PdADMMQHyperparameters:
        if self.low >= self.high:
            raise ValueError(f"low={self.low:g} must be below high={self.high:g}")
        return self


class PdADMMQ(PdADMM):
    """pdADMM with p (or q) rounded to Δ."""

    summary: ClassVar[str] = "pdADMM with quantised layer inputs (TNNLS 2022)"
    Hyperparameters: ClassVar[type[Typed]] = PdADMMQHyperparameters

    def wires(self) -> dict[str, Wire]:
        """Codes of Δ, for p and for the v it is pulled to: never floats."""
        settings = self.hyperparameters
        codes = Codes.of(settings.low, settings.high, settings.levels, settings.grid == "scaled")
        return {codes.name: codes}

    def init(self, problem: Problem, layers: Sequence[Layer], block: Block, links: Links) -> State:
        """As pdADMM, with the starting p rounded to Δ and the residuals that leaves."""
        state = super().init(problem, layers, block, links)
        for index, layer in zip(block, state.layers, strict=True):
            if self.hyperparameters.quantize == "q":
                layer.u = None if layer.q is None else torch.zeros_like(layer.q)
            elif index > 0:
                layer.p.copy_(layer.wire.round(layer.p))
                layer.r = torch.addmm(layer.b, layer.p, layer.W.T).sub_(layer.z)
        return state

    def update_p(self, layer: LayerState, gap: Tensor, state: State) -> None:
        """p ← round(p − g/τ); the residual follows the rounded step exactly."""
        if self.hyperparameters.quantize == "q":
            super().update_p(layer, gap, state)
            return
        products = state.descent.products
        gradient = products.direction(gap, layer.r, layer.W, beta=state.rho, alpha=state.nu)
        image = products.image(gradient, layer.W.T)
        step = self.step_size(sub.curvature(gradient, image, state.nu, state.rho))
        rounded = layer.wire.round(torch.addcmul(layer.p, gradient, step, value=-1, out=gap))
        products.add(layer.r, torch.sub(rounded, layer.p, out=gap), layer.W.T, beta=1, alpha=1)
        layer.p.copy_(rounded)

    def restrict(self, layer: LayerState, q: Tensor) -> Tensor:
        """round(q), with ``quantize=q``."""
        return layer.wire_right.round(q) if self.hyperparameters.quantize == "q" else q
