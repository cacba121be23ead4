"""Every closed form against a numerical minimiser."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special

from pdadmm_bench.optim.admm import subproblems as sub
from pdadmm_bench.optim.admm.output_layer import output_z_in_steps

seeds = st.integers(0, 2**32 - 1)
penalties = st.floats(1e-4, 10)


def random(seed: int, *shapes: tuple[int, ...], scale: float = 1.0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes]


def scalar_minimum(cost, low: float = -50.0, high: float = 50.0) -> float:
    """The least value of a piecewise quadratic with a kink at 0."""
    sides = (
        optimize.minimize_scalar(cost, bounds=side, method="bounded", options={"xatol": 1e-10})
        for side in ((low, 0.0), (0.0, high))
    )
    return min(cost(0.0), *(side.fun for side in sides))


@given(a=st.floats(-9, 9), z_old=st.floats(-9, 9), q=st.floats(-9, 9))
def test_hidden_z_is_the_global_minimiser(a, z_old, q):
    def cost(z):
        return (z - a) ** 2 + (q - max(z, 0.0)) ** 2 + (z - z_old) ** 2

    tensors = (torch.tensor([value], dtype=torch.float64) for value in (a, z_old, q))
    assert cost(sub.hidden_z(*tensors).item()) <= scalar_minimum(cost) + 1e-8


@given(m=st.floats(-9, 9), a=st.floats(-9, 9))
def test_tied_z_is_the_global_minimiser(m, a):
    def cost(z):
        return (z - m) ** 2 + (a - max(z, 0.0)) ** 2

    z = sub.tied_z(torch.tensor([m], dtype=torch.float64), torch.tensor([a], dtype=torch.float64))
    assert cost(z.item()) <= scalar_minimum(cost) + 1e-8


@settings(max_examples=25)
@given(seed=seeds, rows=st.integers(1, 4), classes=st.integers(2, 5), nu=st.floats(1e-2, 10))
def test_output_z_reaches_the_minimum_scipy_finds(seed, rows, classes, nu):
    a, z = random(seed, (rows, classes), (rows, classes), scale=3.0)
    y = torch.arange(rows) % classes

    def cost(flat):
        z = torch.tensor(flat).reshape(rows, classes)
        risk = torch.nn.functional.cross_entropy(z, y, reduction="sum")
        return float(risk + nu / 2 * (z - a).square().sum())

    found = optimize.minimize(cost, z.flatten().numpy(), method="BFGS", options={"gtol": 1e-9})
    assert cost(sub.output_z(a, y, nu, z).flatten().numpy()) <= found.fun + 1e-9 * (1 + abs(found.fun))


@settings(max_examples=100)
@given(
    seed=seeds, classes=st.integers(2, 47), exponent=st.floats(-6, 3), scale=st.sampled_from([0.01, 1.0, 30.0, 1000.0])
)
def test_output_z_has_zero_gradient_for_any_penalty_and_scale(seed, classes, exponent, scale):
    nu = 10**exponent
    a, start = random(seed, (20, classes), (20, classes), scale=scale)
    y = torch.arange(20) % classes
    z = sub.output_z(a, y, nu, start)
    gradient = z.softmax(1) - torch.nn.functional.one_hot(y, classes) + nu * (z - a)
    assert gradient.abs().max() <= 1e-9 * (1 + nu * a.abs().max() + nu * z.abs().max())


def test_output_z_in_single_precision_is_the_double_result_rounded():
    (a,) = random(0, (50, 7), scale=5.0)
    y = torch.arange(50) % 7
    single = a.float()
    wanted = sub.output_z(single.double(), y, 1e-3, single.double()).float()
    torch.testing.assert_close(sub.output_z(single, y, 1e-3, single), wanted)


@settings(max_examples=200)
@given(
    seed=seeds, classes=st.integers(2, 47), exponent=st.floats(-6, 3), scale=st.sampled_from([0.01, 1.0, 30.0, 1000.0]),
    start=st.sampled_from(["anywhere", "zero", "a", "against"]),
)  # fmt: skip
@pytest.mark.slow
def test_a_fixed_number_of_steps_gives_the_exact_z_from_any_start(seed, classes, exponent, scale, start):
    """The way of a device: the same work for every row."""
    nu = 10**exponent
    a, noise = random(seed, (20, classes), (20, classes), scale=scale)
    y = torch.arange(20) % classes
    begin = {"anywhere": noise, "zero": torch.zeros_like(a), "a": a, "against": -a}[start]
    z = output_z_in_steps(a, y, nu, begin)
    torch.testing.assert_close(z, sub.output_z(a, y, nu, a), rtol=1e-8, atol=1e-8)
    gradient = z.softmax(1) - torch.nn.functional.one_hot(y, classes) + nu * (z - a)
    assert gradient.abs().max() <= 1e-9 * (1 + nu * a.abs().max() + nu * z.abs().max())


@pytest.mark.slow
def test_the_steps_of_a_device_can_be_one_kernel():
    """They are traced without a break, which a question to the device would be."""
    (a,) = random(0, (20, 5), scale=3.0)
    y = torch.arange(20) % 5
    traced = torch.compile(output_z_in_steps, backend="eager", fullgraph=True)
    assert torch.equal(traced(a.float(), y, 1e-3, a.float()), output_z_in_steps(a.float(), y, 1e-3, a.float()))


@settings(max_examples=50)
@given(seed=seeds, exponent=st.floats(-5, 1), near=st.floats(1e-6, 1e3))
def test_output_z_does_not_depend_on_where_it_starts(seed, exponent, near):
    """Near the solution Newton's method on both unknowns settles; far from it the safe one takes over."""
    nu = 10**exponent
    a, noise = random(seed, (30, 6), (30, 6), scale=3.0)
    y = torch.arange(30) % 6
    z = sub.output_z(a, y, nu, a)
    torch.testing.assert_close(sub.output_z(a, y, nu, z + near * noise), z, rtol=1e-9, atol=1e-9)


@given(x=st.floats(-300, 1e6))
def test_log_wright_omega_against_scipy(x):
    t = sub.log_wright_omega(torch.tensor([x], dtype=torch.float64)).item()
    assert t == pytest.approx(np.log(special.wrightomega(x)), rel=1e-12, abs=1e-12)


@given(seed=seeds, nu=penalties, rho=penalties)
def test_q_minimiser_has_zero_gradient(seed, nu, rho):
    p_next, u, activation = random(seed, (3, 4), (3, 4), (3, 4))
    q = sub.q_minimiser(p_next, activation + u / nu, nu, rho)
    gradient = nu * (q - activation) - u - rho * (p_next - q)
    assert gradient.abs().max() < 1e-9 * (1 + rho + nu)


def test_zero_gradient_means_no_step():
    zero = torch.zeros(2, 3)
    assert sub.exact_step(sub.curvature(zero, zero, 1.0, 1.0)).item() == 0.0


@given(tau=st.floats(1e-6, 1e6))
def test_backtracking_step_is_where_the_authors_loop_ends(tau):
    trial, count = 20.0, 0
    while tau > trial:
        trial, count = trial * 2, count + 1
        if count > 10:
            break
    wanted = 0.0 if count > 10 else 1 / trial
    assert sub.backtracking_step(torch.tensor(tau, dtype=torch.float64)).item() == pytest.approx(wanted)
