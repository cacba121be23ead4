"""The elementwise passes of pdADMM, over some rows of a layer or of a batch of equal layers.

Each is one pass over memory: in blocks of rows with a ``scratch`` for the temporaries, or compiled into one loop
without a ``scratch``. The dual u is given only where a method keeps it; elsewhere u = ν(q − f(z)).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pdadmm_bench.optim.admm import subproblems as sub
from pdadmm_bench.optim.admm.buffers import Scratch, temporary
from pdadmm_bench.optim.wire import Wire

Z_Q_U_PASSES = 50
"""Arrays that :func:`z_q_u` reads or writes."""


def v_of(
    out: Tensor, q: Tensor, z: Tensor, u: Tensor | None = None, *, nu: float, rho: float, scratch: Scratch | None = None
) -> Tensor:
    """v = q − u/ρ of some rows of a layer, written to ``out``."""
    if u is not None:
        return torch.add(q, u, alpha=-1 / rho, out=out)
    activation = torch.clamp(z, min=0, out=temporary(scratch, "activation", z))
    return sub.pull(q, activation, nu, rho, out=out)


def gap_of(
    out: Tensor, p: Tensor, q: Tensor, z: Tensor, u: Tensor | None = None,
    *, nu: float, rho: float, wire: Wire, scratch: Scratch | None = None,
) -> Tensor:  # fmt: skip
    """p − v of some rows, written to ``out``; q, z and u are those of the layer before."""
    return torch.sub(p, wire.round(v_of(out, q, z, u, nu=nu, rho=rho, scratch=scratch)), out=out)


def z_q_u(
    p: Tensor, r: Tensor, q: Tensor, z: Tensor, u: Tensor | None = None,
    *, shift: Tensor, before: float, nu: float, rho: float,
    restrict: Callable[[Tensor], Tensor] | None = None, scratch: Scratch | None = None,
) -> Tensor:  # fmt: skip
    """Update z, q and u of some rows of a hidden layer, and the residual with them, in place; return ‖change of q‖².

    Args:
        p: (N, n) the next layer's new p; r, q, z: the layer's residual and variables.
        u: the dual where it is kept, else ν(q − f(z)).
        shift: (n,) the change of b, which is subtracted from every row of r.
        before: ν of the last q-update, from which u comes; nu, rho: the penalties of this update.
        restrict: maps q to the set that a method restricts it to.
    """
    activation = torch.clamp(z, min=0, out=temporary(scratch, "activation", z))
    if u is not None:
        u_by_nu = torch.mul(u, 1 / nu, out=temporary(scratch, "u", u))
    else:
        u_by_nu = torch.sub(q, activation, out=temporary(scratch, "u", q))
        if before != nu:
            u_by_nu.mul_(before / nu)
    a = r.sub_(shift).add_(z)
    sub.hidden_z(a, z, q, out=z, scratch=scratch)
    r.sub_(z)
    torch.clamp(z, min=0, out=activation)
    q_new = sub.q_minimiser(p, u_by_nu.add_(activation), nu, rho, out=u_by_nu)
    if u is not None:
        q_new = restrict(q_new) if restrict else q_new
        u.add_(p, alpha=rho).sub_(q_new, alpha=rho)
    moved = sub.norm(q.sub_(q_new)).square()
    q.copy_(q_new)
    return moved


def z_and_multipliers(
    p: Tensor, r: Tensor, s: Tensor, q: Tensor, z: Tensor, u: Tensor,
    *, shift: Tensor, nu: float, rho: float, scratch: Scratch | None = None,
) -> Tensor:  # fmt: skip
    """Update z, q = f(z) and the multipliers of some rows of a hidden layer in place; return ‖change of q‖².

    z is the minimiser of ν (z − c)² + ρ (f(z) − d)², c = p Wᵀ + b + s, d = p_{l+1} + u/ρ: above zero it is the weighted
    mean of c and d, below it is c. Below is better where c < 0 and κ c + (1 − κ) d < 0 for κ = √(ν/(ν + ρ)).

    Args:
        p: (N, n) the next layer's new p; r: p Wᵀ + b − z + s; s: multiplier of the layer's equation over ν; u: that of
            p = f(z).
        shift: (n,) the change of b, which is subtracted from every row of r.
    """
    c = r.sub_(shift).add_(z)
    d = torch.add(p, u, alpha=1 / rho, out=temporary(scratch, "d", p))
    share = torch.lerp(d, c, math.sqrt(nu / (nu + rho)), out=temporary(scratch, "share", p))
    above = torch.maximum(c, share, out=share).gt_(0)
    mean = torch.lerp(c, d, rho / (nu + rho), out=z).clamp_(min=0)
    # torch.where is not vectorised. lerp with weight 0 or 1 gives exactly one of its ends.
    torch.lerp(c, mean, above, out=z)
    multiplied(c, z, s, scratch)
    activation = torch.clamp(z, min=0, out=share)
    torch.sub(d, activation, out=u).mul_(rho)
    moved = sub.norm(q.sub_(activation)).square()
    q.copy_(activation)
    return moved


def multiplied(c: Tensor, z: Tensor, s: Tensor, scratch: Scratch | None = None) -> None:
    """Update the multiplier s of a layer's equation for the new z; ``c``, p Wᵀ + b + s, becomes the residual + s."""
    new = torch.sub(c, z, out=temporary(scratch, "multiplier", z))
    torch.lerp(s, new, 2.0, out=c)  # 2·new − s
    s.copy_(new)
