"""The version of the accuracy protocol (docs/protocol.md), and the settings in which a run departs from it.

The version is raised whenever a number made before is no longer comparable with one made after.
"""

from __future__ import annotations

from pdadmm_bench.core.spec import RunSpec

VERSION = 3
FIXED = (
    "split", "hops", "normalize", "feature_scale", "train_per_class", "num_val", "num_test",
    "train_fraction", "stratified", "split_index", "reduce", "batch_size", "precision", "preset", "set",
)  # fmt: skip
"""What the protocol fixes: rows, features, full batches, precision, and that hyperparameters are the chosen ones."""
FEW_LABELS = {"reduce": "rows"}
MANY_LABELS = {"split": "fraction", "reduce": "256"}
"""Features in the coordinates of the training rows, or in 256 principal ones. Mini-batches are a choice of the
method where many rows are labelled."""


CUSTOM = "custom data"
"""Ends the name of a dataset that no card describes: a graph or rows of the user's own."""


def is_custom(dataset: str) -> bool:
    """Whether the name of a dataset says that no card describes it."""
    return dataset == CUSTOM or dataset.endswith(f"({CUSTOM})")


def protocol(spec: RunSpec) -> str:
    """``3``, or ``3 but hops=1``: the version, and every setting in which the run departs from it."""
    many = spec.data.split == "fraction"
    flat, fixed = spec.flat(), {**RunSpec().flat(), **(MANY_LABELS if many else FEW_LABELS)}
    named = [name for name in FIXED if flat[name] != fixed[name] and not (many and name == "batch_size")]
    departures = [CUSTOM] if is_custom(spec.data.dataset) else []
    departures += [f"{name}={flat[name]}" for name in named]
    return f"{VERSION} but {' '.join(departures)}" if departures else str(VERSION)


def note(versions: list[str | None]) -> str:
    """One line under a result about the protocols of its runs, None where a row is older than the protocol."""
    named = sorted({"none (an older run)" if version is None else version for version in versions})
    return f"protocol: {'; '.join(named)} (docs/protocol.md)"
