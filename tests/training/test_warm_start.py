"""Networks that begin as shallower ones: nothing of the function is lost, and nothing of the time is forgotten."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import Recorder, toy_problem, toy_spec

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.spec import ModelSpec
from pdadmm_bench.models import mlp
from pdadmm_bench.models.deepen import deepened
from pdadmm_bench.training.run import run


def network(layers: int, hidden: int, classes: int = 3, features: int = 8) -> list[mlp.Layer]:
    model = ModelSpec(layers=layers, hidden=hidden, init="normal")
    return mlp.initial_layers(model, mlp.widths(model, features, classes), 0, Block.whole(layers))


@settings(deadline=None, max_examples=40)
@given(layers=st.integers(2, 5), more=st.integers(1, 6), hidden=st.integers(1, 12))
def test_deepening_changes_no_logit(layers: int, more: int, hidden: int) -> None:
    shallow = network(layers, hidden)
    deep = deepened(shallow, layers + more)
    x = torch.randn(20, 8, generator=torch.Generator().manual_seed(1))
    one, other = (mlp.forward(net, x, Block.whole(len(net))) for net in (shallow, deep))
    assert len(deep) == layers + more
    torch.testing.assert_close(other, one)


def test_the_authors_throw_the_output_layer_away() -> None:
    shallow = network(3, 5)
    deep = deepened(shallow, 6, "authors")
    assert [torch.equal(new.weight, old.weight) for new, old in zip(deep, shallow[:2], strict=False)] == [True, True]
    assert all(torch.equal(layer.weight, torch.eye(5)) for layer in deep[2:5])
    assert torch.equal(deep[5].weight, torch.eye(3, 5)) and not deep[5].bias.any()
    with pytest.raises(ValueError, match="3 layers cannot be deepened to 3"):
        deepened(shallow, 3)


@pytest.mark.parametrize("optimizer", ["adam", "pdadmm", "dladmm"])
def test_a_run_goes_on_where_its_warm_start_ended(optimizer: str) -> None:
    common = {"optimizer": optimizer, "hidden": 16, "init": "he"}
    shallow = run(toy_spec(**common, layers=2, iterations=100), toy_problem())
    result = run(toy_spec(**common, layers=6, iterations=3, warm_start="2:100"), toy_problem())
    assert result.row["status"] == "ok"
    assert result.row["weights_initial_sha256"] == shallow.row["weights_initial_sha256"]
    # In batches or one by one, a deepened network computes the same up to rounding.
    assert result.history[0]["loss_val"] == pytest.approx(shallow.row["loss_val_final"], rel=1e-5)
    assert result.history[0]["loss_train"] < run(toy_spec(**common, layers=6), toy_problem()).history[0]["loss_train"]


def test_a_warm_start_is_on_the_training_clock() -> None:
    """One second per measured iteration: 4 of two layers, 3 of three layers, 5 of six."""
    ticks = itertools.count()
    result = run(toy_spec(layers=6, iterations=5, warm_start="2:4,3:3"), toy_problem(), now=lambda: float(next(ticks)))
    assert result.row["time_warm_start_s"] == 7.0
    assert result.row["time_train_s"] == 12.0
    assert result.row["iterations"] == 5
    assert result.history[0]["train_seconds"] == 7.0
    assert result.row["model_warm_start"] == "2:4,3:3 function"
    assert run(toy_spec(layers=6), toy_problem()).row["model_warm_start"] is None


def test_observers_hear_of_a_warm_start_apart_from_the_run() -> None:
    recorder = Recorder()
    result = run(toy_spec(layers=6, iterations=2, warm_start="2:4,3:1"), toy_problem(), [recorder])
    assert recorder.warm_start_steps == [(2, 0), (2, 1), (2, 2), (2, 3), (2, 4), (3, 0), (3, 1)]
    assert recorder.steps == result.history and len(recorder.steps) == 3
    assert recorder.rows == [result.row]


def test_a_warm_start_that_diverges_ends_the_run() -> None:
    row = run(toy_spec(optimizer="sgd", layers=6, warm_start="2:20", set={"lr": 1e30}), toy_problem()).row
    assert row["status"] == "diverged"
    assert row["status_reason"].startswith("warm start, 2 layers: ")


@pytest.mark.parametrize("stages", ["6:10", "7:10", "1:10", "3:10,2:10", "2", "2:x"])
def test_stages_that_do_not_grow_are_refused(stages: str) -> None:
    with pytest.raises(UserError, match=r"warm[ _]start"):
        toy_spec(layers=6, warm_start=stages)
