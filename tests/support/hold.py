"""How a test holds a run with the optimizer ``held`` of :mod:`fake_optimizers`. This module imports no torch."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from waiting import wait_until

HOLD_VARIABLE = "PDADMM_BENCH_TEST_HOLD"


@dataclass(frozen=True)
class Hold:
    """The test's side of the optimizer ``held``. A held run of 800 iterations cannot end within six minutes."""

    file: Path

    def wait(self, process: subprocess.Popen[str]) -> None:
        """Return when a run of ``process`` is held: it has made two iterations and is in its third."""
        wait_until(self.reached.exists, process)

    @property
    def reached(self) -> Path:
        """What a held run makes; removed, it tells the next one apart."""
        return self.file.with_suffix(".reached")

    def release(self) -> None:
        """Let every run be as fast as it can, now and from now on."""
        self.file.unlink()
