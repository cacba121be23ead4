"""Writes the card of a dataset from its files: sizes, split and checksums are read from them."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pdadmm_bench.core.errors import DataError, UserError
from pdadmm_bench.core.typed import build
from pdadmm_bench.data.cache import digest_of, scratch, store
from pdadmm_bench.data.cards import Card, Loader, RawFile
from pdadmm_bench.data.graph_file import SUFFIXES
from pdadmm_bench.data.graphs import checked_graph, read_files
from pdadmm_bench.data.pyg_dataset import raw_files

_SOURCES = {
    "pyg": "torch_geometric.datasets.{}", "ogb": "https://ogb.stanford.edu/docs/nodeprop/#{}", "file": "a file: {}",
}  # fmt: skip


@dataclass(frozen=True)
class NewCard:
    """A card, and its text."""

    card: Card
    text: str


def card_of_pyg(name: str, dataset_class: str, arguments: dict[str, Any], root: Path, cache: Path) -> NewCard:
    """The card of a dataset of PyG whose raw files lie below ``root``, laid out as PyG does.

    Raises :class:`UserError` for a class that PyG has not, and :class:`DataError` where a raw file is missing.
    """
    values = {"kind": "pyg", "class": dataset_class, "arguments": arguments}
    loader = Loader(**values)
    with scratch(cache) as folder:
        files = raw_files(loader, folder)
    return _from_files(name, values, files, root, cache, dataset_class)


def card_of_ogb(name: str, ogb_name: str, root: Path, cache: Path) -> NewCard:
    """The card of a node-property dataset of OGB whose files lie below ``root``, unpacked as OGB does."""
    folder = root / ogb_name.replace("-", "_")
    made_here = ("processed", "mapping")
    there = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = [path.relative_to(root) for path in there if path.relative_to(folder).parts[0] not in made_here]
    if not files:
        raise DataError(f"{folder} has no files; unpack the archive of {ogb_name} there")
    return _from_files(name, {"kind": "ogb", "name": ogb_name}, files, root, cache, ogb_name)


def card_of_file(name: str, path: Path, cache: Path) -> NewCard:
    """The card of a graph in one file of one's own; the file is copied into the cache, where runs find it."""
    if path.suffix not in SUFFIXES:
        raise UserError(f"--from-file {path}: give a file that ends in {' or '.join(SUFFIXES)}")
    if not path.is_file():
        raise UserError(f"--from-file {path}: there is no such file")
    file = RawFile(path=f"{name}/{path.name}", sha256=digest_of(path))
    with path.open("rb") as stream:
        store(stream, file, cache, expected=file.sha256, origin=str(path))
    return _from_files(name, {"kind": "file"}, [Path(file.path)], cache / "raw", cache, path.name)


def _from_files(
    name: str, loader: dict[str, Any], files: Sequence[Path], root: Path, cache: Path, source: str
) -> NewCard:
    missing = [file.as_posix() for file in files if not (root / file).is_file()]
    if missing:
        raise DataError(f"{root} has no {', '.join(missing)}; put the raw files there, or name their root: --data-root")
    values: dict[str, Any] = {
        "summary": f"{name}, written by card new", "version": "1", "licence": "unknown", "citation": "unknown",
        "source": _SOURCES[loader["kind"]].format(source), "loader": loader, "split": {"kind": "fraction"},
        "sizes": {"nodes": 1, "edges": 0, "features": 1, "classes": 2},
        "files": [{"path": file.as_posix(), "sha256": digest_of(root / file)} for file in files],
    }  # fmt: skip
    card = build(Card, {**values, "name": name}, "card")
    with _copied(files, root, cache) as folder:
        data, splits = read_files(card, folder, "make them anew")
    values |= _described(card, data, splits)
    card = build(Card, {**values, "name": name}, "card")
    checked_graph(card, data, splits)  # raises for a graph that no run could use
    return NewCard(card, _toml(values))


@contextlib.contextmanager
def _copied(files: Sequence[Path], root: Path, cache: Path) -> Iterator[Path]:
    """Copies of the files in a private folder, since loaders write beside what they read."""
    with scratch(cache) as folder:
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / file, folder / file)
        yield folder


def _described(card: Card, data: Any, splits: Sequence[dict[str, Tensor]]) -> dict[str, Any]:
    """Sizes and split of what the files of ``card`` hold."""
    from torch_geometric.utils import to_undirected

    missing = [part for part in ("x", "y", "edge_index") if getattr(data, part, None) is None]
    if missing:
        raise UserError(f"the graph of {card.name!r} has no {', '.join(missing)}")
    if data.y.is_floating_point() or data.y.numel() != len(data.x):
        raise UserError(f"the graph of {card.name!r} has y {data.y.dtype} {tuple(data.y.shape)}: not a class per node")
    edges = to_undirected(data.edge_index, num_nodes=len(data.x)).shape[1]
    sizes = {"nodes": len(data.x), "edges": edges, "features": data.x.shape[1], "classes": int(data.y.max()) + 1}
    found: dict[str, Any] = {"sizes": sizes, "unlabelled": len(getattr(data, "unlabelled", ()))}
    if splits:
        public = card.loader.kind == "ogb"
        counts = {part: len(nodes) for part, nodes in splits[0].items()}
        masks = {} if public else {"masks": len(splits)}
        found["split"] = {"kind": "public" if public else "given", **masks, **counts}
    return found


def _toml(values: dict[str, Any]) -> str:
    """The card as TOML."""
    plain = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items() if _is_plain(value)]
    lines = [line for line in plain if line != "unlabelled = 0"]
    for table in ("loader", "sizes", "split"):
        lines += ["", f"[{table}]"]
        lines += [f"{key} = {_inline(value)}" for key, value in values[table].items() if value not in ("", {})]
    for file in values["files"]:
        lines += ["", "[[files]]", *(f"{key} = {json.dumps(value)}" for key, value in file.items())]
    return "\n".join(lines) + "\n"


def _is_plain(value: Any) -> bool:
    return not isinstance(value, (dict, list))


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {json.dumps(item)}" for key, item in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
