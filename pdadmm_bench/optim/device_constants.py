"""What a kind of device says about batching and compiling: from which size on they save time there.

A CPU's constants are measured (docs/results.md). Those of CUDA devices are computed from two rates of a data sheet and
have not been measured on a device; ``pdadmm-bench selftest`` measures what they should be.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pdadmm_bench.optim.admm.buffers import BLOCK_VALUES

ARRAYS = 3
"""Arrays that an elementwise operation reads or writes: two factors, one result."""
FUSED_ARRAYS = 45
"""Reads and writes of arrays of a layer's size that compiled passes save in an iteration (:mod:`.admm.elementwise`)."""
FUSED_KERNELS = 20
"""Operations of a layer's iteration that compiled passes save."""


@dataclass(frozen=True)
class DeviceConstants:
    """The constants of a kind of device."""

    batch_values: int
    """Equal layers are batched where their arrays together have at most this many values."""
    saved_per_value_s: float
    """Seconds that compiling saves per value of a hidden layer and iteration."""
    saved_per_layer_s: float
    """Seconds that it saves per hidden layer and iteration, whatever the size."""
    compile_s: float
    """Seconds that compiling costs a process."""

    def compiling_pays(self, rows: int, hidden: int, layers: int, iterations: int) -> bool:
        """Whether a run with so many training rows, units, hidden layers and iterations saves more than it costs."""
        per_layer = rows * hidden * self.saved_per_value_s + self.saved_per_layer_s
        return per_layer * layers * iterations >= self.compile_s


def constants_from_rates(memory_bytes_per_s: float, launch_s: float, compile_s: float) -> DeviceConstants:
    """The constants of a device that launches kernels.

    Args:
        memory_bytes_per_s: rate of elementwise operations.
        launch_s: seconds between the starts of two small kernels.
        compile_s: seconds that compiling costs a process.

    A batch is as large as an operation that takes as long as its launch. Compiling saves passes over memory, and
    launches.
    """
    return DeviceConstants(
        batch_values=int(memory_bytes_per_s * launch_s / (ARRAYS * 4)),
        saved_per_value_s=FUSED_ARRAYS * 4 / memory_bytes_per_s,
        saved_per_layer_s=FUSED_KERNELS * launch_s,
        compile_s=compile_s,
    )


CPU = DeviceConstants(batch_values=BLOCK_VALUES, saved_per_value_s=1.8e-9, saved_per_layer_s=0.0, compile_s=7.2)
"""Elementwise work of a batch stays in a cache. Compiling costs 3 s with the kernels in the cache and 16 s without; it
pays from 4e9 values on."""
CUDA = constants_from_rates(memory_bytes_per_s=3e12, launch_s=5e-6, compile_s=20.0)
"""Rates of the data sheet of a device with HBM3, and torch's usual time of a launch."""


def constants_of(device: torch.device) -> DeviceConstants:
    """The constants of this kind of device."""
    return CPU if device.type == "cpu" else CUDA
