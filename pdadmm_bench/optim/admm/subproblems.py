"""The closed forms of the ADMM methods, as pure functions of tensors of one layer or of a batch of equal layers.

Notation of the papers, rows are nodes: ``p`` (N, n_{l-1}), ``z``, ``q``, ``u`` (N, n_l), ``W`` (n_l, n_{l-1}),
``b`` (n_l,); r = p Wᵀ + b − z is a layer's residual, a = p Wᵀ + b = r + z its pre-activation, v = q − u/ρ what the next
layer needs of q and u. Sources: pdADMM (arXiv 2009.02868), pdADMM-G (arXiv 2105.09837), dlADMM (arXiv 1905.13611).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pdadmm_bench.optim.admm.buffers import Scratch, row_blocks, temporary
from pdadmm_bench.optim.admm.output_layer import output_z_in_steps

OUTPUT_JOINT_STEPS, OUTPUT_NEWTON_STEPS, WRIGHT_OMEGA_STEPS = 8, 12, 5
"""Newton steps for z_L: from the previous z; from scratch, where the first do not converge; and for the Wright omega
function in each step from scratch. They are enough for |a| ≤ 1e3, C < 50, 1e-6 ≤ ν ≤ 1e3, as the tests show."""
OUTPUT_SETTLED = 1e-7
"""Newton's method stops after a smaller change of λ or t. The remaining error is of the order of the square."""

BACKTRACKING_START, BACKTRACKING_FACTOR, BACKTRACKING_CAP = 20.0, 2.0, 10
"""First trial curvature, the factor of its growth, and how often it grows before no step is taken (pdADMM-G code)."""


def curvature(gradient: Tensor, image: Tensor, weight: float, ridge: float) -> Tensor:
    """Curvature of (weight/2)‖J·‖² + (ridge/2)‖·‖² along ``gradient``, with ``image`` = J gradient; 0 at gradient 0.

    Because the objective is quadratic, it is the smallest τ (or θ) that passes the papers' backtracking test.
    """
    return curvature_from(norm(gradient), norm(image), weight, ridge)


def norm(x: Tensor) -> Tensor:
    """‖x‖ of a matrix, or of each matrix of a batch as (batch, 1, 1); float32 for bfloat16."""
    found = torch.linalg.vector_norm(x) if x.dim() == 2 else torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
    return found.float() if found.dtype == torch.bfloat16 else found


def row_norms(x: Tensor) -> Tensor:
    """‖·‖ of every row of a matrix or of each matrix of a batch, (…, N, 1); float32 for bfloat16."""
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=_wide(x))


def column_norms(x: Tensor) -> Tensor:
    """‖·‖ of every column, (…, 1, n); float32 for bfloat16."""
    return torch.linalg.vector_norm(x, dim=-2, keepdim=True, dtype=_wide(x))


def _wide(x: Tensor) -> torch.dtype:
    return torch.float32 if x.dtype == torch.bfloat16 else x.dtype


def curvature_from(gradient_norm: Tensor, image_norm: Tensor, weight: float, ridge: float) -> Tensor:
    """:func:`curvature` from the two norms."""
    return torch.where(gradient_norm > 0, weight * (image_norm / gradient_norm).square() + ridge, 0.0)


def exact_step(tau: Tensor) -> Tensor:
    """1/τ, and 0 where τ is 0, because after a feed-forward start every gradient of p is exactly zero."""
    return torch.where(tau > 0, 1 / tau, 0.0)


def backtracking_step(tau: Tensor) -> Tensor:
    """The step the authors' backtracking ends with: 1/(20·2ᵏ) for the smallest k ≤ 10 with 20·2ᵏ ≥ τ, else 0."""
    doublings = torch.ceil(torch.log2(tau / BACKTRACKING_START)).clamp(min=0)
    step = 1 / (BACKTRACKING_START * BACKTRACKING_FACTOR**doublings)
    return torch.where(doublings <= BACKTRACKING_CAP, step, 0.0)


