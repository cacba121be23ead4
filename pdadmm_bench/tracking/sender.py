"""Sends the runs of one command to a store that may be unreachable, and keeps on disk what it cannot take."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pdadmm_bench.core.errors import TrackingError, UserError
from pdadmm_bench.tracking import store
from pdadmm_bench.tracking.described import ParentRun, TrainingRun
from pdadmm_bench.tracking.kept import row_on_disk
from pdadmm_bench.tracking.unsent import Unsent
from pdadmm_bench.tracking.upload import Upload

RETRY_SECONDS = 30.0


class Sender:
    """Sends the runs of one command to MLflow. The first failure causes a warning; no failure is raised.

    Args:
        parent: the parent of all runs.
        unsent: where runs are kept while MLflow lacks them.
        where: the name of that place in messages.
        keep_rows: whether rows and histories are kept there too, although they may be in files of their own.
    """

    def __init__(
        self, upload: Upload, parent: ParentRun, unsent: Unsent, where: str, keep_rows: bool,
        warn: Callable[[str], None],
    ):  # fmt: skip
        self.upload, self.parent, self.unsent, self.warn = upload, parent, unsent, warn
        self._where, self._keep_rows = where, keep_rows
        self._not_before = 0.0
        self.problem: str | None = None
        """The first thing that could not be written, if any."""

    def attempt(self, doing: str, action: Callable[[], object]) -> bool:
        """Whether ``action`` succeeded; ``doing`` says in a warning what it was.

        After a failure to reach a server, nothing is attempted for half a minute: its time-outs would add up.
        """
        if time.monotonic() < self._not_before:
            return False
        try:
            action()
        except Exception as error:
            self.failed(doing, error)
            return False
        return True

    def failed(self, doing: str, error: BaseException) -> None:
        """Warn about the first failure; attempt nothing for a while if the store will fail again, perhaps slowly."""
        if isinstance(error, TrackingError) or store.is_away(self.upload.uri, error):
            self._not_before = time.monotonic() + RETRY_SECONDS
        if self.problem is None:
            file = store.database(self.upload.uri)
            gone = file is not None and not file.exists() and not isinstance(error, TrackingError)
            why = "the file is gone" if gone else store.sentence(error)
            self.problem = (
                f"the MLflow store {self.parent.store} cannot be used ({doing}: {why}); "
                f"training goes on, and what MLflow could not take is kept in {self._where}"
            )
            self.warn(self.problem)

    def try_again(self) -> None:
        """Allow the next attempt at once."""
        self._not_before = 0.0

    def open_parent(self) -> str:
        """The id of the parent run in MLflow; it is created now if the server was away when the command began."""
        if self.parent.run_id is None:
            with self.unsent.alone():
                self.upload.open(self.parent)
        assert self.parent.run_id is not None
        return self.parent.run_id

    def open_run(self, run: TrainingRun) -> bool:
        """Whether ``run`` could be created and described."""
        return self.attempt("creating a run", lambda: self._under_parent(run, self.upload.open))

    def send_steps(self, run: TrainingRun) -> bool:
        """Whether the steps that ``run`` has by now could be sent."""
        return self.attempt("writing metrics", lambda: self._under_parent(run, self.upload.send_steps))

    def send_end(self, run: TrainingRun, ended: int, files: Sequence[Path]) -> bool:
        """Whether the end of ``run`` could be sent. It is written to disk first, so that a kill does not lose it.

        Args:
            files: where its row is kept.
        """
        with contextlib.suppress(UserError):  # reported at the end of the command
            with_row = self._keep_rows or not row_on_disk(run.id, files)
            self.unsent.keep_run(self.parent, run, with_row=with_row)
        unknown = run.run_id is None  # then a process that finds the run on disk may be creating it

        def send() -> None:
            with self.unsent.alone() if unknown else contextlib.nullcontext():
                self._under_parent(run, lambda it: self.upload.finish(it, ended, self.warn))

        if not self.attempt("writing a run", send):
            return False
        self.unsent.drop_run(run.id)
        self.unsent.drop_parent(self.parent.id)
        return True

    def send_parent(self, finish: Callable[[], object]) -> bool:
        """Whether the end of the parent could be sent. It is written to disk first, too."""
        with contextlib.suppress(UserError):
            self.unsent.keep_parent(self.parent)

        def send() -> None:
            self.open_parent()
            finish()

        if not self.attempt("ending the run", send):
            return False
        self.unsent.drop_parent(self.parent.id)
        return True

    def is_lost(self, run: TrainingRun) -> bool:
        """Whether a run that was not sent is not on disk either."""
        return self._keep_rows and not self.unsent.has(run.id)

    def _under_parent(self, run: TrainingRun, action: Callable[[TrainingRun], object]) -> None:
        run.parent_run_id = self.open_parent()
        action(run)
