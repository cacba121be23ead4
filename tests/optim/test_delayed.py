"""Delayed gradients are the gradients of the whole network at the weights that the papers name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toy import toy_problem, toy_spec

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.spec import ModelSpec
from pdadmm_bench.models import mlp
from pdadmm_bench.models.mlp import Layer
from pdadmm_bench.optim import registry
from pdadmm_bench.optim.base import Links, state_bytes
from pdadmm_bench.parallel.cost import Layers, Machine, predict_iteration
from pdadmm_bench.parallel.forecast import planned_blocks
from pdadmm_bench.training.preflight import check

LAYERS, SIZES = 7, [12, 10, 10, 10, 10, 10, 10, 3]
STEPS = 14


def started(name: str, sizes: Sequence[int] = SIZES, rows: int = 33, **values: Any) -> tuple[Any, Any, list[Layer]]:
    model, block = ModelSpec(layers=len(sizes) - 1, hidden=sizes[1], init="he"), Block.whole(len(sizes) - 1)
    start = mlp.initial_layers(model, list(sizes), 0, block)
    optimizer = registry.get(name).create(values, name)
    problem = toy_problem(rows, sizes[0], sizes[-1])
    return optimizer, optimizer.init(problem, start, block, Links()), start


def gradient_of(weights: Sequence[Sequence[Tensor]]) -> tuple[list[list[Tensor]], float]:
    """The gradient of the mean training loss of the whole network, by autograd."""
    problem = toy_problem(33)
    leaves = [[tensor.clone().requires_grad_() for tensor in layer] for layer in weights]
    x = problem.train.x
    for index, (weight, bias) in enumerate(leaves):
        x = nn.functional.linear(x, weight, bias)
        x = x.relu() if index < len(leaves) - 1 else x
    loss = nn.functional.cross_entropy(x, problem.train.y)
    loss.backward()
    return [[tensor.grad for tensor in layer] for layer in leaves], loss.item()  # type: ignore[misc]


class Serial:
    """The papers' iterations, one block after the other, with nothing stored but the weights of every iteration."""

    def __init__(
        self, start: Sequence[Layer], count: int, make: Callable[[list[Tensor]], torch.optim.Optimizer], locked: bool
    ):
        self.blocks, self.locked = Block.even(len(start), count), locked
        self.weights = [[tensor.clone() for tensor in layer] for layer in start]
        self.optimizers = [make([t for index in block for t in self.weights[index]]) for block in self.blocks]
        self.seen = [[self.copy(block)] for block in self.blocks]
        """What each block went forward with, by iteration; the first is before the first iteration."""
        self.loss = 0.0

    def copy(self, block: Block) -> list[list[Tensor]]:
        return [[tensor.clone() for tensor in self.weights[index]] for index in block]

    def at(self, times: Sequence[int]) -> list[list[Tensor]]:
        """The network whose block k has the weights of its forward pass in iteration times[k]."""
        chosen = zip(self.seen, times, strict=True)
        return [layer for seen, time in chosen for layer in seen[max(time, -1) + 1]]

    def update(self, k: int, gradients: Sequence[Sequence[Tensor]]) -> None:
        for index in self.blocks[k]:
            for tensor, gradient in zip(self.weights[index], gradients[index], strict=True):
                tensor.grad = gradient
        self.optimizers[k].step()

    def step(self, t: int) -> None:
        last = len(self.blocks) - 1
        if self.locked:  # w_k^{t+1} = w_k^t − γ ∇_k f(w^{t − K + k}), k = 1, …, K
            for block, seen in zip(self.blocks, self.seen, strict=True):
                seen.append(self.copy(block))
            for k in range(last + 1):
                if t - last + k >= 0:
                    gradients, loss = gradient_of(self.at([t - last + k] * (last + 1)))
                    self.loss = loss if k == last else self.loss
                    self.update(k, gradients)
            return
        for k, block in enumerate(self.blocks):  # backward, then forward; the last block forward, then backward
            if k < last and t - 2 * (last - k) >= -1:
                self.update(k, gradient_of(self.at([t - 2 * (last - k) + j - k for j in range(last + 1)]))[0])
            self.seen[k].append(self.copy(block))
        gradients, self.loss = gradient_of(self.at([t + j - last for j in range(last + 1)]))
        self.update(last, gradients)