def pull(q: Tensor, activation: Tensor, nu: float, rho: float, out: Tensor | None = None) -> Tensor:
    """v = q − u/ρ, which the next layer's p is pulled to, with u = ν(q − f(z)) as after every q-update."""
    return torch.lerp(q, activation, nu / rho, out=out)


def hidden_z(a: Tensor, z_old: Tensor, q: Tensor, out: Tensor | None = None, scratch: Scratch | None = None) -> Tensor:
    """argmin_z (z − a)² + (q − ReLU(z))² + (z − z_old)², elementwise (pdADMM, equation for z_l).

    For z ≤ 0 the best is z⁻ = min(a + z_old, 0)/2, lower than at 0 by min(·)²/2; for z ≥ 0 it is
    z⁺ = max(a + z_old + q, 0)/3, lower by max(·)²/3.
    """
    both = torch.add(a, z_old, out=temporary(scratch, "both", a))
    return _better_side(both, q, 2, 3, out, scratch)


def tied_z(m: Tensor, a: Tensor, out: Tensor | None = None, scratch: Scratch | None = None) -> Tensor:
    """argmin_z (z − m)² + (a − ReLU(z))², elementwise (dlADMM)."""
    both = temporary(scratch, "both", m).copy_(m)
    return _better_side(both, a, 1, 2, out, scratch)


def _better_side(
    both: Tensor, q: Tensor, below: int, above: int, out: Tensor | None, scratch: Scratch | None
) -> Tensor:
    """min(both, 0)/below or max(both + q, 0)/above, whichever has the larger square times its divisor.

    With s = both and c = √(below/above), the second gains more exactly where s + q·c/(1 + c) > 0. For s < 0 that means
    c(s + q) > −s. For s ≥ 0 both values are 0 wherever the test could be wrong.
    """
    ratio = math.sqrt(below / above)
    choice = torch.add(both, q, alpha=ratio / (1 + ratio), out=temporary(scratch, "choice", both)).gt_(0)
    positive = torch.add(both, q, out=temporary(scratch, "positive", both)).clamp_(min=0).mul_(1 / above)
    negative = both.clamp_(max=0).mul_(1 / below)
    # torch.where is not vectorised. lerp with weight 0 or 1 gives exactly one of its ends.
    return torch.lerp(negative, positive, choice, out=out)


def output_z(
    a: Tensor, y: Tensor, nu: float, z_old: Tensor, out: Tensor | None = None, scratch: Scratch | None = None
) -> Tensor:
    """argmin_z R(z; y) + (ν/2)‖z − a‖², R being softmax cross-entropy summed over rows: exact, to rounding.

    Rows are independent, and each has one unknown. With λ = log Σ exp(z_i) and softmax s_i = exp(z_i − λ),
    the gradient vanishes where t + exp(t) = c_i − λ − log ν for t = log(s_i/ν) and c = a + y/ν, and Σ s_i = 1 fixes λ.
    The papers run accelerated proximal gradient instead, which needs about √(1/ν) steps.

    Newton's method on t and λ together takes a few steps from the previous z. Where it does not converge, as in the
    first iterations, rows are solved from scratch. On a device a test of convergence takes longer than the steps, so
    there :func:`~.output_layer.output_z_in_steps` makes the same steps for all rows.

    Args:
        a: (N, C) pre-activations of the output layer; y: (N,) int64 labels.
        z_old: (N, C) the start; any values give the same result to rounding.
    """
    scratch = scratch or Scratch()
    out = torch.empty_like(a) if out is None else out
    if a.device.type != "cpu":
        return out.copy_(output_z_in_steps(a, y, nu, z_old))
    for a_rows, old, labels, rows in row_blocks(a, z_old, y.unsqueeze(1), out):
        c = scratch.of("c", tuple(a_rows.shape), a_rows, torch.float64).copy_(a_rows)
        c.scatter_add_(1, labels, c.new_full((), 1 / nu).expand(labels.shape))
        if not _output_z_from(old, c, nu, rows, scratch):
            rows.copy_(_output_z_from_scratch(c, nu))
    return out


