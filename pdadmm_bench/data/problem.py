"""What a run trains on: the hop features and labels of the training, validation and test rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from pdadmm_bench.core.spec import DataSpec

PARTS = ("train", "val", "test")
"""The parts of a split, in the order in which a problem holds them."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of one part of the split: ``x`` (N, d) float32 and ``y`` (N,) int64."""

    x: Tensor
    y: Tensor

    def to(self, device: torch.device) -> Rows:
        """The same rows on ``device``."""
        return Rows(x=self.x.to(device), y=self.y.to(device))


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A node-classification problem after feature augmentation: d = (hops + 1) × the graph's features."""

    name: str
    split: str
    num_classes: int
    train: Rows
    val: Rows
    test: Rows
    sha256: str
    """Digest of the rows above, for telling whether two results saw the same data."""
    facts: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    """``dataset_*`` values for the result row."""
    fan_in: int | None = None
    """The number of inputs that starting weights are drawn for, where it is not d. Of rotated features it is the number
    before: a Gaussian start keeps its size under a rotation, so the networks start alike."""
    settings: DataSpec | None = None
    """What the rows were made with; None for rows of one's own (:mod:`pdadmm_bench.data.own_rows`)."""

    @property
    def num_features(self) -> int:
        """d, the width of the first layer's input."""
        return self.train.x.shape[1]

    def parts(self) -> dict[str, Rows]:
        """The three parts by name."""
        return {name: getattr(self, name) for name in PARTS}

    def unit_scaled(self, blocks: int = 1) -> Problem:
        """The same problem with each of ``blocks`` equal blocks of columns divided by its root mean square in training.

        He et al.'s start assumes an input with a mean square of 1. With it, penalties and learning rates have the same
        meaning on every graph. With one block per hop, every hop has the same weight; unscaled, Ã^k x shrinks as k
        grows. The digest stays that of the unscaled rows.
        """
        squares = self.train.x.square().mean(dim=0, dtype=torch.float64)
        rms = squares.view(blocks, -1).mean(dim=1).sqrt()
        columns = torch.where(rms > 0, rms, 1.0).float().repeat_interleave(self.num_features // blocks)
        train, val, test = (replace(part, x=part.x / columns) for part in self.parts().values())
        facts = {**self.facts, "dataset_feature_rms": " ".join(f"{value:.6g}" for value in rms.tolist())}
        return replace(self, train=train, val=val, test=test, facts=facts)

    def to(self, device: torch.device) -> Problem:
        """The same problem on ``device``."""
        return replace(self, train=self.train.to(device), val=self.val.to(device), test=self.test.to(device))


def rows_digest(parts: Iterable[Rows]) -> str:
    """SHA-256 of sizes, features and labels of the parts, in hexadecimal."""
    sha = hashlib.sha256()
    for rows in parts:
        sha.update(repr(tuple(rows.x.shape)).encode())
        sha.update(rows.x.contiguous().cpu().numpy().data)
        sha.update(rows.y.contiguous().cpu().numpy().data)
    return sha.hexdigest()
