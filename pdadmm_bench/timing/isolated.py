"""One run in a process of its own, whose memory nothing else has touched: ``python -m pdadmm_bench.timing.isolated``.

The process is told the run as JSON and answers with its row. It is no part of the terminal's job: Ctrl-C reaches only
the process that waits for it, which then ends it.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TypedDict

from pdadmm_bench.core.rows import Row
from pdadmm_bench.core.spec import run_spec


class Task(TypedDict):
    """A run by the flat names of its settings, and the generated problem it is for."""

    run: dict[str, object]
    rows: int
    features: int
    classes: int


def run_alone(task: Task) -> Row:
    """The row of the run; raises ``MemoryError`` when the system ended it, ``RuntimeError`` when it broke down."""
    command = [sys.executable, "-m", "pdadmm_bench.timing.isolated", json.dumps(task)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as child:
        try:
            answer, complaint = child.communicate()
        except BaseException:
            child.kill()
            raise
    if child.returncode == -signal.SIGKILL:
        raise MemoryError("the system killed the process, most likely for want of memory")
    if child.returncode:
        last = (complaint.strip().splitlines() or ["without a word"])[-1]
        raise RuntimeError(f"the process ended with {child.returncode}: {last}")
    row: Row = json.loads(answer.splitlines()[-1])
    return row


def _answer(task: Task) -> None:
    from pdadmm_bench.timing.generated import generated_problem
    from pdadmm_bench.training.run import run

    problem = generated_problem(task["rows"], task["features"], task["classes"])
    print(json.dumps(run(run_spec(task["run"]), problem).row))


if __name__ == "__main__":
    _answer(json.loads(sys.argv[1]))