@pytest.mark.parametrize("name", ["ddg", "fdg"])
@pytest.mark.parametrize("blocks", [1, 2, 3, 7, 20])
@pytest.mark.parametrize(
    ("values", "make"),
    [
        ({"inner": "sgd", "lr": 0.1, "momentum": 0.9}, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
        ({"lr": 0.01, "weight_decay": 1e-3}, lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=1e-3)),
    ],
)
def test_it_follows_the_papers(name: str, blocks: int, values: dict[str, Any], make: Any) -> None:
    """With a block per layer too, where the first gradient of the first block is 6 (DDG) or 12 iterations old (FDG)."""
    optimizer, state, start = started(name, blocks=blocks, **values)
    serial = Serial(start, blocks, make, locked=name == "ddg")
    for t in range(STEPS):
        optimizer.step(state)
        serial.step(t)
        assert optimizer.report(state)["loss"][-1].item() == pytest.approx(serial.loss, rel=1e-4)
    for layer, expected in zip(optimizer.layers(state), serial.weights, strict=True):
        for tensor, value in zip(layer, expected, strict=True):
            torch.testing.assert_close(tensor, value, rtol=1e-3, atol=1e-5)
    assert not torch.equal(optimizer.layers(state)[0].weight, start[0].weight)


@pytest.mark.parametrize(("name", "first"), [("ddg", [3, 2, 1, 0]), ("fdg", [5, 3, 1, 0])])
def test_a_block_stays_as_it_is_until_its_first_gradient(name: str, first: list[int]) -> None:
    optimizer, state, start = started(name, blocks=4)
    moved: dict[int, int] = {}
    for iteration in range(6):
        optimizer.step(state)
        for place, block in enumerate(Block.even(LAYERS, 4)):
            if not torch.equal(optimizer.layers(state)[block.start].weight, start[block.start].weight):
                moved.setdefault(place, iteration)
    assert [moved[place] for place in range(4)] == first


def test_one_block_is_the_inner_optimizer() -> None:
    delayed, state, _ = started("ddg", blocks=1, lr=0.01)
    adam, other, _ = started("adam", lr=0.01)
    for _ in range(5):
        delayed.step(state)
        adam.step(other)
    assert mlp.digest(delayed.layers(state)) == mlp.digest(adam.layers(other))


@pytest.mark.parametrize("name", ["ddg", "fdg"])
@pytest.mark.parametrize("sizes", [[60, *[20] * 9, 5], [20, *[20] * 3, 20]])
def test_the_memory_of_what_waits_is_planned(name: str, sizes: list[int]) -> None:
    rows = 50
    optimizer, state, _ = started(name, sizes, rows)
    for _ in range(12):
        optimizer.step(state)
    layers = Layers(optimizer.cost_profile, sizes, rows)
    planned = sum(map(layers.state_bytes, range(len(layers))))
    assert planned == pytest.approx(state_bytes(state), rel=0.1)


def test_forward_passes_in_turn_and_backward_passes_at_once() -> None:
    """Hidden layers of products only: DDG takes T_F + T_B/K, FDG (T_F + T_B)/K."""
    machine, sizes = Machine(1e9, 1e18, 1e18, 0.0), [50] * 9
    one, four = ([Block(8 * k // n, 8 * (k + 1) // n, 8) for k in range(n)] for n in (1, 4))
    for name, share in (("ddg", 1 / 3 + 2 / 3 / 4), ("fdg", 1 / 4)):
        profile = registry.get(name).create({}, name).cost_profile
        hidden = type(profile)(**{**vars(profile), "first": profile.hidden, "last": profile.hidden})
        seconds = [predict_iteration(hidden, sizes, 100, blocks, machine).iteration_s for blocks in (one, four)]
        assert seconds[1] == pytest.approx(share * seconds[0], rel=1e-3)


def test_workers_have_whole_blocks() -> None:
    profile = registry.get("ddg").create({"blocks": 4}, "ddg").cost_profile
    for workers in (1, 2, 3, 4):
        found = planned_blocks(profile, "auto", [10] * 11, 100, workers)
        assert {block.stop for block in found} <= {3, 6, 8, 10}
        assert len(found) == workers
    assert [len(block) for block in planned_blocks(profile, "3,7", [10] * 11, 100, 2)] == [3, 7]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"gpus": 3, "set": {"blocks": 2}}, r"3 workers cannot share the 2 blocks .*--set blocks=3"),
        ({"gpus": 2, "partition": "3,4"}, "partition '3,4' splits a block of the method, .* 2,2,2,1 layers"),
        ({"set": {"momentum": 0.9}}, "momentum=0.9 is for inner=sgd, and inner is adam"),
        ({"set": {"blocks": 0}}, "blocks=0 is not valid"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        check([toy_spec(dataset="sbm", optimizer="ddg", layers=7, **values)])
