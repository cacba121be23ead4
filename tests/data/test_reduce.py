"""Reduced features: an exact rotation of the span of the training rows, made of these alone, kept in the cache."""

from __future__ import annotations

from dataclasses import replace

import pytest
import scipy.linalg
import torch

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.spec import DataSpec, ModelSpec, run_spec
from pdadmm_bench.data import reduce
from pdadmm_bench.data.load import load_problem, look_for
from pdadmm_bench.data.problem import Problem, Rows
from pdadmm_bench.data.reduce import principal_directions, reduced
from pdadmm_bench.models import mlp
from pdadmm_bench.optim import registry
from pdadmm_bench.optim.base import Links

SBM = DataSpec(dataset="sbm[nodes=200,features=8]", train_per_class=5, num_val=30, num_test=40, hops=1)


def rows(count: int, features: int, seed: int) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, features, generator=generator) * torch.logspace(0, -2, features) + 0.3
    return Rows(x=x, y=torch.randint(3, (count,), generator=generator))


def problem(train: int, features: int) -> Problem:
    parts = {name: rows(count, features, seed) for seed, (name, count) in enumerate([("train", train), ("val", 9)])}
    return Problem(name="toy", split="public", num_classes=3, sha256="", test=rows(7, features, 2), **parts)


def quiet(line: str) -> None:
    raise AssertionError(line)


@pytest.mark.parametrize(("train", "features"), [(12, 40), (40, 12), (20, 20)])
def test_all_directions_are_an_exact_rotation(train: int, features: int) -> None:
    before = problem(train, features)
    after = reduced(before, "rows", quiet)
    assert after.num_features == min(train, features)
    for part, found in after.parts().items():
        exact = before.parts()[part].x.double() @ before.train.x.double().T
        torch.testing.assert_close(found.x.double() @ after.train.x.double().T, exact, rtol=1e-5, atol=1e-5)
    assert after.facts["dataset_reduce_kept"] == pytest.approx(1, abs=1e-6)
    assert after.facts["dataset_reduce_columns"] == min(train, features)


@pytest.mark.parametrize(("train", "features"), [(12, 40), (40, 12)])
def test_directions_are_the_right_singular_vectors(train: int, features: int) -> None:
    x = problem(train, features).train.x
    found = principal_directions(x, 5)
    exact = torch.from_numpy(scipy.linalg.svd(x.double().numpy(), full_matrices=False)[2][:5].T.copy())
    torch.testing.assert_close((found * exact).sum(0).abs(), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(found.T @ found, torch.eye(5, dtype=torch.float64))
    assert (found.gather(0, found.abs().argmax(0, keepdim=True)) > 0).all()


def test_few_directions_of_many_come_from_lanczos_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    x = problem(80, 120).train.x
    exact = principal_directions(x, 6)
    monkeypatch.setattr(reduce, "LANCZOS_SIZE", 10)
    monkeypatch.setattr(reduce, "TILE", 9)
    monkeypatch.setattr(torch.linalg, "eigh", lambda _: pytest.fail("decomposed in full"))
    torch.testing.assert_close(principal_directions(x, 6), exact, rtol=1e-7, atol=1e-7)


def test_repeated_rows_have_fewer_directions_and_no_noise() -> None:
    before = problem(6, 30)
    twice = replace(before, train=Rows(x=before.train.x.repeat(4, 1), y=before.train.y.repeat(4)))
    after = reduced(twice, "rows", quiet)
    assert after.num_features == 6
    torch.testing.assert_close(after.train.x @ after.train.x.T, twice.train.x @ twice.train.x.T, rtol=1e-5, atol=1e-5)


def test_more_directions_than_there_are_is_all_of_them_and_a_note() -> None:
    lines: list[str] = []
    after = reduced(problem(12, 40), "30", lines.append)
    assert after.num_features == 12
    assert lines == ["warning: --reduce 30: the 12 training rows of toy have 12 directions; all of them are kept"]


def test_the_strongest_directions_are_kept_and_the_share_is_named() -> None:
    before, shares = problem(60, 20), []
    for count in (1, 5, 20):
        after = reduced(before, str(count), quiet)
        shares.append(after.facts["dataset_reduce_kept"])
        strongest = float(torch.linalg.svdvals(before.train.x.double())[:count].square().sum())
        assert shares[-1] == pytest.approx(strongest / float(before.train.x.double().square().sum()), rel=1e-5)
    assert 0 < shares[0] < shares[1] < shares[2]


def test_other_rows_have_no_say() -> None:
    before = problem(12, 40)
    other = replace(before, val=rows(9, 40, 8), test=rows(70, 40, 9))
    one, two = reduced(before, "6", quiet), reduced(other, "6", quiet)
    assert torch.equal(one.train.x, two.train.x)
    assert torch.equal(reduced(replace(before, val=other.test), "6", quiet).val.x, two.test.x)


@pytest.mark.parametrize("optimizer", ["sgd", "pdadmm"])
def test_training_is_the_same_from_the_rotated_start(optimizer: str) -> None:
    """Neither gradient descent nor pdADMM knows in which coordinates its features are."""
    before = problem(25, 60)
    after = reduced(before, "rows", quiet)
    model, block = ModelSpec(layers=3, hidden=10), Block.whole(3)
    start = mlp.initial_layers(model, mlp.widths(model, 60, 3), 0, block)
    directions = principal_directions(before.train.x, None).float()
    rotated = [mlp.Layer(start[0].weight @ directions, start[0].bias), *start[1:]]
    inside = [mlp.Layer(rotated[0].weight @ directions.T, start[0].bias), *start[1:]]
    logits = []
    for data, layers in ((before, inside), (after, rotated)):
        made = registry.get(optimizer).create({}, optimizer)
        state = made.init(data, layers, block, Links(wire=made.wire("auto")))
        for _ in range(10):
            made.step(state)
        logits.append(mlp.forward(made.layers(state), data.test.x, block))
    assert not torch.allclose(logits[0], mlp.forward(start, before.test.x, block), atol=1e-3)
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-3, atol=1e-4)


