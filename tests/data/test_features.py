"""Hop features against dense arithmetic."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pdadmm_bench.data.features import hop_features, normalized_adjacency


@st.composite
def graphs(draw):
    nodes = draw(st.integers(1, 12))
    features = draw(st.integers(1, 7))
    pairs = draw(st.lists(st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1)), max_size=30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.normal(size=(nodes, features)).astype(np.float32)
    x[rng.random(nodes) < 0.2] = 0
    dense = np.zeros((nodes, nodes))
    for left, right in pairs:
        if left != right:
            dense[left, right] = dense[right, left] = 1
    rows = rng.permutation(nodes)[: rng.integers(1, nodes + 1)]
    return x, dense, rows


def reference(x: np.ndarray, dense: np.ndarray, hops: int, normalize: bool) -> np.ndarray:
    x = x.astype(np.float64)
    if normalize:
        total = np.abs(x).sum(1, keepdims=True)
        x = np.divide(x, total, out=np.zeros_like(x), where=total > 0)
    adjacency = dense + np.eye(len(x))
    root = 1 / np.sqrt(adjacency.sum(1))
    blocks = [x]
    for _ in range(hops):
        blocks.append(root[:, None] * adjacency * root @ blocks[-1])
    return np.concatenate(blocks, axis=1)


@given(graph=graphs(), hops=st.integers(0, 5), normalize=st.booleans(), columns=st.integers(1, 9))
@settings(max_examples=60)
def test_matches_dense_arithmetic(graph, hops, normalize, columns):
    x, dense, rows = graph
    result = hop_features(
        torch.from_numpy(x),
        torch.from_numpy(np.stack(np.nonzero(dense))),
        torch.from_numpy(rows),
        hops=hops,
        normalize=normalize,
        columns=columns,
    )
    assert result.dtype == torch.float32
    np.testing.assert_allclose(result, reference(x, dense, hops, normalize)[rows], rtol=1e-4, atol=1e-5)


def test_existing_self_loops_are_not_added_twice():
    loops = torch.tensor([[0, 0, 1], [0, 1, 0]])
    plain = torch.tensor([[0, 1], [1, 0]])
    assert torch.equal(normalized_adjacency(loops, 2).to_dense(), normalized_adjacency(plain, 2).to_dense())


def test_x_is_left_alone():
    x = torch.rand(4, 3)
    before = x.clone()
    hop_features(x, torch.tensor([[0, 1], [1, 0]]), torch.arange(4), hops=2, normalize=True)
    assert torch.equal(x, before)
