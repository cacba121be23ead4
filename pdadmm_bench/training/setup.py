"""What a run needs beside its data, decided once: device, threads, optimizer."""

from __future__ import annotations

import os

import torch

from pdadmm_bench.core import presets
from pdadmm_bench.core.env import cores
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.optim import registry
from pdadmm_bench.optim.base import Optimizer
from pdadmm_bench.optim.compiled import compiling_pays, missing_compiler


def choose_device(wanted: str, workers: int = 1) -> torch.device:
    """The kind of device for ``--device``: CUDA where every worker of this machine gets a device of its own, else CPU.

    Raises :class:`UserError` when ``cuda`` is asked for and there are too few devices.
    """
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    needed = min(workers, int(os.environ.get("LOCAL_WORLD_SIZE", workers)))
    if wanted == "cuda" and present < needed:
        raise UserError(
            f"--device cuda: torch {torch.__version__} sees {present} CUDA devices, and {needed} are needed; "
            "use --device cpu or auto, or fewer --gpus"
        )
    return torch.device("cpu" if wanted == "cpu" or present < needed else "cuda")


def check_device(spec: RunSpec, device: torch.device) -> None:
    """Raise :class:`UserError` for what the spec asks of a device that ``device`` cannot do."""
    if spec.cuda_graphs and device.type != "cuda":
        raise UserError("--cuda-graphs needs a CUDA device; this run is on a CPU")
    if spec.precision == "tf32" and device.type != "cuda":
        raise UserError("--precision tf32 is a format of CUDA devices; on a CPU use fp32 or bf16")


def threads_per_worker(spec: RunSpec) -> int:
    """``--threads``, else ``OMP_NUM_THREADS``, else the cores divided among this machine's workers."""
    if spec.threads:
        return spec.threads
    if os.environ.get("OMP_NUM_THREADS", "").isdigit():
        return max(1, int(os.environ["OMP_NUM_THREADS"]))
    return max(1, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", spec.gpus)))


def make_optimizer(spec: RunSpec, rows: int = 0) -> Optimizer:
    """The spec's optimizer with preset and ``set`` applied; raises :class:`UserError` for a bad name, key or value.

    With the number of training ``rows`` it is the one to be run: whether compiling pays depends on them.
    """
    values = presets.resolve(spec.preset, spec.optimizer, spec.data.dataset, spec.model)
    optimizer: Optimizer = registry.get(spec.optimizer).create({**values, **spec.set}, spec.optimizer)
    optimizer.precision = spec.precision
    optimizer.deterministic = spec.deterministic
    device = choose_device(spec.device, spec.gpus)
    wanted = compiling_pays(spec, rows) if spec.compile is None else spec.compile
    optimizer.compile = wanted and optimizer.compiles and missing_compiler(device) is None
    return optimizer
