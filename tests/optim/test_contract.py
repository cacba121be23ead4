"""What every registered optimizer promises the runner."""

import json

import pytest
import torch

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.spec import ModelSpec, run_spec
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.models import mlp
from pdadmm_bench.optim import registry
from pdadmm_bench.optim.base import Links
from pdadmm_bench.optim.gradient.sgd import SGD
from pdadmm_bench.optim.hyperparameters import model_of
from pdadmm_bench.training.run import run

NAMES = registry.names()
MODEL = ModelSpec(layers=3, hidden=16, init="he")
BLOCK = Block.whole(MODEL.layers)


def spec(name, **values):
    small = {"dataset": "sbm[nodes=300,classes=3,features=12]", "layers": 3, "hidden": 16, "init": "he"}
    return run_spec({**small, "iterations": 12, "optimizer": name, **values})


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    return load_problem(spec("adam").data, cache=tmp_path_factory.mktemp("cache"), report=lambda line: None)


@pytest.fixture(scope="module")
def start(problem):
    return mlp.initial_layers(MODEL, mlp.widths(MODEL, problem.num_features, problem.num_classes), 0, BLOCK)


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def optimizer(name):
    return registry.get(name).create({}, name)


def test_describes_itself(name):
    cls = registry.get(name)
    assert cls.summary
    assert all(field.description for field in cls.Hyperparameters.model_fields.values())
    json.dumps(cls.Hyperparameters().model_dump())


def test_its_hyperparameters_are_checked_without_it(name):
    assert model_of(name) is registry.get(name).Hyperparameters


def test_unknown_key_names_the_valid_ones(name):
    with pytest.raises(UserError, match=r"nonsense.*valid: .*"):
        registry.get(name).create({"nonsense": 1}, name)


@pytest.mark.parametrize("value", ["abc", "nan", "-1", "inf"])
def test_bad_values_are_named(name, value):
    cls = registry.get(name)
    key = next(key for key in ("rho", "nu", "lr") if key in cls.Hyperparameters.model_fields)
    with pytest.raises(UserError, match=rf"{key}='{value}' is not valid"):
        cls.create({key: value}, name)


def test_starting_weights_are_not_modified(optimizer, problem, start):
    before = mlp.digest(start)
    state = optimizer.init(problem, start, BLOCK, Links(wire=optimizer.wire("auto")))
    assert mlp.digest(optimizer.layers(state)) == before
    optimizer.step(state)
    assert mlp.digest(start) == before
    assert mlp.digest(optimizer.layers(state)) != before


def test_problem_is_not_modified(optimizer, problem, start):
    x = problem.train.x.clone()
    state = optimizer.init(problem, start, BLOCK, Links(wire=optimizer.wire("auto")))
    for _ in range(3):
        optimizer.step(state)
    assert torch.equal(problem.train.x, x)


@pytest.mark.slow
def test_training_loss_falls_and_it_beats_chance(name, problem):
    row = run(spec(name, iterations=200, preset="default"), problem).row
    assert row["status"] == "ok", row["status_reason"]
    assert row["loss_train_final"] < 1.0  # ln 3 = 1.0986
    assert row["acc_test_at_best_val"] > 0.4  # chance is a third


@pytest.mark.slow
def test_same_seed_gives_the_same_bits_another_seed_does_not(name, problem):
    first, again, other = (run(spec(name, seed=seed), problem).row for seed in (0, 0, 1))
    assert first["weights_sha256"] == again["weights_sha256"]
    assert first["weights_initial_sha256"] != other["weights_initial_sha256"]
    assert first["weights_sha256"] != other["weights_sha256"]


@pytest.mark.slow
def test_every_optimizer_of_a_seed_starts_from_the_same_weights(problem):
    assert len({run(spec(name, iterations=1), problem).row["weights_initial_sha256"] for name in NAMES}) == 1


def test_report_has_a_value_per_layer(optimizer, problem, start):
    state = optimizer.init(problem, start, BLOCK, Links(wire=optimizer.wire("auto")))
    optimizer.step(state)
    report = optimizer.report(state)
    assert "loss" in report
    assert "objective" in report
    assert all(values.shape == (len(BLOCK),) and values.dtype == torch.float64 for values in report.values())


def test_snapshot_continues_to_the_same_bits(optimizer, problem, start, tmp_path):
    state = optimizer.init(problem, start, BLOCK, Links(wire=optimizer.wire("auto")))
    for _ in range(3):
        optimizer.step(state)
    torch.save(optimizer.snapshot(state), tmp_path / "state.pt")
    for _ in range(3):
        optimizer.step(state)
    resumed = optimizer.init(problem, start, BLOCK, Links(wire=optimizer.wire("auto")))
    optimizer.restore(resumed, torch.load(tmp_path / "state.pt", weights_only=True))
    for _ in range(3):
        optimizer.step(resumed)
    assert mlp.digest(optimizer.layers(resumed)) == mlp.digest(optimizer.layers(state))


def test_predict_is_the_network_at_the_current_weights(optimizer, problem, start):
    state = optimizer.init(problem, start, BLOCK, Links(wire=optimizer.wire("auto")))
    optimizer.step(state)
    x = problem.val.x
    for i, layer in enumerate(optimizer.layers(state)):
        x = x @ layer.weight.T + layer.bias
        x = x.relu() if i < MODEL.layers - 1 else x
    logits = optimizer.predict(state, problem.val.x, BLOCK)
    torch.testing.assert_close(logits, x)
    assert not logits.requires_grad


def test_a_cuda_graph_needs_a_gpu_and_steady_steps(name, problem):
    with pytest.raises(UserError, match="needs a CUDA device"):
        run(spec(name, cuda_graphs=True, device="cpu"), problem)
    reason = registry.get(name).create({}, name).supports(spec(name, cuda_graphs=True))
    assert reason is None or "CUDA graph" in reason
    assert (reason is None) == (name not in ("pdadmm-c", "pdadmm-m", "pdadmm-reference", "ddg", "fdg"))


def test_an_optimizer_that_does_not_say_so_gets_no_part_of_the_rows():
    class Whole(SGD):
        splits_rows = False

    optimizer, spec = Whole(Whole.Hyperparameters()), run_spec({"gpus": 2, "mesh": "rows", "optimizer": "sgd"})
    assert optimizer.supports(spec) == "sgd needs all training rows on every worker: use mesh layers, not rows"
    assert optimizer.supports(spec.model_copy(update={"mesh": "layers"})) is None
