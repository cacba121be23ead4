"""The observer of one training run, which logs it to MLflow as a child of the command's parent run."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdadmm_bench.core.rows import Row, make_row
from pdadmm_bench.tracking.described import TrainingRun, now, training_run
from pdadmm_bench.tracking.sender import RETRY_SECONDS, Sender

if TYPE_CHECKING:
    from pdadmm_bench.core.spec import RunSpec

FLUSH_SECONDS = 5.0


class TrackedRun:
    """The observer of one training run. None of its methods raises for the store.

    Args:
        environment: code, versions and machine, as ``env_*``.
        tags: tags besides those that follow from its settings.
        files: where its row is kept.
    """

    def __init__(
        self, sender: Sender, environment: Mapping[str, Any], tags: Mapping[str, str], files: Sequence[Path]
    ):  # fmt: skip
        self.run: TrainingRun | None = None
        """The run as MLflow should have it; None until the run starts."""
        self.row: Row | None = None
        """None until the run is over."""
        self.sent = False
        """Whether all of it is in MLflow."""
        self.files = files
        self._sender, self._environment, self._tags = sender, environment, tags
        self._facts: dict[str, Any] = {}
        self._next_flush = 0.0

    @property
    def run_id(self) -> str | None:
        """The id in MLflow; None where it is not there yet."""
        return self.run.run_id if self.run else None

    def started(self, spec: RunSpec, facts: Mapping[str, Any]) -> None:
        """Open the child run with its parameters, tags, dataset and configuration."""
        self._facts = {"run_id": uuid.uuid4().hex, **facts}
        self.run = training_run(spec, self._facts, self._environment, self._tags)
        self._sender.open_run(self.run)
        self._next_flush = time.monotonic() + FLUSH_SECONDS

    def on_warm_start_step(self, layers: int, step: Mapping[str, float]) -> None:
        """Ignore it: the steps of a warm start belong to another network, and only their seconds are kept."""

    def on_message(self, text: str) -> None:
        """Ignore it: a message is for the user who is watching, and the row has what matters later."""

    def stepped(self, step: Mapping[str, float]) -> None:
        """Keep the step; every few seconds the steps that were kept are sent."""
        assert self.run is not None
        self.run.steps.append({key: value for key, value in step.items() if value is not None})
        if time.monotonic() >= self._next_flush:
            written = self._sender.send_steps(self.run)
            self._next_flush = time.monotonic() + (FLUSH_SECONDS if written else RETRY_SECONDS)

    def attach(self, name: str, text: str) -> None:
        """Keep ``text``, such as the log of a worker that failed, as the artifact ``name`` of the finished run."""
        if self.run is not None:
            self.run.logs[name] = text

    def finished(self, row: Row, history: Sequence[Mapping[str, float]]) -> None:
        """Send what is left, the row and the plot, and end the run; ``row`` gets its MLflow ids."""
        self.row = row
        self.settle("FINISHED")

    def settle(self, end: str) -> None:
        """End the run by its row. A run without a row gets one: interrupted if ``end`` is KILLED, else an error."""
        if self.sent or self.run is None:
            return
        if self.run.row is None:
            self.run.row = self.row or self._row_of_no_end(end)
        self.sent = self._sender.send_end(self.run, now(), self.files)

    def _row_of_no_end(self, end: str) -> Row:
        status = "interrupted" if end == "KILLED" else "error"
        return make_row({**self._facts, "status": status, "status_reason": "the command ended before the run did"})
