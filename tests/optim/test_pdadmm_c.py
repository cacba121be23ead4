"""pdADMM-C against gradients of autograd and linear solves of numpy, on small random problems."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from toy import toy_problem

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.spec import ModelSpec
from pdadmm_bench.models import mlp
from pdadmm_bench.optim import registry
from pdadmm_bench.optim.base import Links

NU, MU, DAMPING = 4.0, 0.3, 0.2


def network(rows: int, features: int, layers: int = 3, hidden: int = 6):
    problem = toy_problem(rows=rows, features=features, classes=4)
    model = ModelSpec(layers=layers, hidden=hidden, init="he")
    whole = Block.whole(layers)
    return problem, mlp.initial_layers(model, mlp.widths(model, features, 4), 0, whole), whole


def expected(problem, layers, nu=NU, mu=MU, damping=DAMPING):
    """The change of (W, b) of every layer in one step, by the formulas of docs/algorithms.md."""
    inputs, outputs = [problem.train.x.double()], []
    leaves = [(layer.weight.double(), layer.bias.double()) for layer in layers]
    for index, (weight, bias) in enumerate(leaves):
        z = (inputs[-1] @ weight.T + bias).detach().requires_grad_() if not outputs else inputs[-1] @ weight.T + bias
        z.retain_grad()
        outputs.append(z)
        if index < len(leaves) - 1:
            inputs.append(z.relu())
    torch.nn.functional.cross_entropy(outputs[-1], problem.train.y, reduction="sum").backward()
    for p, z, (weight, _) in zip(inputs, outputs, leaves, strict=True):
        p, force, W = p.detach().numpy(), z.grad.numpy(), weight.numpy()
        mean, force_mean = p.mean(0), force.mean(0)
        centred = p - mean
        moments = centred.T @ centred
        kappa = nu * damping * np.square(p).sum() / len(mean)
        gradient = (force - force_mean).T @ centred + mu * W
        dW = -np.linalg.solve(nu * moments + (mu + kappa) * np.eye(len(mean)), gradient.T).T
        yield dW, -force_mean / nu - dW @ mean


@pytest.mark.parametrize(("rows", "features"), [(30, 5), (8, 20)], ids=["more rows", "more features"])
def test_a_step_is_the_exact_minimiser_on_the_forces_of_backpropagation(rows: int, features: int) -> None:
    problem, layers, whole = network(rows, features)
    optimizer = registry.get("pdadmm-c").create({"nu": NU, "mu": MU, "damping": DAMPING}, "pdadmm-c")
    state = optimizer.init(problem, layers, whole, Links())
    optimizer.step(state)
    for after, before, (dW, db) in zip(optimizer.layers(state), layers, expected(problem, layers), strict=True):
        np.testing.assert_allclose(after.weight - before.weight, dW, rtol=2e-4, atol=2e-5)
        np.testing.assert_allclose(after.bias - before.bias, db, rtol=2e-4, atol=2e-5)


def test_momentum_repeats_a_part_of_the_step_before() -> None:
    problem, layers, whole = network(30, 5)
    settings = {"nu": NU, "mu": MU, "damping": DAMPING}
    optimizer = registry.get("pdadmm-c").create({**settings, "momentum": 0.5}, "pdadmm-c")
    state = optimizer.init(problem, layers, whole, Links())
    optimizer.step(state)
    once = [mlp.Layer(*(tensor.clone() for tensor in layer)) for layer in optimizer.layers(state)]
    optimizer.step(state)
    steps = zip(optimizer.layers(state), once, layers, expected(problem, once), strict=True)
    for after, middle, before, (dW, db) in steps:
        np.testing.assert_allclose(
            after.weight - middle.weight, dW + 0.5 * (middle.weight - before.weight).numpy(), rtol=5e-4, atol=5e-5
        )
        np.testing.assert_allclose(
            after.bias - middle.bias, db + 0.5 * (middle.bias - before.bias).numpy(), rtol=5e-4, atol=5e-5
        )


def delayed(problem, layers, starts: list[int], iterations: int) -> list[list[np.ndarray]]:
    """W of every layer after the iterations, by the formulas of docs/algorithms.md; a block begins at each start.

    Blocks take the input and the force that their neighbours computed in the iteration before. The values of the first
    iteration, and those left for the second, are the network's own.
    """
    W = [layer.weight.double().numpy() for layer in layers]
    b = [layer.bias.double().numpy() for layer in layers]
    x, y = problem.train.x.double().numpy(), problem.train.y.numpy()
    stops = [*starts[1:], len(W)]
    inputs, forces = {0: x}, {}

    def forward(p, start, stop):
        ps = []
        for index in range(start, stop):
            ps.append(p)
            p = p @ W[index].T + b[index]
            p = np.maximum(p, 0) if index + 1 < len(W) else p
        return ps, p

    everything, logits = forward(x, 0, len(W))
    inputs = {start: everything[start] for start in starts}
    force = softmax(logits, axis=1) - np.eye(4)[y]
    for index in reversed(range(1, len(W))):
        back = force @ W[index]
        forces[index] = back
        force = back * (everything[index] > 0)
    for _ in range(iterations):
        new_inputs, new_forces = {0: x}, {}
        for start, stop in zip(starts, stops, strict=True):
            ps, out = forward(inputs[start], start, stop)
            if stop < len(W):
                new_inputs[stop] = out
                force = forces[stop] * (out > 0)
            else:
                force = softmax(out, axis=1) - np.eye(4)[y]
            for index in reversed(range(start, stop)):
                p = ps[index - start]
                back = force @ W[index]
                mean = p.mean(0)
                centred = p - mean
                moments = centred.T @ centred + DAMPING * np.square(p).sum() / len(mean) * np.eye(len(mean))
                dW = np.linalg.solve(NU * moments, centred.T @ (force - force.mean(0))).T
                W[index] = W[index] - dW
                b[index] = b[index] - force.mean(0) / NU + dW @ mean
                new_forces[index], force = back, back * (p > 0)
        inputs, forces = new_inputs, new_forces
    return W


@pytest.mark.parametrize(("blocks", "starts"), [(5, [0, 1, 2, 3, 4]), (2, [0, 3]), (1, [0])])
def test_blocks_work_with_what_their_neighbours_left_an_iteration_ago(blocks: int, starts: list[int]) -> None:
    problem, layers, whole = network(30, 5, layers=5)
    optimizer = registry.get("pdadmm-c").create({"nu": NU, "damping": DAMPING, "blocks": blocks}, "pdadmm-c")
    state = optimizer.init(problem, layers, whole, Links())
    for _ in range(4):
        optimizer.step(state)
    expected = delayed(problem, layers, starts, 4)
    for after, W, before in zip(optimizer.layers(state), expected, layers, strict=True):
        np.testing.assert_allclose(after.weight, W, rtol=2e-3, atol=2e-3 * np.abs(W - before.weight.numpy()).max())


def test_deep_networks_from_a_standard_start_are_trained() -> None:
    """Ten layers from He et al.'s start, whose training loss pdADMM's multipliers leave where it was."""
    problem, layers, whole = network(200, 8, layers=10, hidden=16)
    losses = {}
    for name, values in (("pdadmm-c", {"nu": 10.0}), ("pdadmm", {"nu": 0.01, "rho": 0.05})):
        optimizer = registry.get(name).create(values, name)
        state = optimizer.init(problem, layers, whole, Links())
        for _ in range(31):
            optimizer.step(state)
        logits = optimizer.predict(state, problem.train.x, whole)
        losses[name] = float(torch.nn.functional.cross_entropy(logits, problem.train.y))
    assert losses["pdadmm-c"] < 0.5 < losses["pdadmm"]
