"""Any dataset of PyG that is one graph, by the name of its class: which raw files it reads, and what it makes of them.

PyG would download what is missing. Here it never does: files come from where the card says, verified.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from pdadmm_bench.core.errors import DataError, UserError, unknown
from pdadmm_bench.data.cards import Loader


class _Found(Exception):
    """The raw files of a dataset: their paths."""


def open_dataset(loader: Loader, root: Path) -> Any:
    """The one graph that the class of ``loader`` makes of its raw files below ``root``, as PyG ``Data``.

    Raises :class:`UserError` for a class that does not exist, does not take the arguments, or has several graphs, and
    :class:`DataError` where a raw file is missing.
    """

    def nothing_is_fetched(dataset: Any) -> None:
        missing = [path for path in map(Path, dataset.raw_paths) if not path.exists()]
        if missing:
            raise DataError(f"PyG's {loader.dataset_class} also reads {', '.join(path.name for path in missing)}")

    dataset = _make(loader, root, nothing_is_fetched)
    if len(dataset) != 1:
        raise UserError(f"PyG's {loader.dataset_class} has {len(dataset)} graphs; a card is for one")
    return dataset[0]


def raw_files(loader: Loader, root: Path) -> list[Path]:
    """The raw files that the class of ``loader`` reads, relative to ``root``; none has to exist.

    Raises :class:`UserError` as :func:`open_dataset` does.
    """

    def found(dataset: Any) -> None:
        raise _Found(*dataset.raw_paths)

    try:
        with warnings.catch_warnings(action="ignore"):  # they are shown when the graph is read
            _make(loader, root, found)
    except _Found as answer:
        return [Path(path).relative_to(root) for path in answer.args]
    raise UserError(f"PyG's {loader.dataset_class} reads no raw files")


def _make(loader: Loader, root: Path, instead_of_download: Any) -> Any:
    """The dataset. A class that has no ``name`` of its own keeps its files in a folder of its class's name."""
    kind = _class(loader.dataset_class)
    guarded = type(kind.__name__, (kind,), {"_download": instead_of_download})
    folder = root if "name" in loader.arguments else root / loader.dataset_class
    try:
        return guarded(str(folder), **loader.arguments)
    except (TypeError, AssertionError) as error:
        given = ", ".join(f"{name}={value!r}" for name, value in loader.arguments.items()) or "no arguments"
        raise UserError(
            f"PyG's {loader.dataset_class} cannot be made with {given}: {error or 'not one it has'}"
        ) from error


def _class(name: str) -> Any:
    from torch_geometric import datasets
    from torch_geometric.data import InMemoryDataset

    found = getattr(datasets, name, None)
    if not isinstance(found, type) or not issubclass(found, InMemoryDataset):
        names = [each for each in datasets.__all__ if isinstance(getattr(datasets, each), type)]
        raise unknown("class of torch_geometric.datasets", name, names)
    return found
