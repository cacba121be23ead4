"""The literal reference is pdADMM: its updates are the closed forms, its iterates those of the production code."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.spec import ModelSpec, run_spec
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.data.problem import Problem, Rows
from pdadmm_bench.models import mlp
from pdadmm_bench.optim import contenders, registry
from pdadmm_bench.optim.admm import reference
from pdadmm_bench.optim.admm import subproblems as sub
from pdadmm_bench.optim.base import Links, Optimizer

EXACT_OUTPUT = {"output_steps": 100_000, "output_tolerance": 1e-15}


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def toy(rows: int = 40, features: int = 12, classes: int = 3) -> Problem:
    y = torch.arange(rows) % classes
    part = Rows(x=random(1, classes, features)[y] + random(2, rows, features), y=y)
    return Problem(name="toy", split="random", num_classes=classes, train=part, val=part, test=part, sha256="")


def double(problem: Problem) -> Problem:
    parts = {name: Rows(x=rows.x.double(), y=rows.y) for name, rows in problem.parts().items()}
    return Problem(name=problem.name, split="", num_classes=problem.num_classes, sha256="", **parts)


def pair(problem: Problem, layers: int, hidden: int, **values: float) -> list[tuple[Optimizer, object]]:
    """Production code under the backtracking rule, and the reference, from the same weights in float64."""
    model, block = ModelSpec(layers=layers, hidden=hidden, init="he"), Block.whole(layers)
    sizes = mlp.widths(model, problem.num_features, problem.num_classes)
    weights = [
        mlp.Layer(*(tensor.double() for tensor in layer)) for layer in mlp.initial_layers(model, sizes, 0, block)
    ]
    chosen = {"pdadmm": {"step_rule": "backtracking"}, "pdadmm-reference": EXACT_OUTPUT}
    optimizers = [registry.get(name).create({**values, **more}, name) for name, more in chosen.items()]
    return [(optimizer, optimizer.init(problem, weights, block, Links())) for optimizer in optimizers]


def assert_same_path(optimizers: list[tuple[Optimizer, object]], iterations: int) -> None:
    for _ in range(iterations):
        for optimizer, state in optimizers:
            optimizer.step(state)
        ours, theirs = (optimizer.layers(state) for optimizer, state in optimizers)
        for layer, expected in zip(ours, theirs, strict=True):
            torch.testing.assert_close(layer.weight, expected.weight, rtol=1e-6, atol=1e-9)
            torch.testing.assert_close(layer.bias, expected.bias, rtol=1e-6, atol=1e-9)
        reports = [optimizer.report(state) for optimizer, state in optimizers]
        assert reports[0].keys() == reports[1].keys()
        for name, values in reports[1].items():
            torch.testing.assert_close(reports[0][name], values, rtol=1e-5, atol=1e-9, msg=name)


@pytest.mark.parametrize(
    "values",
    [
        {"rho": 0.05, "nu": 0.01, "mu": 1e-3},  # curvatures below 20: the first trial is taken
        {"rho": 5.0, "nu": 1.0, "mu": 1e-2},  # far above: some doublings
    ],
)
@pytest.mark.parametrize("layers", [2, 5])
@pytest.mark.slow
def test_production_under_backtracking_makes_the_same_iterates(layers: int, values: dict[str, float]) -> None:
    assert_same_path(pair(toy(), layers, 16, **values), iterations=15)


def test_the_same_on_a_real_graph(real_data: Path, tmp_path: Path) -> None:
    spec = run_spec({"dataset": "pubmed", "hops": 1})
    problem = load_problem(spec.data, data_root=real_data, cache=tmp_path, report=lambda line: None)
    assert_same_path(pair(double(problem), 3, 20, rho=5.0, nu=1.0, mu=1e-3), iterations=8)


def test_lagrangian_never_rises_inside_the_theorem_region() -> None:
    _, (optimizer, state) = pair(toy(), 4, 16, rho=5.0, nu=1.0, mu=1e-3)
    values = []
    for _ in range(60):
        optimizer.step(state)
        values.append(optimizer.report(state)["objective"].sum().item())
    assert max(after - before for before, after in pairwise(values)) <= 1e-9 * abs(values[0])
    assert values[-1] < 0.9 * values[0]


@given(st.integers(0, 10**6), st.floats(-3, 5))
def test_the_step_is_the_one_in_closed_form(seed: int, size: float) -> None:
    """Backtracking by trial ends at the curvature that backtracking_step computes, doublings or none."""
    J, target, x = 10**size * random(seed, 9, 6), random(seed + 1, 4, 9), random(seed + 2, 4, 6)
    gradient = (x @ J.T - target) @ J
    tau = sub.curvature(gradient, gradient @ J.T, 1.0, 0.0)
    if abs(torch.log2(tau / 20).frac()) < 1e-6:
        return  # the trial that rounding decides
    found = reference.majorised_step(lambda x: ((x @ J.T - target) ** 2).sum() / 2, x)
    torch.testing.assert_close(found, x - sub.backtracking_step(tau) * gradient)


def layer_state(seed: int, rows: int = 7, before: int = 6, units: int = 5) -> reference.ReferenceLayer:
    shapes = {"W": (units, before), "b": (units,), "p": (rows, before), "z": (rows, units), "q": (rows, units)}
    variables = {name: random(10 * seed + i, *shape) for i, (name, shape) in enumerate(shapes.items())}
    return reference.ReferenceLayer(**variables, q_old=variables["q"], u=random(10 * seed + 9, rows, units))


@given(st.integers(0, 10**6))
def test_updates_are_the_closed_forms(seed: int) -> None:
    before, layer, nu, rho, mu = layer_state(seed, before=4, units=6), layer_state(seed + 1), 0.3, 0.7, 0.2
    r = reference.residual(layer)

    g = nu * r @ layer.W + rho * (layer.p - (before.q - before.u / rho))
    step = sub.backtracking_step(sub.curvature(g, g @ layer.W.T, nu, rho))
    torch.testing.assert_close(reference.update_p(layer, before, nu, rho), layer.p - step * g)

    G = nu * r.T @ layer.p + mu * layer.W
    step = sub.backtracking_step(sub.curvature(G, layer.p @ G.T, nu, mu))
    torch.testing.assert_close(reference.update_W(layer, nu, mu), layer.W - step * G)

    a, z, q = random(seed + 2, 7, 5), layer.z, layer.q
    torch.testing.assert_close(reference.hidden_z(a, z, q), sub.hidden_z(a, z, q))
    found = reference.minimising_q(layer, a, nu, rho)
    slope = nu * (found - z.relu()) - layer.u - rho * (a - found)
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-12)


@pytest.mark.parametrize("nu", [1e-2, 1.0, 30.0])
def test_output_update_is_the_minimiser(nu: float) -> None:
    a, y = random(3, 6, 4), torch.arange(6) % 4
    found = reference.output_z(a, torch.zeros_like(a), y, nu, 10_000, 1e-14)
    gradient = found.softmax(1) - torch.nn.functional.one_hot(y, 4) + nu * (found - a)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_a_layer_at_rest_takes_one_trial(seed: int) -> None:
    """In float32 a step too small to see must not be refused eleven times for rounding."""
    p, W = random(seed, 100, 50).float(), random(seed + 1, 30, 50).float()
    z = p @ W.T + 1e-5 * random(seed + 2, 100, 30).float()
    evaluations = 0

    def objective(p: Tensor) -> Tensor:
        nonlocal evaluations
        evaluations += 1
        return 1e-5 / 2 * reference.sum_of_squares(p @ W.T - z)

    reference.majorised_step(objective, p)
    assert evaluations == 2


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"gpus": 2}, "for one worker, not for 2"),
        ({"precision": "bf16"}, "computes in fp32, not bf16"),
        ({"precision": "tf32"}, "computes in fp32, not tf32"),
        ({"wire": "bf16"}, "sends fp32, not bf16"),
        ({}, None),
    ],
)
def test_what_it_is_not_for(settings: dict[str, object], reason: str | None) -> None:
    optimizer = registry.get("pdadmm-reference").create({}, "pdadmm-reference")
    found = optimizer.supports(run_spec({"optimizer": "pdadmm-reference", **settings}))
    assert found is reason or (found is not None and reason is not None and reason in found)


def test_all_leaves_it_out() -> None:
    assert "pdadmm-reference" in registry.names()
    assert set(registry.names()) - set(contenders()) == {"pdadmm-reference", "pdadmm-m", "pdadmm-c", "ddg", "fdg"}
