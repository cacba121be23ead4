"""Optimizers as a third party would register them: Adam that fails, that is refused, or that waits for the test."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.optim.gradient.adam import Adam

HOLD_VARIABLE = "PDADMM_BENCH_TEST_HOLD"
HELD_STEP = 5
"""The call of ``step`` that waits: the third iteration, after two to warm up."""
PATIENCE_S = 250


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


class Held(Adam):
    """Waits in its fifth step for as long as the file that :data:`HOLD_VARIABLE` names exists."""

    summary = "waits for the test"

    def __init__(self, hyperparameters):
        super().__init__(hyperparameters)
        self.calls = 0

    def step(self, state):
        self.calls += 1
        hold = Path(os.environ[HOLD_VARIABLE])
        if self.calls == HELD_STEP and hold.exists():
            hold.with_suffix(".reached").touch()
            wait_until(lambda: not hold.exists())
        super().step(state)


@dataclass(frozen=True)
class Hold:
    """The test's side of :class:`Held`."""

    file: Path

    def wait(self) -> None:
        """Return when an optimizer is waiting: it has made two iterations and is in its third."""
        wait_until(self.file.with_suffix(".reached").exists)

    def release(self) -> None:
        """Let every optimizer go on, now and from now on."""
        self.file.unlink()


def wait_until(condition: Callable[[], object]) -> None:
    """Return when ``condition`` holds; it fails the test only when nothing has happened for minutes."""
    limit = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.02)
