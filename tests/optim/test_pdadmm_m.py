"""pdADMM-M: its z in closed form against scipy, and what its solutions are."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from toy import toy_problem

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.spec import ModelSpec
from pdadmm_bench.models import mlp
from pdadmm_bench.optim import registry
from pdadmm_bench.optim.admm.elementwise import z_and_multipliers
from pdadmm_bench.optim.base import Links


@pytest.mark.parametrize(("nu", "rho"), [(0.5, 0.5), (2.0, 0.1), (0.1, 3.0)])
def test_z_is_the_minimiser_and_the_multipliers_follow_it(nu: float, rho: float) -> None:
    generator = torch.Generator().manual_seed(0)
    p, r, s, z, u = (torch.randn(40, 5, generator=generator) for _ in range(5))
    q, shift = z.relu(), torch.randn(5, generator=generator)
    c, d = r - shift + z, p + u / rho
    new = {"r": r.clone(), "s": s.clone(), "q": q.clone(), "z": z.clone(), "u": u.clone()}
    moved = z_and_multipliers(p, *new.values(), shift=shift, nu=nu, rho=rho)

    def objective(value: float, c: float, d: float) -> float:
        return nu * (value - c) ** 2 + rho * (max(value, 0.0) - d) ** 2

    for at in np.ndindex(c.shape):
        numbers = float(c[at]), float(d[at])
        below = minimize_scalar(objective, bounds=(-9, 0), method="bounded", args=numbers)
        above = minimize_scalar(objective, bounds=(0, 9), method="bounded", args=numbers)
        best = min(below.fun, above.fun, objective(0.0, *numbers))
        assert objective(float(new["z"][at]), *numbers) == pytest.approx(best, rel=1e-4, abs=1e-6)
    np.testing.assert_allclose(new["q"], new["z"].relu())
    np.testing.assert_allclose(new["s"], c - new["z"], atol=1e-6)
    np.testing.assert_allclose(new["r"], (c - s - new["z"]) + new["s"], atol=2e-6)
    np.testing.assert_allclose(new["u"], u + rho * (p - new["q"]), atol=1e-5)
    assert float(moved) == pytest.approx(float((q - new["q"]).square().sum()), rel=1e-5)


@pytest.mark.slow
def test_its_solutions_are_those_of_the_network_and_the_ones_of_pdadmm_are_not() -> None:
    """No equation gives way: the gradient of the network's own objective is small, and is not where pdADMM stops."""
    problem = toy_problem(rows=60, features=5, classes=3)
    model, whole = ModelSpec(layers=2, hidden=6, init="he"), Block.whole(2)
    start = mlp.initial_layers(model, mlp.widths(model, 5, 3), 0, whole)
    mu, slopes = 0.5, {}
    for name, more in (("pdadmm-m", {}), ("pdadmm", {"step": "exact", "bias": "projected"})):
        optimizer = registry.get(name).create({"nu": 0.5, "rho": 0.5, "mu": mu, **more}, name)
        state = optimizer.init(problem, start, whole, Links())
        for _ in range(1500):
            optimizer.step(state)
        layers = [[value.double().requires_grad_() for value in layer] for layer in optimizer.layers(state)]
        (W1, b1), (W2, b2) = layers
        logits = (problem.train.x.double() @ W1.T + b1).relu() @ W2.T + b2
        risk = torch.nn.functional.cross_entropy(logits, problem.train.y, reduction="sum")
        (risk + mu / 2 * (W1.square().sum() + W2.square().sum())).backward()
        slopes[name] = max(float(value.grad.abs().max()) for layer in layers for value in layer)
    assert slopes["pdadmm-m"] < 0.1 * slopes["pdadmm"], slopes
