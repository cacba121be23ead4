"""The resolved run: device, threads, optimizer and layout, decided once on worker 0 and sent to all workers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch

from pdadmm_bench.core.env import threads_per_worker
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.spec import RunSpec, mesh_name
from pdadmm_bench.optim.base import Optimizer
from pdadmm_bench.optim.compiled import compiling_pays, missing_compiler
from pdadmm_bench.optim.create import create_optimizer
from pdadmm_bench.parallel.forecast import chosen_mesh
from pdadmm_bench.parallel.layout import Layout, ProblemShape, layout_of

DETERMINISTIC_CUBLAS = ":4096:8"
"""The workspaces with which cuBLAS gives the same bits in every run (CUDA's documentation of cuBLAS, section on
reproducibility)."""


@dataclass(frozen=True)
class ResolvedRun:
    """A spec, and the decisions that it leaves open."""

    spec: RunSpec
    """With the mesh that was chosen in the place of ``auto``, once the shape is known."""
    device: torch.device
    """The kind of device; a worker uses the current device of its process."""
    threads: int
    """CPU threads of each worker."""
    optimizer: Optimizer[Any]
    """The optimizer with preset and ``set`` applied; it holds no state."""
    shape: ProblemShape | None
    """None as long as the data are not known."""
    layout: Layout | None
    """None as long as the shape is not known."""

    @property
    def pipelined(self) -> bool:
        """Whether several workers go through an iteration as a pipeline."""
        return self.optimizer.cost_profile.parallelism == "pipeline"

    @property
    def unsupported(self) -> str | None:
        """Why the optimizer cannot run this, or None when it can."""
        return self.optimizer.supports(self.spec)


def resolve(
    spec: RunSpec,
    shape: ProblemShape | None = None,
    *,
    device: torch.device | None = None,
    workers: int | None = None,
) -> ResolvedRun:
    """Decide what ``spec`` leaves open.

    Args:
        shape: of the problem, where it is known; the layout, and whether compiling pays, depend on it.
        device: the device, if it was already decided for the whole command.
        workers: the number of workers, if it is not ``spec.gpus``.

    Raises :class:`UserError` for a name, hyperparameter, device, batch size or partition that is not possible.
    """
    workers = workers or spec.gpus
    device = device or choose_device(spec.device, workers)
    if spec.deterministic and device.type == "cuda":  # cuBLAS reads it once, before the first product of the process
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", DETERMINISTIC_CUBLAS)
    if shape:
        check_batch_size(spec, shape.rows)
    optimizer = make_optimizer(spec, device, shape.rows if shape else 0)
    if shape and spec.axes() is None:
        spec = spec.model_copy(update={"mesh": mesh_name(*chosen_mesh(spec, optimizer, shape.widths, shape.rows))})
    return ResolvedRun(
        spec=spec,
        device=device,
        threads=threads_per_worker(spec.threads, int(os.environ.get("LOCAL_WORLD_SIZE", spec.gpus))),
        optimizer=optimizer,
        shape=shape,
        layout=layout_of(spec, optimizer.cost_profile, shape, workers) if shape else None,
    )


def choose_device(wanted: str, workers: int = 1) -> torch.device:
    """The kind of device for ``--device``: CUDA where every worker of this machine gets a device of its own, else CPU.

    Raises :class:`UserError` when ``cuda`` is asked for and there are too few devices.
    """
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    needed = min(workers, int(os.environ.get("LOCAL_WORLD_SIZE", workers)))
    if wanted == "cuda" and present < needed:
        raise UserError(
            f"--device cuda: torch {torch.__version__} sees {present} CUDA devices, and {needed} are needed; "
            "use --device cpu or auto, or fewer --workers"
        )
    return torch.device("cpu" if wanted == "cpu" or present < needed else "cuda")


def check_device(spec: RunSpec, device: torch.device) -> None:
    """Raise :class:`UserError` if the spec asks for something that ``device`` cannot do."""
    if spec.cuda_graphs and device.type != "cuda":
        raise UserError("--cuda-graphs needs a CUDA device; this run is on a CPU")
    if spec.precision == "tf32" and device.type != "cuda":
        raise UserError("--precision tf32 is a format of CUDA devices; on a CPU use fp32 or bf16")


def check_batch_size(spec: RunSpec, rows: int) -> None:
    """Raise :class:`UserError` for mini-batches of more than the ``rows`` training rows there are."""
    if spec.batch_size > rows:
        raise UserError(
            f"--batch-size {spec.batch_size}: there are {rows} training rows; give at most so many, or 0 for all"
        )


def make_optimizer(spec: RunSpec, device: torch.device, rows: int = 0) -> Optimizer[Any]:
    """The spec's optimizer with preset and ``set`` applied; raises :class:`UserError` for a bad name, key or value.

    Args:
        device: where it will run; a compiler is looked for there.
        rows: training rows; whether compiling pays depends on them.
    """
    optimizer = create_optimizer(spec)
    optimizer.device = device.type
    wanted = compiling_pays(spec, rows, device) if spec.compile is None else spec.compile
    optimizer.compile = wanted and optimizer.compiles and missing_compiler(device) is None
    return optimizer
