"""One run in a new process, so that nothing else has used its memory."""

from __future__ import annotations

import signal
from typing import TypedDict

from pdadmm_bench.core.child import Child, Returned
from pdadmm_bench.core.rows import Row
from pdadmm_bench.core.spec import run_spec


class Task(TypedDict):
    """A run, by the flat names of its settings, and the shape of its generated problem."""

    run: dict[str, object]
    rows: int
    features: int
    classes: int


def run_alone(task: Task) -> Row:
    """The row of the run; raises ``MemoryError`` if the system killed its process, ``RuntimeError`` if that failed."""
    with Child(_train, task) as child:
        answer = child.receive()
    if isinstance(answer, Returned):
        row: Row = answer.value
        return row
    if answer.signal == signal.SIGKILL:
        raise MemoryError("the system killed the process, most likely for want of memory")
    raise RuntimeError(f"the process of the run broke down: {answer.reason}")


def _train(task: Task) -> Row:
    from pdadmm_bench.timing.generated import generated_problem
    from pdadmm_bench.training.run import run

    problem = generated_problem(task["rows"], task["features"], task["classes"])
    return run(run_spec(task["run"]), problem).row
