"""Generated graphs have the sizes, the homophily and the signal they were asked for."""

from __future__ import annotations

import re

import pytest
import torch

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.spec import DataSpec
from pdadmm_bench.data.cards import DepthParameters, SbmParameters, Split
from pdadmm_bench.data.catalog import load_card
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.data.synthetic import folded, sbm

RANDOM = Split(kind="random")


def graph(**values):
    return sbm(SbmParameters(**values), RANDOM)[0]


@pytest.mark.parametrize("homophily", [0.0, 0.3, 0.8, 1.0])
def test_edges(homophily):
    data = graph(nodes=3000, classes=4, features=3, homophily=homophily, degree=8)
    row, col = data.edge_index
    assert data.edge_index.shape == (2, 24000)
    assert len((row * 3000 + col).unique()) == 24000
    assert (row != col).all()
    assert torch.equal(torch.bincount(row, minlength=3000), torch.bincount(col, minlength=3000))
    assert float((data.y[row] == data.y[col]).float().mean()) == pytest.approx(homophily, abs=0.02)
    degrees = torch.bincount(row, minlength=3000).float()
    assert float(degrees[:300].mean()) == pytest.approx(float(degrees[-300:].mean()), rel=0.15)


def test_features_and_classes():
    data = graph(nodes=5000, classes=5, features=16, signal=3.0)
    assert torch.bincount(data.y).tolist() == [1000] * 5
    centres = torch.stack([data.x[data.y == label].mean(0) for label in range(5)])
    assert centres.norm(dim=1).tolist() == pytest.approx([3.0] * 5, abs=0.25)
    assert float((data.x - centres[data.y]).std()) == pytest.approx(1, abs=0.02)


def test_seed():
    assert torch.equal(graph(seed=3).x, graph(seed=3).x)
    assert torch.equal(graph(seed=3).edge_index, graph(seed=3).edge_index)
    assert not torch.equal(graph(seed=3).x, graph(seed=4).x)


def test_densest_graph_that_is_allowed_ends():
    assert graph(nodes=100, classes=5, degree=10, homophily=1.0).edge_index.shape == (2, 1000)


def test_twin_has_the_sizes_and_split_of_its_card():
    problem = load_problem(DataSpec(dataset="cora-sbm", hops=0))
    sizes = load_card("cora").sizes
    names = ("nodes", "edges", "features", "classes")
    assert [problem.facts[f"dataset_{name}"] for name in names] == [getattr(sizes, name) for name in names]
    assert [len(rows.y) for rows in problem.parts().values()] == [140, 500, 1000]
    assert (problem.split, problem.facts["dataset_source"]) == ("public", "generated")


def test_small_graph_says_how_the_split_was_fitted():
    lines: list[str] = []
    spec = DataSpec(dataset="sbm[nodes=2000,classes=5,features=64,homophily=0.8]", hops=0)
    problem = load_problem(spec, report=lines.append)
    assert [len(rows.y) for rows in problem.parts().values()] == [100, 950, 950]
    assert lines == [f"warning: {problem.name} leaves 1900 nodes after training: 950 validation and 950 test"]


def test_too_small_for_its_training_nodes():
    with pytest.raises(UserError, match="20 training nodes per class, but class 0 has 10"):
        load_problem(DataSpec(dataset="sbm[nodes=50,degree=2]"))


@pytest.mark.parametrize("levels", [1, 2, 3, 5])
def test_every_fold_doubles_the_pieces_of_a_line(levels):
    data = folded(DepthParameters(nodes=4000, inputs=1, levels=levels))
    classes = data.y[data.x[:, 0].argsort()]
    assert int((classes[1:] != classes[:-1]).sum()) == 2**levels
    assert torch.bincount(data.y).tolist() == [2000, 2000]


def test_layers_of_twice_the_inputs_make_the_folds():
    """|h R| = ReLU(h R) + ReLU(−h R): the classes of one fold are those of a network of two layers."""
    data = folded(DepthParameters(nodes=3000, inputs=1, levels=1))
    hidden = torch.relu(data.x * torch.tensor([1.0, -1.0]))
    score = hidden.sum(1)
    found = (score > score.median()).long()
    assert float((found == data.y).float().mean()) in (0.0, 1.0)


def test_points_in_folded_space():
    one, same, other = (folded(DepthParameters(classes=3, inputs=4, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(one.x, same.x) and torch.equal(one.y, same.y)
    assert not torch.equal(one.y, other.y)
    assert one.x.shape == (10000, 4) and float(one.x.abs().max()) <= 1
    assert torch.bincount(one.y).tolist() == [3334, 3333, 3333]


@pytest.mark.parametrize("hops", [0, 2])
def test_the_task_that_needs_depth_has_no_edges(hops):
    problem = load_problem(DataSpec(dataset="depth[levels=2,nodes=400]", hops=hops), report=lambda _: None)
    assert [len(rows.y) for rows in problem.parts().values()] == [240, 80, 80]
    assert (problem.name, problem.split) == ("depth[levels=2,nodes=400]", "fraction 0.6")
    assert problem.facts["dataset_edges"] == 0
    assert all(torch.equal(part, problem.train.x[:, :2]) for part in problem.train.x.split(2, dim=1))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("depth[levels=0]", "parameter of depth levels='0' is not valid"),
        ("depth[homophily=1]", "unknown parameter of depth 'homophily'"),
        ("depth-sbm", "'depth' is generated already"),
        ("cora[levels=2]", "'cora' takes no parameters"),
    ],
)
def test_mistakes_in_the_parameters_are_named(name, message):
    with pytest.raises(UserError, match=re.escape(message)):
        load_card(name)
