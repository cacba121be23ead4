"""A store in a file that was moved: from a cluster to a laptop, or to another folder.

MLflow keeps the absolute path of every run's artifacts in the database. Where the database was copied together with its
folder ``mlruns``, those paths lead nowhere, and the rows of its runs would be lost.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

ARTIFACTS = "mlruns"
_LOOKED_AT = 20


def follow(file: Path) -> None:
    """Let the paths in the database ``file`` lead to the artifacts beside it, where it was moved together with them.

    A path is changed only if nothing is there any more, and the folder of one of its runs is beside the database.
    """
    here = file.absolute().parent / ARTIFACTS
    if not here.is_dir():
        return
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(file)) as database:
        homes = [home for (home,) in database.execute("SELECT DISTINCT artifact_location FROM experiments") if home]
        for home in homes:
            gone = Path(home).is_absolute() and not Path(home).exists()
            if not gone or Path(home) == here or not _has_runs_of(database, home, here):
                continue
            with database:
                for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
                    database.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} = ? OR {column} LIKE ?",
                        [str(here), len(home) + 1, home, f"{home}/%"],
                    )


def _has_runs_of(database: sqlite3.Connection, home: str, here: Path) -> bool:
    """Whether artifacts of runs that had theirs in ``home`` are ``here``."""
    runs = database.execute(
        "SELECT run_uuid FROM runs WHERE artifact_uri LIKE ? ORDER BY start_time DESC LIMIT ?",
        [f"{home}/%", _LOOKED_AT],
    )
    return any((here / run_id).is_dir() for (run_id,) in runs)
