"""Mini-batches: an iteration is an epoch of the plain torch loop, in an order that seed and epoch decide alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from toy import Crash, plain_network, toy_problem, toy_spec

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.models import mlp
from pdadmm_bench.optim import registry
from pdadmm_bench.optim.base import Links
from pdadmm_bench.optim.cost import gradient_profile
from pdadmm_bench.optim.gradient.base import epoch_order
from pdadmm_bench.parallel.cost import FLOAT_BYTES, Layers
from pdadmm_bench.suite.identity import configuration
from pdadmm_bench.training.checkpoint import Checkpoints
from pdadmm_bench.training.preflight import check
from pdadmm_bench.training.run import run

ROWS, SEED = 33, 7


@pytest.mark.parametrize("batch_size", [8, 33])
@pytest.mark.parametrize(
    ("name", "cls", "values"),
    [
        ("sgd", torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3}),
        ("adam", torch.optim.Adam, {"lr": 0.01}),
    ],
)
def test_an_iteration_is_an_epoch_of_a_plain_torch_loop(
    name: str, cls: type[torch.optim.Optimizer], values: dict[str, Any], batch_size: int
) -> None:
    """33 rows by 8: the last batch has a single row."""
    problem, spec = toy_problem(ROWS), toy_spec(layers=3, hidden=10)
    start = mlp.initial_layers(spec.model, [12, 10, 10, 3], SEED, Block.whole(3))
    optimizer = registry.get(name).create(values, name)
    optimizer.batch_size, optimizer.seed = batch_size, SEED
    state = optimizer.init(problem, start, Block.whole(3), Links())

    network = plain_network(start)
    plain = cls(network.parameters(), **values, foreach=False)
    for epoch in range(5):
        optimizer.step(state)
        order, total = epoch_order(ROWS, SEED, epoch), 0.0
        for first in range(0, ROWS, batch_size):
            rows = order[first : first + batch_size]
            plain.zero_grad()
            loss = nn.functional.cross_entropy(network(problem.train.x[rows]), problem.train.y[rows])
            loss.backward()
            plain.step()
            total += len(rows) * loss.item()
        assert optimizer.report(state)["loss"][-1].item() == pytest.approx(total / ROWS, rel=1e-5)
    for module, layer in zip(network[::2], optimizer.layers(state), strict=True):
        torch.testing.assert_close(layer.weight, module.weight.detach(), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(layer.bias, module.bias.detach(), rtol=1e-4, atol=1e-6)


def test_the_order_is_another_in_every_epoch_and_seed() -> None:
    orders = [epoch_order(ROWS, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(order.tolist()) == list(range(ROWS)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 4
    assert torch.equal(epoch_order(ROWS, 1, 1), orders[-1])


def test_a_run_says_its_batch_size_and_starts_from_the_same_weights() -> None:
    full, batches = (run(toy_spec(batch_size=size), toy_problem()).row for size in (0, 8))
    assert (full["status"], batches["status"]) == ("ok", "ok"), batches["status_reason"]
    assert (full["optimizer_batch_size"], batches["optimizer_batch_size"]) == (None, 8)
    assert full["weights_initial_sha256"] == batches["weights_initial_sha256"]
    assert full["weights_sha256"] != batches["weights_sha256"]
    assert batches["iterations"] == 10
    assert (full["model_rows_seen"], full["model_steps"]) == (10 * ROWS, 10)
    assert batches["model_rows_seen"] == full["model_rows_seen"]
    assert "batch_size=8" in batches["env_protocol"]
    assert batches["loss_train_final"] < full["loss_train_final"], "five steps in the place of one"


def test_a_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    spec = toy_spec(batch_size=8, layers=4, warm_start="2:3", set={"lr": 0.01})
    checkpoints = Checkpoints(tmp_path, 1e-9, lambda optimizer: "code")
    whole = run(spec, toy_problem()).row
    assert run(spec, toy_problem(), [Crash(at=7)], checkpoints=checkpoints).row["status"] == "error"
    second = run(spec, toy_problem(), checkpoints=checkpoints).row
    assert second["env_continued_from"] == 6
    assert second["weights_sha256"] == whole["weights_sha256"]
    # Ten passes through the rows after three of the warm start, in batches of at most eight.
    assert (whole["model_rows_seen"], whole["model_steps"]) == (13 * ROWS, 13 * -(-ROWS // 8))
    assert (second["model_rows_seen"], second["model_steps"]) == (whole["model_rows_seen"], whole["model_steps"])


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"batch_size": 101}, "--batch-size 101: there are 100 training rows"),
        ({"batch_size": 16, "optimizer": "pdadmm"}, "--batch-size 16: pdadmm uses all training rows"),
        ({"batch_size": 16, "optimizer": "pdadmm-c"}, "--batch-size 16: pdadmm-c uses all training rows"),
        (
            {"batch_size": 16, "gpus": 2},
            "--batch-size 16 with 2 workers over layers: a pipeline takes all training rows",
        ),
    ],
)
def test_batches_that_cannot_be_are_refused_before_anything_starts(values: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        check([toy_spec(dataset="sbm", **values)])


def test_more_rows_in_a_batch_than_there_are() -> None:
    with pytest.raises(UserError, match="--batch-size 34: there are 33 training rows"):
        run(toy_spec(batch_size=34), toy_problem(ROWS))


def test_full_batches_leave_the_identity_of_a_run_as_it_was() -> None:
    assert "batch_size" not in configuration(toy_spec(dataset="sbm"))
    assert '"batch_size": 16' in configuration(toy_spec(dataset="sbm", batch_size=16))


def test_the_update_is_counted_once_per_batch() -> None:
    """10 rows by 4, widths 2-3-4: three steps, each with activations of four rows."""
    profile = gradient_profile(statistics=2, passes=7)
    full, batches = Layers(profile, [2, 3, 4], 10), Layers(profile, [2, 3, 4], 10, batch_size=4)
    assert [batches.flops(index) for index in (0, 1)] == [full.flops(index) for index in (0, 1)]
    assert full.traffic(0) == FLOAT_BYTES * (7 * 10 * 3 + 7 * 3 * 3)
    assert batches.traffic(0) == FLOAT_BYTES * (7 * 10 * 3 + 3 * 7 * 3 * 3 + 2 * 10 * 2)  # and the rows, gathered
    assert batches.traffic(1) == FLOAT_BYTES * (10 * 10 * 4 + 3 * 7 * 4 * 4)
    assert full.state_bytes(0) - batches.state_bytes(0) == pytest.approx(FLOAT_BYTES * 6 * 3)
    assert batches.scratch_bytes(0) == pytest.approx(FLOAT_BYTES * (4 * 3 + 4 * 2))
