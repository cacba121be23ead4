"""Every kind of step of p and W against minimisers that scipy and linear algebra find, on small random problems."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from pdadmm_bench.optim.admm import subproblems as sub
from pdadmm_bench.optim.admm.descent import Descent
from pdadmm_bench.optim.admm.products import Products
from pdadmm_bench.optim.admm.weights import Weights, first_layer

seeds = st.integers(0, 2**32 - 1)
penalties = st.floats(1e-2, 10)
shapes = st.tuples(st.integers(2, 7), st.integers(1, 6), st.integers(1, 6))
"""(N, n_{l-1}, n_l): primal and dual forms of both minimisers."""


def layer(seed: int, shape: tuple[int, int, int], nu: float, rho: float) -> SimpleNamespace:
    rows, n_in, n_out = shape
    generator = torch.Generator().manual_seed(seed)
    sizes = {"p": (rows, n_in), "v": (rows, n_in), "W": (n_out, n_in), "b": (n_out,), "z": (rows, n_out)}
    drawn = {key: torch.randn(*size, generator=generator, dtype=torch.float64) for key, size in sizes.items()}
    drawn["p"] += 2  # inputs of a layer have a mean
    return SimpleNamespace(**drawn, nu=nu, rho=rho, mu=rho / 3)


def residual(it: SimpleNamespace, p: torch.Tensor, W: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return p @ W.T + b - it.z


def cost_of_p(it: SimpleNamespace, p: torch.Tensor) -> torch.Tensor:
    """Of each row."""
    r = residual(it, p, it.W, it.b)
    return it.nu / 2 * r.square().sum(1) + it.rho / 2 * (p - it.v).square().sum(1)


def cost_of_W(it: SimpleNamespace, W: torch.Tensor, b: torch.Tensor, identity: bool = False) -> torch.Tensor:
    """Of each unit."""
    decayed = W - torch.eye(*W.shape, dtype=W.dtype) if identity else W
    return it.nu / 2 * residual(it, it.p, W, b).square().sum(0) + it.mu / 2 * decayed.square().sum(1)


def by(kind: str, projected: bool = False) -> Descent:
    return Descent(sub.exact_step, Products(), kind, projected)


def minimum(cost, *start: torch.Tensor) -> float:
    """The least value that scipy finds of a quadratic function of some tensors."""
    sizes = [tensor.numel() for tensor in start]

    def parts(flat):
        split = torch.as_tensor(flat).split(sizes)
        return [part.view_as(tensor).clone().requires_grad_() for part, tensor in zip(split, start, strict=True)]

    def value_and_slope(flat):
        tensors = parts(flat)
        value = cost(*tensors)
        slopes = torch.autograd.grad(value, tensors)
        return value.item(), torch.cat([slope.flatten() for slope in slopes]).numpy()

    flat = torch.cat([tensor.flatten() for tensor in start]).numpy()
    found = optimize.minimize(value_and_slope, flat, jac=True, method="BFGS", options={"gtol": 1e-10, "maxiter": 2000})
    return found.fun


@settings(max_examples=25, deadline=None)
@given(seed=seeds, shape=shapes, nu=penalties, rho=penalties)
def test_exact_p_is_the_minimiser(seed, shape, nu, rho):
    it = layer(seed, shape, nu, rho)
    p, r = it.p.clone(), residual(it, it.p, it.W, it.b)
    by("exact").descend_p(p, p - it.v, r, it.W, nu, rho)
    least = minimum(lambda p: cost_of_p(it, p).sum(), it.p)
    assert cost_of_p(it, p).sum().item() <= least * (1 + 1e-8) + 1e-10
    torch.testing.assert_close(r, residual(it, p, it.W, it.b))


@pytest.mark.parametrize("kind", ["exact-W", "exact"])
@pytest.mark.parametrize("identity", [False, True], ids=["zero", "identity"])
@settings(max_examples=25, deadline=None)
@given(seed=seeds, shape=shapes, nu=penalties, rho=penalties)
def test_exact_W_is_the_minimiser(seed, shape, nu, rho, identity, kind):
    it = layer(seed, shape, nu, rho)
    weights, b, r = Weights(it.W.clone(), identity), it.b.clone(), residual(it, it.p, it.W, it.b)
    weights.descend(by(kind), it.p, r, b, nu, it.mu)
    least = minimum(lambda W: cost_of_W(it, W, it.b, identity).sum(), it.W)
    assert cost_of_W(it, weights.W, it.b, identity).sum().item() <= least * (1 + 1e-8) + 1e-10
    assert torch.equal(b, it.b)
    torch.testing.assert_close(r, residual(it, it.p, weights.W, b))


@pytest.mark.parametrize("projected", [False, True], ids=["update", "projected"])
@pytest.mark.parametrize("kind", ["layer", "row-unit", "exact-W"])
@settings(max_examples=25, deadline=None)
@given(
    seed=seeds, rows=st.integers(2, 3), widths=st.tuples(st.integers(7, 9), st.integers(7, 9)), nu=penalties,
    rho=penalties, identity=st.booleans(), multiplier=st.booleans(),
)  # fmt: skip
def test_few_rows_take_the_same_steps_in_their_span(seed, rows, widths, nu, rho, identity, multiplier, kind, projected):
    it = layer(seed, (rows, *widths), nu, rho)
    s = torch.randn(it.z.shape, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    results = []
    for known in ([], [it.z, s] if multiplier else [it.z]):
        weights, b = Weights(it.W.clone(), identity), it.b.clone()
        r = residual(it, it.p, it.W, it.b).add_(s * multiplier)
        for _ in range(3):
            weights.descend(by(kind, projected), it.p, r, b, nu, it.mu, known=known)
        results.append((weights.W, b, r))
        torch.testing.assert_close(r, residual(it, it.p, weights.W, b) + s * multiplier, rtol=1e-6, atol=1e-9)
    for found, wanted in zip(*results[::-1], strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("form", ["matrix", "features", "samples"])
@settings(max_examples=25, deadline=None)
@given(seed=seeds, shape=shapes, nu=penalties, rho=penalties)
def test_exact_W_with_a_projected_bias_is_the_joint_minimiser(seed, shape, nu, rho, form):
    it, descent = layer(seed, shape, nu, rho), by("exact", projected=True)
    weights = Weights(it.W.clone()) if form == "matrix" else first_layer(it.W, it.p, form, descent)
    b, r = it.b.clone(), residual(it, it.p, it.W, it.b)
    for _ in range(2):  # the second has the inverse already
        weights.descend(descent, it.p, r, b, nu, it.mu)
    least = minimum(lambda W, b: cost_of_W(it, W, b).sum(), it.W, it.b)
    assert cost_of_W(it, weights.matrix(), b).sum().item() <= least * (1 + 1e-6) + 1e-8
    torch.testing.assert_close(r, residual(it, it.p, weights.matrix(), b), rtol=1e-6, atol=1e-6)


@given(seed=seeds, shape=shapes, nu=penalties, rho=penalties)
def test_every_row_of_p_goes_to_its_own_minimum(seed, shape, nu, rho):
    it = layer(seed, shape, nu, rho)
    p, r = it.p.clone(), residual(it, it.p, it.W, it.b)
    start = it.p.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(cost_of_p(it, start).sum(), start)
    by("row-unit").descend_p(p, p - it.v, r, it.W, nu, rho)
    torch.testing.assert_close(r, residual(it, p, it.W, it.b))
    for row, slope in enumerate(gradient):
        along = slope_at(lambda t, row=row: cost_of_p(it, p + t * gradient)[row])
        assert abs(along) <= 1e-8 * (1 + slope.square().sum().item())
        torch.testing.assert_close((it.p - p)[row] * slope.norm(), slope * (it.p - p)[row].norm())


@pytest.mark.parametrize("projected", [False, True])
@given(seed=seeds, shape=shapes, nu=penalties, rho=penalties)
def test_every_unit_of_W_goes_to_its_own_minimum(seed, shape, nu, rho, projected):
    """With a projected bias to that of W and b together, along the gradient at the best b."""
    it = layer(seed, shape, nu, rho)
    weights, b, r = Weights(it.W.clone()), it.b.clone(), residual(it, it.p, it.W, it.b)
    best = it.b - r.mean(0) if projected else it.b
    start = it.W.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(cost_of_W(it, start, best).sum(), start)
    weights.descend(by("row-unit", projected), it.p, r, b, nu, it.mu)
    torch.testing.assert_close(r, residual(it, it.p, weights.W, b))
    if projected:
        torch.testing.assert_close(r.mean(0), torch.zeros_like(b), atol=1e-8, rtol=0)

    def cost(W):
        own = b - residual(it, it.p, W, b).mean(0) if projected else b
        return cost_of_W(it, W, own)

    for unit, slope in enumerate(gradient):
        along = slope_at(lambda t, unit=unit: cost(weights.W + t * gradient)[unit])
        assert abs(along) <= 1e-8 * (1 + slope.square().sum().item())


def slope_at(function) -> float:
    """The derivative at 0."""
    t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(function(t), t)
    return slope.item()


@pytest.mark.parametrize("kind", ["layer", "row-unit", "exact-W", "exact"])
@given(seed=seeds, shape=shapes, nu=penalties, rho=penalties)
def test_the_quadratic_model_lies_above_the_objective_at_the_step(seed, shape, nu, rho, kind):
    """Majorisation, row by row: φ(p') ≤ φ(p) + ⟨g, p' − p⟩/2, with equality at a minimum along the step."""
    it = layer(seed, shape, nu, rho)
    p, r = it.p.clone(), residual(it, it.p, it.W, it.b)
    start = it.p.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(cost_of_p(it, start).sum(), start)
    by(kind).descend_p(p, p - it.v, r, it.W, nu, rho)
    model = cost_of_p(it, it.p) + (gradient * (p - it.p)).sum(1) / 2
    gap = model - cost_of_p(it, p)
    gap = gap.sum() if kind in ("layer", "exact-W") else gap
    assert bool((gap.abs() <= 1e-8 * (1 + cost_of_p(it, it.p).sum())).all())


@pytest.mark.parametrize("kind", ["layer", "row-unit", "exact-W", "exact"])
@pytest.mark.parametrize("projected", [False, True])
@settings(max_examples=25, deadline=None)
@given(seed=seeds, nu=penalties, mu=st.floats(1e-2, 10), rows=st.integers(2, 12), features=st.integers(1, 30))
def test_both_forms_of_the_first_layer_take_the_same_steps(seed, nu, mu, rows, features, kind, projected):
    it, descent = layer(seed, (rows, features, 4), nu, 3 * mu), by(kind, projected)
    forms = [first_layer(it.W, it.p, form, descent) for form in ("features", "samples")]
    biases = [it.b.clone() for _ in forms]
    residuals = [residual(it, it.p, it.W, it.b) for _ in forms]
    for _ in range(5):
        for weights, b, r in zip(forms, biases, residuals, strict=True):
            weights.descend(descent, it.p, r, b, nu, mu)
    torch.testing.assert_close(forms[1].matrix(), forms[0].matrix(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(biases[1], biases[0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(residuals[1], residuals[0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(forms[1].decayed(), forms[0].decayed(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["layer", "row-unit", "exact-W", "exact"])
@pytest.mark.parametrize("projected", [False, True])
def test_no_gradient_means_no_step(kind, projected):
    """0/0: right after a feed-forward start every gradient of p is zero; without decay that of W is as well."""
    it = layer(0, (5, 3, 4), 1.0, 1.0)
    p, r, weights, b = it.p.clone(), torch.zeros(5, 4, dtype=torch.float64), Weights(it.W.clone()), it.b.clone()
    by(kind).descend_p(p, torch.zeros_like(p), r, it.W, 1.0, 1.0)
    weights.descend(by(kind, projected), p, r, b, 1.0, 0.0)
    assert torch.equal(p, it.p)
    assert torch.equal(weights.W, it.W)
    assert torch.equal(b, it.b)


@pytest.mark.parametrize("kind", ["layer", "row-unit", "exact-W", "exact"])
@pytest.mark.parametrize("projected", [False, True])
@pytest.mark.parametrize("shape", [(60, 20, 30), (10, 20, 30), (60, 40, 5)])
def test_bf16_steps_go_down_and_take_the_residual_along(kind, projected, shape):
    """Along directions rounded to 8 bits, by their own exact line search."""
    it = layer(0, shape, 1.0, 1.0)
    for name in ("p", "W", "b", "z", "v"):
        setattr(it, name, getattr(it, name).float())
    descent = Descent(sub.exact_step, Products("bf16"), kind, projected)
    p, weights, b, r = it.p.clone(), Weights(it.W.clone()), it.b.clone(), residual(it, it.p, it.W, it.b)
    values = [cost_of_p(it, p).sum().item()]
    descent.descend_p(p, p - it.v, r, it.W, 1.0, 1.0)
    values.append(cost_of_p(it, p).sum().item())
    assert values[1] < values[0]
    assert (r - residual(it, p, it.W, it.b)).norm() < 0.03 * (it.p - p).norm() * it.W.norm()
    it.p = p
    before = cost_of_W(it, it.W, it.b).sum().item()
    weights.descend(descent, p, r, b, 1.0, it.mu)
    assert cost_of_W(it, weights.W, b).sum().item() < before
    assert (r - residual(it, p, weights.W, b)).norm() < 0.03 * p.norm() * (weights.W - it.W).norm()
