"""The parent run of an invocation and its child runs, written off the clock."""

from __future__ import annotations

import contextlib
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pdadmm_bench.core.errors import TrackingError, UserError
from pdadmm_bench.core.rows import Row, status_of
from pdadmm_bench.tracking import store
from pdadmm_bench.tracking.record import Record, code_tags, describe, dump, now, parent_end
from pdadmm_bench.tracking.spool import FOLDER, Spool, tell
from pdadmm_bench.tracking.upload import History, Upload

if TYPE_CHECKING:
    from pdadmm_bench.core.spec import RunSpec

_FLUSH_SECONDS, _RETRY_SECONDS = 5.0, 30.0


def _warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)


class Tracker:
    """The parent run of one invocation; open it in the parent process, before any worker starts.

    As a context manager it closes the parent and whatever child is still open: KILLED after Ctrl-C, FAILED after
    another exception, else by the rows that were finished. A server that is away costs a warning: what it could not
    take is kept in the folder ``unsent``, tried once more at the end, and left for ``pdadmm-bench sync``.

    Args:
        asked: the store as the user named it, for the command that uploads what is left.
        files: where the rows are kept that these runs leave.
    """

    def __init__(
        self, upload: Upload, record: Record, spool: Spool, environment: Mapping[str, Any],
        *, asked: str | None = None, files: Sequence[Path] = (), warn: Callable[[str], None] = _warn,
    ):  # fmt: skip
        self.upload, self.record, self.spool, self.environment = upload, record, spool, dict(environment)
        self.problem: str | None = None
        """The first thing that could not be written, if any."""
        self.warn = warn
        self.files = list(files)
        self._asked = asked
        self._children: list[TrackedRun] = []
        self._not_before = 0.0
        self._closed = False

    @classmethod
    def open(
        cls, uri: str | None, experiment: str, name: str, config: Mapping[str, Any], environment: Mapping[str, Any],
        *, unsent: Path = Path(FOLDER), files: Sequence[Path] = (), warn: Callable[[str], None] = _warn,
    ) -> Tracker:  # fmt: skip
        """Create store, experiment and parent run.

        Raises :class:`TrackingError` when any of it cannot be written; a server that does not answer is warned about.
        """
        tracker = cls._new(uri, experiment, name, config, environment, unsent, files, warn)
        tracker._begin()
        return tracker

    @classmethod
    def _new(
        cls, uri: str | None, experiment: str, name: str, config: Mapping[str, Any], environment: Mapping[str, Any],
        unsent: Path, files: Sequence[Path], warn: Callable[[str], None], *, known_as: str | None = None,
    ) -> Self:  # fmt: skip
        used = store.uri_or_default(uri)
        record = Record(
            id=known_as or uuid.uuid4().hex,
            tried=known_as is not None,
            store=store.public(used),
            experiment=experiment,
            name=name,
            began=now(),
            tags=code_tags(environment),
            texts={"config.json": store.public(dump(dict(config))), "environment.json": dump(dict(environment))},
        )
        upload = Upload(used, experiment)
        return cls(upload, record, Spool(unsent), environment, asked=uri, files=files, warn=warn)

    def _begin(self) -> None:
        try:
            store.check(self.upload.uri)
            self.upload.open(self.record)
        except BaseException as error:
            if isinstance(error, Exception) and store.is_away(self.upload.uri, error):
                with contextlib.suppress(UserError):  # told at the close
                    self.spool.keep(self.record)
                self._tell("creating a run", error)
                return
            if self.record.run_id:
                with contextlib.suppress(Exception):
                    self.client.set_terminated(self.record.run_id, "FAILED")
            if isinstance(error, TrackingError) or not isinstance(error, Exception):
                raise
            raise store.unusable(self.upload.uri, error) from error

    @property
    def client(self) -> Any:
        """MLflow's own client of the store."""
        return self.upload.client

    @property
    def run_id(self) -> str | None:
        """The parent's id in MLflow; None while the server has not been reached."""
        return self.record.run_id

    @property
    def experiment_id(self) -> str:
        """The id of the experiment."""
        return self.upload.experiment_id

    def observer(self) -> TrackedRun:
        """The observer of one training run, which becomes a child run when it starts."""
        child = TrackedRun(self, files=self.files)
        self._children.append(child)
        return child

    def attempt(self, doing: str, action: Callable[[], object]) -> bool:
        """Whether ``action`` succeeded; the first failure is warned about, none is raised.

        After a failure to reach a server, nothing is attempted for half a minute: its time-outs would add up.
        """
        if time.monotonic() < self._not_before:
            return False
        try:
            action()
        except Exception as error:
            self._tell(doing, error)
            return False
        return True

    def finish(self, doing: str, record: Record, send: Callable[[], object]) -> bool:
        """Whether the end of ``record`` was sent; it is on disk before, so that no end of this process can lose it."""
        with contextlib.suppress(UserError):  # told at the close
            self.spool.keep(record)
        unknown = record.run_id is None  # then somebody who finds the record may be making its run

        def carefully() -> None:
            with self.spool.alone() if unknown else contextlib.nullcontext():
                send()

        sent = self.attempt(doing, carefully)
        if sent:
            self.spool.drop(record)
        return sent

    def open_parent(self) -> str:
        """The id of the parent run in MLflow, created now where the server was away when the invocation began."""
        if self.record.run_id is None:
            with self.spool.alone():
                self.upload.open(self.record)
        assert self.record.run_id is not None
        return self.record.run_id

    def _tell(self, doing: str, error: BaseException) -> None:
        if store.is_away(self.upload.uri, error):
            self._not_before = time.monotonic() + _RETRY_SECONDS
        if self.problem is None:
            file = store.database(self.upload.uri)
            why = store.sentence(error) if file is None or file.exists() else "the file is gone"
            self.problem = (
                f"the MLflow store {self.record.store} cannot be used ({doing}: {why}); "
                f"training goes on, and what MLflow could not take is kept in {self.spool}"
            )
            self.warn(self.problem)

    def close(self, status: str | None = None) -> None:
        """End the parent with an MLflow ``status`` (default: by the finished rows), open children with the same."""
        if self._closed:
            return
        self._closed = True
        self._not_before = 0.0
        end = status or self._end()
        late = [child for child in self._children if not child.sent]
        for child in late:
            child.settle(end)
        told: dict[Path, list[Row]] = {}
        for child in late:
            if child.sent and child.row:
                for file in child.files:
                    told.setdefault(file, []).append(child.row)
        self._tell_files(told)
        if self._left():
            self.attempt("sending what was kept", self._resend)
        self.record.rows = [row for row, _ in self._runs()]
        self.record.over(None, end)
        sent = self.finish("ending the run", self.record, self._finish)
        if lost := [child for child in late if not child.sent and child.record and not self.spool.has(child.record)]:
            self.warn(f"{self.spool} cannot be written: MLflow lacks {len(lost)} runs, of which only the rows are kept")
        elif left := len(self._left()):
            what, them = ("run is", "it") if left == 1 else ("runs are", "them")
            self.warn(f"{left} {what} not, or not wholly, in MLflow; {self.sync_command()} uploads {them}")
        elif not sent:
            self.warn(f"the summary of these runs is not in MLflow; {self.sync_command()} uploads it")
        elif self.problem:
            self.warn("MLflow could be written again in the end, and has every run")
        self.spool.tidy()

    def _finish(self) -> None:
        self.open_parent()
        self._summarise()
        self.client.set_terminated(self.run_id, self.record.end, self.record.ended)

    def _summarise(self) -> None:
        self.upload.summarise(self.record, self._runs(), self.warn)

    def _left(self) -> list[Record]:
        """The runs of this parent that are on disk only."""
        try:
            return [record for record in self.spool.records(self.record.id) if record.parent is not None]
        except UserError as error:
            self.warn(str(error))
            return []

    def _resend(self) -> None:
        """Send the runs that are on disk, of earlier starts too."""
        parent = self.open_parent()
        told: dict[Path, list[Row]] = {}
        try:
            with self.spool.alone():
                for record in self._left():
                    record.parent_run_id = parent
                    self.upload.finish(record, self.warn)
                    for file in self.spool.files(record) if record.row else []:
                        told.setdefault(file, []).append(record.row or {})
                    self.spool.drop(record)
        finally:
            self._tell_files(told)

    def _tell_files(self, rows: Mapping[Path, Sequence[Row]]) -> None:
        try:
            tell(rows)
        except UserError as error:
            self.warn(str(error))

    def _end(self) -> str:
        return parent_end(child.row for child in self._children if child.row is not None)

    def _runs(self) -> Sequence[tuple[Row, History]]:
        """The rows of the parent's summary, with the steps of those that are drawn in one picture."""
        return [(child.row, child.record.history) for child in self._children if child.row and child.record]

    def sync_command(self) -> str:
        """The command that uploads what is left."""
        return store.command("sync", self._asked)

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.close("KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED")


