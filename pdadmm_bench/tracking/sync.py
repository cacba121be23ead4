"""Uploads the runs on disk that MLflow lacks.

A partly uploaded run is completed; a complete one is left alone. So the same call can be made again at any time.
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
from pdadmm_bench.tracking.described import ParentRun, TrainingRun, ended, now, parent_end
from pdadmm_bench.tracking.kept import KeptRun, tell
from pdadmm_bench.tracking.read import histories
from pdadmm_bench.tracking.unsent import Unsent
from pdadmm_bench.tracking.upload import PARENT, Upload, find_run


@dataclass
class Outcome:
    """What became of the runs."""

    uploaded: int = 0
    completed: int = 0
    """Runs of which the store had a part, or had all while the row did not have the ids."""
    there: int = 0
    failed: list[str] = field(default_factory=list)
    """One line each, with the reason."""


class Sync:
    """One upload to the store at ``uri``.

    Args:
        experiment: of runs whose parent is not known; the others go to the experiment of their parent.
        progress: called after each run with the number that are done.
    """

    def __init__(
        self, uri: str, experiment: str, *, warn: Callable[[str], None], progress: Callable[[int], None]
    ):  # fmt: skip
        self.outcome = Outcome()
        self._uri, self._experiment, self._warn, self._progress = uri, experiment, warn, progress
        self._uploads: dict[str, Upload] = {}
        self._parents: dict[str, ParentRun] = {}
        """The parents that are not, or not wholly, in MLflow, by id."""
        self._touched: set[str] = set()
        """The parents of which a run was uploaded."""
        self._learned: dict[str, Row] = {}
        """Rows with their ids in MLflow, by ``run_id``."""
        self._told: dict[Path, list[Row]] = {}
        self._done = 0

    def run(self, folders: Sequence[Unsent], kept: Sequence[KeptRun]) -> Outcome:
        """Upload everything in ``folders``, and the runs in ``kept`` that are not in there.

        Raises :class:`TrackingError` for a store that cannot be used or stops answering; the rows of runs uploaded
        until then have their ids.
        """
        try:
            store.check(self._uri)
            with contextlib.ExitStack() as locks:
                for folder in folders:
                    locks.enter_context(folder.alone())
                self._run(folders, kept)
        except UserError:
            raise
        except Exception as error:
            raise store.unusable(self._uri, error) from error
        finally:
            tell(self._told)
            for folder in folders:
                folder.tidy()
        return self.outcome

    def _run(self, folders: Sequence[Unsent], kept: Sequence[KeptRun]) -> None:
        parents = [(parent, folder) for folder in folders for parent in folder.parents()]
        self._parents = {parent.id: parent for parent, _ in parents}
        runs = {one.run_id: one for one in kept} | {one.run_id: one for folder in folders for one in folder.runs()}
        for run_id, one in runs.items():
            if self._attempt(_name(one.row), self._upload_run, one):
                for folder in folders:
                    folder.drop_run(run_id)
        for name in [
            *(parent.id for parent, _ in parents),
            *sorted(self._touched - {parent.id for parent, _ in parents}),
        ]:
            parent = self._parents[name]
            if self._attempt(parent.name, self._end, parent):
                for folder in folders:
                    folder.drop_parent(name)

    def _attempt(self, name: str, action: Callable[[Any], None], subject: KeptRun | ParentRun) -> bool:
        """Whether ``action`` succeeded on ``subject``; a failure stops no other, unless the store is unreachable."""
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

    def _upload_run(self, one: KeptRun) -> None:
        """Upload a run, unless it is there."""
        known = self._parents.get(one.parent)
        upload = self._upload(known.experiment if known else self._experiment)
        named = one.row.get("mlflow_run_id")
        found = find_run(upload.client, named) if named else None
        if found is None:
            alike = upload.find(one.run_id, deleted=True)
            found = min(alike, key=lambda run: run.info.lifecycle_stage == "deleted", default=None)
        if found is not None and (found.info.status != "RUNNING" or found.info.lifecycle_stage == "deleted"):
            ids = {"mlflow_run_id": found.info.run_id, "mlflow_parent_run_id": found.data.tags.get(PARENT)}
            self._learn(one.row | ids, one.files)
            if named:
                self.outcome.there += 1
            else:
                self.outcome.completed += 1
            return
        run = one.load(self._warn)
        run.run_id = found.info.run_id if found is not None else None
        run.parent_run_id = self._parent_of(one, run, upload)
        created = upload.open(run)
        upload.finish(run, ended(one.row), self._warn)
        if created:
            self.outcome.uploaded += 1
        else:
            self.outcome.completed += 1
        assert run.row is not None
        self._learn(run.row, one.files)

    def _parent_of(self, one: KeptRun, run: TrainingRun, upload: Upload) -> str:
        """The id in MLflow of the parent of ``run``; the parent is created if MLflow lacks it."""
        named = one.row.get("mlflow_parent_run_id")
        name = named or one.parent
        if name not in self._parents and named and find_run(upload.client, named) is not None:
            return str(named)  # it is there, and has this run already
        parent = self._parents.setdefault(name, self._bare(name, one, run, upload.experiment))
        upload.open(parent)
        self._touched.add(name)
        if one.run_id not in {row["run_id"] for row in parent.rows}:
            parent.rows.append(one.row)
        assert parent.run_id is not None
        return parent.run_id

    def _bare(self, name: str, one: KeptRun, run: TrainingRun, experiment: str) -> ParentRun:
        """A parent of which only its runs are known."""
        tags = {key: value for key, value in run.tags.items() if key in ("suite", "suite_version")}
        return ParentRun(
            id=name, store=store.public(self._uri), experiment=experiment, name=one.title, tags=tags, began=run.began,
            tried=True,
        )  # fmt: skip

    def _end(self, parent: ParentRun) -> None:
        """Send the summary of a parent, and end it."""
        upload = self._upload(parent.experiment)
        upload.open(parent)
        rows = [self._learned.get(row["run_id"], row) for row in parent.rows]
        steps = {} if "suite" in parent.tags else histories(rows, self._uri)
        parent.end = parent.end or (parent_end(rows) if rows else "KILLED")
        parent.ended = parent.ended or now()
        upload.finish_parent(parent, [(row, steps.get(row["run_id"], [])) for row in rows], self._warn)

    def _learn(self, row: Row, files: Iterable[Path]) -> None:
        self._learned[row["run_id"]] = row
        for file in files:
            self._told.setdefault(file, []).append(row)

    def _upload(self, experiment: str) -> Upload:
        return self._uploads.setdefault(experiment, Upload(self._uri, experiment))


def check_store(folders: Sequence[Unsent], uri: str) -> None:
    """Raise :class:`TrackingError` where runs were meant for another store than the one at ``uri``."""
    others = {other for folder in folders for other in other_stores(folder, uri)}
    if others:
        raise TrackingError(
            f"runs here were made for the MLflow store {min(others)}, not {store.public(uri)}; "
            f"say which one is to have them: --tracking-uri {min(others)}"
        )


def other_stores(folder: Unsent, uri: str) -> set[str]:
    """The stores, other than the one at ``uri``, for which runs in ``folder`` were made."""
    return {parent.store for parent in folder.parents()} - {store.public(uri)}


def _name(row: Row) -> str:
    return f"{row.get('optimizer_name')} {row.get('dataset_name')} seed {row.get('seed')}"
