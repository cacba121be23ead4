"""Iterations replayed from a CUDA graph: the whole sweep is launched at once instead of kernel by kernel.

For a steady state only: what a step decides on the host (a penalty schedule, when to refresh a residual) is not
replayed. Untested on a GPU so far.
"""

from __future__ import annotations

from typing import Any

import torch

from pdadmm_bench.optim.base import Optimizer


class Replay:
    """Steps of one state: the first as usual, which allocates its buffers, then captured once and replayed."""

    def __init__(self, optimizer: Optimizer, state: Any):
        self._optimizer, self._state = optimizer, state
        self._graph: torch.cuda.CUDAGraph | None = None
        self._allocated = False

    def step(self) -> None:
        """One iteration."""
        if not self._allocated:
            self._optimizer.step(self._state)
            self._allocated = True
            return
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):  # records, and runs nothing
                self._optimizer.step(self._state)
        self._graph.replay()
