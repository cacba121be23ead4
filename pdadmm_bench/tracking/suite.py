"""The parent run of a suite. It goes on over every start of the suite, and has all its runs as children."""

from __future__ import annotations

import contextlib
import shlex
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.history import History
from pdadmm_bench.core.rows import Row
from pdadmm_bench.tracking import store
from pdadmm_bench.tracking.child import TrackedRun
from pdadmm_bench.tracking.described import code_tags, ended, parent_end
from pdadmm_bench.tracking.kept import KeptRun, row_on_disk, tell
from pdadmm_bench.tracking.tracker import Tracker, warn_on_stderr
from pdadmm_bench.tracking.unsent import UNSENT
from pdadmm_bench.tracking.upload import PARENT, RECORD

#: The tag of a child that names the run within the suite.
KEY = "run_key"


class SuiteTracker(Tracker):
    """A :class:`Tracker` of many runs, whose rows and histories the suite keeps among its results.

    Made by :meth:`resume`. ``kept`` gives all runs of the suite that have a row. The parent's summary and end are made
    from them. At the end, those whose row has no id in MLflow are sent.
    """

    keep_rows = False
    kept: Callable[[], Sequence[KeptRun]] = staticmethod(list)
    child_tags: Mapping[str, str] = {}

    @classmethod
    def resume(
        cls, uri: str | None, experiment: str, name: str, config: Mapping[str, Any], environment: Mapping[str, Any],
        *, results: Path, parent: str | None, tags: Mapping[str, str], warn: Callable[[str], None] = warn_on_stderr,
    ) -> SuiteTracker:  # fmt: skip
        """Go on with ``parent`` (see :attr:`parent_id`) where it is in the store and not done, else begin a new one.

        Raises :class:`TrackingError` as :meth:`Tracker.open`; a store that cannot be used only causes a warning.
        """
        tracker = cls(
            uri, experiment, name, config, environment, unsent=results / UNSENT, warn=warn, known_as=parent
        )  # fmt: skip
        if parent and tracker._done():
            tracker.parent.id, tracker.parent.tried = uuid.uuid4().hex, False
        tracker.child_tags = dict(tags)
        tracker.parent.tags |= tags
        going_on = tracker.run_id is not None
        tracker._begin()
        if going_on:
            everything = {**code_tags(environment), **tags}
            tracker.sender.attempt(
                "tagging the suite", lambda: tracker.upload.tag(tracker.sender.open_parent(), everything)
            )
        return tracker

    @property
    def parent_id(self) -> str:
        """Our own id of the parent run, known before it is in MLflow."""
        return self.parent.id

    @property
    def kept_in(self) -> Path:
        """The results of the suite."""
        return super().kept_in.parent

    def _done(self) -> bool:
        """Whether the run in the store is finished; if not, it is marked as running again."""
        store.check_address(self.upload.uri)
        with contextlib.suppress(Exception):  # the beginning fails for the same reason, and reports it
            found = self.upload.find(self.parent.id)
            if found and found[0].info.status == "FINISHED":
                return True
            if found:
                self.parent.run_id, self.parent.described = found[0].info.run_id, True
                self.client.update_run(self.run_id, status="RUNNING")
        return False

    def observer_of(self, key: str, files: Sequence[Path] = ()) -> TrackedRun:
        """The observer of one more run, which the suite knows as ``key`` and keeps the row of in ``files``."""
        self._children = [child for child in self._children if not child.sent and not _on_disk(child)]
        return self._add({**self.child_tags, KEY: key}, files)

    def abandon(self, parent: str, key: str, *, but: str | None = None) -> None:
        """End the children of ``parent`` that a killed process left running when it made the run ``key``.

        Args:
            but: the ``run_id`` of one that left a row; it is completed when the tracker is closed.
        """

        def end() -> None:
            for found in self.upload.find(parent):
                condition = f"tags.`{PARENT}` = '{found.info.run_id}' AND tags.{KEY} = '{key}'"
                condition += " AND attributes.status = 'RUNNING'"
                for run in self.client.search_runs([self.experiment_id], condition):
                    if run.data.tags.get(RECORD) != but:
                        why = {"status": "interrupted", "status_reason": "the process that made it was killed"}
                        self.upload.tag(run.info.run_id, why)
                        self.client.set_terminated(run.info.run_id, "KILLED")

        self.sender.attempt("ending a run", end)

    def _send_what_is_left(self) -> int:
        """Send the runs whose row has no id in MLflow, also those of earlier starts."""
        found = {kept.run_id: kept for kept in self.kept() if kept.row["status"] != "skipped"}
        try:
            found |= {kept.run_id: kept for kept in self.unsent.runs()}
        except UserError as error:
            self.warn(str(error))
        left = [kept for kept in found.values() if not kept.in_mlflow]
        if left:
            self.sender.attempt("sending what was kept", lambda: self._send(left))
        return sum(not kept.in_mlflow for kept in left)

    def _send(self, left: Sequence[KeptRun]) -> None:
        told: dict[Path, list[Row]] = {}
        parent_run_id = self.sender.open_parent()
        try:
            with self.unsent.alone():
                for kept in left:
                    run = kept.load(self.warn)
                    run.parent_run_id = parent_run_id
                    self.upload.finish(run, ended(kept.row), self.warn)
                    kept.row.update(run.row or {})
                    self.unsent.drop_run(kept.run_id)
                    for file in kept.files:
                        told.setdefault(file, []).append(kept.row)
        finally:
            try:
                tell(told)
            except UserError as error:
                self.warn(str(error))

    def _end(self) -> str:
        return parent_end(kept.row for kept in self.kept())

    def _runs(self) -> Sequence[tuple[Row, History]]:
        return [(kept.row, kept.steps(self.warn)) for kept in self.kept()]

    def sync_command(self) -> str:
        """The command that uploads what is left."""
        return f"{super().sync_command()} {shlex.quote(str(self.kept_in))}"


def _on_disk(child: TrackedRun) -> bool:
    """Whether ``child`` is over, and can be sent later from its row on disk."""
    return child.row is not None and row_on_disk(child.row["run_id"], child.files)
