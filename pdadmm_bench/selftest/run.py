"""The self-test: makes the checks one after the other in another process, and keeps a record of their verdicts.

A check that takes longer than its time limit, or that ends the process, has failed; the next one gets a new process.
The record is written as the checks are made. A self-test that was stopped goes on after the last one that passed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pdadmm_bench.core.child import Child, Failure, parent
from pdadmm_bench.core.env import environment
from pdadmm_bench.core.files import write_atomic
from pdadmm_bench.core.selftests import VERSION, read
from pdadmm_bench.selftest.check import Check, Failed, Skipped, Values

SAME = ("env_version", "env_commit", "env_torch", "env_cpu", "env_gpu", "env_gpu_count")
"""What must not have changed for earlier verdicts to count."""
POLL_S = 0.1
GOOD = ("ok", "skip")

Line = dict[str, Any]
"""A line of the record."""


def selftest(checks: Sequence[Check], device: str, record: Path, fresh: bool, on_line: Callable[[Line], None]) -> Line:
    """Make all ``checks``; return the verdict of all, the last line of the record.

    Args:
        device: the kind of device, which the checks are called with.
        record: the file of the record. Checks that passed in it under the same circumstances are not made again.
        fresh: make all of them.
        on_line: called with every line as it comes.
    """
    head = _head(device)
    earlier = [] if fresh else read(record)
    same = bool(earlier) and all(earlier[0].get(name) == head[name] for name in head if name != "started")
    passed = {line["check"]: line for line in earlier[1:] if same and line.get("verdict") in GOOD and "check" in line}
    lines = [earlier[0] if same and earlier else head]
    wanted = {check.name for check in checks}
    lines += [line for name, line in passed.items() if name in wanted]
    _write(record, lines)
    for line in _made([check for check in checks if check.name not in passed], device):
        lines.append(line)
        _write(record, lines)
        on_line(line)
    failed = [line["check"] for line in lines[1:] if line["verdict"] not in GOOD]
    counts = {name: sum(line["verdict"] == name for line in lines[1:]) for name in ("ok", "skip", "fail", "timeout")}
    last: Line = {"verdict": "fail" if failed else "ok", **counts, "failed": failed}
    last["seconds"] = round(sum(line["seconds"] for line in lines[1:]), 2)
    last["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
    _write(record, [*lines, last])
    return last


def _head(device: str) -> Line:
    import torch  # noqa: F401  (the accelerator is known only after torch was imported)

    facts = environment()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return {"selftest": VERSION, "device": device, **{name: facts[name] for name in SAME}, "started": started}


def _write(record: Path, lines: Sequence[Line]) -> None:
    write_atomic(record, "".join(json.dumps(line) + "\n" for line in lines))


def _made(checks: Sequence[Check], device: str) -> Iterator[Line]:
    """The line of each check; all are made in one process, as long as it lives."""
    child: Child | None = None
    try:
        for check in checks:
            child = child or Child(_serve)
            start = time.monotonic()
            child.send((check, device))
            answer = _answer(child, start + check.limit_s)
            line: Line = {"check": check.name, "seconds": round(time.monotonic() - start, 3)}
            if answer is None:
                line |= {"verdict": "timeout", "reason": f"took longer than {check.limit_s:g} s"}
            elif isinstance(answer, Failure):
                line |= {"verdict": "fail", "reason": answer.reason}
            else:
                line |= answer
            if answer is None or isinstance(answer, Failure):
                child.end()
                child = None
            yield line
    finally:
        if child is not None:
            child.end()


def _answer(child: Child, deadline: float) -> Any:
    """The next message of the child; None where none has come by then."""
    while time.monotonic() < deadline:
        if child.connection.poll(POLL_S) or not child.running:
            return child.receive()
    return None


def _serve() -> None:
    """Make the checks that the parent sends."""
    while True:
        check, device = parent().recv()
        parent().send(_judged(check, device))


def _judged(check: Check, device: str) -> Line:
    try:
        values: Values = check.function(device, **check.arguments)
    except Skipped as reason:
        return {"verdict": "skip", "reason": str(reason)}
    except Failed as reason:
        return {"verdict": "fail", "reason": str(reason)}
    except Exception as error:  # a check that breaks has found something too
        text = f"{type(error).__name__}: {error}".splitlines()
        return {"verdict": "fail", "reason": text[0] if text else type(error).__name__}
    return {"verdict": "ok", "values": values}
