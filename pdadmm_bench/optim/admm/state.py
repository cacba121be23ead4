"""The state of pdADMM: the variables of a block's layers, and the buffers and neighbours of its updates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from pdadmm_bench.optim.admm.buffers import Scratch
from pdadmm_bench.optim.admm.descent import Descent
from pdadmm_bench.optim.admm.weights import ADMMLayer
from pdadmm_bench.optim.base import Links
from pdadmm_bench.optim.wire import Wire


@dataclass
class PdADMMLayer(ADMMLayer):
    """Variables of one layer. ``p`` is the input x in layer 1, and ``q`` is absent in the output layer."""

    p: Tensor
    z: Tensor
    r: Tensor
    """Carried residual p Wᵀ + b − z."""
    mu: float = field(default=0.0, metadata={"state": False})
    """Decay of this layer's weights."""
    q: Tensor | None = None
    u: Tensor | None = None
    """The dual, where a method restricts q; elsewhere it is ν(q − f(z))."""
    s: Tensor | None = None
    """The multiplier of the layer's equation over ν, where a method has one; ``r`` then is the residual + s."""
    v: Tensor | None = None
    """q − u/ρ of the layer before, where that layer is another worker's."""
    moved: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    """‖q − q of the iteration before‖²."""
    wire: Wire = field(default_factory=Wire, metadata={"state": False})
    """The wire format of this layer's p and v, or their rounding where both layers are on one worker."""
    wire_right: Wire = field(default_factory=Wire, metadata={"state": False})
    """The same for the next layer's p and v."""

    def variables(self) -> list[Tensor]:
        """q and z of a hidden layer, and u where it is kept: what its z, q, u and v are computed from."""
        assert self.q is not None
        return [self.q, self.z] if self.u is None else [self.q, self.z, self.u]


@dataclass
class LayerBatch:
    """Layers that are updated together: one, or a batch of equal ones with a leading dimension."""

    layer: PdADMMLayer
    before: list[Tensor]
    """q and z (and u) of the layers before, which p is pulled to; empty for the first layer of a block."""
    p_next: Tensor
    """p of the layers after."""
    wire: Wire
    """The wire format of ``p_next``."""


class CompiledPasses(NamedTuple):
    """The compiled elementwise passes."""

    gap: Callable[..., Tensor]
    z_q_u: Callable[..., Tensor]
    output_z: Callable[..., Tensor]
    """For a device; on a CPU the steps end where they have converged."""


@dataclass
class PdADMMState:
    """Variables of a block, and the last tensor from its right neighbour."""

    layers: list[PdADMMLayer]
    rho: float
    nu: float
    next_rho: float
    """ρ and ν from the next q-update on, as the penalty schedule decided."""
    next_nu: float
    costs: list[float]
    iteration: int
    """Iterations done. After the first, v from the left neighbour is always on its way."""
    y: Tensor = field(metadata={"state": False})
    links: Links = field(metadata={"state": False})
    descent: Descent = field(metadata={"state": False})
    second: Descent = field(metadata={"state": False})
    """With buffers of its own, for updates that go on while others wait for a sum over rows."""
    p_right: Tensor | None = field(default=None, metadata={"state": False})
    compiled: CompiledPasses | None = field(default=None, metadata={"state": False})
    batches: list[LayerBatch] = field(default_factory=list, metadata={"state": False})
    """All layers but the last, from right to left; made in the first step."""

    @property
    def scratch(self) -> Scratch:
        """The buffers of all updates of a lane."""
        return self.descent.products.scratch

    def in_lane(self, lane: int) -> PdADMMState:
        """The same state with the buffers of ``lane``, 0 or 1."""
        return replace(self, descent=self.second) if lane else self
