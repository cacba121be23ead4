"""Starts workers on this machine through torch's elastic launcher, and says which of them failed and why.

Every launch has a rendezvous of its own on a free port, so launches at the same time do not meet. Worker 0 keeps the
terminal; the output of the others goes to files.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SHUTDOWN_S = "1"  # Ctrl-C: workers that do not stop by themselves within this time are killed
_SETTINGS = {"PYTHONSAFEPATH": "1", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": _SHUTDOWN_S}


class WorkerFailure(Exception):
    """A worker ended badly: its ``rank``, what it said in ``reason`` (one line), and its ``log``."""

    def __init__(self, rank: int, reason: str, log: str):
        super().__init__(f"worker {rank}: {reason}")
        self.rank, self.reason, self.log = rank, reason, log


class Interrupted(Exception):
    """The launch was stopped by a signal."""


def launch(workers: int, function: Callable[..., None], *arguments: Any) -> None:
    """Run ``function(*arguments)`` in ``workers`` processes and wait for them.

    ``function`` must be importable and its arguments picklable. Raises :class:`WorkerFailure` for the first worker that
    fails, when all others are gone, and :class:`Interrupted` after Ctrl-C.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="pdadmm-bench-") as folder, _environment(), _signals_kept():
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=workers,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0",
            local_addr="127.0.0.1",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder, redirects={rank: Std.ALL for rank in range(1, workers)}),
        )
        try:
            elastic_launch(config, function)(*arguments)
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            raise WorkerFailure(rank, _reason(failure), _log(Path(folder), rank, failure)) from None
        except (SignalException, KeyboardInterrupt):
            raise Interrupted from None


def _reason(failure: Any) -> str:
    """One line about a failed process: its exception, or the signal that killed it."""
    if failure.exitcode < 0:
        name = signal.Signals(-failure.exitcode).name
        hint = "; the system may have run out of memory" if name == "SIGKILL" else ""
        return f"killed by {name}{hint}"
    message = failure.message
    text = message.get("message", str(message)) if isinstance(message, dict) else str(message)
    return text.strip().splitlines()[0] if text.strip() else f"exit code {failure.exitcode}"


def _log(folder: Path, rank: int, failure: Any) -> str:
    """What the failed worker printed, and its traceback."""
    parts = [path.read_text(errors="replace") for path in sorted(folder.rglob(f"{rank}/std*.log"))]
    try:
        error = json.loads(Path(failure.error_file).read_text())
        parts.append(error["message"]["extraInfo"]["py_callstack"])
    except (OSError, ValueError, KeyError, TypeError):
        parts.append(_reason(failure))
    return "\n".join(part for part in parts if part)


@contextmanager
def _environment() -> Iterator[None]:
    """Settings the workers inherit, where the user has set none."""
    settings = dict(_SETTINGS)
    if Path("/sys/class/net/lo").exists():
        settings["GLOO_SOCKET_IFNAME"] = "lo"  # all workers are here, and a host name may not resolve
    added = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


@contextmanager
def _signals_kept() -> Iterator[None]:
    """The launcher replaces the handlers of these signals and does not put them back."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
