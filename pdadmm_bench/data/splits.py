"""Which nodes train, validate and test: the kinds of splits by name.

A kind is a :class:`SplitKind` in :data:`SPLITS`. Its name and its settings are also in ``core/spec.py``. Which datasets
it is for is in ``Split.refusals`` of ``data/cards.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.seeds import derive
from pdadmm_bench.core.spec import RECORDED_SPLITS, DataSpec
from pdadmm_bench.data.cards import Card
from pdadmm_bench.data.problem import PARTS

if TYPE_CHECKING:
    from pdadmm_bench.data.graphs import Graph

Parts = dict[str, Tensor]
"""Node indices of ``train``, ``val`` and ``test``."""


class SplitKind(Protocol):
    """One way to say which nodes train, validate and test."""

    settings: tuple[str, ...]
    """The settings of a ``DataSpec`` that it depends on; for it, the settings of the other kinds do nothing."""

    def counts(self, card: Card, spec: DataSpec) -> dict[str, int]:
        """The number of nodes of each part, as far as the card gives it without the data."""

    def parts(self, card: Card, graph: Graph, settings: Mapping[str, Any], report: Callable[[str], None]) -> Parts:
        """The split of the nodes of ``graph``: sorted node indices.

        Args:
            settings: values of :attr:`settings` by name.
            report: takes warnings, one line at a time.

        Raises :class:`UserError` for settings that the graph cannot meet.
        """

    def label(self, settings: Mapping[str, Any]) -> str:
        """The name of the split in result rows, with what tells it from others of its kind."""


class PublicSplit:
    """The split that the source of the dataset publishes."""

    settings: tuple[str, ...] = ()

    def counts(self, card: Card, spec: DataSpec) -> dict[str, int]:
        return {part: getattr(card.split, part) or 0 for part in PARTS}

    def parts(self, card: Card, graph: Graph, settings: Mapping[str, Any], report: Callable[[str], None]) -> Parts:
        return graph.splits[0]

    def label(self, settings: Mapping[str, Any]) -> str:
        return "public"


class FullSplit:
    """The validation and test nodes of the public split; all other labelled nodes train.

    Chen, Ma, Xiao: FastGCN. ICLR 2018. arXiv:1801.10247 trained so on Planetoid's graphs.
    """

    settings: tuple[str, ...] = ()

    def counts(self, card: Card, spec: DataSpec) -> dict[str, int]:
        held = {part: getattr(card.split, part) or 0 for part in ("val", "test")}
        return {"train": card.sizes.nodes - card.unlabelled - sum(held.values()), **held}

    def parts(self, card: Card, graph: Graph, settings: Mapping[str, Any], report: Callable[[str], None]) -> Parts:
        public = graph.splits[0]
        free = graph.labelled()
        free[public["val"]] = False
        free[public["test"]] = False
        return {**public, "train": free.nonzero().view(-1)}

    def label(self, settings: Mapping[str, Any]) -> str:
        return "full"


class GivenSplit:
    """One of the splits that came with the data, by its index."""

    settings: tuple[str, ...] = ("split_index",)

    def counts(self, card: Card, spec: DataSpec) -> dict[str, int]:
        _check_index(spec.split_index, card.split.num_given, card.name)
        return {part: getattr(card.split, part) or 0 for part in PARTS}

    def parts(self, card: Card, graph: Graph, settings: Mapping[str, Any], report: Callable[[str], None]) -> Parts:
        _check_index(settings["split_index"], len(graph.splits), card.name)
        return graph.splits[settings["split_index"]]

    def label(self, settings: Mapping[str, Any]) -> str:
        return f"given {settings['split_index']}"


def _check_index(index: int, count: int, name: str) -> None:
    if index >= count:
        splits = "1 split" if count == 1 else f"{count} splits"
        raise UserError(f"--split-index {index}: dataset {name!r} came with {splits}, 0 to {count - 1}")


class PerClassSplit:
    """As many training nodes of each class as asked, then test and validation nodes of the rest, drawn by a seed."""

    settings: tuple[str, ...] = ("split_seed", "train_per_class", "num_val", "num_test")

    def counts(self, card: Card, spec: DataSpec) -> dict[str, int]:
        train = spec.train_per_class * card.sizes.classes
        left = max(0, card.sizes.nodes - train)
        test = min(spec.num_test, left)
        return {"train": train, "val": min(spec.num_val, left - test), "test": test}

    def parts(self, card: Card, graph: Graph, settings: Mapping[str, Any], report: Callable[[str], None]) -> Parts:
        counts = {name: settings[name] for name in ("train_per_class", "num_val", "num_test")}
        if card.generated:
            counts = fitted(card, counts, report)
        return random_split(graph.y, card.sizes.classes, seed=settings["split_seed"], **counts)

    def label(self, settings: Mapping[str, Any]) -> str:
        return RECORDED_SPLITS["per-class"]


class FractionSplit:
    """A share of all labelled nodes trains, and the rest is halved into validation and test, drawn by a seed."""

    settings: tuple[str, ...] = ("split_seed", "train_fraction", "stratified")

    def counts(self, card: Card, spec: DataSpec) -> dict[str, int]:
        sizes = shares(card.sizes.nodes - card.unlabelled, spec.train_fraction)
        return dict(zip(PARTS, sizes, strict=True))

    def parts(self, card: Card, graph: Graph, settings: Mapping[str, Any], report: Callable[[str], None]) -> Parts:
        nodes = graph.labelled().nonzero().view(-1)
        parts = fraction_split(
            graph.y[nodes],
            card.sizes.classes,
            train_fraction=settings["train_fraction"],
            stratified=settings["stratified"],
            seed=settings["split_seed"],
        )
        return {name: nodes[chosen] for name, chosen in parts.items()}

    def label(self, settings: Mapping[str, Any]) -> str:
        return f"fraction {settings['train_fraction']:g}{' stratified' if settings['stratified'] else ''}"


SPLITS: dict[str, SplitKind] = {
    "public": PublicSplit(),
    "full": FullSplit(),
    "given": GivenSplit(),
    RECORDED_SPLITS["per-class"]: PerClassSplit(),
    "fraction": FractionSplit(),
}
"""Every kind by the name that specs and keys have for it."""
_SHOWN = {recorded: name for name, recorded in RECORDED_SPLITS.items()}


def split_name(card: Card, spec: DataSpec) -> str:
    """The kind that ``spec`` asks for; ``auto`` is the card's own.

    Raises :class:`UserError` for a dataset that cannot be split this way, with the kinds that it can.
    """
    name = card.split.kind if spec.split == "auto" else spec.split
    refusals = card.split.refusals()
    reason = refusals[_SHOWN.get(name, name)]
    if reason:
        possible = ", ".join(kind for kind, refused in refusals.items() if refused is None)
        raise UserError(f"--split {name}: dataset {card.name!r} has no {name} split, since {reason}; it has {possible}")
    return name


def split_counts(card: Card, spec: DataSpec) -> dict[str, int]:
    """The number of training, validation and test nodes of ``spec``, as far as the card gives it without the data.

    Raises :class:`UserError` for a dataset that cannot be split this way.
    """
    return SPLITS[split_name(card, spec)].counts(card, spec)


def idle_settings(name: str) -> set[str]:
    """The settings of other kinds, which do nothing for the kind ``name``."""
    return {setting for kind in SPLITS.values() for setting in kind.settings} - set(SPLITS[name].settings)


def shares(count: int, train_fraction: float) -> tuple[int, int, int]:
    """(train, val, test) of ``count`` nodes: the share rounded down, and the rest halved, an odd node to test."""
    train = int(count * train_fraction + 1e-9)  # 0.29 · 100 is 28.999999999999996
    val = (count - train) // 2
    return train, val, count - train - val


def fraction_split(
    y: Tensor, num_classes: int, *, train_fraction: float, stratified: bool, seed: int
) -> dict[str, Tensor]:
    """Disjoint sorted node indices that cover all nodes, as many as :func:`shares` says.

    A stratified split has its share of each class in each part, up to one node. Raises :class:`UserError` where a
    part, or a part of a class, would be empty, with the counts.
    """
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(derive("split", seed)))
    groups = [order[y[order] == label] for label in range(num_classes)] if stratified else [order]
    counts = [len(group) for group in groups]
    num_train, num_val, _ = shares(len(y), train_fraction)
    train = apportioned(num_train, [count * train_fraction for count in counts])
    left = [count - taken for count, taken in zip(counts, train, strict=True)]
    val = apportioned(num_val, [count / 2 for count in left])
    sizes = [(t, v, count - t - v) for t, v, count in zip(train, val, counts, strict=True)]
    small = {label: count for label, (count, size) in enumerate(zip(counts, sizes, strict=True)) if min(size) < 1}
    if small:
        each, listed = " of every class", ", ".join(f"class {label} has {count}" for label, count in small.items())
        if not stratified:
            each, listed = "", f"there are {len(y)}"
        raise UserError(
            f"--train-fraction {train_fraction:g} needs a node{each} for each of training, validation and test, "
            f"but {listed} nodes"
        )
    parts = zip(*(group.split(size) for group, size in zip(groups, sizes, strict=True)), strict=True)
    return {name: torch.cat(part).sort().values for name, part in zip(PARTS, parts, strict=True)}


def apportioned(total: int, quotas: list[float]) -> list[int]:
    """``total`` seats for ``quotas`` of about this sum: each rounded down, what is left to the largest remainders."""
    seats = [int(quota + 1e-9) for quota in quotas]
    by_remainder = sorted(range(len(quotas)), key=lambda index: seats[index] - quotas[index])
    for index in by_remainder[: total - sum(seats)]:
        seats[index] += 1
    return seats


def random_split(
    y: Tensor, num_classes: int, *, train_per_class: int, num_val: int, num_test: int, seed: int
) -> dict[str, Tensor]:
    """Disjoint sorted node indices: ``train_per_class`` of each class, then test, then validation nodes of the rest.

    ``seed`` is the split's own; the weights of a network are drawn from another axis. Raises :class:`UserError` when
    a class or the remainder is too small, with the counts.
    """
    counts = torch.bincount(y, minlength=num_classes).tolist()
    small = {label: count for label, count in enumerate(counts) if count < train_per_class}
    if small:
        listed = ", ".join(f"class {label} has {count}" for label, count in small.items())
        raise UserError(f"--split per-class wants {train_per_class} training nodes per class, but {listed} nodes")
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(derive("split", seed)))
    by_class = order[torch.sort(y[order], stable=True).indices]
    starts = torch.tensor([0, *counts[:-1]]).cumsum(0)
    train = (starts[:, None] + torch.arange(train_per_class)).view(-1)
    train = by_class[train]
    free = torch.ones(len(y), dtype=torch.bool)
    free[train] = False
    rest = order[free[order]]
    if len(rest) < num_test + num_val:
        raise UserError(
            f"--split per-class wants {num_test} test and {num_val} validation nodes, "
            f"but {len(rest)} of {len(y)} nodes are left after {len(train)} for training"
        )
    parts = {"train": train, "val": rest[num_test : num_test + num_val], "test": rest[:num_test]}
    return {name: nodes.sort().values for name, nodes in parts.items()}


def fitted(card: Card, counts: dict[str, int], report: Callable[[str], None]) -> dict[str, int]:
    """Counts that a small generated graph can meet: the default counts are meant for real graphs."""
    left = card.sizes.nodes - counts["train_per_class"] * card.sizes.classes
    if 2 <= left < counts["num_val"] + counts["num_test"]:
        test = max(1, min(left - 1, left * counts["num_test"] // (counts["num_val"] + counts["num_test"])))
        report(f"warning: {card.name} leaves {left} nodes after training: {left - test} validation and {test} test")
        return counts | {"num_val": left - test, "num_test": test}
    return counts
