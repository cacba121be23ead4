"""pdADMM-M: pdADMM with a multiplier for every equation of the network, so that nothing gives way at a solution.

In pdADMM the equations z = p Wᵀ + b and q = f(z) are penalties. Its variables therefore leave them by the forces over
ν, and the network that is evaluated fits less than they do. Here both have multipliers, as p = q has one, and q is
f(z):

    minimise R(z_L) + Σ (μ/2)‖W_l‖²  with  p_l W_lᵀ + b_l − z_l = 0 (multiplier ν s_l)  and  p_{l+1} − f(z_l) = 0 (u_l).

One iteration is p → W → b → z → s, u, each over all layers at once, and the same tensors cross between layers as in
pdADMM: p to the left and v = f(z) − u/ρ to the right. Taylor et al. (ICML 2016, arXiv 1605.02026) have a multiplier for
the output layer alone, and update one layer after the other. No convergence is proven for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.typed import Typed
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.models.mlp import Layer
from pdadmm_bench.optim.admm import subproblems as sub
from pdadmm_bench.optim.admm.buffers import row_blocks
from pdadmm_bench.optim.admm.elementwise import multiplied, z_and_multipliers
from pdadmm_bench.optim.admm.pdadmm import PdADMM
from pdadmm_bench.optim.admm.state import PdADMMLayer, PdADMMState
from pdadmm_bench.optim.base import Links, Report, square
from pdadmm_bench.optim.cost import PDADMM_M, CostProfile, on_device
from pdadmm_bench.optim.hyperparameters.admm import PdADMMMHyperparameters
from pdadmm_bench.optim.wire import Wire


class PdADMMM(PdADMM):
    """pdADMM in which r is p Wᵀ + b − z + s, for the multiplier ν s of the layer's equation."""

    summary: ClassVar[str] = "pdADMM with multipliers for all equations: layer-parallel and gradient-free"
    Hyperparameters: ClassVar[type[Typed]] = PdADMMMHyperparameters
    batches: ClassVar[bool] = False
    z_pass: ClassVar[Callable[..., Tensor]] = staticmethod(z_and_multipliers)

    def cautions(self) -> list[str]:
        return []

    def steady(self) -> bool:
        return False

    def layer_steps(self) -> CostProfile:
        return PDADMM_M if self.device == "cpu" else on_device(PDADMM_M, solved=1, compiled=False)

    def init(self, problem: Problem, layers: Sequence[Layer], block: Block, links: Links) -> PdADMMState:
        """As pdADMM; every multiplier is zero."""
        state = super().init(problem, layers, block, links)
        for layer in state.layers:
            layer.s = torch.zeros_like(layer.z)
            layer.u = None if layer.q is None else torch.zeros_like(layer.q)
        return state

    def update_b_z_output(self, layer: PdADMMLayer, state: PdADMMState) -> None:
        """Update b, z_L and its multiplier."""
        shift = self.update_b(layer, state)
        with self.part("z_L"):
            assert layer.s is not None
            target = layer.r.sub_(shift).add_(layer.z)
            sub.output_z(target, state.y, state.nu, layer.z, out=layer.z, scratch=state.scratch)
            multiplied(target, layer.z, layer.s, scratch=state.scratch)

    def update_b_z_q_u(
        self, layer: PdADMMLayer, p_next: Tensor, wire: Wire, nu: float, rho: float, state: PdADMMState
    ) -> None:
        """Update b, then z and the multipliers of a hidden layer, given the next layer's new p."""
        shift = self.update_b(layer, state)
        with self.part("z, q, u"):
            assert layer.s is not None
            if state.compiled:
                p, variables = wire.round(p_next), layer.variables()
                layer.moved.copy_(state.compiled.z_q_u(p, layer.r, layer.s, *variables, shift=shift, nu=nu, rho=rho))
                return
            layer.moved.zero_()
            for p, r, s, *variables in row_blocks(p_next, layer.r, layer.s, *layer.variables()):
                layer.moved += z_and_multipliers(
                    wire.round(p), r, s, *variables, shift=shift, nu=nu, rho=rho, scratch=state.scratch
                )

    def report(self, state: PdADMMState) -> Report:
        """As pdADMM's; ``objective`` is the augmented Lagrangian with all multipliers."""
        report = super().report(state)
        for i, layer in enumerate(state.layers):
            assert layer.s is not None
            report["objective"][i] -= state.nu / 2 * square(layer.s)
        return report
