"""Signal handlers that are installed for one block of code."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

STOPS = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C, and the signal that ends a job on a cluster or a container."""


@contextmanager
def handlers_kept(*numbers: signal.Signals, handler: Callable[[int, Any], None] | None = None) -> Iterator[None]:
    """Install ``handler``, if given, for the signals within the block; restore the earlier handlers at its end."""
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers if handler else ():
            signal.signal(number, handler)
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
