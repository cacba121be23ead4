"""Kinds of splits: disjoint, as large as asked, reproducible, and drawn on an axis of their own."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pdadmm_bench.core.errors import DataError, UserError
from pdadmm_bench.core.spec import DataSpec, run_spec
from pdadmm_bench.data.catalog import load_card
from pdadmm_bench.data.load import load_problem, look_for
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.data.splits import fraction_split, random_split, split_counts
from pdadmm_bench.suite.identity import configuration

SBM = "sbm[nodes=203,classes=3,features=4]"


@given(data=st.data(), classes=st.integers(2, 6), per_class=st.integers(1, 5), seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=60)
def test_disjoint_and_as_large_as_asked(data, classes, per_class, seed):
    extra = data.draw(st.lists(st.integers(0, classes - 1), min_size=2, max_size=40))
    y = torch.tensor([*(list(range(classes)) * per_class), *extra])
    num_val = data.draw(st.integers(1, len(extra) - 1))
    num_test = data.draw(st.integers(1, len(extra) - num_val))
    counts = {"train_per_class": per_class, "num_val": num_val, "num_test": num_test}
    parts = random_split(y, classes, seed=seed, **counts)
    assert torch.bincount(y[parts["train"]], minlength=classes).tolist() == [per_class] * classes
    assert (len(parts["val"]), len(parts["test"])) == (num_val, num_test)
    nodes = torch.cat(list(parts.values()))
    assert len(nodes.unique()) == len(nodes)
    assert int(nodes.max()) < len(y)
    torch.manual_seed(data.draw(st.integers(0, 9)))  # the weights' axis
    again = random_split(y, classes, seed=seed, **counts)
    assert all(torch.equal(parts[part], again[part]) for part in parts)


def test_seeds_differ():
    y = torch.arange(300) % 3
    splits = [random_split(y, 3, train_per_class=5, num_val=20, num_test=20, seed=seed) for seed in (0, 1)]
    assert all(not torch.equal(splits[0][part], splits[1][part]) for part in splits[0])


def test_every_node_is_as_likely():
    y = torch.arange(60) % 3
    hits = torch.zeros(60)
    for seed in range(300):
        hits[random_split(y, 3, train_per_class=5, num_val=10, num_test=10, seed=seed)["train"]] += 1
    assert hits.min() > 40  # 75 expected, standard deviation 7.5
    assert hits.max() < 115


def test_small_class_is_named_with_its_count():
    y = torch.tensor([0] * 30 + [1] * 4)
    with pytest.raises(UserError, match="5 training nodes per class, but class 1 has 4"):
        random_split(y, 2, train_per_class=5, num_val=1, num_test=1, seed=0)
    with pytest.raises(UserError, match="class 2 has 0"):
        random_split(y, 3, train_per_class=2, num_val=1, num_test=1, seed=0)


def test_small_remainder_is_stated():
    y = torch.arange(40) % 2
    with pytest.raises(UserError, match="20 test and 15 validation nodes, but 30 of 40 nodes are left"):
        random_split(y, 2, train_per_class=5, num_val=15, num_test=20, seed=0)


def load(dataset: str, root=None, **settings) -> Problem:
    spec = DataSpec(dataset=dataset, hops=0, feature_scale="none", **settings)
    return load_problem(spec, data_root=root, report=lambda _: None)


def sizes(problem: Problem) -> list[int]:
    return [len(rows.y) for rows in problem.parts().values()]


@given(
    counts=st.lists(st.integers(12, 40), min_size=2, max_size=5),
    fraction=st.sampled_from([0.29, 0.4, 0.5, 0.6, 2 / 3]),
    seed=st.integers(0, 2**31),
    stratified=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_a_fraction_trains_and_the_rest_is_halved(counts, fraction, seed, stratified):
    y = torch.tensor([label for label, count in enumerate(counts) for _ in range(count)])
    parts = fraction_split(y, len(counts), train_fraction=fraction, stratified=stratified, seed=seed)
    assert torch.equal(torch.cat(list(parts.values())).sort().values, torch.arange(len(y)))
    num_train = round(len(y) * fraction - 0.5 + 1e-6)
    assert len(parts["train"]) == num_train
    assert len(parts["test"]) - len(parts["val"]) in (0, 1)
    if stratified:
        for part, share in (("train", fraction), ("val", (1 - fraction) / 2), ("test", (1 - fraction) / 2)):
            found = torch.bincount(y[parts[part]], minlength=len(counts))
            assert (found - share * torch.tensor(counts)).abs().max() < 1.51
            assert found.min() > 0


def test_a_fraction_of_a_dataset_is_named_and_counted():
    assert sizes(load(SBM, split="fraction")) == [121, 41, 41]
    problem = load(SBM, split="fraction", train_fraction=0.29, stratified=True)
    assert sizes(problem) == [58, 72, 73]
    assert problem.split == "fraction 0.29 stratified"
    assert (problem.facts["dataset_train_fraction"], problem.facts["dataset_stratified"]) == (0.29, True)
    for more in ({}, {"train_fraction": 0.29, "stratified": True}):
        spec = DataSpec(dataset=SBM, split="fraction", **more)
        assert list(split_counts(load_card(SBM), spec).values()) == sizes(load(SBM, split="fraction", **more))
    one, other = (load(SBM, split="fraction", split_seed=seed) for seed in (0, 1))
    assert one.sha256 != other.sha256
    assert one.split == "fraction 0.6"


@pytest.mark.parametrize("fraction", [0, 1, 1.5, -0.1])
def test_a_fraction_lies_between_none_and_all(fraction):
    with pytest.raises(UserError, match=f"train_fraction={fraction} is not valid: input should be (greater|less) than"):
        run_spec({"train_fraction": fraction})


def test_a_class_too_small_for_its_shares_is_named():
    y = torch.tensor([0] * 30 + [1] * 2)
    fraction_split(y, 2, train_fraction=0.6, stratified=False, seed=0)
    with pytest.raises(UserError, match=r"0\.6 needs a node of every class for each of .* but class 1 has 2 nodes"):
        fraction_split(y, 2, train_fraction=0.6, stratified=True, seed=0)
    with pytest.raises(UserError, match="needs a node for each of training, validation and test, but there are 32"):
        fraction_split(y, 2, train_fraction=0.99, stratified=False, seed=0)


def test_the_former_name_of_per_class_is_the_same_run():
    new, old = (run_spec({"dataset": "photo", "split": name}) for name in ("per-class", "random"))
    assert new == old
    assert configuration(new) == configuration(old)
    assert load(SBM, split="per-class").split == "random"
    assert load(SBM, split="random").facts["dataset_cache_hit"]


def test_settings_of_other_kinds_tell_no_runs_apart():
    def key(**settings):
        return configuration(run_spec({"dataset": SBM, **settings}))

    plain = key()
    assert "train_fraction" not in json.loads(plain), "runs recorded before the setting keep their keys"
    assert plain == key(train_fraction=0.3, stratified=True, split_index=4)
    assert key(split="fraction") == key(split="fraction", num_val=3, train_per_class=5)
    assert key(split="fraction") != key(split="fraction", train_fraction=0.3)
    assert key(split="fraction", split_seed=1) != key(split="fraction")


def test_full_trains_on_all_but_the_public_validation_and_test_nodes(tiny):
    made = tiny("cora")
    problem = load("cora", made.root, split="full")
    held = np.concatenate([made.parts["val"], made.parts["test"]])
    rest = np.setdiff1d(np.arange(len(made.y)), held)
    np.testing.assert_array_equal(problem.train.x, made.x[rest])
    public = load("cora", made.root)
    assert torch.equal(problem.test.x, public.test.x) and torch.equal(problem.val.y, public.val.y)
    spec = DataSpec(dataset="cora", split="full")
    assert list(split_counts(load_card("cora"), spec).values()) == sizes(problem)
    assert (problem.split, public.split) == ("full", "public")


def test_nodes_without_a_label_do_not_train(real_data):
    full, fraction = (load("citeseer", real_data, split=name) for name in ("full", "fraction"))
    assert sizes(full) == [3327 - 1500 - 15, 500, 1000]
    assert sum(sizes(fraction)) == 3327 - 15
    for problem in (full, fraction):
        spec = DataSpec(dataset="citeseer", split=problem.split.split()[0])
        assert list(split_counts(load_card("citeseer"), spec).values()) == sizes(problem)


@pytest.mark.parametrize("split", ["public", "full", "given"])
def test_a_dataset_that_cannot_be_split_this_way_says_how_it_can(split):
    with pytest.raises(UserError, match=f"'photo' has no {split} split, since .*; it has per-class, fraction"):
        look_for(DataSpec(dataset="photo", split=split))


def test_masks_in_the_file_are_chosen_by_their_index(tiny):
    made = tiny("roman-empire")
    masks = np.load(next(made.root.rglob("*.npz")))
    for index in (0, 9):
        problem = load("roman-empire", made.root, split_index=index)
        for part, rows in problem.parts().items():
            np.testing.assert_array_equal(rows.x, made.x[masks[f"{part}_masks"][index]])
        assert (problem.split, problem.facts["dataset_split_index"]) == (f"given {index}", index)
    assert sizes(problem) == list(split_counts(load_card("roman-empire"), DataSpec(dataset="roman-empire")).values())
    with pytest.raises(UserError, match="--split-index 10: dataset 'roman-empire' came with 10 splits, 0 to 9"):
        load("roman-empire", made.root, split_index=10)
    with pytest.raises(UserError, match="came with 10 splits"):
        split_counts(load_card("roman-empire"), DataSpec(dataset="roman-empire", split_index=10))
    assert load("roman-empire", made.root, split="fraction").split == "fraction 0.6"


def test_a_public_split_is_the_one_that_was_given(tiny):
    made = tiny("cora")
    assert load("cora", made.root, split="given").sha256 == load("cora", made.root).sha256
    with pytest.raises(UserError, match="'cora' came with 1 split, 0 to 0"):
        load("cora", made.root, split="given", split_index=1)


def test_a_twin_has_as_many_splits_as_its_card():
    one, other = (load("roman-empire-sbm", split_index=index) for index in (0, 9))
    assert one.sha256 != other.sha256
    assert len(one.val.y) == 5665


def test_a_card_may_leave_a_split_of_the_files_alone(tiny):
    made = tiny("cora")
    made.card(**{'kind = "public"\ntrain = \\d+\nval = \\d+\ntest = \\d+': 'kind = "per-class"'})
    problem = load("cora", made.root, train_per_class=2, num_val=7, num_test=5)
    assert (problem.split, sizes(problem)) == ("random", [6, 7, 5])


def test_fewer_masks_than_the_card_says_are_refused(tiny):
    made = tiny("roman-empire")
    made.card(**{"masks = 10": "masks = 11"})
    with pytest.raises(DataError, match="'roman-empire' have 10 splits where its card says 11"):
        load("roman-empire", made.root)
