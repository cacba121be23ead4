"""A finished run on disk: row, history and logs. It is uploaded from these files, wherever they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdadmm_bench.core import history
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.files import parse_json, write_atomic
from pdadmm_bench.core.rows import Row
from pdadmm_bench.tracking.described import TrainingRun, run_of_row


@dataclass(frozen=True, kw_only=True)
class KeptRun:
    """A finished run on disk.

    Args:
        parent: the ``id`` of its parent run.
        title: the name of the parent if it has to be created and nothing else is known of it.
        history: the file with its steps, which need not exist.
        logs: the folder with its logs, which need not exist.
        files: files with its row; the row there gets its ids in MLflow.
    """

    row: Row
    parent: str
    title: str
    history: Path | None = None
    logs: Path | None = None
    files: Sequence[Path] = ()

    @property
    def run_id(self) -> str:
        """The ``run_id`` of its row."""
        return str(self.row["run_id"])

    @property
    def in_mlflow(self) -> bool:
        """Whether the row has the id of its run in MLflow, which it gets when all of the run is there."""
        return bool(self.row.get("mlflow_run_id"))

    def steps(self, warn: Callable[[str], None]) -> list[dict[str, float]]:
        """The steps of the run; empty where they are not on disk, or are damaged, which causes a warning."""
        if self.history is not None and self.history.is_file():
            try:
                return history.read(self.history, self.run_id)
            except UserError as error:
                warn(str(error))
        return []

    def load(self, warn: Callable[[str], None]) -> TrainingRun:
        """The run as MLflow should have it; a damaged history causes a warning, and is left out.

        Raises :class:`UserError` for a row whose settings cannot be read.
        """
        run = run_of_row(self.row)
        run.steps = self.steps(warn)
        for path in sorted(self.logs.glob("*")) if self.logs else ():
            run.logs[path.name] = path.read_text(encoding="utf-8", errors="replace")
        return run


def row_on_disk(run_id: str, files: Sequence[Path]) -> bool:
    """Whether the first of ``files`` is the row of the run ``run_id``."""
    if not files:
        return False
    try:
        return bool(parse_json(files[0].read_bytes())["run_id"] == run_id)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def tell(rows: Mapping[Path, Iterable[Row]]) -> None:
    """Write the ids that runs got in MLflow into the rows in files, where they have none.

    A file is one row or an array of rows; one that is gone, or is no longer a file of rows, is left alone. Raises
    :class:`UserError` for a file that cannot be written.

    Args:
        rows: the rows that have the ids, by file.
    """
    for path, learned in rows.items():
        try:
            content = parse_json(path.read_bytes())
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


def read_record(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``; raises :class:`UserError` where there is none."""
    try:
        content = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise no_record(path, str(error)) from None
    if not isinstance(content, dict):
        raise no_record(path, "it is not a JSON object")
    return content


def no_record(path: Path, why: str) -> UserError:
    """The error for a file that is not what it should be."""
    return UserError(f"{path} is not the record of a run ({why.splitlines()[0]}); move it away to go on without it")
