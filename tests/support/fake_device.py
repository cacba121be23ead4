"""A device with a stream of its own, as CUDA has one, whose time passes only when a test says so.

The process gives the device work and goes on at once. Each piece of work starts when the one before it is done. A
transfer is not work: the stream only waits for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pdadmm_bench.parallel.device_clock import StreamClock


@dataclass
class FakeDevice:
    """``done_at`` is when the stream will have done all that it was given, in seconds of the device."""

    now: float = 0.0
    """The time of the process, in the same seconds."""
    done_at: float = 0.0

    def compute(self, seconds: float) -> None:
        """Give the device work."""
        self.done_at = max(self.done_at, self.now) + seconds

    def clock(self, limit_s: float | None = None) -> StreamClock:
        """The clock of this device; the pauses of the process are the time that passes."""
        return StreamClock(lambda: FakeEvent(self), limit_s, now=self._look, pause=self._pass)

    def _look(self) -> float:
        self.now += 0.001  # a question takes time too
        return self.now

    def _pass(self, seconds: float) -> None:
        self.now += 100 * seconds


@dataclass
class FakeEvent:
    """As ``torch.cuda.Event``."""

    device: FakeDevice
    at: float = math.nan

    def record(self) -> None:
        self.at = max(self.device.done_at, self.device.now)

    def query(self) -> bool:
        return self.device.now >= self.at

    def elapsed_time(self, later: FakeEvent) -> float:
        assert self.query() and later.query(), "read before the device had passed the event"
        return 1000 * (later.at - self.at)


@dataclass
class FakeTransfer:
    """A transfer under NCCL: the process does not wait for it, the stream of the device does."""

    device: FakeDevice
    arrives: float = field(default=0.0)

    def wait(self) -> None:
        self.device.done_at = max(self.device.done_at, self.device.now, self.arrives)
