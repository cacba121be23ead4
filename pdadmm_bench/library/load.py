"""Problems: of a dataset that has a card, and of a graph of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

from pdadmm_bench.core.spec import DataSpec
from pdadmm_bench.core.typed import build
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.data.own_rows import from_graph
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.library.settings import DataSettings


def load(
    dataset: str,
    *,
    data_root: str | Path | None = None,
    cache: str | Path | None = None,
    offline: bool = False,
    **settings: Unpack[DataSettings],
) -> Problem:
    """The hop features and labels of a dataset that has a card; progress and warnings go to standard error.

    Args:
        dataset: as ``--dataset``: ``cora``, ``pubmed-sbm``, ``sbm[nodes=2000]``; ``pdadmm-bench list`` has the names.
        data_root: folder of raw files, only read; default: the one in ``PDADMM_BENCH_DATA``.
        cache: folder for downloads and features; default: the one in ``PDADMM_BENCH_CACHE``, else the platform's.
        offline: never use the network.
        settings: as the options of ``run``: ``split``, ``hops``, ``feature_scale`` and the like.

    Raises :class:`~pdadmm_bench.core.errors.UserError` for a name or setting that is not known, and for files that are
    missing.
    """
    return load_problem(
        build(DataSpec, {**settings, "dataset": dataset}, "setting"),
        data_root=Path(data_root) if data_root else None,
        cache=Path(cache) if cache else None,
        offline=offline,
    )


def from_pyg(data: Any, *, name: str = "", **settings: Unpack[DataSettings]) -> Problem:
    """The hop features and labels of a graph of one's own, a PyG ``Data`` object.

    ``data`` has ``x`` (nodes, features), ``edge_index`` (2, edges) and ``y`` (nodes,), which is negative where a node
    has no label. Edges count in both directions. With the split ``auto`` the masks ``train_mask``, ``val_mask`` and
    ``test_mask`` are taken, (nodes,) or (nodes, splits); without masks, 60 % of the nodes train and the rest is halved.

    Args:
        name: of the graph, in rows and tables: ``NAME (custom data)``.
        settings: as for :func:`load`.

    Raises :class:`~pdadmm_bench.core.errors.UserError` for a graph that is not so, and for settings it cannot meet.
    """
    return from_graph(data, build(DataSpec, dict(settings), "setting"), name)
