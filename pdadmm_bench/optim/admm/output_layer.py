"""z_L on a device: the same Newton steps for every row, from any start, without a question whether they have converged.

A device would stand still while the host asks. As in :func:`~.subproblems.output_z`, a row has the unknowns t_i =
log(s_i/ν) and λ = log Σ exp(z_i), with t + exp(t) = c_i − λ − log ν and Σ s_i = 1. One step is a step of Halley's
method on every t for the present λ, and then one of Newton's on t and λ together. Two bounds hold the steps where both
methods converge: λ ≥ max c − 1/ν, where the largest s_i is 1; and t ≤ log x where x = c_i − λ − log ν > 1, else t ≤ x.

The function has no buffers, so that a compiler makes one kernel of it, in which a row never leaves the registers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

STEPS = 9
"""From the worst start eight steps reach the rounding of float64 for |a| ≤ 1e3, C < 48 and 1e-6 ≤ ν ≤ 1e3, and three do
from the z of the iteration before, as the tests show. The number is fixed, so that every iteration is the same work."""


def output_z_in_steps(a: Tensor, y: Tensor, nu: float, z_old: Tensor) -> Tensor:
    """argmin_z R(z; y) + (ν/2)‖z − a‖², exact to rounding, as a new tensor; see :func:`~.subproblems.output_z`.

    Args:
        a: (N, C) pre-activations of the output layer; y: (N,) int64 labels.
        z_old: (N, C) the start.
    """
    log_nu = math.log(nu)
    labels = torch.arange(a.shape[1], device=a.device) == y.unsqueeze(1)
    c = a.double() + labels.double() * (1 / nu)
    lowest = c.amax(1, keepdim=True) - 1 / nu
    level = torch.maximum(torch.logsumexp(z_old.double(), 1, keepdim=True), lowest)
    t = c - level - log_nu
    for _ in range(STEPS):
        x = c - level - log_nu
        t = torch.minimum(t, torch.where(x > 1, x.clamp(min=1).log(), x))
        w = t.exp()
        F, slope = t + w - x, 1 + w
        t = t - 2 * F * slope / (2 * slope.square() - F * w)
        w = t.exp()
        F, slope = t + w - x, 1 + w
        share = w / slope
        change = ((w - share * F).sum(1, keepdim=True) - 1 / nu) / share.sum(1, keepdim=True)
        higher = torch.maximum(level + change, lowest)
        t = t - (F + higher - level) / slope
        level = higher
    return (t + level + log_nu).to(a.dtype)
