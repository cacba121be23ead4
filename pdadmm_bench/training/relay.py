"""A run in another process: the observer there passes on what happens, and this process tells its own observers.

The process that trains waits until the other one has dealt with what it was told, so that logging never runs beside a
measured iteration.
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
    """The observer of a run in this process, for those of the ``parent`` process.

    Args:
        every: seconds between two messages about steps; those in between are kept and passed on together.
    """

    def __init__(self, parent: Connection, every: float = 0.0):
        self._parent, self._every = parent, every
        self._steps: list[dict[str, float]] = []
        self._next = 0.0

    def tell(self, event: str, *content: Any, wait: bool = True) -> None:
        """Tell the parent, and ``wait`` until it has dealt with it."""
        self._parent.send((event, content))
        if wait:
            self._parent.recv()

    def started(self, spec: RunSpec, facts: Mapping[str, Any]) -> None:
        """Pass on what is known before training."""
        self.tell("started", dict(facts))

    def on_warm_start_step(self, layers: int, step: Mapping[str, float]) -> None:
        """Pass on how far the warm start is, when it is time to."""
        if self._due():
            self.tell("on_warm_start_step", layers, dict(step))

    def stepped(self, step: Mapping[str, float]) -> None:
        """Keep the step until it is time to pass some on."""
        self._steps.append(dict(step))
        if self._due():
            self._flush()

    def on_message(self, text: str) -> None:
        """Pass it on."""
        self.tell("on_message", text)

    def attach(self, name: str, text: str) -> None:
        """Pass on the log of a worker that failed."""
        self.tell("attach", name, text)

    def finished(self, row: Row, history: Sequence[Mapping[str, float]]) -> None:
        """Pass on the steps that are left, and the row."""
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
    """One run as the :class:`Relay` of another process tells of it.

    Args:
        spec: what is run.
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
        """Tell the observers of what :meth:`Relay.tell` was told."""
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
        """The row of a run that the other process could not finish, from the steps that it told of."""
        if self.facts is None:
            self.handle("started", [first_values(self.spec)])
        results = results_from(self.history, self.spec.target, {})
        for name, text in (attachments or {}).items():
            self.handle("attach", (name, text))
        row = make_row({**(self.facts or {}), **results, "status": status, "status_reason": reason})
        self.handle("finished", [row])
        return row
