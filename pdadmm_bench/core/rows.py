"""Result rows: one flat, versioned mapping per run. Tables, reports and gates read nothing else.

Names carry the prefix of their subject. A row is JSON: strings, numbers, booleans and null only. ``status`` says how
the run ended; a failed run is a row too, never a missing one.
"""

from __future__ import annotations

import gzip
import json
import math
import uuid
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdadmm_bench.core.env import environment
from pdadmm_bench.core.errors import UserError, short, unknown
from pdadmm_bench.core.files import parse_json, write_atomic
from pdadmm_bench.core.row_check import problems

if TYPE_CHECKING:
    from pdadmm_bench.core.spec import RunSpec

SCHEMA_VERSION = 1
_SHOWN = 3
"""Problems of a file that a message lists."""

PREFIXES = ("dataset_", "optimizer_", "model_", "dist_", "time_", "acc_", "loss_", "memory_", "weights_", "env_")

NEAR_BEST = 0.99
"""``time_to_near_best_s`` is the training seconds to this share of the run's best validation accuracy."""

#: The names other programs rely on, present in every row (null where the run has no value for them).
FIXED = (
    "run_id", "status", "dataset_name", "dataset_split", "optimizer_name", "model_layers", "model_hidden", "seed",
    "dist_workers", "dist_device", "acc_train_final", "acc_val_final", "acc_test_final", "acc_val_best",
    "acc_test_at_best_val", "iterations", "time_iteration_median_s", "time_train_s", "time_to_target_s",
    "memory_peak_bytes", "weights_initial_sha256", "weights_sha256", "schema_version",
)  # fmt: skip

#: Names without a prefix that may join the fixed ones.
FREE = ("status_reason", "mlflow_run_id", "mlflow_parent_run_id", "spec", "suite_version", "created")

Row = dict[str, Any]


@dataclass(frozen=True)
class Status:
    """What the ``status`` of a row means for everybody who reads it."""

    exit_code: int
    """Exit code of the command that made the run: 0, 1 for a failure, 130 for a run that the user stopped."""
    ended: bool
    """Whether the run is over. A run that is not can go on from its checkpoint, which is therefore kept."""
    complete: bool
    """Whether the run did all that was asked for: tables count it, and a suite does not make it again."""
    reproducible: bool
    """Whether the same run, made again, gives the same numbers."""
    tried: bool
    """Whether the optimizer was tried, so that a target that was not reached counts as its failure."""
    crashed: bool
    """Whether an exception ended the run in the middle: its process is not used for another run."""
    mlflow: str
    """The status of the ended run in MLflow, which has only three."""

    @property
    def failed(self) -> bool:
        """Whether the run failed by itself; a run that the user stopped did not."""
        return self.exit_code == 1


_COMPLETE = Status(
    exit_code=0, ended=True, complete=True, reproducible=True, tried=True, crashed=False, mlflow="FINISHED"
)
_CRASHED = Status(
    exit_code=1, ended=False, complete=False, reproducible=False, tried=True, crashed=True, mlflow="FAILED"
)

#: Every status, and what it means. Nothing else in the package lists statuses.
STATUSES: Mapping[str, Status] = {
    "ok": _COMPLETE,
    "target_reached": _COMPLETE,
    "timeout": _COMPLETE,
    "diverged": replace(_COMPLETE, exit_code=1, complete=False, mlflow="FAILED"),
    "oom": _CRASHED,
    "error": _CRASHED,
    "interrupted": replace(_CRASHED, exit_code=130, tried=False, crashed=False, mlflow="KILLED"),
    "skipped": replace(_COMPLETE, complete=False, reproducible=False, tried=False),
}


def status_of(row: Row) -> Status:
    """What the status of ``row`` means; raises :class:`UserError` for an unknown status."""
    name = str(row.get("status"))
    if name not in STATUSES:
        raise unknown("status", name, STATUSES)
    return STATUSES[name]


def exit_code(rows: Iterable[Row]) -> int:
    """The exit code of a command that made ``rows``: 130 if one was stopped, else 1 if one failed, else 0."""
    return max((status_of(row).exit_code for row in rows), default=0)


