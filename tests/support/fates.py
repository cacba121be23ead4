"""What a worker without torch does, by name."""

from __future__ import annotations

import os
import signal
import time


def meet(fate: str) -> str:
    """Do it, and return its name."""
    if fate == "raises":
        raise RuntimeError("the roof is on fire")
    if fate == "is stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    if fate == "waits":
        time.sleep(600)
    return fate
