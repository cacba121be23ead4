"""Checks of a self-test that behave in every way a check can."""

from __future__ import annotations

import os
import signal
import time

from pdadmm_bench.selftest.check import Failed, Skipped, Values


def fine(device: str) -> Values:
    return {"device": device, "process": os.getpid()}


def wrong(device: str, how: str) -> Values:
    if how == "hang":
        time.sleep(100)
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    raise {"fail": Failed, "skip": Skipped, "break": ZeroDivisionError}[how](how)
