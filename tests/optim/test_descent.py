"""The steps on p and W go along the gradient of autograd to the minimum that a line search finds."""

from types import SimpleNamespace

import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from pdadmm_bench.optim.admm import subproblems as sub
from pdadmm_bench.optim.admm.descent import Descent
from pdadmm_bench.optim.admm.products import Products
from pdadmm_bench.optim.admm.weights import Weights

seeds = st.integers(0, 2**32 - 1)
penalties = st.floats(1e-4, 10)


def random(seed: int, *shapes: tuple[int, ...]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes]


def layer(seed: int, nu: float, rho: float) -> SimpleNamespace:
    p, W, b, z, v = random(seed, (5, 3), (4, 3), (4,), (5, 4), (5, 3))
    return SimpleNamespace(p=p, W=W, b=b, z=z, v=v, nu=nu, rho=rho, mu=rho / 3)


def objective(it: SimpleNamespace, p: torch.Tensor, W: torch.Tensor) -> torch.Tensor:
    r = p @ W.T + it.b - it.z
    return it.nu / 2 * r.square().sum() + it.rho / 2 * (p - it.v).square().sum() + it.mu / 2 * W.square().sum()


def exact() -> Descent:
    return Descent(sub.exact_step, Products())


@given(seed=seeds, nu=penalties, rho=penalties)
def test_p_goes_to_the_minimum_along_its_gradient_and_takes_the_residual_along(seed, nu, rho):
    it = layer(seed, nu, rho)
    p, r = it.p.clone(), it.p @ it.W.T + it.b - it.z
    start = it.p.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(it, start, it.W), start)
    exact().descend_p(p, p - it.v, r, it.W, nu, rho)
    along = optimize.minimize_scalar(lambda t: objective(it, it.p - t * gradient, it.W).item(), bracket=(0.0, 1.0))
    assert objective(it, p, it.W).item() <= along.fun * (1 + 1e-9)
    torch.testing.assert_close((p - it.p) / (it.p - p).norm(), -gradient / gradient.norm())
    torch.testing.assert_close(r, p @ it.W.T + it.b - it.z)


@given(seed=seeds, nu=penalties, rho=penalties)
def test_W_goes_to_the_minimum_along_its_gradient_and_takes_the_residual_along(seed, nu, rho):
    it = layer(seed, nu, rho)
    weights, r = Weights(it.W.clone()), it.p @ it.W.T + it.b - it.z
    start = it.W.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(it, it.p, start), start)
    weights.descend(exact(), it.p, r, it.b, nu, it.mu)
    along = optimize.minimize_scalar(lambda t: objective(it, it.p, it.W - t * gradient).item(), bracket=(0.0, 1.0))
    assert objective(it, it.p, weights.W).item() <= along.fun * (1 + 1e-9)
    torch.testing.assert_close((weights.W - it.W) / (weights.W - it.W).norm(), -gradient / gradient.norm())
    torch.testing.assert_close(r, it.p @ weights.W.T + it.b - it.z)
