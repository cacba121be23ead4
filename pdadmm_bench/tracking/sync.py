"""Uploads what MLflow lacks: records that wait in folders, and rows of runs that it never heard of.

A run that is half there is completed, one that is there is left alone; so the same call can be made again at any time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pdadmm_bench.core.errors import TrackingError, UserError
from pdadmm_bench.core.rows import Row
from pdadmm_bench.tracking import store
from pdadmm_bench.tracking.record import Record, now, parent_end, record_of
from pdadmm_bench.tracking.report import histories
from pdadmm_bench.tracking.spool import Spool, tell
from pdadmm_bench.tracking.upload import PARENT, Upload


@dataclass(frozen=True)
class Kept:
    """A row, and where it is kept.

    Args:
        parent: identifies the parent run of those rows that name none, or one of another store.
        title: what that parent is called where it has to be made.
    """

    row: Row
    files: Sequence[Path]
    parent: str
    title: str


@dataclass
class Outcome:
    """What became of the runs."""

    uploaded: int = 0
    completed: int = 0
    """Those of which the store had a part."""
    there: int = 0
    failed: list[str] = field(default_factory=list)
    """One line each, with the reason."""


class Sync:
    """One upload to the store at ``uri``.

    Args:
        experiment: of rows; records know theirs.
        progress: is told after each run how many are done.
    """

    def __init__(
        self, uri: str, experiment: str, *, warn: Callable[[str], None], progress: Callable[[int], None]
    ):  # fmt: skip
        self.outcome = Outcome()
        self._uri, self._experiment, self._warn, self._progress = uri, experiment, warn, progress
        self._uploads: dict[str, Upload] = {}
        self._parents: dict[str, Record] = {}
        """Those that may have to be made, by id."""
        self._parent_ids: dict[str, str] = {}
        self._learned: dict[str, Row] = {}
        self._told: dict[Path, list[Row]] = {}
        self._done = 0

    def run(self, spools: Sequence[Spool], kept: Sequence[Kept]) -> Outcome:
        """Upload everything in ``spools``, and the rows in ``kept`` that have no record there.

        Raises :class:`TrackingError` for a store that cannot be used or stops answering; what was uploaded until then
        is known to be.
        """
        try:
            store.check(self._uri)
            with contextlib.ExitStack() as locks:
                for spool in spools:
                    if spool.folder.exists():
                        locks.enter_context(spool.alone())
                self._run(spools, kept)
        except UserError:
            raise
        except Exception as error:
            raise store.unusable(self._uri, error) from error
        finally:
            tell(self._told)
            for spool in spools:
                spool.tidy()
        return self.outcome

    def _run(self, spools: Sequence[Spool], kept: Sequence[Kept]) -> None:
        records = [(record, spool) for spool in spools for record in spool.records()]
        waiting = {record.id for record, _ in records}
        self._parents = {record.id: record for record, _ in records if record.parent is None}
        for record, spool in records:
            if record.parent is not None and self._attempt(record.name, self._finish, record):
                self._learn(record.row, spool.files(record))
                spool.drop(record)
        for one in kept:
            if one.row["run_id"] not in waiting:
                self._attempt(_name(one.row), self._row, one)
        for record, spool in records:
            if record.parent is None and self._attempt(record.name, self._end, record):
                spool.drop(record)
        made = [self._parents[name] for name in self._parent_ids if name not in waiting and name in self._parents]
        for record in made:
            self._attempt(record.name, self._end, record)

    def _attempt(self, name: str, action: Callable[[Any], None], subject: Record | Kept) -> bool:
        """Whether ``action`` succeeded on ``subject``; one that fails stops no other, unless the store is away."""
        try:
            action(subject)
        except Exception as error:
            if store.is_away(self._uri, error):
                raise
            text = str(error) if isinstance(error, UserError) else store.sentence(error)
            self.outcome.failed.append(f"{name}: {text}")
            return False
        finally:
            self._done += 1
            self._progress(self._done)
        return True

    def _row(self, one: Kept) -> None:
        """Upload a run of which there is only the row, unless it is there."""
        upload = self._upload(self._experiment)
        named = one.row.get("mlflow_run_id")
        run = upload.get(named) if named else None
        if run is None:
            found = upload.find(one.row["run_id"], deleted=True)
            run = min(found, key=lambda run: run.info.lifecycle_stage == "deleted", default=None)
        if run is not None and (run.info.status != "RUNNING" or run.info.lifecycle_stage == "deleted"):
            known = {"mlflow_run_id": run.info.run_id, "mlflow_parent_run_id": run.data.tags.get(PARENT)}
            self._learn(one.row | known, one.files)
            self.outcome.there += 1
            return
        parent_run_id = one.row.get("mlflow_parent_run_id")
        record = record_of(one.row, store.public(self._uri), self._experiment, parent_run_id or one.parent)
        record.parent_run_id = parent_run_id
        if run is not None:
            record.run_id = run.info.run_id
        parent = self._parents.setdefault(str(record.parent), self._bare(record, one.title))
        self._finish(record)
        parent.rows.append(record.row or {})
        self._learn(record.row, one.files)

    def _bare(self, record: Record, title: str) -> Record:
        """The parent of a run that only left a row."""
        tags = {key: value for key, value in record.tags.items() if key in ("suite", "suite_version")}
        return Record(
            id=str(record.parent), store=record.store, experiment=record.experiment, name=title, tags=tags,
            began=record.began, tried=True,
        )  # fmt: skip

    def _finish(self, record: Record) -> None:
        upload = self._upload(record.experiment)
        record.parent_run_id = self._parent_of(record, upload)
        _forget_other_store(record, upload)
        created = upload.open(record)
        upload.finish(record, self._warn)
        if created:
            self.outcome.uploaded += 1
        else:
            self.outcome.completed += 1

    def _parent_of(self, record: Record, upload: Upload) -> str:
        name = str(record.parent)
        if name not in self._parent_ids:
            if record.parent_run_id and upload.get(record.parent_run_id) is not None:
                return record.parent_run_id
            parent = self._parents.setdefault(name, self._bare(record, "runs uploaded later"))
            _forget_other_store(parent, upload)
            upload.open(parent)
            self._parent_ids[name] = str(parent.run_id)
        return self._parent_ids[name]

    def _end(self, record: Record) -> None:
        """Write the summary of a parent, and end it."""
        upload = self._upload(record.experiment)
        _forget_other_store(record, upload)
        upload.open(record)
        rows = [self._learned.get(row["run_id"], row) for row in record.rows]
        drawn = {} if "suite" in record.tags else histories(rows, self._uri)
        upload.summarise(record, [(row, drawn.get(row["run_id"], [])) for row in rows], self._warn)
        if record.end is None:
            record.over(None, parent_end(rows) if rows else "KILLED")
        upload.client.set_terminated(record.run_id, record.end, record.ended or now())

    def _learn(self, row: Row | None, files: Iterable[Path]) -> None:
        if row is not None:
            self._learned[row["run_id"]] = row
            for file in files:
                self._told.setdefault(file, []).append(row)

    def _upload(self, experiment: str) -> Upload:
        return self._uploads.setdefault(experiment, Upload(self._uri, experiment))


def check_store(spools: Sequence[Spool], uri: str) -> None:
    """Raise :class:`TrackingError` where records were meant for another store than the one at ``uri``."""
    others = {record.store for spool in spools for record in spool.records()} - {store.public(uri)}
    if others:
        raise TrackingError(
            f"runs here were made for the MLflow store {min(others)}, not {store.public(uri)}; "
            f"say which one is to have them: --tracking-uri {min(others)}"
        )


def _forget_other_store(record: Record, upload: Upload) -> None:
    """Let ``record`` begin anew where its run is not in this store."""
    if record.run_id is not None and upload.get(record.run_id) is None:
        record.run_id, record.described, record.sent = None, False, 0


def _name(row: dict[str, Any]) -> str:
    return f"{row.get('optimizer_name')} {row.get('dataset_name')} seed {row.get('seed')}"
