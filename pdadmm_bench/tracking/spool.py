"""Where records wait that are not, or not wholly, in their store.

A record is written before it is sent, and deleted when all of it has arrived. So what a store could not take, and what
a killed process had not sent yet, is here for the next attempt, or for ``pdadmm-bench sync``.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock, Timeout

from pdadmm_bench.core.errors import TrackingError, UserError
from pdadmm_bench.core.files import write_atomic
from pdadmm_bench.core.rows import Row
from pdadmm_bench.tracking.record import Record

FOLDER = "mlflow-unsent"
"""In the working folder; a suite has a folder of this name among its results."""

_LOCK_SECONDS = 10.0


class Spool:
    """A folder of records, one file each."""

    def __init__(self, folder: Path):
        self.folder, self._name = folder.absolute(), folder
        self._lock = FileLock(self.folder / ".lock")

    def __str__(self) -> str:
        return str(self._name)

    def keep(self, record: Record) -> None:
        """Write ``record``; raises :class:`UserError` when the folder cannot be written."""
        record.tried = True  # whoever reads it cannot know
        write_atomic(self._path(record), json.dumps(asdict(record), ensure_ascii=False, default=str) + "\n")

    def drop(self, record: Record) -> None:
        """All of ``record`` is in its store."""
        self._path(record).unlink(missing_ok=True)

    def has(self, record: Record) -> bool:
        """Whether ``record`` is here."""
        return self._path(record).exists()

    def tidy(self) -> None:
        """Remove the folder if no record is left in it."""
        if not any(self.folder.glob("*.json")):
            with contextlib.suppress(OSError):
                Path(self._lock.lock_file).unlink(missing_ok=True)
                self.folder.rmdir()

    def records(self, parent: str | None = None) -> list[Record]:
        """All records, or those of ``parent`` and its runs: parents first, then the oldest.

        Raises :class:`UserError` for a file that is not a record.
        """
        found = [self._read(path) for path in self.folder.glob("*.json")]
        mine = [record for record in found if parent is None or parent in (record.id, record.parent)]
        return sorted(mine, key=lambda record: (record.parent is not None, record.began))

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """To be held where a run is made for a record that others may have found; can be nested.

        Raises :class:`TrackingError` while another process sends what is here.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=_LOCK_SECONDS)
        except Timeout:
            raise TrackingError(f"another process is sending what is in {self}; try again when it is done") from None
        except OSError:  # where nothing can be written, nobody finds a record
            yield
            return
        try:
            yield
        finally:
            self._lock.release()

    def relative(self, files: Iterable[Path]) -> list[str]:
        """``files`` as :attr:`Record.files`: a folder that is moved with its rows still finds them."""
        return [os.path.relpath(file.absolute(), self.folder) for file in files]

    def files(self, record: Record) -> list[Path]:
        """The files of ``record``, where they are now."""
        return [(self.folder / file).resolve() for file in record.files]

    def _path(self, record: Record) -> Path:
        return self.folder / f"{record.id}.json"

    def _read(self, path: Path) -> Record:
        try:
            record = Record(**json.loads(path.read_text(encoding="utf-8")))
            record.steps = [(int(at), step) for at, step in record.steps]
        except (OSError, ValueError, TypeError) as error:
            raise UserError(
                f"{path} is not the record of a run ({str(error).splitlines()[0]}); move it away to go on without it"
            ) from None
        return record


def tell(rows: Mapping[Path, Iterable[Row]]) -> None:
    """Give the rows in files the ids that their runs got in MLflow, where they have none; ``rows`` have them.

    A file is one row or an array of rows; one that is gone or is no longer a file of rows is left alone. Raises
    :class:`UserError` for a file that cannot be written.
    """
    for path, learned in rows.items():
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        ids = {row["run_id"]: row for row in learned}
        changed = False
        for row in content if isinstance(content, list) else [content]:
            known = ids.get(row.get("run_id")) if isinstance(row, dict) else None
            if known and not (row.get("mlflow_run_id") and row.get("mlflow_parent_run_id")):
                row |= {name: known[name] for name in ("mlflow_run_id", "mlflow_parent_run_id")}
                changed = True
        if changed:
            write_atomic(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
