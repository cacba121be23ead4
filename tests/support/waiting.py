"""Waiting for an event. No test depends on how fast the machine is: the limit only ends a test that hangs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

PATIENCE_S = 600


def wait_until(condition: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    """Return when ``condition`` holds; fail when ``process`` ends before, or after :data:`PATIENCE_S`."""
    limit = time.monotonic() + PATIENCE_S
    while not condition():
        if process is not None and process.poll() is not None:
            assert condition(), process.communicate()
            return
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.02)
