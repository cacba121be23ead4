"""A graph of node-classification data, whichever library reads its files."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pdadmm_bench.core.errors import DataError, UserError
from pdadmm_bench.data.cards import Card, DepthParameters, SbmParameters
from pdadmm_bench.data.graph_file import pyg_types_are_safe, read_graph
from pdadmm_bench.data.problem import PARTS
from pdadmm_bench.data.pyg_dataset import open_dataset


@dataclass(frozen=True, kw_only=True)
class Graph:
    """N nodes with features ``x`` (N, d) float32 and classes ``y`` (N,) int64.

    ``edge_index`` (2, E) holds every edge in both directions, without duplicates. ``splits`` are the splits that came
    with the data, as node indices by part: a public one, or several; empty where there is none. ``unlabelled`` are the
    nodes whose class stands in for a missing one.
    """

    x: Tensor
    edge_index: Tensor
    y: Tensor
    splits: tuple[dict[str, Tensor], ...] = ()
    unlabelled: Tensor | None = None

    def labelled(self) -> Tensor:
        """Which nodes have a label of their own (N,), boolean."""
        mask = torch.ones(len(self.y), dtype=torch.bool)
        if self.unlabelled is not None:
            mask[self.unlabelled] = False
        return mask


Loaded = tuple[Any, Sequence[dict[str, Tensor]]]
"""What a loader returns: PyG ``Data``, and the splits that came with it. The data may say which nodes are
``unlabelled``."""


def load_graph(card: Card, root: Path) -> Graph:
    """Read the staged files below ``root`` with PyG or OGB, which write their own files there, too.

    Raises :class:`DataError` when the files cannot be read, or when the sizes are not those of the card.
    """
    return checked_graph(card, *read_files(card, root, "remove them, and pdadmm-bench prepare fetches them again"))


def read_files(card: Card, root: Path, cure: str) -> Loaded:
    """What the card's loader reads below ``root``, where it writes files of its own, too.

    Raises :class:`DataError` when the files cannot be read; its message ends with ``cure``.
    """
    try:
        with quiet():
            return LOADERS[card.loader.kind](card, root)
    except (MemoryError, UserError):
        raise
    except Exception as error:  # a parser of another library may raise anything for bytes that are not in its format
        names = ", ".join(file.path for file in card.files)
        # Its words are not repeated: those of numpy and torch advise to load a damaged file without their safeguards.
        raise DataError(
            f"the files of dataset {card.name!r} cannot be read ({names}): one is damaged or in another format "
            f"({type(error).__name__}); {cure}"
        ) from error


def checked_graph(card: Card, data: Any, splits: Sequence[dict[str, Tensor]]) -> Graph:
    """The graph in what was read; raises :class:`DataError` when it is not the one that the card describes."""
    from torch_geometric.utils import to_undirected

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
    if len(splits) < card.split.num_given:
        raise DataError(
            f"the files of dataset {card.name!r} have {len(splits)} splits where its card says {card.split.num_given}"
        )
    return Graph(
        x=x,
        edge_index=to_undirected(data.edge_index, num_nodes=len(x)),
        y=y.to(torch.int64),
        splits=tuple(splits),
        unlabelled=getattr(data, "unlabelled", None),
    )


def _planetoid(card: Card, root: Path) -> Loaded:
    from torch_geometric.datasets import Planetoid

    data, splits = masked(Planetoid(str(root), card.loader.name)[0])
    # The files number test nodes in a range and leave some out (15 of CiteSeer). Those have no label: PyG gives them 0.
    (public,) = splits
    numbers = torch.arange(int(public["test"].min()), int(public["test"].max()) + 1)
    data.unlabelled = numbers[~torch.isin(numbers, public["test"])]
    return data, splits


def _amazon(card: Card, root: Path) -> Loaded:
    from torch_geometric.datasets import Amazon

    return Amazon(str(root), card.loader.name)[0], ()


def _coauthor(card: Card, root: Path) -> Loaded:
    from torch_geometric.datasets import Coauthor

    return Coauthor(str(root), card.loader.name)[0], ()


def _heterophilous(card: Card, root: Path) -> Loaded:
    from torch_geometric.datasets import HeterophilousGraphDataset

    return masked(HeterophilousGraphDataset(str(root), card.loader.name)[0])


def _flickr(card: Card, root: Path) -> Loaded:
    from torch_geometric.datasets import Flickr

    return masked(Flickr(str(root / card.loader.name))[0])


def _ogb(card: Card, root: Path) -> Loaded:
    # pandas gives OGB read-only arrays. OGB saves and loads them again before anything could write to them.
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
    # OGB calls torch.load without weights_only on a file it has just written; the file holds PyG's own types only.
    with pyg_types_are_safe():
        dataset = _ogb_module().PygNodePropPredDataset(card.loader.name, str(root))
        split = dataset.get_idx_split()
    return dataset[0], [{"train": split["train"], "val": split["valid"], "test": split["test"]}]


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


def _pyg(card: Card, root: Path) -> Loaded:
    return _with_masks(open_dataset(card.loader, root))


def _file(card: Card, root: Path) -> Loaded:
    data = read_graph(root / card.files[0].path)
    data.unlabelled = (data.y.view(-1) < 0).nonzero().view(-1)
    data.y = data.y.clamp(min=0)
    return _with_masks(data)


def _with_masks(data: Any) -> Loaded:
    """The data with the splits of its masks, if it has all three."""
    return masked(data) if all(getattr(data, f"{part}_mask", None) is not None for part in PARTS) else (data, ())


def _sbm(card: Card, root: Path) -> Loaded:
    from pdadmm_bench.data.synthetic import sbm

    assert isinstance(card.loader.parameters, SbmParameters)
    return sbm(card.loader.parameters, card.split)


def _depth(card: Card, root: Path) -> Loaded:
    from pdadmm_bench.data.synthetic import folded

    assert isinstance(card.loader.parameters, DepthParameters)
    return folded(card.loader.parameters), ()


def masked(data: Any) -> tuple[Any, list[dict[str, Tensor]]]:
    """PyG ``data`` with the splits of its masks, (N,) for one split or (N, S) for S of them."""
    masks = [data[f"{part}_mask"].view(len(data.y), -1) for part in PARTS]
    counts = [mask.shape[1] for mask in masks]
    columns = zip(*(mask.expand(-1, max(counts)).unbind(1) for mask in masks), strict=True)
    return data, [
        {part: mask.nonzero().view(-1) for part, mask in zip(PARTS, column, strict=True)} for column in columns
    ]


LOADERS: dict[str, Callable[[Card, Path], Loaded]] = {
    "planetoid": _planetoid,
    "amazon": _amazon,
    "coauthor": _coauthor,
    "heterophilous": _heterophilous,
    "flickr": _flickr,
    "ogb": _ogb,
    "pyg": _pyg,
    "file": _file,
    "sbm": _sbm,
    "depth": _depth,
}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
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
