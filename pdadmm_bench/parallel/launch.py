"""Starts workers on this machine through torch's elastic launcher, and says which of them failed and why.

Every launch has a rendezvous of its own on a free port, so launches at the same time do not meet. Worker 0 keeps the
terminal; the output of the others goes to files.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partialmethod
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from pdadmm_bench.core.errors import Unreachable
from pdadmm_bench.core.signals import STOPS, handlers_kept

_SHUTDOWN_S = 1
"""Workers that do not end by themselves within this time after Ctrl-C, or after another one failed, are killed."""
_SETTINGS = {"PYTHONSAFEPATH": "1", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(_SHUTDOWN_S)}


class WorkerFailure(Exception):
    """A worker ended badly: its ``rank``, what it said in ``reason`` (one line), and its ``log``."""

    def __init__(self, rank: int, reason: str, log: str):
        super().__init__(f"worker {rank}: {reason}")
        self.rank, self.reason, self.log = rank, reason, log


class Interrupted(Exception):
    """The launch was stopped by a signal."""


def launch(workers: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """Run ``function(*arguments)`` in ``workers`` processes, wait for them, and return what it returned in worker 0.

    ``function`` must be importable; its arguments and what it returns are pickled. Raises :class:`WorkerFailure` for
    the first worker that fails, when all others are gone, and :class:`Interrupted` after Ctrl-C.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    with (
        tempfile.TemporaryDirectory(prefix="pdadmm-bench-") as folder,
        _environment(), _signals_kept(), _interrupts_held(), _impatience(), _silence(),
    ):  # fmt: skip
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=workers,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0",
            local_addr="127.0.0.1",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder, redirects=dict.fromkeys(range(1, workers), Std.ALL)),
        )
        try:
            return elastic_launch(config, _run)(Path(folder), function, *arguments)[0]
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            if failure.exitcode == -signal.SIGINT:  # seen before this process was told of the same Ctrl-C
                raise Interrupted from None
            rank, reason = _culprit(Path(folder), workers, rank, failure)
            raise WorkerFailure(rank, reason, _log(Path(folder), rank) or reason) from None
        except (SignalException, KeyboardInterrupt):
            raise Interrupted from None


def _run(folder: Path, function: Callable[..., Any], *arguments: Any) -> Any:
    """A worker's life, which ends with that of the process that started it."""
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    parent = multiprocessing.parent_process()
    assert parent is not None

    def outlived() -> None:
        parent.join()
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    def interrupted(number: int, frame: object) -> None:
        if parent.is_alive():  # Ctrl-C; torch has the system send the same when the parent is gone
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    threading.Thread(target=outlived, daemon=True).start()
    signal.signal(signal.SIGINT, interrupted)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        return function(*arguments)
    except Exception as error:
        get_error_handler().record_exception(error)
        sys.exit(1)  # torch would write the exception down again, in a temporary file that nobody removes


def _culprit(folder: Path, workers: int, rank: int, failure: Any) -> tuple[int, str]:
    """The worker to blame, and one line about what happened to it.

    torch names the first that ended. Where that one only could not reach another, the cause is the one that failed for
    a reason of its own, else the one that left no error behind.
    """
    reason = _reason(failure)
    consequence = f"{Unreachable.__name__}: "
    if not reason.startswith(consequence):
        return rank, reason
    paths = sorted(folder.rglob("error.json"), key=lambda path: path.stat().st_mtime_ns)
    reasons = {int(path.parent.name): _first_line(_error(path)["message"]) for path in paths}
    for other, own in reasons.items():
        if not own.startswith(consequence):
            return other, own
    silent = [other for other in range(workers) if other not in reasons]
    noticed = reason.removeprefix(consequence)
    if not silent:
        return rank, noticed
    what = "does not answer" if "timed out" in noticed.lower() else "ended without an error"
    return silent[0], f"{what} (worker {rank}: {noticed})"


def _reason(failure: Any) -> str:
    """One line about a failed process: its exception, or the signal that killed it."""
    if failure.exitcode < 0:
        name = signal.Signals(-failure.exitcode).name
        hint = "; the system may have run out of memory" if name == "SIGKILL" else ""
        return f"killed by {name}{hint}"
    message = failure.message
    text = message.get("message", str(message)) if isinstance(message, dict) else str(message)
    return _first_line(text) or f"exit code {failure.exitcode}"


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0]


def _error(path: Path) -> dict[str, Any]:
    """What torch wrote down about an exception."""
    return json.loads(path.read_text())["message"]


def _log(folder: Path, rank: int) -> str:
    """What a worker printed, and the traceback of its error."""
    parts = [path.read_text(errors="replace") for path in sorted(folder.rglob(f"{rank}/std*.log"))]
    parts += [_error(path)["extraInfo"]["py_callstack"] for path in folder.rglob(f"{rank}/error.json")]
    return "\n".join(part for part in parts if part)


@contextmanager
def _environment() -> Iterator[None]:
    """Settings the workers inherit, where the user has set none; what torch adds to them goes again too."""
    settings = dict(_SETTINGS)
    if Path("/sys/class/net/lo").exists():
        settings["GLOO_SOCKET_IFNAME"] = "lo"  # all workers are here, and a host name may not resolve
    before = set(os.environ)
    os.environ.update({name: value for name, value in settings.items() if name not in before})
    try:
        yield
    finally:
        for name in set(os.environ) - before:
            del os.environ[name]


@contextmanager
def _signals_kept() -> Iterator[None]:
    """The launcher replaces the handlers of these signals and does not put them back."""
    with handlers_kept(*STOPS, signal.SIGHUP, signal.SIGQUIT):
        yield


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C is a signal to the whole process group: to this process, and to workers that may still be importing.

    They inherit that it is blocked and let it in later, so that none of them dies with a traceback on the terminal.
    Here a thread lets it in, and Python runs the handler in the main thread.
    """
    resource_tracker.ensure_running()  # as it starts, it unblocks the signal
    over = threading.Event()
    threading.Thread(target=over.wait, daemon=True).start()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        over.set()


@contextmanager
def _impatience() -> Iterator[None]:
    """When a worker fails, torch gives a stopped one 30 s to follow it; here all have the same short time."""
    from torch.multiprocessing.spawn import ProcessContext

    patient = ProcessContext.join
    setattr(ProcessContext, "join", partialmethod(patient, grace_period=_SHUTDOWN_S))  # noqa: B010
    try:
        yield
    finally:
        setattr(ProcessContext, "join", patient)  # noqa: B010


@contextmanager
def _silence() -> Iterator[None]:
    """What torch logs about workers that end is said once, by whoever started them."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
