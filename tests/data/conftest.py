"""Tiny raw files in the real formats, each with a card laid over the shipped one that states their sizes."""

from __future__ import annotations

import gzip
import hashlib
import json
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from pdadmm_bench.core import resources
from pdadmm_bench.data.catalog import load_card


@dataclass(frozen=True)
class Tiny:
    """A data root with one tiny dataset: ``x``, ``y``, undirected ``edges`` and the parts as they should be loaded."""

    name: str
    root: Path
    x: np.ndarray
    y: np.ndarray
    edges: np.ndarray
    parts: dict[str, np.ndarray] | None

    def card(self, **replacements: str) -> None:
        """Rewrite the overlay card: each regular expression's match becomes the text."""
        path = resources.roots()[0] / "datasets" / f"{self.name}.toml"
        text = path.read_text(encoding="utf-8")
        for pattern, new in replacements.items():
            text, count = re.subn(pattern, new, text)
            assert count, pattern
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Tiny]:
    """``tiny("photo")`` writes the dataset and its overlay card; digests are stated where the real card states them."""
    overlay = tmp_path / "share"
    (overlay / "datasets").mkdir(parents=True)

    def make(name: str) -> Tiny:
        shipped = resources.find(f"datasets/{name}.toml")
        card = load_card(name)
        made = WRITERS[card.loader.kind](card, tmp_path / "root")
        sizes = {"nodes": len(made.x), "features": made.x.shape[1], "classes": int(made.y.max()) + 1}
        sizes["edges"] = 2 * len(made.edges)
        sizes |= {part: len(nodes) for part, nodes in (made.parts or {}).items()}
        text = shipped.read_text(encoding="utf-8")
        for key, value in sizes.items():
            text = re.sub(rf"(?m)^{key} = \d+$", f"{key} = {value}", text)
        for file in card.files:
            digest = hashlib.sha256((made.root / file.path).read_bytes()).hexdigest()
            text = text.replace(file.sha256, digest) if file.sha256 != "unknown" else text
        (overlay / "datasets" / f"{name}.toml").write_text(text, encoding="utf-8")
        return made

    monkeypatch.setenv("PDADMM_BENCH_SHARE", str(overlay))
    return make


