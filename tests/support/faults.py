"""Optimizers that fail on one of several workers, registered as a third party would register its own."""

from __future__ import annotations

import atexit
import os
import signal
import time
from pathlib import Path

from pdadmm_bench.optim.admm.pdadmm import PdADMM
from pdadmm_bench.optim.admm.state import PdADMMState

STEP = 5
"""The call of ``step`` that fails: the third iteration after two to warm up."""

LONELY_S = 1.0


class Faulty(PdADMM):
    """pdADMM until worker ``rank`` fails."""

    summary = "fails"
    rank = 1

    def __init__(self, hyperparameters):
        super().__init__(hyperparameters)
        self.calls = 0

    def step(self, state: PdADMMState) -> None:
        self.calls += 1
        if self.calls == STEP and int(os.environ.get("RANK", "0")) == self.rank:
            if self.rank > 0:  # worker 0 has the terminal
                print(f"worker {self.rank} was here", flush=True)
            self.fail()
        super().step(state)

    def fail(self) -> None:
        raise NotImplementedError


class Raises(Faulty):
    """Closes its connections long before its process ends, so that worker 0 ends first."""

    def fail(self) -> None:
        atexit.register(time.sleep, 3)
        raise RuntimeError("the roof is on fire\nsecond line")


class Killed(Faulty):
    def fail(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class FirstKilled(Killed):
    rank = 0


class Hangs(Faulty):
    """Stopped, so that not even SIGTERM ends it."""

    def fail(self) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)


class OutOfMemory(Faulty):
    def fail(self) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")


class Unstartable(PdADMM):
    """Fails before the first run has started."""

    summary = "fails"

    def supports(self, spec):
        if os.environ.get("RANK") == "1":
            raise RuntimeError("no start")
        return super().supports(spec)


class Slow(PdADMM):
    """Says in the folder it runs in that this worker is training."""

    summary = "takes its time"

    def step(self, state: PdADMMState) -> None:
        time.sleep(0.05)
        super().step(state)
        Path(f"training-{os.environ.get('RANK', '0')}").touch()


class Lonely(PdADMM):
    """Takes longer for an iteration alone than workers wait for an exchange."""

    summary = "takes its time"

    def step(self, state: PdADMMState) -> None:
        if state.links.left is state.links.right is None:
            time.sleep(LONELY_S)
        super().step(state)


class Stuck(PdADMM):
    """Takes longer for an evaluation than anybody waits for."""

    summary = "takes its time"

    def predict(self, state, x, block):
        Path("evaluating").touch()
        time.sleep(60)
        return super().predict(state, x, block)
