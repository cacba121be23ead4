"""Generated graphs: a contextual stochastic block model, and points in folded space, for which depth is needed.

Time and memory are linear in nodes and edges.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pdadmm_bench.core.seeds import derive
from pdadmm_bench.data.cards import DepthParameters, SbmParameters, Split
from pdadmm_bench.data.splits import random_split


def sbm(parameters: SbmParameters, split: Split) -> tuple[Any, list[dict[str, Tensor]]]:
    """A graph drawn with ``parameters`` as PyG ``Data``, and splits of its own where ``split`` is public or given.

    Classes are equally large up to one node. ``nodes · degree / 2`` distinct undirected edges join a random node to
    one of its class with probability ``homophily``, else to one of another class. Features are standard normal around
    the centre of the class, which lies ``signal`` away from the origin in a random direction.
    """
    from torch_geometric.data import Data

    generator = torch.Generator().manual_seed(derive("sbm", parameters.seed))
    num_nodes, num_classes = parameters.nodes, parameters.classes
    y = torch.randperm(num_nodes, generator=generator) % num_classes
    centres = torch.randn(num_classes, parameters.features, generator=generator)
    centres *= parameters.signal / centres.norm(dim=1, keepdim=True)
    x = torch.randn(num_nodes, parameters.features, generator=generator)
    x += centres[y]
    edges = _edges(y, parameters, generator)
    return Data(x=x, y=y, edge_index=torch.cat([edges, edges.flip(0)], dim=1)), _splits(y, parameters, split)


def _edges(y: Tensor, parameters: SbmParameters, generator: torch.Generator) -> Tensor:
    """Distinct undirected edges (2, E) without self-loops, smaller index first."""
    num_nodes, num_classes = parameters.nodes, parameters.classes
    wanted = round(num_nodes * parameters.degree / 2)
    members = torch.sort(y, stable=True).indices
    sizes = torch.bincount(y, minlength=num_classes)
    starts = sizes.cumsum(0) - sizes
    codes = torch.empty(0, dtype=torch.int64)
    while len(codes) < wanted:
        draws = wanted - len(codes) + wanted // 10 + 16
        left = torch.randint(num_nodes, (draws,), generator=generator)
        same = torch.rand(draws, generator=generator) < parameters.homophily
        other = (y[left] + torch.randint(1, num_classes, (draws,), generator=generator)) % num_classes
        label = torch.where(same, y[left], other)
        place = (torch.rand(draws, generator=generator, dtype=torch.float64) * sizes[label]).long()
        right = members[starts[label] + place]
        low, high = torch.minimum(left, right), torch.maximum(left, right)
        codes = torch.cat([codes, (low * num_nodes + high)[left != right]]).unique()
        # Sorted codes cut at the end would lose the edges of the last nodes: thin them at random instead.
        codes = codes[torch.randperm(len(codes), generator=generator)[:wanted]]
    return torch.stack([codes // num_nodes, codes % num_nodes])


def _splits(y: Tensor, parameters: SbmParameters, split: Split) -> list[dict[str, Tensor]]:
    if split.train is None or split.val is None or split.test is None:
        return []
    per_class = split.train // parameters.classes
    counts = {"train_per_class": per_class, "num_val": split.val, "num_test": split.test}
    seeds = range(parameters.seed, parameters.seed + split.num_given)
    return [random_split(y, parameters.classes, seed=seed, **counts) for seed in seeds]


def folded(parameters: DepthParameters) -> Any:
    """Points of the cube [−1, 1]^inputs as PyG ``Data`` without edges, in classes by a composition of folds.

    A level turns the space by a random rotation and folds it at every coordinate hyperplane: h ← |h R|, then less its
    median and divided by its standard deviation, over the points. The class is the rank of the first coordinate after
    the last level and a last rotation, in equal parts.

    A ReLU layer of 2 · inputs units makes a level exactly, so levels + 1 layers of that width make the classes. The
    number of pieces along a line doubles with every level, so one hidden layer needs exponentially many units
    (Montúfar et al.: On the Number of Linear Regions of Deep Neural Networks, NeurIPS 2014, arXiv:1402.1869; Telgarsky:
    Benefits of Depth in Neural Networks, COLT 2016, arXiv:1602.04485).
    """
    from torch_geometric.data import Data

    generator = torch.Generator().manual_seed(derive("depth", parameters.seed))
    size = (parameters.nodes, parameters.inputs)
    x = torch.rand(size, generator=generator, dtype=torch.float64) * 2 - 1
    place = x
    for _ in range(parameters.levels):
        place = _rotated(place, generator).abs()
        place = (place - place.median(dim=0).values) / place.std(dim=0)
    ranks = _rotated(place, generator)[:, 0].argsort().argsort()
    y = ranks * parameters.classes // parameters.nodes
    return Data(x=x.float(), y=y, edge_index=torch.empty(2, 0, dtype=torch.int64))


def _rotated(points: Tensor, generator: torch.Generator) -> Tensor:
    """``points`` (N, n) reflected at n random hyperplanes through the origin, which together are a random rotation."""
    for _ in range(points.shape[1]):
        normal = torch.randn(points.shape[1], generator=generator, dtype=points.dtype)
        normal /= normal.norm()
        points = points - 2 * (points @ normal)[:, None] * normal
    return points
