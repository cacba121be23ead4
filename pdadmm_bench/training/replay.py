"""Iterations replayed from a CUDA graph: a whole sweep is launched at once instead of kernel by kernel.

Only steps without decisions on the host can be replayed. A penalty schedule or a refreshed residual is such a decision.
In a comparison either all optimizers are replayed or none, since a small step is mostly launches.
Replay has not been tested on a GPU yet.
"""

from __future__ import annotations

from typing import Any

import torch

from pdadmm_bench.optim.base import Optimizer


class Replay:
    """Steps of one state. The first is a normal step, which allocates buffers; the later ones are replayed."""

    def __init__(self, optimizer: Optimizer, state: Any):
        self._optimizer, self._state = optimizer, state
        self._graph: torch.cuda.CUDAGraph | None = None
        self._allocated = False

    def prepare(self) -> None:
        """Capture the graph when that is possible, before the second step. It takes longer than a step."""
        if self._allocated and self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):  # records, and runs nothing
                self._optimizer.step(self._state)

    def step(self) -> None:
        """One iteration."""
        self.prepare()
        if self._graph is None:
            self._optimizer.step(self._state)
            self._allocated = True
        else:
            self._graph.replay()
