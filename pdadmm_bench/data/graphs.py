"""A graph of node-classification data, whichever library reads its files."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pdadmm_bench.core.errors import DataError, UserError
from pdadmm_bench.data.cards import Card
from pdadmm_bench.data.problem import PARTS


@dataclass(frozen=True, kw_only=True)
class Graph:
    """N nodes with features ``x`` (N, d) float32 and classes ``y`` (N,) int64.

    ``edge_index`` (2, E) holds every edge in both directions, without duplicates. ``parts`` are the node indices of
    the source's own split, or None where the source has no split.
    """

    x: Tensor
    edge_index: Tensor
    y: Tensor
    parts: dict[str, Tensor] | None = None


def load_graph(card: Card, root: Path) -> Graph:
    """Read the staged files below ``root`` with PyG or OGB, which write their own files there, too.

    Raises :class:`DataError` when the files cannot be read, or when the sizes are not those of the card.
    """
    from torch_geometric.utils import to_undirected

    try:
        with _quiet():
            data, parts = LOADERS[card.loader.kind](card, root)
    except (MemoryError, UserError):
        raise
    except Exception as error:  # a parser of another library may raise anything for bytes that are not in its format
        names = ", ".join(file.path for file in card.files)
        raise DataError(f"the files of dataset {card.name!r} cannot be read ({names}): {error}") from error
    if data.x is None or data.y is None or data.edge_index is None:
        raise DataError(f"the files of dataset {card.name!r} lack features, labels or edges")
    x, y = data.x.to(torch.float32), data.y.view(-1)
    sizes = {"nodes": x.shape[0], "features": x.shape[1], "labels": y.shape[0], "classes": int(y.max()) + 1}
    expected = {"nodes": card.sizes.nodes, "features": card.sizes.features, "labels": card.sizes.nodes}
    expected["classes"] = card.sizes.classes
    wrong = [f"{sizes[key]} {key} where its card says {expected[key]}" for key in sizes if sizes[key] != expected[key]]
    if wrong:
        raise DataError(f"the files of dataset {card.name!r} are another dataset's: {', '.join(wrong)}")
    if int(y.min()) < 0 or not torch.isfinite(x).all():
        raise DataError(f"the files of dataset {card.name!r} hold unlabelled nodes or features that are not finite")
    return Graph(x=x, edge_index=to_undirected(data.edge_index, num_nodes=len(x)), y=y.to(torch.int64), parts=parts)


def _planetoid(card: Card, root: Path) -> tuple[Any, dict[str, Tensor] | None]:
    from torch_geometric.datasets import Planetoid

    return _masked(Planetoid(str(root), card.loader.name)[0])


def _amazon(card: Card, root: Path) -> tuple[Any, dict[str, Tensor] | None]:
    from torch_geometric.datasets import Amazon

    return Amazon(str(root), card.loader.name)[0], None


def _coauthor(card: Card, root: Path) -> tuple[Any, dict[str, Tensor] | None]:
    from torch_geometric.datasets import Coauthor

    return Coauthor(str(root), card.loader.name)[0], None


def _flickr(card: Card, root: Path) -> tuple[Any, dict[str, Tensor] | None]:
    from torch_geometric.datasets import Flickr

    return _masked(Flickr(str(root / card.loader.name))[0])


def _ogb(card: Card, root: Path) -> tuple[Any, dict[str, Tensor] | None]:
    from torch_geometric.data import Data
    from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
    from torch_geometric.data.storage import GlobalStorage

    # pandas gives OGB read-only arrays. OGB saves and loads them again before anything could write to them.
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
    # OGB calls torch.load without weights_only on a file it has just written; the file holds these four types only.
    # Types that PyG has already allowed are left out: at its end, the context would remove them for PyG, too.
    allowed = torch.serialization.get_safe_globals()
    types = [kind for kind in (Data, DataEdgeAttr, DataTensorAttr, GlobalStorage) if kind not in allowed]
    with torch.serialization.safe_globals(types):
        dataset = _ogb_module().PygNodePropPredDataset(card.loader.name, str(root))
        split = dataset.get_idx_split()
    return dataset[0], {"train": split["train"], "val": split["valid"], "test": split["test"]}


def _ogb_module() -> Any:
    """OGB, imported without its thread that asks PyPI for a newer version.

    The thread starts only when ``outdated`` can be imported, so that import is made to fail meanwhile.
    """
    if "ogb" not in sys.modules and "outdated" not in sys.modules:
        sys.modules["outdated"] = None  # type: ignore[assignment]
        try:
            return importlib.import_module("ogb.nodeproppred")
        finally:
            del sys.modules["outdated"]
    return importlib.import_module("ogb.nodeproppred")


def _sbm(card: Card, root: Path) -> tuple[Any, dict[str, Tensor] | None]:
    from pdadmm_bench.data.synthetic import sbm

    return sbm(card.loader.parameters, card.split)


def _masked(data: Any) -> tuple[Any, dict[str, Tensor]]:
    return data, {part: data[f"{part}_mask"].nonzero().view(-1) for part in PARTS}


LOADERS: dict[str, Callable[[Card, Path], tuple[Any, dict[str, Tensor] | None]]] = {
    "planetoid": _planetoid,
    "amazon": _amazon,
    "coauthor": _coauthor,
    "flickr": _flickr,
    "ogb": _ogb,
    "sbm": _sbm,
}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop what the loaders print ("Processing...", progress bars), but no warning."""
    swallow = io.StringIO()
    with (
        warnings.catch_warnings(record=True) as caught,
        contextlib.redirect_stdout(swallow),
        contextlib.redirect_stderr(swallow),
    ):
        yield
    for warning in caught:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
