"""Every closed form of the ADMM methods, as pure functions of tensors.

Notation of the papers, rows are nodes: ``p`` (N, n_{l-1}), ``z``, ``q``, ``u`` (N, n_l), ``W`` (n_l, n_{l-1}),
``b`` (n_l,); r = p Wᵀ + b − z is a layer's residual, a = p Wᵀ + b = r + z its pre-activation, v = q − u/ρ what the next
layer needs of q and u. Sources: pdADMM (arXiv 2009.02868), pdADMM-G (arXiv 2105.09837), dlADMM (arXiv 1905.13611).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pdadmm_bench.optim.scratch import Scratch

OUTPUT_NEWTON_STEPS, WRIGHT_OMEGA_STEPS, OUTPUT_TOLERANCE = 12, 5, 1e-10
"""Steps that were enough for |a| ≤ 1e3, C < 50, 1e-6 ≤ ν ≤ 1e3 (tests try these); |Σ s_i − 1| that counts as 0."""

BACKTRACKING_START, BACKTRACKING_FACTOR, BACKTRACKING_CAP = 20.0, 2.0, 10
"""First trial curvature, growth and number of growths after which no step is taken (the pdADMM-G authors' code)."""


def curvature(gradient: Tensor, image: Tensor, weight: float, ridge: float) -> Tensor:
    """Curvature of (weight/2)‖J·‖² + (ridge/2)‖·‖² along ``gradient``, with ``image`` = J gradient; 0 at gradient 0.

    It is the smallest τ (or θ) that passes the papers' backtracking test, because the objective is quadratic.
    """
    norm = torch.linalg.vector_norm(gradient)
    ratio = torch.linalg.vector_norm(image) / norm
    return torch.where(norm > 0, weight * ratio * ratio + ridge, 0.0)


def exact_step(tau: Tensor) -> Tensor:
    """1/τ, and 0 where τ is 0: right after a feed-forward start every gradient of p is exactly zero."""
    return torch.where(tau > 0, 1 / tau, 0.0)


def backtracking_step(tau: Tensor) -> Tensor:
    """The step the authors' backtracking ends with: 1/(20·2ᵏ) for the smallest k ≤ 10 with 20·2ᵏ ≥ τ, else 0."""
    doublings = torch.ceil(torch.log2(tau / BACKTRACKING_START)).clamp(min=0)
    step = 1 / (BACKTRACKING_START * BACKTRACKING_FACTOR**doublings)
    return torch.where(doublings <= BACKTRACKING_CAP, step, 0.0)


def p_gradient(r: Tensor, W: Tensor, p: Tensor, v: Tensor, nu: float, rho: float, out: Tensor | None = None) -> Tensor:
    """∇_p of (ν/2)‖p Wᵀ + b − z‖² + (ρ/2)‖p − v‖², v of the previous layer."""
    return torch.sub(p, v, out=out).addmm_(r, W, beta=rho, alpha=nu)


def W_gradient(r: Tensor, p: Tensor, W: Tensor, nu: float, mu: float, out: Tensor | None = None) -> Tensor:
    """∇_W of (ν/2)‖p Wᵀ + b − z‖² + (μ/2)‖W‖²."""
    return torch.addmm(W, r.T, p, beta=mu, alpha=nu, out=out)


def hidden_z(a: Tensor, z_old: Tensor, q: Tensor, out: Tensor | None = None, scratch: Scratch | None = None) -> Tensor:
    """argmin_z (z − a)² + (q − ReLU(z))² + (z − z_old)², elementwise (pdADMM, equation for z_l).

    For z ≤ 0 the best is z⁻ = min(a + z_old, 0)/2, lower than at 0 by min(·)²/2; for z ≥ 0 it is
    z⁺ = max(a + z_old + q, 0)/3, lower by max(·)²/3. The larger gain wins, which needs no squares.
    """
    scratch = scratch or Scratch()
    both = torch.add(a, z_old, out=scratch.like("negative", a))
    return _better_side(both, q, 2, 3, out, scratch)


def tied_z(m: Tensor, a: Tensor, out: Tensor | None = None, scratch: Scratch | None = None) -> Tensor:
    """argmin_z (z − m)² + (a − ReLU(z))², elementwise (dlADMM)."""
    scratch = scratch or Scratch()
    both = scratch.like("negative", m).copy_(m)
    return _better_side(both, a, 1, 2, out, scratch)


def _better_side(both: Tensor, q: Tensor, below: int, above: int, out: Tensor | None, scratch: Scratch) -> Tensor:
    """min(both, 0)/below or max(both + q, 0)/above, whichever has the larger square times its divisor."""
    positive = torch.add(both, q, out=scratch.like("positive", both)).clamp_(min=0)
    negative = both.clamp_(max=0)
    choice = torch.add(negative, positive, alpha=math.sqrt(below / above), out=scratch.like("choice", both))
    torch.gt(choice, 0, out=choice)
    # torch.where would do, but it is not vectorised; lerp with weight 0 or 1 gives exactly one of its ends.
    return torch.lerp(negative.div_(below), positive.div_(above), choice, out=out)


def output_z(a: Tensor, y: Tensor, nu: float) -> Tensor:
    """argmin_z R(z; y) + (ν/2)‖z − a‖², R being softmax cross-entropy summed over rows: exact, to rounding.

    Rows are independent, and each comes down to one unknown. With λ = log Σ exp(z_i) and softmax s_i = exp(z_i − λ),
    the gradient vanishes where z_i = λ + log s_i and w + log w = c_i − λ − log ν for w = s_i/ν and c = a + y/ν. So w is
    the Wright omega function of a number that falls with λ, and Σ s_i = 1 fixes λ: a convex falling function, whose
    root Newton's method reaches from the left without a step size. The papers run accelerated proximal gradient
    instead, which needs about √(1/ν) steps.

    Args:
        a: (N, C) pre-activations of the output layer; y: (N,) int64 labels.
    """
    c = a.double().scatter_add(1, y.unsqueeze(1), torch.full_like(y, 1 / nu, dtype=torch.float64).unsqueeze(1))
    log_nu = math.log(nu)
    level = c.amax(1, keepdim=True) - 1 / nu  # here the largest s_i is 1, so the root lies to the right
    log_w = c
    for _ in range(OUTPUT_NEWTON_STEPS):
        log_w = log_wright_omega(c - level - log_nu)
        w = log_w.exp()
        excess = nu * w.sum(1, keepdim=True) - 1
        if excess.device.type == "cpu" and bool((excess.abs() < OUTPUT_TOLERANCE).all()):
            break  # on a GPU the question would cost more than the steps
        level = level + excess / (nu * w / (1 + w)).sum(1, keepdim=True)
    return (level + log_nu + log_w).to(a.dtype)


def log_wright_omega(x: Tensor) -> Tensor:
    """The root t of t + eᵗ = x, elementwise, by Newton's method from above, where it falls monotonically."""
    t = torch.where(x > 1, x.clamp(min=1).log(), x)
    for _ in range(WRIGHT_OMEGA_STEPS):
        e = t.exp()
        t = t - (t + e - x) / (1 + e)
    return t


def q_minimiser(
    p_next: Tensor, u: Tensor, activation: Tensor, nu: float, rho: float, out: Tensor | None = None
) -> Tensor:
    """argmin_q (ν/2)‖q − f(z)‖² + ⟨u, p_{l+1} − q⟩ + (ρ/2)‖p_{l+1} − q‖²."""
    return torch.add(u, p_next, alpha=rho, out=out).add_(activation, alpha=nu).mul_(1 / (rho + nu))
