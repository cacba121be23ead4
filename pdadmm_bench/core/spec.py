"""What one training run is: dataset × network × optimizer × workers × seed.

:class:`RunSpec` is the unit of everything else: the runner executes it, a result row carries it, and a suite is a grid
of such units. Paths, tracking and display options are not part of it, since they do not change a result.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from pdadmm_bench.core.errors import UserError, unknown
from pdadmm_bench.core.typed import Typed, build

Initialisation = Literal["normal", "he", "identity"]
MOST_THREADS = 1024
"""The system gives no process tens of thousands of threads; what fails then is whatever needs memory next."""

Schedule = Literal["gpipe", "1f1b", "zero-bubble"]
Deepening = Literal["function", "authors"]

AXIS = r"(layers|rows)=[1-9]\d*"
MESHES = rf"^(layers|rows|auto|{AXIS}|layers=[1-9]\d*,rows=[1-9]\d*)$"
"""What ``mesh`` may be: all workers over layers or over rows, so many over each, or by the cost model."""

RECORDED_SPLITS = {"per-class": "random"}
"""Kinds of splits whose name in specs, rows and keys is an earlier one."""


def mesh_name(layers: int, rows: int) -> str:
    """The mesh of so many workers along the layers and along the rows, as ``mesh`` has it."""
    return f"layers={layers},rows={rows}"


def axes_of(mesh: str, workers: int) -> tuple[int, int] | None:
    """The workers along the layers and along the rows of a mesh; None for ``auto`` over several ``workers``.

    A mesh that names its numbers has those, whatever ``workers`` is.
    """
    if mesh == "auto":
        return (1, 1) if workers == 1 else None
    if mesh in ("layers", "rows"):
        return (workers, 1) if mesh == "layers" else (1, workers)
    sizes = dict(part.split("=") for part in mesh.split(","))
    return int(sizes.get("layers", 1)), int(sizes.get("rows", 1))


def fitting_meshes(meshes: Sequence[str], counts: Sequence[int]) -> dict[int, list[str]]:
    """The meshes for each number of workers: those without numbers for all, the others where their numbers fit.

    Raises :class:`UserError` for a mesh that is none, or that fits no number.
    """
    for mesh in meshes:
        if not re.match(MESHES, mesh) or mesh == "auto":
            raise UserError(f"mesh {mesh!r} is none: give layers, rows, or numbers as in layers=2,rows=2")
        if not any(math.prod(axes_of(mesh, count) or ()) == count for count in counts):
            raise UserError(f"mesh {mesh} fits no number of workers among {', '.join(map(str, counts))}")
    return {count: [mesh for mesh in meshes if math.prod(axes_of(mesh, count) or ()) == count] for count in counts}


class DataSpec(Typed):
    """Which rows and features a run sees."""

    dataset: str = Field("pubmed", description="name of a card, a twin such as pubmed-sbm, or sbm[nodes=2000,...]")
    split: Literal["auto", "public", "full", "per-class", "fraction", "given", "random"] = Field(
        "auto", description="auto takes the card's own split; random is the former name of per-class"
    )
    split_seed: int = Field(0, ge=0, description="seed of a split that is drawn, apart from --seeds")
    train_per_class: int = Field(20, ge=1, description="training nodes per class of --split per-class")
    num_val: int = Field(1000, ge=1, description="validation nodes of --split per-class")
    num_test: int = Field(1000, ge=1, description="test nodes of --split per-class")
    train_fraction: float = Field(
        0.6, gt=0, lt=1, description="share of the nodes that trains with --split fraction; the rest is halved"
    )
    stratified: bool = Field(False, description="--split fraction draws the shares of each class, not of all nodes")
    split_index: int = Field(0, ge=0, description="which of the splits that came with the data --split given takes")
    hops: int = Field(4, ge=0, le=64, description="K of [x, Ãx, …, Ã^K x]")
    normalize: bool = Field(False, description="row-normalise x before the hops")
    feature_scale: Literal["hop", "unit", "none"] = Field(
        "hop", description="what is divided by its root mean square in training: each hop (Ã^k x), or unit: all at once"
    )
    reduce: str = Field(
        "none", description="features as coordinates in so many principal directions of the training rows, as in 256; "
        "rows: in all directions of the training rows; or none",
    )  # fmt: skip

    @field_validator("split", mode="before")
    @classmethod
    def _by_its_recorded_name(cls, split: Any) -> Any:
        """``per-class`` is recorded as ``random``, as it was called first, so that rows, keys and baselines agree."""
        return RECORDED_SPLITS.get(split, split) if isinstance(split, str) else split

    @field_validator("reduce", mode="before")
    @classmethod
    def _directions(cls, reduce: Any) -> Any:
        """A number may be one, as in suites and configuration files, or its text."""
        text = str(reduce) if isinstance(reduce, int) and not isinstance(reduce, bool) else reduce
        if isinstance(text, str) and text not in ("none", "rows"):
            if not text.isdecimal() or int(text) < 1:
                raise ValueError("give a number of directions, at least 1 (as in 256), or rows for all, or none")
            return str(int(text))
        return text


class ModelSpec(Typed):
    """The multilayer perceptron, the same for every optimizer."""

    layers: int = Field(10, ge=2, le=10_000, description="linear layers, the output layer included")
    hidden: int = Field(256, ge=1, le=1_000_000, description="units of every hidden layer")
    init: Initialisation = Field("he", description="starting weights, the same for every optimizer of a seed")


class RunSpec(Typed):
    """One training run, fully named."""

    data: DataSpec = DataSpec()
    model: ModelSpec = ModelSpec()
    optimizer: str = "pdadmm"
    preset: str = Field("default", description="hyperparameter preset: default, published, or none")
    set: dict[str, Any] = Field({}, description="hyperparameters over the preset")
    seed: int = Field(0, ge=0, description="seed of the starting weights")
    warm_start: str = Field(
        "auto", pattern=r"^(auto|none|\d+:\d+(,\d+:\d+)*)$",
        description="shallower networks trained first, layers:iterations, as in 2:60 or 2:200,5:10; or none; "
        "auto: two layers for as many iterations as the run has, if it has more layers",
    )  # fmt: skip
    deepening: Deepening = Field(
        "function", description="what a warm start keeps: the network's function, or all but its output layer"
    )
    iterations: int = Field(200, ge=1, description="iterations (sweeps or full-batch steps)")
    batch_size: int = Field(
        0, ge=0, description="training rows per step of a gradient method, in random order; an iteration is then an "
        "epoch; 0: all rows at once",
    )  # fmt: skip
    eval_every: int = Field(1, ge=1, description="iterations between evaluations")
    target: float | None = Field(None, gt=0, le=1, description="stop at this validation accuracy")
    time_limit: float | None = Field(None, gt=0, description="stop after this many training seconds")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where tensors live")
    gpus: int = Field(1, ge=1, description="workers the layers, or the rows, are split over")
    mesh: str = Field(
        "layers", pattern=MESHES,
        description="what the workers split: layers, rows, both as in layers=4,rows=2, or auto by the cost model",
    )  # fmt: skip
    partition: str = Field("auto", pattern=r"^(auto|even|\d+(,\d+)*)$", description="auto, even, or layers as in 3,4,3")
    wire: Literal["auto", "fp32", "bf16", "uint8"] = Field("auto", description="what crosses between workers")
    schedule: Schedule = Field("gpipe", description="pipeline of the gradient baselines")
    microbatches: int | Literal["auto"] | None = Field(
        None, description="per pipelined step: a number, or auto: the fastest of a measured few (default: 4 × workers)"
    )
    threads: int | None = Field(
        None, ge=1, le=MOST_THREADS, description="CPU threads per worker (default: cores // workers)"
    )
    precision: Literal["fp32", "tf32", "bf16"] = Field("fp32", description="of matrix products; state stays fp32")
    deterministic: bool = Field(False, description="same bits for every partition: equal layers are never batched")
    cuda_graphs: bool = Field(False, description="replay iterations from a CUDA graph (untested on a GPU so far)")
    compile: bool | None = Field(
        None, description="fuse elementwise updates with torch.compile (seconds at the start); default: where it pays"
    )

    @field_validator("microbatches", mode="before")
    @classmethod
    def _number_or_auto(cls, microbatches: Any) -> Any:
        """A number may be its text, as on the command line."""
        if microbatches is None or microbatches == "auto":
            return microbatches
        text = str(microbatches)
        if isinstance(microbatches, bool) or not text.isdecimal() or int(text) < 1:
            raise ValueError("give a number of micro-batches, at least 1 (as in 8), or auto")
        return int(text)

    @property
    def given_microbatches(self) -> int | None:
        """The number of micro-batches that was asked for; None where it is measured, or the default."""
        return None if self.microbatches == "auto" else self.microbatches

    @field_validator("schedule", mode="before")
    @classmethod
    def _contiguous(cls, schedule: Any) -> Any:
        """A schedule that others have is refused with the reason."""
        if schedule == "interleaved-1f1b":
            raise ValueError(
                "its workers have several stages that do not follow each other, and here a worker has contiguous "
                "layers; give 1f1b, or zero-bubble"
            )
        return schedule

    @model_validator(mode="after")
    def _mesh_fits(self) -> RunSpec:
        """The mesh has as many places as there are workers, and no more along the layers than there are layers."""
        if (axes := self.axes()) is None:
            return self
        layers, rows = axes
        if layers * rows != self.gpus:
            raise ValueError(
                f"mesh {self.mesh} has {layers} × {rows} = {layers * rows} workers, and there are {self.gpus}: "
                f"give --workers {layers * rows}, or a mesh of {self.gpus}, such as rows={self.gpus}"
            )
        if layers > self.model.layers:
            workers = f"{layers} workers" if rows == 1 else f"the {layers} workers along the layers of mesh {self.mesh}"
            raise ValueError(f"{workers} need at least as many layers, got {self.model.layers}; mesh can split rows")
        return self

    def axes(self) -> tuple[int, int] | None:
        """The workers along the layers and along the rows; None for ``auto`` over several workers."""
        return axes_of(self.mesh, self.gpus)

    @property
    def splits_rows(self) -> bool:
        """Whether several workers have rows of the same layers, as far as that is known before the data."""
        axes = self.axes()
        return axes is not None and axes[1] > 1

    @property
    def may_split_rows(self) -> bool:
        """The same, or that the mesh is still to be chosen."""
        return self.splits_rows or self.axes() is None

    @model_validator(mode="after")
    def _warm_start_grows(self) -> RunSpec:
        depths = [1, *(layers for layers, _ in self.stages()), self.model.layers]
        if any(deeper <= depth for depth, deeper in pairwise(depths)):
            raise ValueError(
                f"warm start {self.warm_start}: the layers have to grow, from 2 on, to fewer than {self.model.layers}"
            )
        return self

    def stages(self) -> list[tuple[int, int]]:
        """(layers, iterations) of the networks of the warm start, the shallowest first."""
        if self.warm_start == "auto":
            return [(2, self.iterations)] if self.model.layers > 2 else []
        if self.warm_start == "none":
            return []
        pairs = (stage.split(":") for stage in self.warm_start.split(","))
        return [(int(layers), int(iterations)) for layers, iterations in pairs]

    def stages_text(self) -> str:
        """The warm start as text, with ``auto`` resolved."""
        return ",".join(f"{layers}:{iterations}" for layers, iterations in self.stages()) or "none"

    def flat(self) -> dict[str, Any]:
        """Every setting by its own name, without the grouping into data and model."""
        values = self.model_dump()
        return {**values.pop("data"), **values.pop("model"), **values}


LATER = ("train_fraction", "stratified", "split_index", "reduce", "batch_size", "mesh")
"""Settings that did not exist when some rows were recorded. Their defaults are what those runs did, so a setting at its
default is no part of a run's identity."""
EARLIER: dict[str, Any] = {
    "feature_scale": "none",
    "warm_start": "none",
    **{name: default for name, default in RunSpec().flat().items() if name in LATER},
}
"""The values that were in effect before the setting existed, for rows that are older."""


def recorded_spec(text: str) -> dict[str, Any]:
    """The flat settings in a row's ``spec``, as they were when the run was made."""
    return {**EARLIER, **json.loads(text)}


def run_spec(values: dict[str, Any]) -> RunSpec:
    """A :class:`RunSpec` from the flat names of the command line, a file or :meth:`RunSpec.flat`."""
    groups: dict[str, type[Typed]] = {"data": DataSpec, "model": ModelSpec}
    own = [name for name in RunSpec.model_fields if name not in groups]
    valid = [name for group in groups.values() for name in group.model_fields] + own
    for key in values:
        if key not in valid:
            raise unknown("run option", key, valid)
    nested: dict[str, Any] = {
        name: build(group, {key: values[key] for key in group.model_fields if key in values}, "run option")
        for name, group in groups.items()
    }
    return build(RunSpec, {**nested, **{key: values[key] for key in own if key in values}}, "run option")
