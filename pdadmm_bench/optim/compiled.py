"""Elementwise updates compiled into one loop each by torch.compile, where a run asks for it and a compiler is there.

The compiled function is the eager one without buffers, so both compute the same to rounding. Kernels are kept in
torch's cache between processes; the first step of a process still pays for tracing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch

from pdadmm_bench.core.spec import RunSpec

PAYS_VALUES = 4e9
"""Values of hidden layers, counted in every iteration, from which compiling pays for itself. On the two cores of
docs/results.md it saves 1.8 ns per value, and costs 3 s of a process with its kernels in the cache, 16 s without."""


ONE_PASS = {"realize_opcount_threshold": 1000, "realize_reads_threshold": 1000}
"""Inductor writes an intermediate to memory once it has this many operations or reads behind it (30 and 4 unless told
otherwise). An update is a chain of some twenty over six arrays, and one array of a layer's size would be written."""


def compiling_pays(spec: RunSpec, rows: int) -> bool:
    """Whether a run on ``rows`` training rows is long enough; a compiler's rounding depends on the partition."""
    values = rows * spec.model.hidden * (spec.model.layers - 1) * spec.iterations
    return values >= PAYS_VALUES and not spec.deterministic


def missing_compiler(device: torch.device) -> str | None:
    """Why nothing can be compiled for ``device``, or None: a C++ compiler for CPUs, Triton for CUDA."""
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        return None if has_triton() else "Triton is not installed"
    _import_inductor()
    from torch._inductor import cpp_builder, exc

    try:
        cpp_builder.get_cpp_compiler()
    except exc.InvalidCxxCompiler:
        return "no C++ compiler is installed"
    return None


def compile_elementwise(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` compiled to one kernel per shape, in this process, so that no pool of compilers outlives the run."""
    _import_inductor()
    import torch._inductor.config as inductor

    inductor.compile_threads = 1
    return torch.compile(function, dynamic=False, options=dict(ONE_PASS))


def _import_inductor() -> None:
    """Import what torch.compile needs, without the warnings of setuptools, imported on the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch.utils.cpp_extension  # noqa: F401
