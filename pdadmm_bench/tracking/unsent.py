"""Runs that are not, or not wholly, in MLflow, kept as files until they are.

A run is kept as everywhere else: its row, and the history beside it. ``pdadmm-bench sync`` uploads what is here::

    mlflow-unsent/
      PARENT/parent.json        the parent run of one command: name, configuration, tags, rows
      PARENT/RUN.json           the row of one of its runs, RUN being its run_id
      PARENT/RUN.steps.json.gz  the steps of that run (pdadmm_bench.core.history)
      PARENT/RUN.logs/NAME      logs of that run, such as the one of a worker that failed

In the results of a suite, rows and histories lie in ``runs/`` already; so only parents and logs are here. The rows of
``run --json`` are kept here all the same, since the next command may write other rows to the same file.

A run is written before its end is sent, and deleted when all of it has arrived. So a kill of this process loses none.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pdadmm_bench.core import history
from pdadmm_bench.core.errors import TrackingError
from pdadmm_bench.core.files import write_atomic
from pdadmm_bench.tracking.described import ParentRun, TrainingRun
from pdadmm_bench.tracking.kept import KeptRun, no_record, read_record

UNSENT = "mlflow-unsent"
"""Name of the folder, in the working folder or among the results of a suite."""

_PARENT = "parent.json"
_LOCK_SECONDS = 10.0
_NOT_KEPT = ("params", "dataset", "parent_run_id", "run_id", "tried", "described")
"""Fields that a parent never has, or that only the store knows."""


class Unsent:
    """The folder with the runs of some commands."""

    def __init__(self, folder: Path):
        self.folder, self._name = folder.absolute(), folder
        self._lock = FileLock(self.folder / ".lock")

    def __str__(self) -> str:
        return str(self._name)

    def keep_parent(self, parent: ParentRun) -> None:
        """Write ``parent``; raises :class:`UserError` when the folder cannot be written."""
        kept = {f.name: getattr(parent, f.name) for f in fields(parent) if f.name not in _NOT_KEPT}
        self._write(self.folder / parent.id / _PARENT, kept)

    def keep_run(self, parent: ParentRun, run: TrainingRun, *, with_row: bool = True) -> None:
        """Write ``run`` and ``parent``; raises as :meth:`keep_parent`.

        Args:
            with_row: whether row and steps are written, or the logs alone.
        """
        if with_row and run.row is not None:
            place = self.folder / parent.id / f"{run.id}.json"
            self.keep_parent(parent)
            history.write(history.beside_row(place), run.id, run.steps)
            self._write(place, run.row)
        for name, text in run.logs.items():
            write_atomic(self.folder / parent.id / f"{run.id}.logs" / name, text)

    def has(self, run_id: str) -> bool:
        """Whether the row of the run ``run_id`` is here."""
        return any(self.folder.glob(f"*/{run_id}.json"))

    def drop_run(self, run_id: str) -> None:
        """Remove the run ``run_id``, which is wholly in MLflow."""
        for path in self.folder.glob(f"*/{run_id}.*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def drop_parent(self, parent_id: str) -> None:
        """Remove the parent ``parent_id``, which is wholly in MLflow; it stays while one of its runs is here."""
        if not self._rows(self.folder / parent_id):
            shutil.rmtree(self.folder / parent_id, ignore_errors=True)

    def parents(self) -> list[ParentRun]:
        """All parents, the oldest first; raises :class:`UserError` for a file that is no record of a parent."""
        self._refuse_earlier_records()
        return sorted(map(self._parent, self.folder.glob(f"*/{_PARENT}")), key=lambda parent: parent.began)

    def runs(self) -> list[KeptRun]:
        """All runs, the oldest first; raises :class:`UserError` for a file that is no record of a run."""
        parents = {parent.id: parent for parent in self.parents()}
        found = []
        for folder in sorted(path.parent for path in self.folder.glob(f"*/{_PARENT}")):
            parent = parents[folder.name]
            files = [(self.folder / file).resolve() for file in parent.files]
            for path in self._rows(folder):
                row = read_record(path)
                if not isinstance(row.get("run_id"), str):
                    raise no_record(path, "it has no run_id")
                steps, logs = history.beside_row(path), self.logs(row["run_id"])
                found.append(
                    KeptRun(row=row, parent=parent.id, title=parent.name, history=steps, logs=logs, files=files)
                )
        return sorted(found, key=lambda kept: str(kept.row.get("created")))

    def logs(self, run_id: str) -> Path | None:
        """The folder with the logs of a run, if it has some here."""
        return next(self.folder.glob(f"*/{run_id}.logs"), None)

    def relative(self, files: Iterable[Path]) -> list[str]:
        """``files`` as :attr:`ParentRun.files`: a folder that is moved with its rows still finds them."""
        return [os.path.relpath(file.absolute(), self.folder) for file in files]

    def tidy(self) -> None:
        """Remove the folder if nothing is left in it."""
        if not [path for path in self.folder.glob("*") if path.name != ".lock"]:
            with contextlib.suppress(OSError):
                Path(self._lock.lock_file).unlink(missing_ok=True)
                self.folder.rmdir()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from sending what is here, so that no run is made twice; can be nested.

        Raises :class:`TrackingError` while another process sends what is here.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=_LOCK_SECONDS)
        except Timeout:
            raise TrackingError(f"another process is sending what is in {self}; try again when it is done") from None
        except OSError:  # where nothing can be written, no other process finds a run
            yield
            return
        try:
            yield
        finally:
            self._lock.release()

    def _rows(self, folder: Path) -> list[Path]:
        return sorted(path for path in folder.glob("*.json") if path.name != _PARENT)

    def _refuse_earlier_records(self) -> None:
        """Raise :class:`UserError` for a flat file, as earlier versions of this program wrote them."""
        for path in self.folder.glob("*.json"):
            if "steps" in read_record(path):
                raise no_record(path, "an earlier version of pdadmm-bench wrote it, and its sync uploads it")
            raise no_record(path, "it lies outside the folder of a parent run")

    def _parent(self, path: Path) -> ParentRun:
        content, names = read_record(path), {f.name for f in fields(ParentRun)} - set(_NOT_KEPT)
        try:
            return ParentRun(**{name: content[name] for name in names & set(content)}, tried=True)
        except TypeError as error:
            raise no_record(path, str(error)) from None

    def _write(self, path: Path, content: Mapping[str, Any]) -> None:
        write_atomic(path, json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n")
