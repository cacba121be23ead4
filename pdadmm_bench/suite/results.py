"""The results folder of a suite. It has one row for each run; a killed process loses no row that was written.

::

    results/accuracy/
      rows.json              rows of the suite's runs, for reports; written again when a suite command ends
      runs/KEY.json          the row of one run; KEY identifies the run (pdadmm_bench.suite.identity)
      runs/KEY.steps.json.gz the steps of that run (pdadmm_bench.core.history)
      claims/KEY             lock file of the process that makes the run; the system unlocks it when the process ends
      claims/KEY.json        MLflow parent of the run while it is being made; a killed process leaves it behind
      checkpoints/KEY-MACHINE/  checkpoints of a run that has no result yet (pdadmm_bench.training.checkpoint)
      mlflow.json            the parent run in MLflow, by its tag ``record``
      mlflow-unsent/         data that MLflow could not take and no other file has (pdadmm_bench.tracking.unsent)

Rows of earlier code or earlier settings stay in ``runs/`` under their own keys.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from filelock import FileLock, Timeout

from pdadmm_bench.core import history
from pdadmm_bench.core.env import environment
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.files import check_writable, parse_json, write_atomic
from pdadmm_bench.core.rows import SCHEMA_VERSION, Row, row_problems, shared, write_rows
from pdadmm_bench.data.cache import cache_folder

RESULTS = "results"
STORE = "mlflow.db"


class Claim:
    """The right to make one run, held by this process until :meth:`release` or its end."""

    def __init__(self, lock: FileLock, note: Path):
        self._lock, self._note = lock, note
        self.left_behind = _note(note)
        """The MLflow parent run of a process that ended while it made this run, if any."""

    def note(self, parent: str) -> None:
        """Write down the MLflow parent before the run begins: a later process needs it if this one is killed."""
        write_atomic(self._note, json.dumps({"parent": parent}) + "\n")

    def release(self) -> None:
        """Give up the claim: the run is over, and its row is written."""
        self._note.unlink(missing_ok=True)
        self._lock.release()


def _note(path: Path) -> str | None:
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("parent")
    except (OSError, ValueError, AttributeError):
        return None


class Results:
    """Rows by the key of their run, in ``folder``."""

    def __init__(self, folder: Path):
        self.folder = folder

    def prepare(self) -> None:
        """Make the folder; raises :class:`UserError` when it cannot be written."""
        check_writable(self.folder / "rows.json")
        for name in ("runs", "claims"):
            check_writable(self._path(name, "probe"))

    def read(self, key: str, report: Callable[[str], None] = lambda line: None) -> Row | None:
        """The row of the run ``key``; None if it has no usable row. An unusable file is reported."""
        path = self._path("runs", key)
        row, problem = _row(path)
        if problem:
            report(f"{path} {problem}: the run is made again, the file is kept beside it")
        return row

    def files(self, key: str) -> list[Path]:
        """The files that the row of the run ``key`` is in, or will be."""
        return [self._path("runs", key), self.folder / "rows.json"]

    def write(self, key: str, row: Row) -> None:
        """Write ``row`` as the row of the run ``key``; a file there that cannot be used is moved aside, not lost."""
        path = self._path("runs", key)
        if _row(path)[1]:
            path.replace(path.with_suffix(".unreadable"))
        write_atomic(path, json.dumps(row, indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def history_file(self, key: str) -> Path:
        """Where the steps of the run ``key`` are, or will be."""
        return history.beside_row(self._path("runs", key))

    def keep_history(self, key: str, row: Row, steps: history.History, warn: Callable[[str], None]) -> None:
        """Write the steps of ``row`` beside it; a full disk costs a warning."""
        history.keep(self.history_file(key), row["run_id"], steps, warn)

    def every_row(self, report: Callable[[str], None] = lambda line: None) -> list[Row]:
        """All rows in the folder, also of earlier code and settings, oldest first; unusable files are reported."""
        rows = []
        for path in sorted(self.folder.glob("runs/*.json")):
            row, problem = _row(path)
            if row is not None:
                rows.append(row)
            elif problem:
                report(f"left out: {path} {problem}")
        return sorted(rows, key=lambda row: str(row.get("created")))

    def claim(self, key: str) -> Claim | None:
        """The claim to the run ``key``, or None while another process holds it."""
        path = self._path("claims", key)
        lock = FileLock(path.with_suffix(""), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return None
        except OSError as error:
            raise UserError(f"{path.with_suffix('')} cannot be locked: {error.strerror}") from error
        return Claim(lock, path)

    def noted(self, key: str) -> bool:
        """Whether the run ``key`` is being made, or was when its process was killed."""
        return _note(self._path("claims", key)) is not None

    def alone(self) -> FileLock:
        """A lock for the files that belong to the whole folder; it is held only briefly."""
        return FileLock(self.folder / "claims" / ".folder", timeout=60)

    def checkpoints(self, key: str, threads: int) -> Path:
        """The checkpoint folder of the run ``key``; each processor has its own, since processors round differently."""
        facts = environment()
        machine = f"{facts['env_cpu']} {facts['env_gpu']} {threads}"
        return self.folder / "checkpoints" / f"{key}-{hashlib.sha256(machine.encode()).hexdigest()[:8]}"

    def forget_checkpoints(self, key: str) -> None:
        """Remove the checkpoints of the run ``key``, which has its result."""
        for folder in self.folder.glob(f"checkpoints/{key}-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def gather(self, keys: Iterable[str]) -> Path:
        """Write the rows of ``keys`` to ``rows.json``, and return its path."""
        path = self.folder / "rows.json"
        write_rows(path, [row for key in keys if (row := self.read(key)) is not None])
        return path

    def parent(self, version: str) -> str | None:
        """The MLflow parent run noted for this version of the suite."""
        try:
            noted = json.loads((self.folder / "mlflow.json").read_text(encoding="utf-8"))
            return noted["parent"] if noted["suite_version"] == version else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def note_parent(self, version: str, parent: str) -> None:
        """Note the MLflow parent run, so that the next start continues it."""
        note = {"suite_version": version, "parent": parent}
        write_atomic(self.folder / "mlflow.json", json.dumps(note, indent=1) + "\n")

    def _path(self, kind: str, key: str) -> Path:
        return self.folder / kind / f"{key}.json"


def default_folder(suite: str) -> Path:
    """``results/<suite>`` in the working folder, where the MLflow store is by default too."""
    return Path(RESULTS) / suite


def trial_folder(suite: str, cache: Path | None = None) -> Path:
    """Where the last try of a suite with ``save = false`` lies until the next one: in the cache."""
    return cache_folder(cache) / "trials" / suite


def own_store(folder: Path) -> str | None:
    """The MLflow store of a try, which is in its folder; None where there is none."""
    file = folder.absolute() / STORE
    return f"sqlite:///{file}" if file.is_file() else None


def untimed(rows: Iterable[Row]) -> list[Row]:
    """Copies of ``rows`` without the times of those that shared the machine with other runs."""
    return [
        {name: None if name.startswith("time_") and shared(row) and name != "time_target_accuracy" else value
         for name, value in row.items()}
        for row in rows
    ]  # fmt: skip


def _row(path: Path) -> tuple[Row | None, str | None]:
    """The row in ``path``, or what is wrong with the file; neither where there is no file."""
    try:
        row = parse_json(path.read_bytes())
    except FileNotFoundError:
        return None, None
    except OSError as error:
        return None, f"cannot be read ({error.strerror})"
    except ValueError as error:
        return None, f"is not a result row: {error}"
    if not isinstance(row, dict) or "status" not in row:
        return None, "is not a result row"
    if row.get("schema_version") != SCHEMA_VERSION:
        return None, f"is a row of schema {row.get('schema_version')}, this program reads schema {SCHEMA_VERSION}"
    if wrong := row_problems(row):
        return None, f"is not a result row: {wrong[0]}"
    return row, None
