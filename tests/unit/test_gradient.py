"""The baselines are what the same network does in plain PyTorch."""

import pytest
import torch

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.spec import ModelSpec
from pdadmm_bench.data.problem import Problem, Rows
from pdadmm_bench.models import mlp
from pdadmm_bench.optim import registry
from pdadmm_bench.optim.base import Links


@pytest.mark.parametrize(
    ("name", "cls", "values"),
    [
        ("sgd", torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
        ("adam", torch.optim.Adam, {"lr": 0.01, "weight_decay": 1e-3}),
        ("adagrad", torch.optim.Adagrad, {"lr": 0.05}),
        ("adadelta", torch.optim.Adadelta, {"lr": 1.0}),
    ],
)
def test_baseline_follows_a_plain_torch_loop(name, cls, values):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(30, 8, generator=generator), torch.arange(30) % 3
    part, block, spec = Rows(x=x, y=y), Block.whole(3), ModelSpec(layers=3, hidden=10, init="he")
    problem = Problem(name="toy", split="random", num_classes=3, train=part, val=part, test=part, sha256="")
    start = mlp.initial_layers(spec, [8, 10, 10, 3], 0, block)
    optimizer = registry.get(name).create(values, name)
    state = optimizer.init(problem, start, block, Links())

    network = torch.nn.Sequential(
        *(m for i in range(3) for m in (torch.nn.Linear(8 if i == 0 else 10, 3 if i == 2 else 10), torch.nn.ReLU()))
    )[:-1]
    with torch.no_grad():
        for module, layer in zip(network[::2], start, strict=True):
            module.weight.copy_(layer.weight)
            module.bias.copy_(layer.bias)
    plain = cls(network.parameters(), **values)
    for _ in range(25):
        optimizer.step(state)
        plain.zero_grad()
        torch.nn.functional.cross_entropy(network(x), y).backward()
        plain.step()
    for module, layer in zip(network[::2], optimizer.layers(state), strict=True):
        torch.testing.assert_close(layer.weight, module.weight.detach(), rtol=1e-4, atol=1e-6)
