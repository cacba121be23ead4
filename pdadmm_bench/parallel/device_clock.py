"""The clock of a device: how a worker marks points in the work of its device, and waits for the end of that work.

A CPU carries out an operation before the call returns, so the clock of the process shows its time. A CUDA device works
through a stream of operations long after the calls have returned. There the ``wait`` of an exchange under NCCL does not
keep the process waiting either: it makes the stream wait. So a mark is a CUDA event in the stream, and the seconds
between two marks can be read when the device has passed both.

A worker that waits for the end of a stream would wait for ever if its neighbour never sends. So the clock asks the
device again and again, and gives up after a time limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import torch

from pdadmm_bench.core.errors import Unreachable

SPIN_S = 0.1
"""Seconds in which the device is asked without a pause, so that short iterations are timed exactly."""
PAUSE_S = 1e-4
"""The pause between two questions after that: a thousandth of the time that has passed, or less."""


class DeviceClock(Protocol):
    """Marks in the work of a device."""

    def mark(self) -> Any:
        """The point behind all work that was given to the device so far."""

    def seconds(self, first: Any, last: Any) -> float:
        """Seconds between two marks; only after :meth:`finish`."""

    def finish(self) -> None:
        """Wait until the device has done all work that was given to it so far; raise :class:`Unreachable` in the end.

        Work on transfers that nothing else waits for yet does not count.
        """


class HostClock:
    """The clock of a CPU, whose work is done when a call returns."""

    def mark(self) -> float:
        return time.perf_counter()

    def seconds(self, first: float, last: float) -> float:
        return last - first

    def finish(self) -> None:
        return


class StreamClock:
    """The clock of a device with a stream of work, such as CUDA.

    Args:
        event: makes an event of the device, which has ``record``, ``query`` and ``elapsed_time`` (in milliseconds) as
            ``torch.cuda.Event`` has them. Tests give a device of their own.
        limit_s: seconds after which :meth:`finish` gives up; None where no other worker can keep the device waiting.
        now, pause: the time of this process, and how it waits.
    """

    def __init__(
        self, event: Callable[[], Any], limit_s: float | None = None,
        now: Callable[[], float] = time.monotonic, pause: Callable[[float], None] = time.sleep,
    ):  # fmt: skip
        self._event, self._limit_s, self._now, self._pause = event, limit_s, now, pause

    def mark(self) -> Any:
        event = self._event()
        event.record()
        return event

    def seconds(self, first: Any, last: Any) -> float:
        return float(first.elapsed_time(last)) / 1000

    def finish(self) -> None:
        last, start = self.mark(), self._now()
        while not last.query():
            waited = self._now() - start
            if self._limit_s is not None and waited > self._limit_s:
                raise Unreachable(
                    f"Timed out waiting {self._limit_s * 1000:.0f}ms for the device, which waits for a neighbour"
                )
            if waited > SPIN_S:
                self._pause(PAUSE_S)


def device_clock(device: torch.device, limit_s: float | None = None) -> DeviceClock:
    """The clock of ``device``; ``limit_s`` as for :class:`StreamClock`."""
    if device.type != "cuda":
        return HostClock()
    return StreamClock(lambda: torch.cuda.Event(enable_timing=True), limit_s)
