"""The parent run of a suite, which goes on over every start of the suite and holds all its runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pdadmm_bench.core.errors import TrackingError
from pdadmm_bench.core.rows import Row
from pdadmm_bench.track import store
from pdadmm_bench.track.runs import ENDS, TrackedRun, Tracker, _code_tags, _dump, _fit, _warn

#: Tags of children that the parent lists.
_COLLECTED = ("dataset", "optimizer", "device", "workers")
#: The tag of a child that names the run within the suite.
_KEY = "run_key"


class SuiteTracker(Tracker):
    """As :class:`Tracker`, for many runs: their histories are let go when they were written.

    Made by :meth:`resume`; ``rows`` gives the rows of the whole suite, for the parent's summary and end.
    """

    rows: Callable[[], Sequence[Row]] = staticmethod(list)
    child_tags: Mapping[str, str] = {}

    @classmethod
    def resume(
        cls, uri: str | None, experiment: str, name: str, config: Mapping[str, Any], environment: Mapping[str, Any],
        *, run_id: str | None, tags: Mapping[str, str], warn: Callable[[str], None] = _warn,
    ) -> SuiteTracker:  # fmt: skip
        """Go on with the parent ``run_id`` where it is in the store and not done, else begin a new one.

        Raises :class:`TrackingError` when the store cannot be used.
        """
        found = cls._going_on(store.uri_or_default(uri), experiment, run_id) if run_id else None
        if found is None:
            tracker = cls.open(uri, experiment, name, config, environment, warn=warn)
        else:
            client, run = found
            tracker = cls(client, store.uri_or_default(uri), run.info.experiment_id, str(run_id), environment, warn)
            earlier = {key: run.data.tags[key].split(", ") for key in _COLLECTED if key in run.data.tags}
            tracker._tags = {key: set(values) for key, values in earlier.items()}
        assert isinstance(tracker, cls)
        tracker.child_tags = dict(tags)
        everything = {**_code_tags(environment), **tags}
        tracker.attempt("tagging the suite", lambda: tracker._tag(everything))
        return tracker

    @classmethod
    def _going_on(cls, uri: str, experiment: str, run_id: str) -> tuple[Any, Any] | None:
        store.check(uri)
        store.quiet()
        try:
            from mlflow.exceptions import MlflowException

            with store.alone(store.database(uri)):
                client = store.client(uri)
                try:
                    run = client.get_run(run_id)
                except MlflowException:
                    return None
                there = client.get_experiment(run.info.experiment_id)
                if run.info.lifecycle_stage != "active" or there.name != experiment or run.info.status == "FINISHED":
                    return None
                client.update_run(run_id, status="RUNNING")
        except TrackingError:
            raise
        except Exception as error:
            raise store.unusable(uri, error) from error
        return client, run

    def observer_of(self, key: str) -> TrackedRun:
        """The observer of one more run, which the suite knows as ``key``."""
        self._children = [child for child in self._children if not child._settled]
        child = SuiteRun(self, key)
        self._children.append(child)
        return child

    def abandon(self, parent: str, key: str) -> None:
        """End the child of ``parent`` that a killed process left running when it made the run ``key``."""

        def end() -> None:
            for run_id in self._left_running(parent, key):
                self._kill(run_id)

        self.attempt("ending a run", end)

    def adopt(self, parent: str, key: str, row: Row) -> None:
        """Bring such a child to its end where ``row`` is its row, written just before the process was killed."""

        def end() -> None:
            for run_id in self._left_running(parent, key):
                if row.get("mlflow_run_id") in (None, run_id):
                    child = SuiteRun(self, key)
                    self._children.append(child)
                    child.adopt(run_id, row)
                else:
                    self._kill(run_id)

        self.attempt("ending a run", end)

    def _left_running(self, parent: str, key: str) -> list[str]:
        condition = f"tags.mlflow.parentRunId = '{parent}' AND tags.{_KEY} = '{key}' AND attributes.status = 'RUNNING'"
        return [run.info.run_id for run in self.client.search_runs([self.experiment_id], condition)]

    def _kill(self, run_id: str) -> None:
        self.client.set_tag(run_id, "status", "interrupted")
        self.client.set_tag(run_id, "status_reason", "the process that made it was killed")
        self.client.set_terminated(run_id, "KILLED")

    def _tag(self, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        self.client.log_batch(self.run_id, tags=[RunTag(key, _fit(value, 8000)) for key, value in tags.items()])

    def _end(self) -> str:
        ends = {ENDS.get(row["status"], "FINISHED") for row in self.rows()}
        return next((end for end in ("KILLED", "FAILED") if end in ends), "FINISHED")

    def _summarise(self) -> None:
        from pdadmm_bench.report.summary import summary_markdown

        rows = list(self.rows())
        if rows:
            table = summary_markdown(rows)
            self.client.log_text(self.run_id, _dump(rows), "rows.json")
            self.client.log_text(self.run_id, table, "summary.md")
            self.client.set_tag(self.run_id, "mlflow.note.content", _fit(table, 8000))


class SuiteRun(TrackedRun):
    """A run of a suite, which carries the tags of the suite."""

    _tracker: SuiteTracker

    def __init__(self, tracker: SuiteTracker, key: str):
        super().__init__(tracker)
        self._key = key

    def adopt(self, run_id: str, row: Row) -> None:
        """Go on with a run that another process began, at its end."""
        self.run_id, self._described, self._params = run_id, True, {"adopted": True}
        self.finished(row, [])

    def _open(self) -> None:
        self._tags |= {**self._tracker.child_tags, _KEY: self._key}
        super()._open()
