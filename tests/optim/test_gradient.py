"""The baselines are what the same network does in plain PyTorch."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from toy import plain_network, toy_problem, toy_spec

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.spec import ModelSpec, run_spec
from pdadmm_bench.data.problem import Problem, Rows
from pdadmm_bench.models import mlp
from pdadmm_bench.optim import registry
from pdadmm_bench.optim.base import Links
from pdadmm_bench.optim.create import create_optimizer
from pdadmm_bench.optim.gradient.base import GradientOptimizer
from pdadmm_bench.training.run import run

BASELINES: list[tuple[str, type[torch.optim.Optimizer], dict[str, Any]]] = [
    ("sgd", torch.optim.SGD, {"lr": 0.1}),
    ("sgd", torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3}),
    ("adam", torch.optim.Adam, {"lr": 0.01, "weight_decay": 1e-3}),
    ("adagrad", torch.optim.Adagrad, {"lr": 0.05, "lr_decay": 1e-2}),
    ("adadelta", torch.optim.Adadelta, {"lr": 1.0}),
]


@pytest.mark.parametrize(("name", "cls", "values"), BASELINES)
def test_baseline_follows_a_plain_torch_loop(
    name: str, cls: type[torch.optim.Optimizer], values: dict[str, Any]
) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(30, 8, generator=generator), torch.arange(30) % 3
    part, block, spec = Rows(x=x, y=y), Block.whole(3), ModelSpec(layers=3, hidden=10, init="he")
    problem = Problem(name="toy", split="random", num_classes=3, train=part, val=part, test=part, sha256="")
    start = mlp.initial_layers(spec, [8, 10, 10, 3], 0, block)
    optimizer = registry.get(name).create(values, name)
    state = optimizer.init(problem, start, block, Links())

    network = plain_network(start)
    plain = cls(network.parameters(), **values, foreach=False)
    for _ in range(25):
        optimizer.step(state)
        plain.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(x), y)
        loss.backward()
        plain.step()
        assert optimizer.report(state)["loss"][-1].item() == pytest.approx(loss.item(), rel=1e-5)
    for module, layer in zip(network[::2], optimizer.layers(state), strict=True):
        torch.testing.assert_close(layer.weight, module.weight.detach(), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(layer.bias, module.bias.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("name", "cls", "values"), BASELINES)
def test_fast_step_is_that_of_the_loop_over_parameters(
    name: str, cls: type[torch.optim.Optimizer], values: dict[str, Any]
) -> None:
    """Ten steps with the same gradients, of sizes from 1e-6 to 1, within 1e-6 of the way."""
    optimizer = registry.get(name).create(values, name)
    assert isinstance(optimizer, GradientOptimizer)
    generator = torch.Generator().manual_seed(0)
    fast = [torch.randn(shape, generator=generator).requires_grad_() for shape in ((300, 70), (300,), (7, 300))]
    start = [t.detach().clone() for t in fast]
    slow = [t.detach().clone().requires_grad_() for t in fast]
    ours, plain = optimizer.torch_optimizer(fast), cls(slow, **values, foreach=False)
    for _ in range(10):
        for a, b in zip(fast, slow, strict=True):
            size = 10 ** (-6 * torch.rand(a.shape, generator=generator))
            a.grad = torch.randn(a.shape, generator=generator) * size
            b.grad = a.grad.clone()
        ours.step()
        plain.step()
    for a, b, c in zip(fast, slow, start, strict=True):
        assert (b - c).norm() > 0
        assert (a - b).norm() <= 1e-6 * b.norm()


@pytest.mark.parametrize("name", ["sgd", "adam", "adagrad", "adadelta"])
def test_bf16_training_follows_fp32(name: str) -> None:
    """Losses and accuracies are measured in fp32 at fp32 weights, whatever the products were."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(4, 12, generator=generator)

    def rows(count: int) -> Rows:
        y = torch.arange(count) % 4
        return Rows(x=centres[y] + torch.randn(count, 12, generator=generator), y=y)

    problem = Problem(
        name="toy", split="random", num_classes=4, sha256="", train=rows(200), val=rows(400), test=rows(400)
    )
    values = {"optimizer": name, "device": "cpu", "threads": 1, "layers": 4, "hidden": 32, "warm_start": "none"}
    rates = {"sgd": 0.1, "adam": 3e-3, "adagrad": 0.02, "adadelta": 1.0}
    exact, low = (
        run(run_spec({**values, "precision": precision, "iterations": 60, "set": {"lr": rates[name]}}), problem)
        for precision in ("fp32", "bf16")
    )
    assert (exact.row["status"], low.row["status"]) == ("ok", "ok"), low.row["status_reason"]
    first = exact.history[0]["loss_train"]
    assert exact.row["loss_train_final"] < 0.5 * first
    apart = [abs(a["loss_train"] - b["loss_train"]) for a, b in zip(exact.history, low.history, strict=True)]
    assert apart[0] == 0
    assert 0 < max(apart) <= 0.01 * first
    for part in ("train", "val", "test"):
        assert low.row[f"acc_{part}_final"] == pytest.approx(exact.row[f"acc_{part}_final"], abs=0.015)
    assert all(t.dtype == torch.float32 for layer in low.layers for t in layer)


