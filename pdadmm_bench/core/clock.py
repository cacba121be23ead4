"""The runner's clock: separate times for training, evaluation and logging, read only when the device is idle."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Clock:
    """Named accumulators of seconds.

    Args:
        now: a monotonic time source in seconds (a fake one in tests).
        synchronize: waits until the device has finished its work; called before every reading.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter, synchronize: Callable[[], None] = lambda: None):
        self._now, self._synchronize = now, synchronize
        self.seconds: dict[str, float] = {}
        self.last = 0.0

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the seconds spent in the block to ``seconds[name]`` and leave them in ``last``.

        After an error in the block the device is not waited for. It may itself wait for a worker that has failed, and
        the error would then be told late, or another one in its place.
        """
        self._synchronize()
        start = self._now()
        try:
            yield
            self._synchronize()
        finally:
            self.last = self._now() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + self.last
