"""Problems of one's own: a graph that is in memory, or rows made elsewhere. No card describes them.

Their name, and with it every row, table and protocol, says ``custom data``; the digest is computed from the rows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.protocol import CUSTOM, is_custom
from pdadmm_bench.core.spec import DataSpec
from pdadmm_bench.core.typed import build
from pdadmm_bench.data.cards import Card
from pdadmm_bench.data.graphs import Graph, masked
from pdadmm_bench.data.load import problem_of
from pdadmm_bench.data.problem import PARTS, Problem, rows_digest


def custom_name(name: str) -> str:
    """``mine (custom data)`` for ``mine``; a name that says so already is kept."""
    if is_custom(name):
        return name
    return f"{name} ({CUSTOM})" if name else CUSTOM


def described(problem: Problem) -> Problem:
    """``problem`` with its settings. Of rows of one's own these are few, and name and digest are made here.

    Such rows are taken as they are: nothing is known of hops that they may contain, and no column is scaled.
    """
    if problem.settings is not None:
        return problem
    _check(problem)
    name, digest = custom_name(problem.name), rows_digest(problem.parts().values())
    facts = {
        **problem.facts,
        "dataset_features": problem.num_features,
        "dataset_classes": problem.num_classes,
        **{f"dataset_{part}_count": len(rows.y) for part, rows in problem.parts().items()},
        "dataset_sha256": digest,
        "dataset_source": CUSTOM,
    }
    settings = DataSpec(dataset=name, split="given", hops=0, feature_scale="none")
    return replace(problem, name=name, sha256=digest, facts=facts, settings=settings)


def _check(problem: Problem) -> None:
    """Raise :class:`UserError` for rows that no network can be trained on."""
    for part, rows in problem.parts().items():
        sizes = f"{part}: x is {tuple(rows.x.shape)}, y is {tuple(rows.y.shape)}"
        if rows.x.dim() != 2 or rows.y.shape != rows.x.shape[:1] or rows.x.shape[1] != problem.num_features:
            raise UserError(f"{sizes}; x has to be (rows, features), as wide in every part, and y (rows,)")
        if not len(rows.y):
            raise UserError(f"{sizes}; every part needs a row")
        if rows.x.dtype != torch.float32 or rows.y.dtype != torch.int64:
            raise UserError(f"{part}: x is {rows.x.dtype} and y {rows.y.dtype}; they have to be float32 and int64")
        if int(rows.y.min()) < 0 or int(rows.y.max()) >= problem.num_classes:
            raise UserError(
                f"{part}: classes {int(rows.y.min())} to {int(rows.y.max())}; 0 to {problem.num_classes - 1}"
            )
        if not torch.isfinite(rows.x).all():
            raise UserError(f"{part}: x has values that are not finite")


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


def from_graph(data: Any, settings: DataSpec, name: str = "", report: Callable[[str], None] = _to_stderr) -> Problem:
    """The rows of a PyG ``Data`` object that ``settings`` ask for; ``settings.dataset`` is replaced by ``name``.

    ``data`` has ``x`` (N, d), ``edge_index`` (2, E) and ``y`` (N,), negative for a node without a label. The split
    ``auto`` takes its masks where it has them, else a fraction.

    Raises :class:`UserError` for a graph that is not so, and for settings that it cannot meet.
    """
    graph = graph_of(data)
    card = _card(graph, name or "graph")
    problem = problem_of(card, graph, settings, report)
    shown = custom_name(name)
    facts = {**problem.facts, "dataset_source": CUSTOM}
    return replace(problem, name=shown, facts=facts, settings=settings.model_copy(update={"dataset": shown}))


def graph_of(data: Any) -> Graph:
    """The graph in a PyG ``Data`` object, with edges in both directions, and one split per column of its masks."""
    from torch_geometric.utils import to_undirected

    found: dict[str, Any] = {name: getattr(data, name, None) for name in ("x", "y", "edge_index")}
    if missing := [name for name, value in found.items() if not isinstance(value, Tensor)]:
        raise UserError(f"the graph has no {' and no '.join(missing)}: x (nodes, features), edge_index (2, edges), y")
    x, y, edges = found["x"], found["y"], found["edge_index"]
    if x.dim() != 2 or not x.numel() or not torch.isfinite(x.float()).all():
        raise UserError(f"the graph's x is {tuple(x.shape)}; it has to be finite and (nodes, features)")
    num_nodes = len(x)
    if y.numel() != num_nodes or y.is_floating_point():
        raise UserError(
            f"the graph's y is {y.dtype} {tuple(y.shape)}; it has to hold one class, a whole number, for each of the "
            f"{num_nodes} nodes"
        )
    if edges.dim() != 2 or len(edges) != 2 or edges.is_floating_point():
        raise UserError(f"the graph's edge_index is {edges.dtype} {tuple(edges.shape)}; it has to be (2, edges)")
    if edges.numel() and (int(edges.min()) < 0 or int(edges.max()) >= num_nodes):
        raise UserError(f"the graph's edge_index names node {int(edges.max())}, and there are {num_nodes} nodes")
    y = y.view(-1).long().cpu()
    if int(y.max()) < 1:
        raise UserError("the graph's y has fewer than two classes")
    unlabelled = (y < 0).nonzero().view(-1)
    splits = _given(data, y)
    return Graph(
        x=x.float().cpu(),
        edge_index=to_undirected(edges.long().cpu(), num_nodes=num_nodes),
        y=y.clamp(min=0),
        splits=tuple(splits),
        unlabelled=unlabelled if len(unlabelled) else None,
    )


def _given(data: Any, y: Tensor) -> list[dict[str, Tensor]]:
    """The splits of the masks of ``data``; empty where it has none."""
    there = [part for part in PARTS if getattr(data, f"{part}_mask", None) is not None]
    if not there:
        return []
    if missing := [f"{part}_mask" for part in PARTS if part not in there]:
        raise UserError(f"the graph has {there[0]}_mask but no {' and no '.join(missing)}: it needs all three or none")
    for part in PARTS:
        mask = getattr(data, f"{part}_mask")
        if mask.dtype != torch.bool or mask.shape[0] != len(y) or mask.dim() > 2:
            raise UserError(
                f"the graph's {part}_mask is {mask.dtype} {tuple(mask.shape)}; it has to be torch.bool ({len(y)},)"
            )
    splits = [{part: nodes.cpu() for part, nodes in split.items()} for split in masked(data)[1]]
    for split in splits:
        for part, nodes in split.items():
            if not len(nodes) or int(y[nodes].min()) < 0:
                raise UserError(f"the graph's {part}_mask has no node, or a node without a label")
    return splits


def _card(graph: Graph, name: str) -> Card:
    """What a card would say about ``graph``."""
    sizes = {"nodes": len(graph.x), "edges": graph.edge_index.shape[1], "features": graph.x.shape[1]}
    split: dict[str, Any] = {"kind": "fraction"}
    if graph.splits:
        counts = {part: len(nodes) for part, nodes in graph.splits[0].items()}
        split = {"kind": "given", "masks": len(graph.splits), **counts}
    values = {
        "name": name, "summary": CUSTOM, "version": CUSTOM, "licence": "unknown", "citation": "none",
        "source": CUSTOM, "loader": {"kind": "file"}, "split": split,
        "sizes": {**sizes, "classes": int(graph.y.max()) + 1},
        "unlabelled": 0 if graph.unlabelled is None else len(graph.unlabelled),
    }  # fmt: skip
    return build(Card, values, "graph")