class TrackedRun:
    """A child run: one training run as the runner's observer sees it. None of its methods raises for the store."""

    def __init__(self, tracker: Tracker, tags: Mapping[str, str] | None = None, files: Sequence[Path] = ()):
        self.record: Record | None = None
        """What the run is in MLflow; None until it starts."""
        self.row: Row | None = None
        self.sent = False
        """Whether its end is in MLflow."""
        self._tracker, self._tags, self.files = tracker, dict(tags or {}), files
        self._next_flush = 0.0

    @property
    def run_id(self) -> str | None:
        """The id in MLflow; None where it is not there yet."""
        return self.record.run_id if self.record else None

    @property
    def end(self) -> str | None:
        """The MLflow status of the finished row; None before there is one."""
        return None if self.row is None else status_of(self.row).mlflow

    def started(self, spec: RunSpec, facts: Mapping[str, Any]) -> None:
        """Open the child run with its parameters, tags, dataset and configuration."""
        tracker = self._tracker
        self.record = Record(
            id=facts.get("run_id") or uuid.uuid4().hex,
            store=tracker.record.store,
            experiment=tracker.record.experiment,
            parent=tracker.record.id,
            began=now(),
            files=tracker.spool.relative(self.files),
            **describe(spec, facts, tracker.environment),
        )
        self.record.tags |= self._tags
        tracker.attempt("creating a run", lambda: self._under_parent(tracker.upload.open))
        self._next_flush = time.monotonic() + _FLUSH_SECONDS

    def on_warm_start_step(self, layers: int, step: Mapping[str, float]) -> None:
        """The steps of a warm start belong to another network; only its seconds are kept."""

    def stepped(self, step: Mapping[str, float]) -> None:
        """Buffer the step; every few seconds the buffer is written."""
        assert self.record is not None
        self.record.steps.append((now(), {key: value for key, value in step.items() if value is not None}))
        if time.monotonic() >= self._next_flush:
            tracker = self._tracker
            written = tracker.attempt("writing metrics", lambda: self._under_parent(tracker.upload.send_steps))
            self._next_flush = time.monotonic() + (_FLUSH_SECONDS if written else _RETRY_SECONDS)

    def on_message(self, text: str) -> None:
        """For whoever is watching; the row says what matters later."""

    def attach(self, name: str, text: str) -> None:
        """Keep ``text``, such as the log of a worker that failed, as the artifact ``name`` of the finished run."""
        if self.record is not None:
            self.record.attachments[name] = text

    def finished(self, row: Row, history: Sequence[Mapping[str, float]]) -> None:
        """Write what is left, the row and the plot, and end the run; ``row`` learns its MLflow ids."""
        self.row = row
        self.settle("FINISHED")

    def settle(self, status: str) -> None:
        """End the run by its row, or with ``status`` if it has none."""
        record, tracker = self.record, self._tracker
        if self.sent or record is None:
            return
        record.over(self.row, self.end or status)
        upload = tracker.upload
        self.sent = tracker.finish(
            "writing a run", record, lambda: self._under_parent(lambda it: upload.finish(it, tracker.warn))
        )

    def _under_parent(self, send: Callable[[Record], object]) -> None:
        assert self.record is not None
        self.record.parent_run_id = self._tracker.open_parent()
        send(self.record)
