"""What the tests of the command line share: a tiny problem, answers, and processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from waiting import PATIENCE_S

from pdadmm_bench.data.cache import CACHE_VARIABLE

DATASET = "sbm[nodes=300,classes=3,features=12]"
DATA = ("--dataset", DATASET, "--hops", "1", "--num-val", "50", "--num-test", "50")
TINY = ("run", *DATA, "--layers", "2", "--hidden", "8", "--iterations", "4")


def tiny_suite(entries: str, **defaults: Any) -> str:
    """The text of a suite of ``entries`` (TOML) on the tiny problem; ``defaults`` go over those of :data:`TINY`."""
    settings = {
        "dataset": DATASET, "hops": 1, "num_val": 50, "num_test": 50, "layers": 2, "hidden": 8, "iterations": 4,
        "threads": 1, **defaults,
    }  # fmt: skip
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    return "\n".join(['summary = "a try"', "[defaults]", *lines, entries])


@dataclass(frozen=True)
class Answer:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of a command that refused its input."""
        assert self.code == 2, self
        assert "Traceback" not in self.err
        assert self.out == ""
        return self.err.strip().splitlines()[-1]


Cli = Callable[..., Answer]


def start(*arguments: str, cwd: Path, cache: Path) -> subprocess.Popen[str]:
    """The command as a process that stands on its own, as from a shell."""
    environment = {**os.environ, CACHE_VARIABLE: str(cache), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "pdadmm_bench", *arguments],
        cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A shell without job control starts what it puts into the background, this test run perhaps, deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> Answer:
    """The answer of a process that was started."""
    out, err = process.communicate(timeout=PATIENCE_S)
    return Answer(process.returncode, out, err)


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The result rows in a file, by the JSON reader of everybody else."""
    return json.loads(path.read_text(encoding="utf-8"))
