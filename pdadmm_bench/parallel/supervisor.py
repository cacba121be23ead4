"""One of several processes that a launcher such as torchrun started: it starts a worker, and watches it and the others.

Every process of the launcher is the :class:`Supervisor` of one worker, which it starts as :mod:`.launch` does. So it
stays able to act whatever its worker does. The supervisors talk through the store of the launcher. Each gives signs of
life there, and watches those of the next one, in a ring. A worker that fails is reported there, and so is a supervisor
that is silent. Then every supervisor ends its own worker. That of worker 0 makes the row before the others end,
because a launcher ends all of its processes when one of them has failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed as dist

from pdadmm_bench.core.child import Failure
from pdadmm_bench.core.errors import Unreachable
from pdadmm_bench.core.heartbeat import EVERY_S, processor_seconds
from pdadmm_bench.parallel.launch import Crew, Outcomes

_POLL_S = 0.2
_STORE_LOST = "the store of the launcher does not answer"


@contextlib.contextmanager
def supervising(patience: float) -> Iterator[Supervisor]:
    """This process as a supervisor of the run that the environment describes.

    Args:
        patience: seconds without a sign of life after which a worker or a supervisor counts as lost. It also limits
            the differences between the starts of the supervisors.

    Raises :class:`Unreachable` where the store of the launcher does not answer.
    """
    try:
        store, rank, size = next(dist.rendezvous("env://", timeout=timedelta(seconds=patience)))
    except dist.DistError as error:
        raise Unreachable(_STORE_LOST) from error
    supervisor = Supervisor(store, rank, size, patience)
    try:
        yield supervisor
    except BaseException as error:
        if not supervisor.failures:  # before its worker was started, or after it ended
            supervisor.failed(rank, Failure(f"{type(error).__name__}: {error}"))
        raise
    finally:
        supervisor.end()


class Supervisor(Outcomes):
    """Starts one worker, and learns from the ``store`` how the others end."""

    def __init__(self, store: dist.Store, rank: int, size: int, patience: float):
        super().__init__()
        self.rank, self.size = rank, size
        self._store = dist.PrefixStore("supervisors", store)
        self._patience = patience
        self._read = 0
        """How many of the failures in the store are known here."""
        self._succeeded = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def launch(
        self, function: Callable[..., Any], *arguments: Any, on_event: Callable[[str, Any], None] | None = None
    ) -> Any:
        """As :func:`pdadmm_bench.parallel.launch.launch` for the one worker, whose patience is that of this object."""
        environment = {"TORCHELASTIC_USE_AGENT_STORE": "True"}  # whoever has the store, it is not the worker
        crew = Crew({self.rank: environment}, self.size, self._patience, self)
        value = crew.run(function, *arguments, on_event=on_event)
        self._succeeded = True
        return value

    def returned(self, rank: int) -> None:
        with self._store_errors():
            self._store.add("returned", 1)

    def failed(self, rank: int, failure: Failure) -> None:
        with self._store_errors():
            self._store.set(f"failure/{self._store.add('failures', 1)}", json.dumps([rank, asdict(failure)]))

    def complete(self) -> bool:
        with self._store_errors():
            return self._store.add("returned", 0) + len(self.failures) >= self.size
        return True

    def end(self) -> None:
        """Leave the others: worker 0's supervisor as the last one after a success, and as the first after a failure."""
        with self._store_errors():
            if self.rank == 0:
                self._store.add("over", 1)
            elif self.failures:
                self._wait_for(lambda: self._store.check(["over"]) or self._store.check(["silent/0"]), watched=0)
            self._store.add("left", 1)
            if self.rank == 0 and self._succeeded:  # it may have the store that the others still ask
                self._wait_for(lambda: self._store.add("left", 0) >= self.size)
        self._ended.set()
        self._thread.join()

    def _wait_for(self, condition: Callable[[], bool], watched: int | None = None) -> None:
        """Wait for ``condition``, but not longer than ``patience`` after the last sign of life of ``watched``."""
        deadline, heard = time.monotonic() + self._patience, 0
        while not condition() and time.monotonic() < deadline:
            if watched is not None and (now := self._store.add(f"alive/{watched}", 0)) != heard:
                deadline, heard = time.monotonic() + self._patience, now
            time.sleep(_POLL_S)

    def _watch(self) -> None:
        """Give signs of life, watch the next supervisor, and read the failures that are reported."""
        with self._store_errors():
            after = (self.rank + 1) % self.size
            silence, heard, looked = 0.0, 0, time.monotonic()
            process: int | None = None
            seconds: float | None = None
            while not self._ended.is_set():
                self._store.add(f"alive/{self.rank}", 1)
                # A longer time has passed if this process itself was stopped; the other one may have been stopped too.
                silence += min(time.monotonic() - looked, 2 * EVERY_S)
                looked = time.monotonic()
                if (now := self._store.add(f"alive/{after}", 0)) != heard:
                    silence, heard, process = 0.0, now, None
                elif process is None and (process := _process_beside(after)):
                    seconds = processor_seconds(process)
                elif process and (used := processor_seconds(process)) != seconds:
                    silence, seconds = 0.0, used  # it is at work in one long call, such as an import
                if silence >= self._patience and after not in self.failures and not self._succeeded:
                    self._store.set(f"silent/{after}", "")
                    self.failed(after, Failure(f"does not answer: no sign of life for {self._patience:g} s"))
                while self._read < self._store.add("failures", 0) and self._store.check([f"failure/{self._read + 1}"]):
                    self._read += 1
                    rank, values = json.loads(self._store.get(f"failure/{self._read}"))
                    self.failures.setdefault(rank, Failure(**values))
                self._ended.wait(EVERY_S)

    @contextlib.contextmanager
    def _store_errors(self) -> Iterator[None]:
        """In the block, an error of the store counts as a failure of this worker, which has then lost the others."""
        try:
            yield
        except dist.DistError:
            if not self._succeeded:
                self.failures.setdefault(self.rank, Failure(_STORE_LOST, unreachable=True))


def _process_beside(rank: int) -> int | None:
    """The process of ``rank`` that the launcher of this one started too; None where it is on another machine."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if parent == os.getppid() and f"RANK={rank}" in (stat.parent / "environ").read_text().split("\0"):
                return int(stat.parent.name)
    return None
