"""Processes that work for this one: what they return, how their end is told, and that none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pdadmm_bench.core.child import Child, Failure, Returned, exit_reason, parent
from pdadmm_bench.core.errors import Unreachable

PATIENCE_S = 60


def double(number: int) -> int:
    print("doubling", number)
    return 2 * number


def fail(kind: str) -> None:
    print("last words", flush=True)
    if kind == "raise":
        raise ValueError("one line\nand another")
    if kind == "unreachable":
        raise Unreachable("the other is gone")
    if kind == "exit":
        os._exit(3)
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


def converse() -> str:
    heard = parent().recv()
    parent().send(("heard", heard))
    return os.environ["GREETING"]


def wait_for_ever() -> None:
    parent().send(os.getpid())
    time.sleep(1000)


def with_a_child(path: str) -> None:
    """Start a child, write down which process it is, and wait."""
    with Child(wait_for_ever) as child:
        Path(path).write_text(f"{os.getpid()} {child.receive()}")
        time.sleep(1000)


def stop_itself() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def count(seconds: float) -> None:
    """Compute for so long in one call, during which no other thread of this process runs."""
    sys.setswitchinterval(1000)
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until(condition: object) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_a_function_returns_and_prints() -> None:
    with Child(double, 21) as child:
        assert child.receive() == Returned(42)
        assert child.printed() == "doubling 21\n"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("raise", Failure("ValueError: one line")),
        ("unreachable", Failure("the other is gone", unreachable=True)),
        ("exit", Failure("the process ended with exit code 3: last words")),
        ("kill", Failure("killed by SIGKILL; the system may have run out of memory", signal=signal.SIGKILL)),
    ],
)
def test_how_it_ended_is_one_line_and_the_rest_is_in_its_log(kind: str, expected: Failure) -> None:
    with Child(fail, kind) as child:
        found = child.receive()
        assert (found.reason, found.unreachable, found.signal) == (
            expected.reason, expected.unreachable, expected.signal,
        )  # fmt: skip
        assert child.printed().startswith("last words")
        assert ("Traceback" in child.printed()) == (kind in ("raise", "unreachable"))
        assert ("and another" in child.printed()) == (kind == "raise")


def test_an_exit_without_a_word() -> None:
    assert exit_reason(1) == "the process ended with exit code 1"
    assert exit_reason(-signal.SIGTERM) == "killed by SIGTERM"


def test_a_conversation_and_variables_of_its_own() -> None:
    with Child(converse, environment={"GREETING": "hello"}) as child:
        child.send([1, 2])
        assert child.receive() == ("heard", [1, 2])
        assert child.receive() == Returned("hello")
    assert "GREETING" not in os.environ
    with pytest.raises(RuntimeError, match="not started as a child"):
        parent()


def test_ctrl_c_ends_it_without_a_traceback_also_while_it_imports() -> None:
    for started in (True, False):
        with Child(wait_for_ever) as child:
            if started:
                child.receive()
            child.interrupt()
            assert child.receive().signal == signal.SIGINT
            assert child.printed() == ""


def test_it_has_a_process_group_of_its_own() -> None:
    with Child(wait_for_ever) as child:
        pid = child.receive()
        assert os.getpgid(pid) == pid != os.getpgid(0)
    assert not alive(pid)


def test_a_child_ends_with_its_parent_and_so_does_the_child_of_a_child(tmp_path: Path) -> None:
    """Also when the parent is killed and can do nothing about it."""
    note = tmp_path / "pids"
    with Child(with_a_child, str(note)):
        wait_until(lambda: note.exists() and len(note.read_text().split()) == 2)
        pids = [int(pid) for pid in note.read_text().split()]
        os.kill(pids[0], signal.SIGKILL)
        wait_until(lambda: not any(map(alive, pids)))


def test_the_parent_s_script_is_not_run_again(tmp_path: Path) -> None:
    """A script without a guard, which multiprocessing would start again and again."""
    script = tmp_path / "script.py"
    script.write_text(
        "import math\n"
        "from pdadmm_bench.core.child import Child\n"
        "print('the script runs')\n"
        "with Child(math.sqrt, 4.0) as child:\n"
        "    print(child.receive().value)\n"
    )
    answer = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=PATIENCE_S)
    assert (answer.stdout, answer.stderr) == ("the script runs\n2.0\n", "")


@pytest.mark.slow
def test_a_stopped_child_is_told_from_one_that_takes_its_time() -> None:
    """The first waits longer than it may be silent, the second computes so long and lets no other thread run."""
    with Child(time.sleep, 2.0, patience=1.0) as waiting, Child(count, 2.0, patience=1.0) as busy:
        assert isinstance(waiting.receive(), Returned)
        assert isinstance(busy.receive(), Returned)
    began = time.monotonic()
    with Child(stop_itself, patience=1.0) as child:
        failure = child.receive()
    assert failure == Failure("does not answer: no sign of life for 1 s", signal=signal.SIGKILL)
    assert time.monotonic() - began < PATIENCE_S


@pytest.mark.slow
def test_a_child_that_is_stopped_before_it_reads_its_task(tmp_path: Path) -> None:
    """Its parent waits in the middle of a task that is larger than a pipe."""
    (tmp_path / "sitecustomize.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n")
    with Child(len, bytes(1 << 20), environment={"PYTHONPATH": str(tmp_path)}, patience=1.0) as child:
        assert "no sign of life" in child.receive().reason
