"""The observer of a run: a progress bar, a tracker, or the pipe to another process, called at each event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pdadmm_bench.core.rows import Row
from pdadmm_bench.core.spec import RunSpec


class Observer(Protocol):
    """Called at each event of a run, outside the measured time. A subclass defines only the methods that it needs."""

    def started(self, spec: RunSpec, facts: Mapping[str, Any]) -> None:
        """Training is about to start; ``facts`` are the row values known so far."""
        return

    def on_warm_start_step(self, layers: int, step: Mapping[str, float]) -> None:
        """One iteration of the warm start is over, on its network of ``layers`` layers."""
        return

    def stepped(self, step: Mapping[str, float]) -> None:
        """One iteration is over."""
        return

    def on_message(self, text: str) -> None:
        """A message for the user about something beside training; a warning begins with ``warning: ``."""
        return

    def attach(self, name: str, text: str) -> None:
        """A file ``name`` with this ``text`` belongs to the run: the log of a worker that failed."""
        return

    def finished(self, row: Row, history: Sequence[Mapping[str, float]]) -> None:
        """The run is over, however it ended; the observer may add what it knows to ``row``."""
        return
