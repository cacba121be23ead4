"""Which nodes train, validate and test: the kinds of splits by name.

A kind is a :class:`SplitKind` in :data:`SPLITS`. Its name and its settings are also in ``core/spec.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.seeds import derive
from pdadmm_bench.core.spec import DataSpec
from pdadmm_bench.data.cards import Card

Parts = dict[str, Tensor]
"""Node indices of ``train``, ``val`` and ``test``."""


class SplitKind(Protocol):
    """One way to say which nodes train, validate and test."""

    settings: tuple[str, ...]
    """The settings of a ``DataSpec`` that it depends on; for it, the settings of the other kinds do nothing."""

    def check(self, card: Card) -> None:
        """Raise :class:`UserError` for a dataset that cannot be split this way."""

    def counts(self, card: Card, spec: DataSpec) -> dict[str, int]:
        """The number of nodes of each part, as far as the card gives it without the data."""

    def parts(
        self, card: Card, y: Tensor, own: Parts | None, settings: Mapping[str, Any], report: Callable[[str], None]
    ) -> Parts:
        """The split of the nodes with classes ``y`` (N,).

        Args:
            own: the split that came with the data, if one did.
            settings: values of :attr:`settings` by name.
            report: takes warnings, one line at a time.
        """


class PublicSplit:
    """The split that the source of the dataset publishes."""

    settings: tuple[str, ...] = ()

    def check(self, card: Card) -> None:
        if card.split.kind != "public":
            raise UserError(f"dataset {card.name!r} has no public split; ask for --split random")

    def counts(self, card: Card, spec: DataSpec) -> dict[str, int]:
        return {part: getattr(card.split, part) or 0 for part in ("train", "val", "test")}

    def parts(
        self, card: Card, y: Tensor, own: Parts | None, settings: Mapping[str, Any], report: Callable[[str], None]
    ) -> Parts:
        assert own is not None
        return own


class RandomSplit:
    """As many training nodes of each class as asked, then test and validation nodes of the rest, drawn by a seed."""

    settings: tuple[str, ...] = ("split_seed", "train_per_class", "num_val", "num_test")

    def check(self, card: Card) -> None:
        """Every dataset can be split at random."""

    def counts(self, card: Card, spec: DataSpec) -> dict[str, int]:
        train = spec.train_per_class * card.sizes.classes
        left = max(0, card.sizes.nodes - train)
        test = min(spec.num_test, left)
        return {"train": train, "val": min(spec.num_val, left - test), "test": test}

    def parts(
        self, card: Card, y: Tensor, own: Parts | None, settings: Mapping[str, Any], report: Callable[[str], None]
    ) -> Parts:
        counts = {name: settings[name] for name in ("train_per_class", "num_val", "num_test")}
        if card.loader.kind == "sbm":
            counts = fitted(card, counts, report)
        return random_split(y, card.sizes.classes, seed=settings["split_seed"], **counts)


SPLITS: dict[str, SplitKind] = {"public": PublicSplit(), "random": RandomSplit()}
"""Every kind by the name that ``--split`` takes."""


def split_name(card: Card, spec: DataSpec) -> str:
    """The kind that ``spec`` asks for; ``auto`` is the card's own."""
    return card.split.kind if spec.split == "auto" else spec.split


def split_counts(card: Card, spec: DataSpec) -> dict[str, int]:
    """The number of training, validation and test nodes of ``spec``, as far as the card gives it without the data.

    Raises :class:`UserError` for a dataset that cannot be split this way.
    """
    kind = SPLITS[split_name(card, spec)]
    kind.check(card)
    return kind.counts(card, spec)


def idle_settings(name: str) -> set[str]:
    """The settings of other kinds, which do nothing for the kind ``name``."""
    return {setting for kind in SPLITS.values() for setting in kind.settings} - set(SPLITS[name].settings)


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
        raise UserError(f"the random split wants {train_per_class} training nodes per class, but {listed} nodes")
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
            f"the random split wants {num_test} test and {num_val} validation nodes, "
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
