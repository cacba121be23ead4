"""The layout of a run: which worker holds which layers and rows, and which part of the problem those need.

The workers form a mesh, layers × rows. Those of a column hold the same layers, each for its part of the training rows,
and have consecutive ranks: sums over rows are the larger messages of most networks, and neighbouring ranks are on one
machine. Those of a row hold the layers of a whole network for the same rows. The process groups are made in
:mod:`.group`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.shard import Shard
from pdadmm_bench.core.spec import ModelSpec, RunSpec, mesh_name
from pdadmm_bench.data.problem import Problem, Rows
from pdadmm_bench.models import mlp
from pdadmm_bench.optim.cost import CostProfile
from pdadmm_bench.parallel.cost import microbatches_for
from pdadmm_bench.parallel.forecast import planned_blocks
from pdadmm_bench.parallel.group import Group, Workers


@dataclass(frozen=True)
class ProblemShape:
    """The sizes that a layout depends on: training rows N, and the widths [n_0, …, n_L] of the network."""

    rows: int
    widths: tuple[int, ...]
    fan_in: int | None = None
    """The number of inputs that starting weights are drawn for, where it is not n_0."""

    @classmethod
    def of(cls, problem: Problem, model: ModelSpec) -> ProblemShape:
        """The shape of ``problem`` for the network ``model``."""
        widths = mlp.widths(model, problem.num_features, problem.num_classes)
        return cls(len(problem.train.x), tuple(widths), problem.fan_in)


@dataclass(frozen=True)
class Layout:
    """The layers and rows of every worker, and the settings of the pipeline."""

    blocks: tuple[Block, ...]
    """The layers of every column of the mesh, in order."""
    schedule: str | None
    """The schedule of the pipeline; None where the run has no pipeline."""
    microbatches: int
    """The number of micro-batches per step of a pipeline."""
    rows: int = 1
    """Workers that share the rows of a block."""

    @property
    def workers(self) -> int:
        """Number of workers."""
        return len(self.blocks) * self.rows

    @property
    def mesh(self) -> str:
        """The axes, as in ``layers=4,rows=2``."""
        return mesh_name(len(self.blocks), self.rows)

    def place(self, rank: int) -> tuple[int, int]:
        """The column of a worker, and its place among the workers of that column."""
        return divmod(rank, self.rows)

    def column(self, rank: int) -> list[int]:
        """The ranks of the workers with the same layers as ``rank``, this one included."""
        first = rank - rank % self.rows
        return list(range(first, first + self.rows))

    def row(self, rank: int) -> list[int]:
        """The ranks of the workers with the same rows as ``rank``, this one included."""
        return list(range(rank % self.rows, self.workers, self.rows))

    @property
    def partition(self) -> str:
        """Layers of each worker, as in ``3,4,3``."""
        return ",".join(str(len(block)) for block in self.blocks)


def layout_of(spec: RunSpec, profile: CostProfile, shape: ProblemShape, workers: int) -> Layout:
    """The layout of ``spec``, whose optimizer has this ``profile``, over this number of ``workers``.

    Raises :class:`~pdadmm_bench.core.errors.UserError` for a partition or a mesh that does not fit.
    """
    axes = spec.axes()
    assert axes is not None, "the run is resolved"
    columns, rows = axes
    assert columns * rows == workers
    check_rows(rows, shape.rows)
    return Layout(
        blocks=tuple(planned_blocks(profile, spec.partition, shape.widths, shape.rows, columns, rows)),
        schedule=spec.schedule if columns > 1 and profile.parallelism == "pipeline" else None,
        microbatches=spec.given_microbatches or microbatches_for(columns),
        rows=rows,
    )


def check_rows(workers: int, rows: int) -> None:
    """Raise :class:`~pdadmm_bench.core.errors.UserError` where there are more workers than training ``rows``."""
    if workers > rows:
        raise UserError(f"{workers} workers cannot share {rows} training rows: give at most {rows} along the rows")


def without_features(problem: Problem) -> Problem:
    """``problem`` with its labels only, as workers without the first layer need it."""
    bare: dict[str, Any] = {
        name: Rows(x=rows.x.new_empty(len(rows.x), 0), y=rows.y) for name, rows in problem.parts().items()
    }
    return replace(problem, **bare)


def local_part(problem: Problem, block: Block) -> Problem:
    """The part of ``problem`` that ``block`` needs: x with the first layer, y with the last."""
    parts: dict[str, Any] = {}
    for name, rows in problem.parts().items():
        x = rows.x if block.is_first else rows.x.new_empty(len(rows.x), 0)
        parts[name] = Rows(x=x, y=rows.y if block.is_last else rows.y.new_empty(0))
    return replace(problem, **parts)


def shared_out(problem: Problem, num_features: int, layout: Layout, group: Group) -> Problem:
    """The rows of each part of ``problem`` that this worker of ``group`` holds; every worker calls it.

    Workers with the first layer need the features of their rows. Where they have no ``problem`` with features, worker 0
    sends them. A part with fewer rows than workers leaves some of them without any.
    """
    if layout.rows == 1:
        return problem
    assert isinstance(group, Workers)
    column, index = layout.place(group.rank)
    has_features = group.gather(problem.num_features == num_features)
    parts: dict[str, Any] = {}
    for name, rows in problem.parts().items():
        shards = [Shard(other, layout.rows, len(rows.x)) for other in range(layout.rows)]
        own = slice(shards[index].start, shards[index].stop)
        x = rows.x.new_empty(len(shards[index]), num_features if column == 0 else 0)
        if column == 0 and has_features[group.rank]:
            x.copy_(rows.x[own])  # to a tensor of its own, so that the memory of all rows can be freed
        elif column == 0:
            group.receive(x, 0)
        if group.rank == 0:
            for rank, shard in zip(layout.column(0), shards, strict=True):
                if not has_features[rank]:
                    group.send(rows.x[shard.start : shard.stop], rank)
        parts[name] = Rows(x=x, y=rows.y[own].clone())
    return replace(problem, **parts)
