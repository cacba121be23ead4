"""A graph in one file of one's own: ``.npz`` with arrays, or ``.pt`` with a PyG ``Data`` or a mapping of tensors.

Its parts are ``x`` (nodes, features), ``y`` (nodes,) and ``edge_index`` (2, edges); masks of a split are optional.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.data.problem import PARTS

NAMES = {
    "x": ("x", "features", "node_features"),
    "y": ("y", "labels", "node_labels"),
    "edge_index": ("edge_index", "edges"),
    **{f"{part}_mask": (f"{part}_mask", f"{part}_masks") for part in PARTS},
}
"""What the parts of a graph may be called in a file."""
SUFFIXES = (".npz", ".pt")


def read_graph(path: Path) -> Any:
    """The graph in the file as PyG ``Data``. No code in the file is run.

    Raises :class:`UserError` for a name that ends in another way, and for a file without a part.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path.name}: a graph is read from a file that ends in {' or '.join(SUFFIXES)}")
    return _npz(path) if path.suffix == ".npz" else _pt(path)


def _npz(path: Path) -> Any:
    from torch_geometric.io.npz import parse_npz

    with np.load(path, allow_pickle=False) as file:
        content = {name: file[name] for name in file.files}
    if "adj_data" in content:  # sparse matrices, as of Shchur et al. 2018
        return parse_npz(content)
    return _data({name: torch.from_numpy(value) for name, value in content.items()}, path)


def _pt(path: Path) -> Any:
    from torch_geometric.data import Data

    with pyg_types_are_safe():
        content = torch.load(path, weights_only=True)
    if isinstance(content, Data):
        return content
    if not isinstance(content, Mapping):
        raise UserError(f"{path.name} holds a {type(content).__name__}; it has to hold a PyG Data or a mapping")
    return _data(content, path)


def _data(content: Mapping[str, Any], path: Path) -> Any:
    """The parts by name; a (edges, 2) list of edges and (splits, nodes) masks are turned."""
    from torch_geometric.data import Data

    found = {part: content[name] for part, names in NAMES.items() for name in names if name in content}
    if missing := [part for part in ("x", "y", "edge_index") if part not in found]:
        raise UserError(f"{path.name} has no {' and no '.join(missing)}; it has {', '.join(sorted(content))}")
    edges = found["edge_index"]
    if edges.dim() == 2 and edges.shape[0] != 2 and edges.shape[1] == 2:
        found["edge_index"] = edges.t().contiguous()
    for part in PARTS:
        mask = found.get(f"{part}_mask")
        if mask is not None and mask.dim() == 2 and mask.shape[0] != len(found["x"]):
            found[f"{part}_mask"] = mask.t().contiguous()
    return Data(**found)


@contextlib.contextmanager
def pyg_types_are_safe() -> Iterator[None]:
    """``torch.load`` with weights_only also reads PyG's ``Data`` meanwhile.

    Types that PyG has already allowed are left out: at its end, the context would remove them for PyG, too.
    """
    from torch_geometric.data import Data
    from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
    from torch_geometric.data.storage import GlobalStorage

    allowed = torch.serialization.get_safe_globals()
    types = [kind for kind in (Data, DataEdgeAttr, DataTensorAttr, GlobalStorage) if kind not in allowed]
    with torch.serialization.safe_globals(types):
        yield