def make_row(values: Mapping[str, Any]) -> Row:
    """A complete row: fixed names first, missing ones null, non-finite numbers null.

    Raises ``ValueError`` for a name outside the schema or an unknown status: a mistake of the program, not the user.
    """
    row: Row = {**dict.fromkeys(FIXED), "schema_version": SCHEMA_VERSION, **values}
    for name, value in row.items():
        if name not in FIXED and name not in FREE and not name.startswith(PREFIXES):
            raise ValueError(f"{name!r} is not a row name: give it one of the prefixes {PREFIXES}")
        if isinstance(value, float) and not math.isfinite(value):
            row[name] = None
    if row["status"] not in STATUSES:
        raise ValueError(f"status {row['status']!r} is not one of {tuple(STATUSES)}")
    return row


def first_values(spec: RunSpec) -> dict[str, Any]:
    """Row values that are known before a run starts: its id and time, what was asked for, and where it runs."""
    from pdadmm_bench.core.protocol import protocol  # needs pydantic, which readers of rows do not

    return {
        "run_id": uuid.uuid4().hex,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "spec": json.dumps(spec.flat(), ensure_ascii=False),
        "seed": spec.seed,
        "dataset_name": _in_one_order(spec.data.dataset),
        "optimizer_name": spec.optimizer,
        "optimizer_preset": spec.preset,
        "optimizer_precision": spec.precision,
        "optimizer_batch_size": spec.batch_size or None,
        "model_layers": spec.model.layers,
        "model_hidden": spec.model.hidden,
        "model_init": spec.model.init,
        "model_warm_start": f"{spec.stages_text()} {spec.deepening}" if spec.stages() else None,
        "dist_workers": spec.gpus,
        "env_protocol": protocol(spec),
        **environment(),
    }


def _in_one_order(dataset: str) -> str:
    """The card's name: ``sbm[classes=3,nodes=90]`` for ``sbm[nodes=90, classes=3]``, also for runs that fail early."""
    base, bracket, rest = dataset.strip().partition("[")
    if not bracket or not rest.endswith("]"):
        return dataset
    items = ["=".join(part.strip() for part in item.split("=", 1)) for item in rest[:-1].split(",") if item.strip()]
    return f"{base.strip()}[{','.join(sorted(items))}]" if items else base.strip()


def shared(row: Row) -> bool:
    """Whether other runs were made at the same time, so that the times of ``row`` are not measurements."""
    return (row.get("env_concurrency") or 1) > 1


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write ``rows`` to ``path`` as one JSON array, atomically; compressed where its name ends in ``.gz``."""
    text = json.dumps(list(rows), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomic(path, gzip.compress(text.encode(), mtime=0) if compressed(path) else text)


def compressed(path: Path) -> bool:
    """Whether the rows file at ``path`` is, or will be, compressed."""
    return path.suffix == ".gz"


def read_rows(path: Path) -> list[Row]:
    """The rows of a file made by :func:`write_rows`.

    Raises :class:`UserError` for anything else: a row with a value that is not what its name says is named with its
    place in the file.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"no such rows file: {path}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    try:
        rows = parse_json(gzip.decompress(content) if compressed(path) else content)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"{path} is not a rows file: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "schema_version" in row for row in rows):
        raise UserError(f"{path} is not a rows file: expected a JSON array of result rows")
    wrong: list[str] = []
    for place, row in enumerate(rows, 1):
        if row["schema_version"] != SCHEMA_VERSION:
            raise UserError(
                f"{path} has rows of schema {short(row['schema_version'])}, this program reads schema {SCHEMA_VERSION}"
            )
        wrong += [f"row {place}: {problem}" for problem in row_problems(row)]
    if wrong:
        more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise UserError(f"{path} is not a rows file: {'; '.join(wrong[:_SHOWN])}{more}")
    return rows


def row_problems(row: Row) -> list[str]:
    """What is wrong with a row that was read, one clause each."""
    found = list(problems(row))
    if isinstance(status := row.get("status"), str) and status not in STATUSES:
        found.append(f"status is {short(status)}, and has to be one of {', '.join(STATUSES)}")
    return found
