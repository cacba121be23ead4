"""Random splits: disjoint, as large as asked, reproducible, and on an axis of their own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.data.splits import random_split


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
