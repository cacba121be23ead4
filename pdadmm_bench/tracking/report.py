"""Puts the files of a report into MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pdadmm_bench.core.rows import Row
from pdadmm_bench.tracking import store
from pdadmm_bench.tracking.upload import find_run

REPORT = "report"


def log_files(parent: str, files: Sequence[Path], tracking_uri: str | None = None) -> bool:
    """Put ``files`` into the folder ``report`` of the run ``parent``; False where the store has no such run.

    Raises :class:`TrackingError` for a store that cannot be used.
    """
    with store.existing(store.uri_or_default(tracking_uri)) as client:
        if client is None or find_run(client, parent) is None:
            return False
        for path in files:
            client.log_artifact(parent, str(path), REPORT)
    return True


def parents(rows: Sequence[Row]) -> list[str]:
    """The parent runs of ``rows``, each once."""
    return list(dict.fromkeys(str(row["mlflow_parent_run_id"]) for row in rows if row.get("mlflow_parent_run_id")))
