"""The history of a run: its steps, in a file beside its row.

A row says how a run ended. Its history holds the values of every iteration: ``iteration``, ``iteration_seconds``,
``train_seconds`` and, where they were measured, ``objective``, ``primal_residual``, ``acc_*`` and ``loss_*``. Curves
are drawn from it. The file of the row determines the file of the history:

* ``run --json rows.json`` writes ``rows.steps/RUN_ID.json.gz``, one file for each row of ``rows.json``;
* a suite writes ``runs/KEY.steps.json.gz`` beside the row ``runs/KEY.json``;
* a compressed file of rows, ``rows.json.gz``, has the histories of all of them in one archive, ``rows.steps.json.gz``.

A file is gzip-compressed JSON, ``{"schema_version": 1, "run_id": …, "steps": [{…}, …]}``, and an archive
``{"schema_version": 1, "runs": {RUN_ID: [{…}, …], …}}``. JSON has no numbers for infinity and NaN, so these are the
strings ``"inf"``, ``"-inf"`` and ``"nan"``. The same steps give the same bytes.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.files import parse_json, write_atomic
from pdadmm_bench.core.rows import Row

SCHEMA_VERSION = 1
_SUFFIX = ".json.gz"

NAMES = {"iteration_seconds": "time_iteration_s", "train_seconds": "time_train_s"}
"""What users call values of a step that have another name in the files."""

History = Sequence[Mapping[str, float]]
"""The steps of one run, in their order."""


def beside_row(row_file: Path) -> Path:
    """Where the history of the one row in ``row_file`` lies: ``KEY.json`` has it in ``KEY.steps.json.gz``."""
    return row_file.with_name(f"{row_file.stem}.steps{_SUFFIX}")


def beside_rows(rows_file: Path, run_id: str) -> Path:
    """Where the history of the row ``run_id`` of ``rows_file`` lies, one among several."""
    return _folder(rows_file) / f"{run_id}{_SUFFIX}"


def find(rows_file: Path, row: Row) -> Path | None:
    """The file with the history of ``row``, which was read from ``rows_file``; None where there is none.

    ``rows.json`` of a suite's results has the histories of its rows in ``runs/``.
    """
    files = [beside_rows(rows_file, str(row.get("run_id")))]
    if key := row.get("env_run_key"):
        files.append(beside_row(rows_file.parent / "runs" / f"{key}.json"))
    return next((file for file in files if file.is_file()), None)


def archive(rows_file: Path) -> Path:
    """Where the histories of the compressed ``rows_file`` lie, all in one file."""
    return rows_file.with_name(f"{rows_file.name.removesuffix(_SUFFIX)}.steps{_SUFFIX}")


def write(path: Path, run_id: str, steps: History) -> None:
    """Write the history of the run ``run_id`` to ``path``, atomically; raises :class:`UserError` when that fails."""
    _write(path, {"run_id": run_id, "steps": [_encoded(step) for step in steps]})


def write_archive(path: Path, runs: Mapping[str, History]) -> None:
    """Write the histories of ``runs``, by ``run_id``, to one file; as :func:`write`."""
    _write(path, {"runs": {run_id: [_encoded(step) for step in steps] for run_id, steps in sorted(runs.items())}})


def _write(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps({"schema_version": SCHEMA_VERSION, **content}, separators=(",", ":"), allow_nan=False)
    write_atomic(path, gzip.compress(text.encode(), mtime=0))


def keep(path: Path, run_id: str, steps: History, warn: Callable[[str], None]) -> None:
    """As :func:`write`, but a failure is only a warning, so that the row is kept even without its steps."""
    try:
        write(path, run_id, steps)
    except UserError as error:
        warn(f"{error}; the run has a row, but its steps are not kept")


def read(path: Path, run_id: str) -> list[dict[str, float]]:
    """The history of the run ``run_id`` that :func:`write` wrote to ``path``.

    Raises :class:`UserError` for a file that is missing, damaged, or of another run.
    """
    content = _read(path, "the history of a run", "steps", list)
    if content.get("run_id") != run_id:
        raise UserError(f"{path} is the history of run {content.get('run_id')}, not of {run_id}")
    return _steps(path, content["steps"])


def read_archive(path: Path) -> dict[str, list[dict[str, float]]]:
    """The histories, by ``run_id``, that :func:`write_archive` wrote to ``path``.

    Raises :class:`UserError` for a file that is missing or damaged.
    """
    content = _read(path, "an archive of histories", "runs", dict)
    return {run_id: _steps(path, steps) for run_id, steps in content["runs"].items()}


def _read(path: Path, what: str, part: str, kind: type) -> dict[str, Any]:
    try:
        content: Any = parse_json(gzip.decompress(path.read_bytes()))
    except FileNotFoundError:
        raise UserError(f"no such history: {path}") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"{path} is not {what} ({str(error).splitlines()[0]})") from None
    if not isinstance(content, dict) or not isinstance(content.get(part), kind):
        raise UserError(f"{path} is not {what}: it has no {part}")
    if content.get("schema_version") != SCHEMA_VERSION:
        raise UserError(
            f"{path} is a history of schema {content.get('schema_version')}, this program reads schema {SCHEMA_VERSION}"
        )
    return content


def _steps(path: Path, steps: Any) -> list[dict[str, float]]:
    try:
        return [{name: _decoded(value) for name, value in step.items()} for step in steps]
    except (AttributeError, TypeError, ValueError):
        raise UserError(f"{path} is not the history of a run: a step has a value that is no number") from None


def forget(rows_file: Path) -> None:
    """Delete the histories beside ``rows_file``, whose rows are about to be replaced."""
    archive(rows_file).unlink(missing_ok=True)
    for path in _folder(rows_file).glob(f"*{_SUFFIX}"):
        path.unlink(missing_ok=True)


def _folder(rows_file: Path) -> Path:
    return rows_file.with_name(f"{rows_file.stem}.steps")


def _encoded(step: Mapping[str, float]) -> dict[str, float | str]:
    return {
        name: value if math.isfinite(value) else str(float(value)) for name, value in step.items() if value is not None
    }


def _decoded(value: float | str) -> float:
    if isinstance(value, bool) or value is None:
        raise TypeError
    return float(value) if isinstance(value, str) else value
