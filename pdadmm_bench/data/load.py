"""The entry point of the data layer: :func:`load_problem` turns a ``DataSpec`` into a ``Problem``."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pdadmm_bench.core.denormals import flushed_denormals
from pdadmm_bench.core.spec import DataSpec
from pdadmm_bench.data.cache import Places, cache_folder
from pdadmm_bench.data.cache import data_root as checked_root
from pdadmm_bench.data.cards import Card
from pdadmm_bench.data.catalog import load_card
from pdadmm_bench.data.problem import PARTS, Problem, Rows, rows_digest
from pdadmm_bench.data.reduce import REDUCE_VERSION, reduced
from pdadmm_bench.data.splits import SPLITS, split_name
from pdadmm_bench.data.stage import known_digests, staged
from pdadmm_bench.data.stored import read, write

if TYPE_CHECKING:
    from pdadmm_bench.data.graphs import Graph

FEATURES_VERSION = 1
"""Part of the key of cached features. Raise it whenever the same files or parameters would give other rows."""

SPLIT_FACTS = ("train_fraction", "stratified", "split_index")
"""Settings of a split that its rows name, where its kind has them."""


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


@flushed_denormals()  # usually the first parallel operations of a process
def load_problem(
    spec: DataSpec,
    *,
    data_root: Path | None = None,
    cache: Path | None = None,
    offline: bool = False,
    report: Callable[[str], None] = _to_stderr,
) -> Problem:
    """The rows that ``spec`` asks for, scaled as it says.

    They come from the cache of features, or they are computed and put there. Reduced features are kept beside them.

    Args:
        spec: dataset, split, hops, scale, reduction.
        data_root: folder laid out as PyG roots, only read; default ``PDADMM_BENCH_DATA``, if set.
        cache: where raw files and features are kept; default ``PDADMM_BENCH_CACHE``, else the platform's folder.
        offline: never use the network.
        report: takes warnings and progress, one line at a time.

    Raises :class:`UserError` for a spec that cannot be met or a cache that cannot be written, and its subclass
    :class:`DataError` for files that are missing or not what the card says.
    """
    card, places = load_card(spec.dataset), places_for(data_root, cache, offline, report)
    return replace(_cached(spec, card, places, report), settings=spec)


def problem_of(card: Card, graph: Graph, spec: DataSpec, report: Callable[[str], None]) -> Problem:
    """The rows of ``graph`` that ``spec`` asks for, scaled and reduced as it says, without the cache."""
    problem = _scaled(_compute(card, graph, _choice(card, spec), report), spec)
    return problem if spec.reduce == "none" else reduced(problem, spec.reduce, report)


def _cached(spec: DataSpec, card: Card, places: Places, report: Callable[[str], None]) -> Problem:
    """The rows from the cache; else they are computed and put there."""
    if spec.reduce == "none":
        return _scaled(_load(spec, card, places, report), spec)
    path = _reduced_path(spec, card, places)
    problem = read(path, report) if path is not None else None
    if problem is None:
        problem = reduced(_scaled(_load(spec, card, places, report), spec), spec.reduce, report)
        problem.facts["dataset_cache_hit"] = False  # of the coordinates
        path = path or _reduced_path(spec, card, places)
        if path is not None:
            write(path, problem, places.cache)
    return problem


def _scaled(problem: Problem, spec: DataSpec) -> Problem:
    """The hop features, each block of columns divided as ``spec`` says."""
    problem.facts["dataset_feature_scale"] = spec.feature_scale
    if spec.feature_scale == "none":
        return problem
    return problem.unit_scaled(blocks=spec.hops + 1 if spec.feature_scale == "hop" else 1)


def _load(spec: DataSpec, card: Card, places: Places, report: Callable[[str], None]) -> Problem:
    choice = _choice(card, spec)
    digests = known_digests(card, places)
    if digests is not None:
        path = _features_path(places.cache, card, choice, digests)
        problem = read(path, report)
        if problem is not None:
            return problem
    with staged(card, places) as files:
        from pdadmm_bench.data.graphs import load_graph

        graph = load_graph(card, files.root)
        problem = _compute(card, graph, choice, report)
    problem.facts["dataset_source"] = files.source or "generated"
    write(_features_path(places.cache, card, choice, files.digests), problem, places.cache)
    return problem


@dataclass(frozen=True)
class DataStatus:
    """What is known about the rows of a :class:`DataSpec` before anything is fetched or computed."""

    key: str | None
    """Identifies the rows by files, loader, split and hops. None where the digest of an absent file is not known."""
    ready: bool
    """The rows are in the cache."""
    missing: tuple[str, ...]
    """Paths of the files that are not on this machine; empty where the rows are ready."""


def look_for(spec: DataSpec, *, data_root: Path | None = None, cache: Path | None = None) -> DataStatus:
    """Look for the rows of ``spec`` without fetching, computing or loading. Raises what :func:`load_problem` raises."""
    card = load_card(spec.dataset)
    places = places_for(data_root, cache, offline=True, report=_to_stderr)
    choice = _choice(card, spec)
    digests = known_digests(card, places)
    path = None if digests is None else _features_path(places.cache, card, choice, digests)
    ready = path is not None and path.is_file()
    if spec.reduce != "none" and not ready:
        coordinates = _reduced_path(spec, card, places)
        ready = coordinates is not None and coordinates.is_file()
    missing = () if ready else tuple(file.path for file in card.files if places.find(file) is None)
    return DataStatus(key=path.stem if path else None, ready=ready, missing=missing)


def places_for(data_root: Path | None, cache: Path | None, offline: bool, report: Callable[[str], None]) -> Places:
    """Where files are looked for: in the folders given, else in those of the variables, else in the platform's cache.

    Raises :class:`DataError` for a data root that is not a folder.
    """
    return Places(data_root=checked_root(data_root), cache=cache_folder(cache), offline=offline, report=report)


def _choice(card: Card, spec: DataSpec) -> dict[str, Any]:
    """The settings of ``spec`` that the rows depend on."""
    split = split_name(card, spec)
    own = {name: getattr(spec, name) for name in SPLITS[split].settings}
    return {"split": split, "hops": spec.hops, "normalize": spec.normalize, **own}


def _features_path(cache: Path, card: Card, choice: dict[str, Any], digests: dict[str, str]) -> Path:
    made_of: dict[str, Any] = {"version": FEATURES_VERSION, "card": card.name, "loader": card.loader.identity}
    made_of |= {"files": digests, "sizes": card.sizes.model_dump(), "choice": choice}
    if card.generated:
        made_of["split"] = card.split.model_dump(exclude={"masks"} if card.split.masks is None else None)
    key = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    return cache / "features" / f"{card.name.partition('[')[0]}-{key[:32]}.pt"


def _reduced_path(spec: DataSpec, card: Card, places: Places) -> Path | None:
    """Where the coordinates of ``spec`` are kept, beside its features; None for absent files of unknown digest."""
    digests = known_digests(card, places)
    if digests is None:
        return None
    features = _features_path(places.cache, card, _choice(card, spec), digests)
    made_of = {"version": REDUCE_VERSION, "features": features.stem, "scale": spec.feature_scale, "reduce": spec.reduce}
    key = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    return features.with_name(f"{card.name.partition('[')[0]}-reduced-{key[:32]}.pt")


def _compute(card: Card, graph: Graph, choice: dict[str, Any], report: Callable[[str], None]) -> Problem:
    from pdadmm_bench.data.features import hop_features

    kind = SPLITS[choice["split"]]
    parts = kind.parts(card, graph, choice, report)
    sizes = [len(parts[part]) for part in PARTS]
    nodes = torch.cat([parts[part] for part in PARTS])
    x = hop_features(graph.x, graph.edge_index, nodes, hops=choice["hops"], normalize=choice["normalize"])
    y = graph.y[nodes]
    rows = {part: Rows(x=x, y=y) for part, x, y in zip(PARTS, x.split(sizes), y.split(sizes), strict=True)}
    sha256 = rows_digest(rows.values())
    return Problem(
        name=card.name,
        split=kind.label(choice),
        num_classes=card.sizes.classes,
        train=rows["train"],
        val=rows["val"],
        test=rows["test"],
        sha256=sha256,
        facts={
            "dataset_nodes": len(graph.x),
            "dataset_edges": graph.edge_index.shape[1],
            "dataset_features": graph.x.shape[1],
            "dataset_classes": card.sizes.classes,
            "dataset_hops": choice["hops"],
            "dataset_normalize": choice["normalize"],
            "dataset_split_seed": choice.get("split_seed"),
            **{f"dataset_{name}": choice[name] for name in SPLIT_FACTS if name in choice},
            **{f"dataset_{part}_count": count for part, count in zip(PARTS, sizes, strict=True)},
            "dataset_sha256": sha256,
            "dataset_version": card.version,
            "dataset_source": None,
            "dataset_cache_hit": False,
        },
    )
