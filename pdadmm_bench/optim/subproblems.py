"""Every closed form of the ADMM methods, as pure functions of tensors.

Notation of the papers, rows are nodes: ``p`` (N, n_{l-1}), ``z``, ``q``, ``u`` (N, n_l), ``W`` (n_l, n_{l-1}),
``b`` (n_l,); r = p Wᵀ + b − z is a layer's residual, a = p Wᵀ + b = r + z its pre-activation, v = q − u/ρ what the next
layer needs of q and u. Sources: pdADMM (arXiv 2009.02868), pdADMM-G (arXiv 2105.09837), dlADMM (arXiv 1905.13611).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

CROSS_ENTROPY_CURVATURE = 0.5
"""Largest eigenvalue of the Hessian of softmax cross-entropy, over all logits (Böhning, 1992)."""

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


def p_gradient(r: Tensor, W: Tensor, p: Tensor, v: Tensor, nu: float, rho: float) -> Tensor:
    """∇_p of (ν/2)‖p Wᵀ + b − z‖² + (ρ/2)‖p − v‖², v of the previous layer."""
    return torch.addmm(p - v, r, W, beta=rho, alpha=nu)


def W_gradient(r: Tensor, p: Tensor, W: Tensor, nu: float, mu: float) -> Tensor:
    """∇_W of (ν/2)‖p Wᵀ + b − z‖² + (μ/2)‖W‖²."""
    return torch.addmm(W, r.T, p, beta=mu, alpha=nu)


def hidden_z(a: Tensor, z_old: Tensor, q: Tensor) -> Tensor:
    """argmin_z (z − a)² + (q − ReLU(z))² + (z − z_old)², elementwise (pdADMM, equation for z_l)."""
    both = a + z_old
    negative = (both / 2).clamp(max=0)
    positive = ((both + q) / 3).clamp(min=0)

    def cost(z: Tensor) -> Tensor:
        return (z - a).square() + (q - z.relu()).square() + (z - z_old).square()

    return torch.where(cost(positive) < cost(negative), positive, negative)


def tied_z(m: Tensor, a: Tensor) -> Tensor:
    """argmin_z (z − m)² + (a − ReLU(z))², elementwise (dlADMM)."""
    negative = m.clamp(max=0)
    positive = ((m + a) / 2).clamp(min=0)

    def cost(z: Tensor) -> Tensor:
        return (z - m).square() + (a - z.relu()).square()

    return torch.where(cost(positive) < cost(negative), positive, negative)


def output_z(a: Tensor, z: Tensor, y: Tensor, nu: float, max_steps: int, tolerance: float) -> Tensor:
    """argmin_z R(z; y) + (ν/2)‖z − a‖² by accelerated proximal gradient, warm-started at ``z``.

    R is softmax cross-entropy summed over rows, so rows are independent problems: each has its own momentum, restarted
    when it points uphill (O'Donoghue and Candès, 2015). Stops when the last step is below ``tolerance`` relative to z,
    or after ``max_steps``. A row never ends above its starting value.

    Args:
        a: (N, C) pre-activations of the output layer.
        z: (N, C) start; y: (N,) int64 labels.
    """
    half = CROSS_ENTROPY_CURVATURE
    pull = nu * a + functional.one_hot(y, a.shape[1])
    start = point = z
    age = torch.zeros(z.shape[0], 1, dtype=z.dtype, device=z.device)
    for step in range(max_steps):
        new = (half * point - point.softmax(1) + pull) / (half + nu)
        move = new - z
        uphill = ((point - new) * move).sum(1, keepdim=True) > 0
        age = torch.where(uphill, 0.0, age + 1)
        point = new + (age / (age + 3)) * move
        z = new
        # Reading the criterion makes a GPU wait, so it is read every fifth step.
        if step % 5 == 4 and bool(torch.linalg.vector_norm(move) <= tolerance * torch.linalg.vector_norm(z)):
            break

    def cost(z: Tensor) -> Tensor:
        risk = functional.cross_entropy(z, y, reduction="none")
        return (risk + nu / 2 * (z - a).square().sum(1)).unsqueeze(1)

    return torch.where(cost(z) <= cost(start), z, start)


def q_minimiser(p_next: Tensor, u: Tensor, activation: Tensor, nu: float, rho: float) -> Tensor:
    """argmin_q (ν/2)‖q − f(z)‖² + ⟨u, p_{l+1} − q⟩ + (ρ/2)‖p_{l+1} − q‖²."""
    return (rho * p_next + u + nu * activation) / (rho + nu)
