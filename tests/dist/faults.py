"""Optimizers that fail on one of several workers, registered as a third party would register its own."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import torch

from pdadmm_bench.optim.pdadmm import PdADMM, State

STEP = 5
"""The call of ``step`` that fails: the third iteration after two to warm up."""


class Faulty(PdADMM):
    """pdADMM until worker ``rank`` fails."""

    summary = "fails"
    rank = 1

    def __init__(self, hyperparameters):
        super().__init__(hyperparameters)
        self.calls = 0

    def step(self, state: State) -> None:
        self.calls += 1
        if self.calls == STEP and int(os.environ.get("RANK", "0")) == self.rank:
            print(f"worker {self.rank} was here", flush=True)
            self.fail()
        super().step(state)

    def fail(self) -> None:
        raise NotImplementedError


class Raises(Faulty):
    def fail(self) -> None:
        raise RuntimeError("the roof is on fire\nsecond line")


class FirstRaises(Raises):
    rank = 0


class Killed(Faulty):
    def fail(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class FirstKilled(Killed):
    rank = 0


class Hangs(Faulty):
    """Stopped, so that it does not even take a SIGTERM."""

    def fail(self) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)


class FirstHangs(Hangs):
    rank = 0


class OutOfMemory(Faulty):
    def fail(self) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")


class OutOfDeviceMemory(Faulty):
    def fail(self) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")


class Unstartable(PdADMM):
    """Fails before the first run has started."""

    summary = "fails"

    def supports(self, spec):
        if os.environ.get("RANK") == "1":
            raise RuntimeError("no start")
        return super().supports(spec)


class Slow(PdADMM):
    """Says in the folder it runs in that it is there, and takes its time."""

    summary = "takes its time"

    def step(self, state: State) -> None:
        Path(f"pid-{os.environ.get('RANK', '0')}").write_text(str(os.getpid()))
        time.sleep(0.05)
        super().step(state)


class SlowToPredict(Slow):
    """Busy in an evaluation for longer than anybody waits."""

    summary = "takes its time"

    def predict(self, state, x, block):
        if Path("pid-0").exists():
            time.sleep(30)
        return super().predict(state, x, block)
