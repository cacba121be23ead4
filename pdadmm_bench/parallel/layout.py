"""The layout of a run: which worker holds which layers, and which part of the problem those layers need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.spec import ModelSpec, RunSpec
from pdadmm_bench.data.problem import Problem, Rows
from pdadmm_bench.models import mlp
from pdadmm_bench.optim.cost import CostProfile
from pdadmm_bench.parallel.cost import microbatches_for
from pdadmm_bench.parallel.forecast import planned_blocks


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
    """The layers of every worker, in order, and the settings of the pipeline."""

    blocks: tuple[Block, ...]
    schedule: str | None
    """The schedule of the pipeline; None where the run has no pipeline."""
    microbatches: int
    """The number of micro-batches per step of a pipeline."""

    @property
    def workers(self) -> int:
        """Number of workers."""
        return len(self.blocks)

    @property
    def partition(self) -> str:
        """Layers of each worker, as in ``3,4,3``."""
        return ",".join(str(len(block)) for block in self.blocks)


def layout_of(spec: RunSpec, profile: CostProfile, shape: ProblemShape, workers: int) -> Layout:
    """The layout of ``spec``, whose optimizer has this ``profile``, over this number of ``workers``.

    Raises :class:`~pdadmm_bench.core.errors.UserError` for a partition that does not fit.
    """
    return Layout(
        blocks=tuple(planned_blocks(profile, spec.partition, shape.widths, shape.rows, workers)),
        schedule=spec.schedule if workers > 1 and profile.parallelism == "pipeline" else None,
        microbatches=spec.microbatches or microbatches_for(workers),
    )


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
