"""The relay of a run in another process: an observer there passes each event on to the observers of this process.

The process that trains waits until this process has handled the event, so that logging never runs during a measured
iteration.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

from pdadmm_bench.core.rows import Row, first_values, make_row
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.training.observer import Observer
from pdadmm_bench.training.row import Step, results_from


class Relay(Observer):
    """The observer of a run in this process, which passes each event on to the ``parent`` process.

    Args:
        every: seconds between two messages about steps; steps in between are kept and passed on together.
    """

    def __init__(self, parent: Connection, every: float = 0.0):
        self._parent, self._every = parent, every
        self._steps: list[dict[str, float]] = []
        self._next = 0.0

    def tell(self, event: str, *content: Any, wait: bool = True) -> None:
        """Send the event to the parent, and ``wait`` until the parent has handled it."""
        self._parent.send((event, content))
        if wait:
            self._parent.recv()

    def started(self, spec: RunSpec, facts: Mapping[str, Any]) -> None:
        """Pass on what is known before training."""
        self.tell("started", dict(facts))

    def on_warm_start_step(self, layers: int, step: Mapping[str, float]) -> None:
        """Pass on the step of the warm start, if a message is due."""
        if self._due():
            self.tell("on_warm_start_step", layers, dict(step))

    def stepped(self, step: Mapping[str, float]) -> None:
        """Keep the step until a message is due."""
        self._steps.append(dict(step))
        if self._due():
            self._flush()

    def on_message(self, text: str) -> None:
        """Pass on the message."""
        self.tell("on_message", text)

    def attach(self, name: str, text: str) -> None:
        """Pass on the log of a worker that failed."""
        self.tell("attach", name, text)

    def finished(self, row: Row, history: Sequence[Mapping[str, float]]) -> None:
        """Pass on the remaining steps and the row."""
        self._flush()
        self.tell("finished", row)

    def _due(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._every
        return True

    def _flush(self) -> None:
        steps, self._steps = self._steps, []
        if steps:
            self.tell("stepped", steps)


class RelayedRun:
    """One run that the :class:`Relay` of another process reports.

    Args:
        spec: the settings of the run.
        make_observers: makes the observers of the run; called when it has started.
    """

    def __init__(self, spec: RunSpec, make_observers: Callable[[], list[Observer]]):
        self.spec = spec
        self.facts: dict[str, Any] | None = None
        """The row values known before training; None until the run has started."""
        self.history: list[Step] = []
        self.row: Row | None = None
        """The row of the finished run; None until then."""
        self.observers: list[Observer] = []
        self._make_observers = make_observers

    def handle(self, event: str, content: Sequence[Any]) -> None:
        """Pass an event of :meth:`Relay.tell` on to the observers."""
        if event == "started":
            (self.facts,) = content
            self.observers = self._make_observers()
            for observer in self.observers:
                observer.started(self.spec, self.facts or {})
        elif event == "stepped":
            for step in content[0]:
                self.history.append(step)
                for observer in self.observers:
                    observer.stepped(step)
        elif event == "finished":
            (self.row,) = content
            for observer in self.observers:
                observer.finished(self.row or {}, self.history)
        else:
            for observer in self.observers:
                getattr(observer, event)(*content)

    def fail(self, status: str, reason: str, attachments: Mapping[str, str] | None = None) -> Row:
        """The row of a run that the other process could not finish, made from the steps that it reported."""
        if self.facts is None:
            self.handle("started", [first_values(self.spec)])
        results = results_from(self.history, self.spec.target, {})
        for name, text in (attachments or {}).items():
            self.handle("attach", (name, text))
        row = make_row({**(self.facts or {}), **results, "status": status, "status_reason": reason})
        self.handle("finished", [row])
        return row
