"""The steps on p and W: gradients of autograd, exact line search, and the two forms of the first layer's weights."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import optimize

from pdadmm_bench.optim import base
from pdadmm_bench.optim.admm import subproblems as sub
from pdadmm_bench.optim.admm.descent import Descent
from pdadmm_bench.optim.admm.products import Products
from pdadmm_bench.optim.admm.weights import SampleSpaceWeights, Weights, first_layer

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
    weights.descend(exact(), it.p, r, nu, it.mu)
    along = optimize.minimize_scalar(lambda t: objective(it, it.p, it.W - t * gradient).item(), bracket=(0.0, 1.0))
    assert objective(it, it.p, weights.W).item() <= along.fun * (1 + 1e-9)
    torch.testing.assert_close((weights.W - it.W) / (weights.W - it.W).norm(), -gradient / gradient.norm())
    torch.testing.assert_close(r, it.p @ weights.W.T + it.b - it.z)


decays = st.just(0.0) | st.floats(1e-3, 10)  # below, as the docstring of the samples' form says, digits go


@settings(max_examples=25)
@given(seed=seeds, nu=penalties, mu=decays, rows=st.integers(1, 12), features=st.integers(1, 30))
@example(seed=1, nu=1.0, mu=0.0, rows=3, features=1)  # dependent rows, an optimum within the twenty steps
def test_both_forms_of_the_first_layer_take_the_same_steps(seed, nu, mu, rows, features):
    x, W, z, others = random(seed, (rows, features), (4, features), (rows, 4), (7, features))
    forms = [first_layer(W, x, "features"), first_layer(W, x, "samples")]
    assert isinstance(forms[1], SampleSpaceWeights)
    residuals = [x @ W.T - z for _ in forms]
    loose = mu <= 0.1 * nu  # with little decay, or none, the form of samples loses digits
    for _ in range(20):
        for weights, r in zip(forms, residuals, strict=True):
            weights.descend(exact(), x, r, nu, mu)
        torch.testing.assert_close(forms[1].decayed(), forms[0].decayed(), rtol=1e-6, atol=1e-6 if loose else 1e-9)
        torch.testing.assert_close(
            forms[1].image(others), forms[0].image(others), rtol=1e-6, atol=1e-6 if loose else 1e-7
        )
    torch.testing.assert_close(forms[1].matrix(), forms[0].matrix(), rtol=1e-6, atol=1e-6 if loose else 1e-8)
    torch.testing.assert_close(residuals[1], residuals[0], rtol=1e-6, atol=1e-6 if loose else 1e-8)
    torch.testing.assert_close(residuals[1], x @ forms[1].matrix().T - z, rtol=1e-6, atol=1e-6 if loose else 1e-8)


@pytest.mark.parametrize(("rows", "form"), [(5, SampleSpaceWeights), (50, Weights)])
def test_the_cost_model_chooses_the_form(rows, form):
    x, W = random(0, (rows, 20), (4, 20))
    assert isinstance(first_layer(W, x, "auto"), form)


def test_bf16_products_are_close_and_leave_the_type_alone():
    a, b = (t.float() for t in random(0, (30, 20), (20, 10)))
    out = Products("bf16").mm(a, b, torch.empty(30, 10))
    assert out.dtype == torch.float32
    assert 0 < (out - a @ b).norm() / (a @ b).norm() < 2**-7
    added = Products("bf16").add(torch.ones(20, 10), a.T, out, beta=2.0, alpha=3.0)
    torch.testing.assert_close(added, 2 + 3 * a.T @ out, rtol=0.05, atol=0.5)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.slow
def test_a_bf16_step_goes_along_the_rounded_direction_that_was_multiplied(compiled):
    p, gap, r, W = (t.float() for t in random(0, (300, 20), (300, 20), (300, 10), (10, 20)))
    products = Products("bf16", compile=compiled)
    assert (products._passes is not None) == compiled
    direction = products.direction(gap.clone(), r, W, beta=0.5, alpha=0.1)
    assert direction.dtype == torch.bfloat16
    wanted = 0.5 * gap + 0.1 * r @ W
    assert 0 < (direction - wanted).norm() / wanted.norm() < 2**-7
    image = products.image(direction, W.T)
    before = p.clone()
    products.move(p, direction, torch.tensor(0.3))
    torch.testing.assert_close(p, before - 0.3 * direction.float(), rtol=1e-6, atol=1e-6)
    assert (image - (before - p) @ W.T / 0.3).norm() / image.norm() < 2**-7


def test_a_square_in_float64_copies_only_a_part(monkeypatch) -> None:
    monkeypatch.setattr(base, "SQUARE_VALUES", 1000)
    x = torch.randn(70, 100, generator=torch.Generator().manual_seed(0))
    with torch.profiler.profile(profile_memory=True) as record:
        found = base.square(x)
    events = record.profiler.kineto_results.events()
    assert max(event.nbytes() for event in events if event.name() == "[memory]") == 1000 * 8
    assert found.dtype == torch.float64
    assert float(found) == pytest.approx(float(x.double().square().sum()), rel=1e-14)
