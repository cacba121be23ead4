"""The parent run of a suite, which goes on over every start of the suite and holds all its runs."""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pdadmm_bench.core.errors import TrackingError
from pdadmm_bench.core.rows import Row
from pdadmm_bench.tracking import store
from pdadmm_bench.tracking.record import code_tags, parent_end, record_of
from pdadmm_bench.tracking.runs import TrackedRun, Tracker, _warn
from pdadmm_bench.tracking.spool import FOLDER
from pdadmm_bench.tracking.upload import PARENT, RECORD, History

#: The tag of a child that names the run within the suite.
KEY = "run_key"


class SuiteTracker(Tracker):
    """As :class:`Tracker`, for many runs: what was sent of them, or is on disk, is let go.

    Made by :meth:`resume`; ``rows`` gives the rows of the whole suite, for the parent's summary and end. What the store
    could not take is kept among the suite's results.
    """

    rows: Callable[[], Sequence[Row]] = staticmethod(list)
    child_tags: Mapping[str, str] = {}

    @classmethod
    def resume(
        cls, uri: str | None, experiment: str, name: str, config: Mapping[str, Any], environment: Mapping[str, Any],
        *, results: Path, parent: str | None, tags: Mapping[str, str], warn: Callable[[str], None] = _warn,
    ) -> SuiteTracker:  # fmt: skip
        """Go on with ``parent`` (see :attr:`parent`) where it is in the store and not done, else begin a new one.

        Raises :class:`TrackingError` when the store cannot be used; a server that is away is only warned about.
        """
        unsent = results / FOLDER
        tracker = cls._new(uri, experiment, name, config, environment, unsent, (), warn, known_as=parent)
        if parent and tracker._done():
            tracker.record.id, tracker.record.tried = uuid.uuid4().hex, False
        tracker.child_tags = dict(tags)
        tracker.record.tags |= tags
        going_on = tracker.run_id is not None
        tracker._begin()
        if going_on:
            everything = {**code_tags(environment), **tags}
            tracker.attempt("tagging the suite", lambda: tracker.upload.tag(tracker.open_parent(), everything))
        return tracker

    @property
    def parent(self) -> str:
        """The name of the parent run, known before it is in MLflow."""
        return self.record.id

    def _done(self) -> bool:
        """Whether the run in the store is finished; if not, it is marked as running again."""
        uri = self.upload.uri
        try:
            store.check(uri)
            found = self.upload.find(self.record.id)
            if found and found[0].info.status == "FINISHED":
                return True
            if found:
                self.record.run_id, self.record.described = found[0].info.run_id, True
                self.client.update_run(self.run_id, status="RUNNING")
        except TrackingError as error:
            if not store.is_away(uri, error):
                raise
        except Exception as error:
            if not store.is_away(uri, error):
                raise store.unusable(uri, error) from error
        return False

    def observer_of(self, key: str, files: Sequence[Path] = ()) -> TrackedRun:
        """The observer of one more run, which the suite knows as ``key`` and keeps the row of in ``files``."""
        self._children = [
            child
            for child in self._children
            if not child.sent and not (child.row and child.record and self.spool.has(child.record))
        ]
        child = TrackedRun(self, {**self.child_tags, KEY: key}, files)
        self._children.append(child)
        return child

    def abandon(self, parent: str, key: str) -> None:
        """End the child of ``parent`` that a killed process left running when it made the run ``key``."""

        def end() -> None:
            for run in self._left_running(parent, key):
                self._kill(run.info.run_id)

        self.attempt("ending a run", end)

    def adopt(self, parent: str, key: str, row: Row) -> None:
        """Bring such a child to its end where ``row`` is its row, written just before the process was killed."""

        def end() -> None:
            for run in self._left_running(parent, key):
                if run.data.tags.get(RECORD) == row["run_id"]:
                    record = record_of(row, self.record.store, self.record.experiment, parent)
                    record.run_id, record.described = run.info.run_id, True
                    record.parent_run_id = run.data.tags[PARENT]
                    self.upload.finish(record, self.warn)
                    row.update(record.row or {})
                else:
                    self._kill(run.info.run_id)

        self.attempt("ending a run", end)

    def _left_running(self, parent: str, key: str) -> list[Any]:
        runs = []
        for found in self.upload.find(parent):
            condition = (
                f"tags.`{PARENT}` = '{found.info.run_id}' AND tags.{KEY} = '{key}' AND attributes.status = 'RUNNING'"
            )
            runs += self.client.search_runs([self.experiment_id], condition)
        return runs

    def _kill(self, run_id: str) -> None:
        self.upload.tag(run_id, {"status": "interrupted", "status_reason": "the process that made it was killed"})
        self.client.set_terminated(run_id, "KILLED")

    def _end(self) -> str:
        return parent_end(self.rows())

    def _runs(self) -> Sequence[tuple[Row, History]]:
        return [(row, []) for row in self.rows()]

    def sync_command(self) -> str:
        """The command that uploads what is left."""
        return f"{super().sync_command()} {shlex.quote(str(Path(str(self.spool)).parent))}"
