"""A SQLite store as a file: made and migrated beside its place, and put there when it is whole.

MLflow makes a store in dozens of steps, and not in one transaction. A process that is killed meanwhile leaves a file
that no later process can use. So a store is made, or brought to the schema of this MLflow, in a temporary file in the
same folder, which then replaces the store. The caller holds the lock of the store.
"""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pdadmm_bench.core.errors import TrackingError

_PREFIX, _SUFFIX = ".", ".new"
_VERSIONS = "alembic_version"
"""The table with the revision of the schema."""


@dataclass(frozen=True)
class Schema:
    """What is in a SQLite file: the names of its tables, and the revision of MLflow's schema that it says it has."""

    tables: frozenset[str]
    revision: str | None

    @property
    def is_foreign(self) -> bool:
        """Whether there are tables, and none of MLflow's, which would be added to them."""
        return bool(self.tables) and not self.tables & {"experiments", _VERSIONS}


def schema(file: Path) -> Schema:
    """The schema of ``file``; raises :class:`sqlite3.Error` for a damaged file."""
    with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        found = database.execute(f"SELECT version_num FROM {_VERSIONS}").fetchone() if _VERSIONS in tables else None
    return Schema(frozenset(tables), found[0] if found else None)


def experiments_without(file: Path, name: str) -> list[str] | None:
    """The experiments of the store ``file`` if neither one of them nor a run is called ``name``; None if one is.

    None also where the file cannot tell: then MLflow says what is wrong with it, or with the name.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
            experiments = [
                text for (text,) in database.execute("SELECT name FROM experiments WHERE lifecycle_stage = 'active'")
            ]
            runs = database.execute("SELECT 1 FROM runs WHERE run_uuid = ?", [name]).fetchone()
    except sqlite3.Error:
        return None
    return None if runs or name in experiments else experiments


def make_whole(file: Path) -> None:
    """Make the store ``file`` if there is none or an empty one; bring an older one to the schema of this MLflow.

    Raises :class:`TrackingError` for a store that was left half made, and for one of a newer MLflow.
    """
    _remove_left_behind(file)
    if not file.exists() or file.stat().st_size == 0:
        with _beside(file) as made:
            _migrate(made, file.absolute().parent)
            made.replace(file.resolve())
        return
    try:
        found = schema(file)
    except sqlite3.Error:
        return  # MLflow says what is wrong
    known, newest = _revisions()
    if found.revision == newest:
        return
    if found.revision is not None and found.revision not in known:
        raise TrackingError(
            f"{file} was made by a newer MLflow than the one installed here (its schema is {found.revision}): "
            "install that version, or name another store"
        )
    with _beside(file) as made:
        _copy(file, made)
        try:
            _migrate(made, file.absolute().parent)
        except Exception as error:
            raise TrackingError(
                f"{file} is an MLflow store that was left half made, by a process that was killed: move it away, and "
                "the next command makes a new one; what is kept here, sync uploads to it"
            ) from error
        if any(file.with_name(file.name + end).exists() for end in ("-wal", "-journal")):
            raise TrackingError(f"{file} has to be brought to the schema of this MLflow, and another process uses it")
        made.replace(file.resolve())


def _migrate(file: Path, folder: Path) -> None:
    """Bring ``file`` to the newest schema, as MLflow does when it opens a store; artifacts are kept in ``folder``."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    made = None
    try:
        made = SqlAlchemyStore(f"sqlite:///{file}", str(folder / "mlruns"))
    finally:
        if made is not None:
            made.engine.dispose()


def _revisions() -> tuple[set[str], str]:
    """All revisions of the schema that this MLflow knows, and the newest of them."""
    import mlflow
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    return {script.revision for script in scripts.walk_revisions()}, str(scripts.get_current_head())


def _copy(file: Path, target: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(file)) as source,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)


@contextlib.contextmanager
def _beside(file: Path) -> Iterator[Path]:
    """A path for a new file in the folder of ``file``; what is there at the end is removed."""
    target = file.resolve()
    place = target.with_name(f"{_PREFIX}{target.name}.{uuid.uuid4().hex[:8]}{_SUFFIX}")
    try:
        yield place
    finally:
        for path in place.parent.glob(f"{place.name}*"):  # SQLite's journal too
            path.unlink(missing_ok=True)


def _remove_left_behind(file: Path) -> None:
    """Remove what a process that was killed here left behind; no other process makes the store now."""
    target = file.resolve()
    for path in target.parent.glob(f"{_PREFIX}{target.name}.*{_SUFFIX}*"):
        path.unlink(missing_ok=True)