def _graph(nodes: int, features: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random binary features, labels that use every class, and distinct undirected edges, low node first."""
    rng = np.random.default_rng(seed)
    x = (rng.random((nodes, features)) < 0.3).astype(np.float32)
    x[:, 0] = 1
    y = rng.permutation(nodes) % classes
    upper = np.stack(np.triu_indices(nodes, 1), axis=1)
    edges = upper[np.sort(rng.choice(len(upper), 2 * nodes, replace=False))]
    return x, y, edges


def _planetoid(card, root: Path) -> Tiny:
    train, rest, test = 12, 508, 24  # the 500 nodes after the training ones validate, whatever the files say
    x, y, edges = _graph(train + rest + test, 9, 3)
    first_test = train + rest
    order = np.random.default_rng(1).permutation(test) + first_test
    onehot = np.eye(3, dtype=np.int32)[y]
    neighbours: dict[int, list[int]] = {node: [] for node in range(len(x))}
    for low, high in edges.tolist():
        neighbours[low].append(high)
        neighbours[high].append(low)
    items = {"x": x[:train], "allx": x[:first_test], "tx": x[order]}
    items = {key: sp.csr_matrix(value) for key, value in items.items()}
    items |= {"y": onehot[:train], "ally": onehot[:first_test], "ty": onehot[order], "graph": neighbours}
    folder = root / card.loader.name / "raw"
    folder.mkdir(parents=True)
    stem = f"ind.{card.loader.name.lower()}"
    for key, value in items.items():
        (folder / f"{stem}.{key}").write_bytes(pickle.dumps(value, protocol=2))
    (folder / f"{stem}.test.index").write_text("".join(f"{node}\n" for node in order))
    parts = {"train": np.arange(train), "val": np.arange(train, train + 500), "test": np.sort(order)}
    return Tiny(card.name, root, x, y, edges, parts)


def _npz(card, root: Path) -> Tiny:
    x, y, edges = _graph(120, 11, 4)
    directed = sp.csr_matrix((np.ones(len(edges), np.float32), edges.T), shape=(120, 120)).tolil()
    directed[7, 7] = 1  # one self-loop, as Photo has
    adjacency, attributes = directed.tocsr(), sp.csr_matrix(x * 3)  # counts, which the loader binarises
    path = root / card.files[0].path
    path.parent.mkdir(parents=True)
    arrays = {}
    for prefix, matrix in (("adj", adjacency), ("attr", attributes)):
        keys = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr, "shape": matrix.shape}
        arrays |= {f"{prefix}_{key}": np.asarray(value) for key, value in keys.items()}
    np.savez_compressed(path, labels=y, **arrays)
    return Tiny(card.name, root, x, y, edges, None)


def _flickr(card, root: Path) -> Tiny:
    x, y, edges = _graph(60, 7, 3)
    x = np.random.default_rng(2).normal(size=x.shape)
    both = np.concatenate([edges, edges[:, ::-1]])
    adjacency = sp.csr_matrix((np.ones(len(both), np.float32), both.T), shape=(60, 60))
    folder = root / "Flickr" / "raw"
    folder.mkdir(parents=True)
    np.savez(
        folder / "adj_full.npz",
        data=adjacency.data,
        indices=adjacency.indices,
        indptr=adjacency.indptr,
        shape=adjacency.shape,
    )
    np.save(folder / "feats.npy", x)
    (folder / "class_map.json").write_text(json.dumps({str(node): int(label) for node, label in enumerate(y)}))
    parts = {"train": np.arange(0, 30), "val": np.arange(30, 45), "test": np.arange(45, 60)}
    roles = zip(("tr", "va", "te"), parts.values(), strict=True)
    (folder / "role.json").write_text(json.dumps({role: nodes.tolist() for role, nodes in roles}))
    return Tiny(card.name, root, x.astype(np.float32), y, edges, parts)


def _ogb(card, root: Path) -> Tiny:
    x, y, edges = _graph(50, 6, 5)
    x = np.round(np.random.default_rng(3).normal(size=x.shape), 4).astype(np.float32)
    parts = {"train": np.arange(0, 25), "val": np.arange(25, 35), "test": np.arange(35, 50)}
    tables = {"edge": edges, "node-feat": x, "node-label": y[:, None], "node_year": np.full((50, 1), 2015)}
    tables |= {"num-node-list": [[50]], "num-edge-list": [[len(edges)]]}
    tables |= {name: parts[part][:, None] for name, part in (("train", "train"), ("valid", "val"), ("test", "test"))}
    for file in card.files:
        path = root / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("")
            continue
        lines = [",".join(str(value) for value in row) for row in np.asarray(tables[file.name.split(".")[0]]).tolist()]
        path.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n"))
    return Tiny(card.name, root, x, y, edges, parts)


def _heterophilous(card, root: Path) -> Tiny:
    x, y, edges = _graph(60, 7, 3)
    rng = np.random.default_rng(4)
    turns = [rng.permutation(60) for _ in range(10)]
    masks = {f"{part}_masks": np.zeros((10, 60), bool) for part in ("train", "val", "test")}
    for index, order in enumerate(turns):
        for part, nodes in zip(masks, np.split(order, [30, 45]), strict=True):
            masks[part][index, nodes] = True
    path = root / card.files[0].path
    path.parent.mkdir(parents=True)
    np.savez_compressed(path, node_features=x, node_labels=y, edges=edges, **masks)
    parts = {part: np.flatnonzero(masks[f"{part}_masks"][0]) for part in ("train", "val", "test")}
    return Tiny(card.name, root, x, y, edges, parts)


def _pyg(card, root: Path) -> Tiny:
    if card.loader.dataset_class == "CitationFull":
        return _npz(card, root)
    x, y, edges = _graph(60, 7, 3)
    rng = np.random.default_rng(5)
    parts = {"train": 20, "val": 10, "stopping": 10}
    masks = {f"{part}_masks": np.zeros((20, 60), int) for part in parts}
    for index in range(20):
        for part, nodes in zip(parts, np.split(rng.permutation(40), [20, 30]), strict=True):
            masks[f"{part}_masks"][index, nodes] = 1
    links: list[list[int]] = [[] for _ in range(60)]
    for low, high in edges.tolist():
        links[low].append(high)
    content = {
        "features": x.tolist(),
        "labels": y.tolist(),
        "links": links,
        "test_mask": [node >= 40 for node in range(60)],
    }
    path = root / card.files[0].path
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content | {name: mask.tolist() for name, mask in masks.items()}))
    first = {part: np.flatnonzero(masks[f"{part}_masks"][0]) for part in ("train", "val")}
    return Tiny(card.name, root, x, y, edges, {**first, "test": np.arange(40, 60)})


WRITERS = {
    "pyg": _pyg,
    "heterophilous": _heterophilous,
    "planetoid": _planetoid,
    "amazon": _npz,
    "coauthor": _npz,
    "flickr": _flickr,
    "ogb": _ogb,
}
