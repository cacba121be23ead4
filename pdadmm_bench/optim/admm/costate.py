"""The costate start: one sweep back and one forth, after which the forces between layers are backpropagation's.

At a stationary point for fixed weights, ν r_l = ∂R/∂z_l and u_l = −∂R/∂f(z_l). After a feed-forward start every force
is zero, and the labels' influence then moves one layer per iteration. This start sets

    r_L = a_L − z_L with the exact minimiser z_L, and ν r_l = (ν r_{l+1} W_{l+1}) ∘ f'(a_l) going back,
    z_l = a_l − r_l, q_l = f(z_l) − r_{l+1} W_{l+1}, p_{l+1} = q_l, a_{l+1} = p_{l+1} W_{l+1}ᵀ + b_{l+1} going forth.

So u_l = ν(q_l − f(z_l)) is what it is after every q-update, and every gradient of p is zero. It takes two products per
layer, in the precision of the state, and a tensor back and two forth at every boundary between workers.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pdadmm_bench.optim.admm import subproblems as sub
from pdadmm_bench.optim.admm.elementwise import v_of
from pdadmm_bench.optim.admm.state import PdADMMLayer, PdADMMState

Place = Callable[[PdADMMLayer, Tensor], Tensor]
"""q of the layer before → p of a layer."""


def start(state: PdADMMState, place: Place) -> None:
    """Set p, z, r, q (and u) of a block after a feed-forward start, together with the other blocks of the network."""
    backward(state)
    forward(state, place)


def backward(state: PdADMMState) -> None:
    """Set r of all layers to δ/ν for the costates δ, and q to r_{l+1} W_{l+1} for now."""
    left, right, layers = state.links.left, state.links.right, state.layers
    following: PdADMMLayer | None = None
    for layer in reversed(layers):
        if layer.q is None:
            z = sub.output_z(layer.z, state.y, state.nu, layer.z, scratch=state.scratch)
            torch.sub(layer.z, z, out=layer.r)
        else:
            if following is not None:
                torch.matmul(following.r, following.W, out=layer.q)
            else:
                assert right is not None
                layer.q.copy_(right.receive_now(len(layer.z)))
            torch.mul(layer.q, layer.z > 0, out=layer.r)
        following = layer
    if left:
        first = layers[0]
        left.send_now(first.r @ first.W)


def forward(state: PdADMMState, place: Place) -> None:
    """Set p, z, q (and u) from the first layer to the last, for the r and q of :func:`backward`."""
    left, right, nu, rho = state.links.left, state.links.right, state.nu, state.rho
    before: Tensor | None = None
    if left:
        first = state.layers[0]
        rows = len(first.p)
        before = left.receive_now(rows)
        assert first.v is not None
        first.v = first.wire.round(left.receive_now(rows)).clone()
    for layer in state.layers:
        if before is not None:
            layer.p.copy_(place(layer, before))
            torch.addmm(layer.b, layer.p, layer.W.T, out=layer.z)
        layer.z.sub_(layer.r)
        if layer.q is not None:
            if layer.u is not None:
                torch.mul(layer.q, -nu, out=layer.u)
            torch.sub(layer.z.relu(), layer.q, out=layer.q)
            before = layer.q
    if right:
        assert before is not None
        last = state.layers[-1]
        right.send_now(before)
        right.send_now(v_of(torch.empty_like(last.z), *last.variables(), nu=nu, rho=rho))
