"""Records of runs that earlier versions of this program wrote into ``mlflow-unsent/``, one flat file for each run.

A record had everything in one JSON object, the steps as pairs of a time and a step. It is read as a :class:`KeptRun`,
and uploaded like any other; a parent has the fields of today's.
"""

from __future__ import annotations

from pathlib import Path

from pdadmm_bench.tracking.kept import KeptRun, no_record, read_record


def is_parent(path: Path) -> bool:
    """Whether the record in ``path`` is that of a parent; raises :class:`UserError` for a file that is no record."""
    content = read_record(path)
    if "id" not in content or "store" not in content:
        raise no_record(path, "it has no id, or no store")
    return content.get("parent") is None


def run(path: Path, folder: Path) -> KeptRun:
    """The training run in ``path``, a file of ``folder``; raises :class:`UserError` for a record that is not whole."""
    content = read_record(path)
    row = content.get("row")
    if not isinstance(row, dict) or not row.get("run_id"):
        raise no_record(path, "an earlier version wrote it, and the run left no row")
    if not row.get("mlflow_parent_run_id") and content.get("parent_run_id"):
        row["mlflow_parent_run_id"] = content["parent_run_id"]
    row["mlflow_run_id"] = None  # it was written into the row before all of the run had arrived
    try:
        steps = [{str(name): float(value) for name, value in step.items()} for _, step in content.get("steps", [])]
        return KeptRun(
            row=row, parent=str(content["parent"]), title="runs uploaded later", steps=steps,
            files=[(folder / file).resolve() for file in content.get("files", [])],
        )  # fmt: skip
    except (AttributeError, TypeError, ValueError) as error:
        raise no_record(path, str(error)) from None
