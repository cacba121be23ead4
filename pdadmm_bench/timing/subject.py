"""The subject of a measurement: an optimizer in training on one device."""

from __future__ import annotations

from typing import Any

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.optim.base import Optimizer
from pdadmm_bench.parallel.group import Group
from pdadmm_bench.parallel.layout import ProblemShape
from pdadmm_bench.timing.stopwatch import timed
from pdadmm_bench.training.setup import check_device, resolve
from pdadmm_bench.training.worker import Worker


class Unsupported(UserError):
    """The request is valid, but the optimizer, or this machine, cannot fulfil it."""


class Subject:
    """An optimizer in training on one device, as a run sets it up; calling it makes one iteration.

    Raises :class:`Unsupported` for a spec that the optimizer cannot run, :class:`UserError` for one that is not valid.
    """

    def __init__(self, spec: RunSpec, problem: Problem):
        resolved = resolve(spec, ProblemShape.of(problem, spec.model))
        if reason := resolved.unsupported:
            raise Unsupported(reason)
        try:
            check_device(spec, resolved.device)
        except UserError as error:
            raise Unsupported(str(error)) from None
        self.spec, self.problem, self.device = spec, problem, resolved.device
        self.optimizer: Optimizer[Any] = resolved.optimizer
        self.threads = resolved.threads
        self._worker = Worker(resolved, problem, Group())
        with self._worker.links() as links:
            self._worker.start(self._worker.on_device(self._worker.initial_layers()), links)
        self.first_s = timed(self, self.device)

    @property
    def state(self) -> Any:
        """The optimizer's state."""
        return self._worker.state

    def claim_torch(self) -> None:
        """Set torch's global switches for this subject."""
        self._worker.claim_torch()

    def eager(self) -> None:
        """One iteration without a CUDA graph, whose operations can be observed."""
        self.optimizer.step(self.state)

    def __call__(self) -> None:
        self._worker.step()
