"""Optimizers as a third party would register them: one that fails, one that is refused, one that is slow on request."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from hold import HOLD_VARIABLE

from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.optim.admm.pdadmm import PdADMM
from pdadmm_bench.optim.gradient.adam import Adam

HELD_STEP = 5
"""The first call of ``step`` that is slow: the third iteration, after two to warm up."""
HELD_STEP_S = 0.5


class Scripted(Adam):
    """Calls ``script`` with the number of each step, from 0, before the step is made."""

    summary = "does what a test says"
    script: ClassVar[Callable[[int], None]]
    calls: ClassVar[int]

    def step(self, state):
        type(self).calls += 1
        type(self).script(type(self).calls - 1)
        super().step(state)


class Refused(Adam):
    """Cannot run anything."""

    summary = "is refused"

    @classmethod
    def supports(cls, spec: RunSpec) -> str | None:
        return "not on Sundays"


class Held(PdADMM):
    """Slow from its fifth step on, for as long as the file that :data:`HOLD_VARIABLE` names exists.

    Not a gradient method: a process takes two seconds to import what torch's optimizers need.
    """

    summary = "waits for the test"

    def __init__(self, hyperparameters):
        super().__init__(hyperparameters)
        self.calls = 0

    def step(self, state):
        self.calls += 1
        hold = Path(os.environ[HOLD_VARIABLE])
        if self.calls >= HELD_STEP and hold.exists():
            hold.with_suffix(".reached").touch()
            time.sleep(HELD_STEP_S)
        super().step(state)
