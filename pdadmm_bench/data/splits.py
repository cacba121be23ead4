"""Which nodes train, validate and test."""

from __future__ import annotations

import torch
from torch import Tensor

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.seeds import derive


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