def _output_z_from(z_old: Tensor, c: Tensor, nu: float, out: Tensor, scratch: Scratch) -> bool:
    """Whether Newton's method on (t, λ) converges when started from ``z_old``; then ``out`` is z."""
    log_nu = math.log(nu)
    t, w, F, share, product = (scratch.like(f"output {name}", c) for name in ("t", "w", "F", "share", "product"))
    level, slope, excess, part = (
        scratch.of(f"output {name}", (len(c), 1), c) for name in ("level", "slope", "excess", "part")
    )
    t.copy_(z_old)
    torch.amax(t, 1, keepdim=True, out=level)
    torch.sub(t, level, out=w).exp_()
    level.add_(torch.sum(w, 1, keepdim=True, out=part).log_())  # log Σ exp(z)
    t.sub_(level).sub_(log_nu)
    for _ in range(OUTPUT_JOINT_STEPS):
        torch.exp(t, out=w)
        torch.add(t, w, out=F).add_(level).add_(log_nu).sub_(c)
        torch.add(w, 1, out=share).reciprocal_()
        torch.mul(w, share, out=product)
        torch.sum(product, 1, keepdim=True, out=slope)  # how much Σ s_i/ν falls, per unit of λ
        torch.sum(w, 1, keepdim=True, out=excess).sub_(torch.sum(product.mul_(F), 1, keepdim=True, out=part))
        change = excess.sub_(1 / nu).div_(slope)
        level += change
        F.add_(change).mul_(share)
        t.sub_(F).clamp_(max=-log_nu)  # since s_i ≤ 1
        if float(torch.linalg.vector_norm(F, math.inf)) < OUTPUT_SETTLED:
            out.copy_(t.add_(level).add_(log_nu))
            return True
    return False


def _output_z_from_scratch(c: Tensor, nu: float) -> Tensor:
    """z by two nested Newton methods that always converge.

    s_i/ν is the Wright omega function of c_i − λ − log ν, which decreases with λ. So Σ s_i − 1 is a convex decreasing
    function of λ, and Newton's method reaches its root from the left without a step size.
    """
    log_nu = math.log(nu)
    level = c.amax(1, keepdim=True) - 1 / nu  # here the largest s_i is 1, so the root lies to the right
    log_w = c
    for _ in range(OUTPUT_NEWTON_STEPS):
        log_w = log_wright_omega(c - level - log_nu)
        w = log_w.exp()
        change = (w.sum(1, keepdim=True) - 1 / nu) / (w / (1 + w)).sum(1, keepdim=True)
        level = level + change
        log_w = log_w - change / (1 + w)
        if float(change.abs().max()) < OUTPUT_SETTLED:
            break
    return level + log_nu + log_w


def log_wright_omega(x: Tensor) -> Tensor:
    """The root t of t + eᵗ = x, elementwise, by Newton's method from above, where it decreases monotonically."""
    t = torch.where(x > 1, x.clamp(min=1).log(), x)
    for _ in range(WRIGHT_OMEGA_STEPS):
        e = t.exp()
        t = t - (t + e - x) / (1 + e)
    return t


def q_minimiser(p_next: Tensor, target: Tensor, nu: float, rho: float, out: Tensor | None = None) -> Tensor:
    """argmin_q (ν/2)‖q − f(z)‖² + ⟨u, p_{l+1} − q⟩ + (ρ/2)‖p_{l+1} − q‖², with ``target`` = f(z) + u/ν."""
    return torch.lerp(p_next, target, nu / (rho + nu), out=out)


def column_mean(r: Tensor, scratch: Scratch) -> Tensor:
    """The mean of the rows as a product with a vector, which is faster than a reduction over the first dimension."""
    if r.dim() == 3:
        return r.mean(1, keepdim=True)
    average = scratch.of("average", (len(r),), r).fill_(1 / len(r))
    return torch.mv(r.T, average, out=scratch.of("mean", (r.shape[1],), r))
