"""The settings of a run by name and type, for editors and type checkers.

Meaning, default and bounds of each are in :mod:`pdadmm_bench.core.spec`; a test compares the names.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict


class DataSettings(TypedDict, total=False):
    """Which rows and features a problem has: the fields of ``DataSpec`` without the dataset."""

    split: Literal["auto", "public", "full", "per-class", "fraction", "given", "random"]
    split_seed: int
    train_per_class: int
    num_val: int
    num_test: int
    train_fraction: float
    stratified: bool
    split_index: int
    hops: int
    normalize: bool
    feature_scale: Literal["hop", "unit", "none"]
    reduce: str | int


class RunSettings(TypedDict, total=False):
    """Network, training and layout: fields of ``ModelSpec`` and ``RunSpec`` that are no parameters of :func:`run`."""

    layers: int
    hidden: int
    init: Literal["normal", "he", "identity"]
    preset: str
    set: dict[str, Any]
    warm_start: str
    deepening: Literal["function", "authors"]
    iterations: int
    eval_every: int
    target: float | None
    time_limit: float | None
    device: Literal["auto", "cpu", "cuda"]
    partition: str
    wire: Literal["auto", "fp32", "bf16", "uint8"]
    mesh: str
    schedule: Literal["gpipe", "1f1b", "zero-bubble"]
    microbatches: int | Literal["auto"] | None
    batch_size: int
    threads: int | None
    precision: Literal["fp32", "tf32", "bf16"]
    deterministic: bool
    cuda_graphs: bool
    compile: bool | None


class AllSettings(DataSettings, RunSettings, total=False):
    """Every setting of one run; ``workers`` and ``gpus`` are one setting."""

    dataset: str
    optimizer: str
    seed: int
    workers: int
    gpus: int
