"""pdADMM-G-Q: pdADMM whose layer inputs p have values in a finite set Δ, so that workers send small codes.

Wang et al. (TNNLS 2022, arXiv 2105.09837): p ← the nearest δ ∈ Δ to p − g/τ. The paper's Δ is {−1, 0, …, 20}. The
authors' code quantises q instead, to 1000 levels from −1 to 2. The scale of features differs by orders of magnitude
between datasets, so by default Δ is in units of the largest starting activation of each layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.typed import Typed
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.models.mlp import Layer
from pdadmm_bench.optim.admm.pdadmm import PdADMM
from pdadmm_bench.optim.admm.products import full_precision
from pdadmm_bench.optim.admm.state import PdADMMLayer, PdADMMState
from pdadmm_bench.optim.base import Links
from pdadmm_bench.optim.cost import ROUNDING_PASSES, Arrays, CostProfile, admm_profile, on_device
from pdadmm_bench.optim.hyperparameters.admm import PdADMMQHyperparameters
from pdadmm_bench.optim.wire import Codes, Wire


class PdADMMQ(PdADMM):
    """pdADMM with p (or q) rounded to Δ."""

    summary: ClassVar[str] = "pdADMM with quantised layer inputs (TNNLS 2022)"
    Hyperparameters: ClassVar[type[Typed]] = PdADMMQHyperparameters

    def layer_steps(self) -> CostProfile:
        """With ``quantize=q`` a hidden layer keeps u too; with ``p`` the rounding needs one more product."""
        if self.hyperparameters.quantize == "q":
            passes = Arrays(12 + ROUNDING_PASSES, 92 + ROUNDING_PASSES, 10)
            profile = admm_profile(4, 89 + ROUNDING_PASSES, passes, stored=4)
        else:
            profile = admm_profile(5, 73 + ROUNDING_PASSES, Arrays(33 + ROUNDING_PASSES, 75 + ROUNDING_PASSES, 10))
        return profile if self.device == "cpu" else on_device(profile, solved=1, compiled=self.compile)

    def wires(self) -> dict[str, Wire]:
        """Codes of Δ, for p and for the v that it is pulled to; floats are never sent."""
        settings = self.hyperparameters
        codes = Codes.of(settings.low, settings.high, settings.levels, settings.grid == "scaled")
        return {codes.name: codes}

    def init(self, problem: Problem, layers: Sequence[Layer], block: Block, links: Links) -> PdADMMState:
        """As pdADMM, with the starting p rounded to Δ, and the residual of the rounded p."""
        state = super().init(problem, layers, block, links)
        for index, layer in zip(block, state.layers, strict=True):
            if self.hyperparameters.quantize == "q":
                layer.u = None if layer.q is None else torch.zeros_like(layer.q)
            elif index > 0:
                layer.p.copy_(layer.wire.round(layer.p))
                with full_precision():
                    layer.r = torch.addmm(layer.b, layer.p, layer.W.T).sub_(layer.z)
        return state

    def update_p(self, layer: PdADMMLayer, gap: Tensor, state: PdADMMState) -> None:
        """p ← round(p − g/τ); the residual follows the rounded step exactly."""
        if self.hyperparameters.quantize == "q":
            super().update_p(layer, gap, state)
            return
        products = state.descent.products
        move = state.descent.step_of_p(gap, layer.r, layer.W, state.nu, state.rho)
        rounded = layer.wire.round(torch.addcmul(layer.p, move.direction, move.step, value=-1, out=gap))
        products.add(layer.r, torch.sub(rounded, layer.p, out=gap), layer.W.T, beta=1, alpha=1)
        layer.p.copy_(rounded)

    def placed(self, layer: PdADMMLayer, q: Tensor) -> Tensor:
        """round(q), with ``quantize=p``."""
        return q if self.hyperparameters.quantize == "q" else layer.wire.round(q)

    def restrict(self, layer: PdADMMLayer, q: Tensor) -> Tensor:
        """round(q), with ``quantize=q``."""
        return layer.wire_right.round(q) if self.hyperparameters.quantize == "q" else q