WIDE = toy_problem(rows=20, features=50)


def sgd_on(problem: Problem, **values: Any) -> tuple[GradientOptimizer, Any]:
    optimizer = registry.get("sgd").create({"lr": 0.05, **values}, "sgd")
    assert isinstance(optimizer, GradientOptimizer)
    sizes = [problem.num_features, 10, 10, 3]
    start = mlp.initial_layers(ModelSpec(layers=3, hidden=10, init="he"), sizes, 0, Block.whole(3))
    return optimizer, optimizer.init(problem, start, Block.whole(3), Links())


@pytest.mark.parametrize("values", [{}, {"momentum": 0.9, "weight_decay": 1e-2}, {"weight_decay": 0.1}])
@pytest.mark.parametrize("problem", [WIDE, toy_problem(rows=60, features=12)], ids=["wide", "narrow"])
def test_both_forms_of_the_first_layer_take_the_same_steps(problem: Problem, values: dict[str, Any]) -> None:
    (sampled, inner), (plain, outer) = (sgd_on(problem, first_layer=form, **values) for form in ("samples", "features"))
    assert inner.sampled is not None and outer.sampled is None
    for _ in range(40):
        sampled.step(inner)
        plain.step(outer)
        assert sampled.report(inner)["loss"][-1].item() == pytest.approx(
            plain.report(outer)["loss"][-1].item(), rel=1e-4
        )
    for ours, theirs in zip(sampled.layers(inner), plain.layers(outer), strict=True):
        torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours.bias, theirs.bias, rtol=1e-4, atol=1e-5)
    for rows in problem.parts().values():
        images = (one.predict(state, rows.x, Block.whole(3)) for one, state in ((sampled, inner), (plain, outer)))
        torch.testing.assert_close(*images, rtol=1e-3, atol=1e-4)


def test_the_first_layer_is_in_sample_space_where_there_are_fewer_rows_than_features() -> None:
    assert sgd_on(WIDE)[1].sampled is not None
    assert sgd_on(toy_problem(rows=60, features=12))[1].sampled is None
    optimizer = registry.get("sgd").create({}, "sgd")
    assert optimizer.cost_profile.sampled is not None
    optimizer.precision = "bf16"
    assert optimizer.cost_profile.sampled is None


def test_a_sampled_first_layer_goes_on_to_the_same_bits() -> None:
    values = {"momentum": 0.9, "weight_decay": 1e-2}
    optimizer, state = sgd_on(WIDE, **values)
    for _ in range(3):
        optimizer.step(state)
    saved = copy.deepcopy(optimizer.snapshot(state))
    other, resumed = sgd_on(WIDE, **values)
    other.restore(resumed, saved)
    for _ in range(3):
        optimizer.step(state)
        other.step(resumed)
    assert mlp.digest(optimizer.layers(state)) == mlp.digest(other.layers(resumed))


@pytest.mark.parametrize("values", [{"gpus": 2}, {"batch_size": 5}, {"precision": "bf16"}])
def test_a_sampled_first_layer_that_cannot_be_is_said(values: dict[str, Any]) -> None:
    """``auto`` then is the matrix."""
    for form, said in (("samples", "first_layer=samples is for one worker"), ("auto", None)):
        spec = toy_spec(optimizer="sgd", set={"first_layer": form}, **values)
        reason = create_optimizer(spec).supports(spec)
        assert reason is None if said is None else reason and said in reason
    if "gpus" not in values:
        row = run(toy_spec(optimizer="sgd", layers=3, **values), WIDE).row
        assert row["status"] == "ok", row["status_reason"]
