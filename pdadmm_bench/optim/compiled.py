"""Elementwise updates that torch.compile makes into one loop each, if the run asks for it and a compiler is installed.

The compiled function is the eager one without buffers, so both give the same values to rounding. torch keeps kernels in
a cache between processes. Tracing still costs time in the first step of every process.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from typing import Any

import torch

from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.optim.device_constants import constants_of

ONE_PASS = {"realize_opcount_threshold": 1000, "realize_reads_threshold": 1000}
"""Inductor writes an intermediate array to memory when so many operations or reads lead to it (30 and 4 by default). An
update has about twenty operations on six arrays, so by default an array of a layer's size would be written."""


def compiling_pays(spec: RunSpec, rows: int, device: torch.device) -> bool:
    """Whether a run on ``rows`` training rows is long enough on this device, and may be compiled.

    A deterministic run may not, because the rounding of compiled passes depends on the partition.
    """
    model, constants = spec.model, constants_of(device)
    pays = constants.compiling_pays(rows, model.hidden, model.layers - 1, spec.iterations)
    return pays and not spec.deterministic


def missing_compiler(device: torch.device) -> str | None:
    """Why nothing can be compiled for ``device``, or None. A CPU needs a C++ compiler, CUDA Triton and C."""
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        if not has_triton():
            return "Triton is not installed"
        # Triton compiles the program that launches a kernel; it looks for a compiler in this order.
        compilers = filter(None, [os.environ.get("CC"), "clang", "gcc", "cc"])
        return None if any(map(shutil.which, compilers)) else "no C compiler is installed, which Triton needs"
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
    """Import what torch.compile needs, without the warnings of setuptools, which is imported too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch.utils.cpp_extension  # noqa: F401