def test_the_start_has_the_size_it_has_without() -> None:
    before = problem(25, 4000)
    after = reduced(before, "rows", quiet)
    model, block = ModelSpec(layers=2, hidden=2000), Block.whole(2)

    def first(data: Problem) -> torch.Tensor:
        layers = mlp.initial_layers(model, mlp.widths(model, data.num_features, 3), 0, block, data.fan_in)
        return layers[0](data.train.x)

    assert float(first(after).std()) == pytest.approx(float(first(before).std()), rel=0.05)


def test_coordinates_are_kept_under_a_key_of_their_own() -> None:
    spec = SBM.model_copy(update={"reduce": "6"})
    assert not look_for(spec).ready
    first, plain = load_problem(spec, report=quiet), load_problem(SBM, report=quiet)
    second = load_problem(spec, report=quiet)
    assert torch.equal(first.train.x, second.train.x)
    assert second.facts == first.facts | {"dataset_cache_hit": True}
    assert first.facts["dataset_cache_hit"] is False
    assert (first.num_features, second.fan_in, plain.fan_in) == (6, 16, None)
    assert first.sha256 == plain.sha256
    assert "dataset_reduce" not in plain.facts
    for change in ({"reduce": "7"}, {"reduce": "rows"}, {"feature_scale": "none"}, {"split_seed": 1}, {"hops": 0}):
        other = load_problem(spec.model_copy(update=change), report=lambda _: None)
        assert not other.facts["dataset_cache_hit"], change


def test_coordinates_are_enough_to_be_ready() -> None:
    from pdadmm_bench.data.cache import cache_folder

    spec = SBM.model_copy(update={"reduce": "rows"})
    load_problem(spec)
    for path in cache_folder().glob("features/*.pt"):
        if "-reduced-" not in path.name:
            path.unlink()
    assert look_for(spec).ready
    assert load_problem(spec).facts["dataset_cache_hit"]


@pytest.mark.parametrize("value", ["0", "-3", "all", "1.5", 0, True])
def test_a_number_of_directions_is_at_least_one(value: object) -> None:
    with pytest.raises(UserError, match=f"reduce={value!r} is not valid: .*"):
        run_spec({"reduce": value})
    assert run_spec({"reduce": 256}) == run_spec({"reduce": "256"})
