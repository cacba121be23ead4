"""The sources of rows for ``compare`` and ``report``: rows files, results folders, suites, and MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pdadmm_bench.core import history
from pdadmm_bench.core.errors import TrackingError, UserError
from pdadmm_bench.core.files import parse_json
from pdadmm_bench.core.row_check import problems
from pdadmm_bench.core.rows import Row, compressed, read_rows
from pdadmm_bench.suite.results import Results, default_folder, own_store, trial_folder
from pdadmm_bench.tracking.read import histories, read_rows_of


@dataclass(frozen=True)
class Source:
    """The rows of one source, under the name that the user gave."""

    name: str
    rows: list[Row]
    without_row: list[str] = field(default_factory=list)
    """Ids of training runs in MLflow that left no row: they are still running, or were killed."""


def read_source(name: str, tracking_uri: str | None = None) -> Source:
    """The rows of ``name``: the path of a rows file, the id of a run in MLflow, or the name of an experiment.

    Raises :class:`UserError` for a name that is none of them, for a source without rows, and for rows that this program
    cannot read; :class:`TrackingError` for a store that cannot be used.
    """
    path = Path(name)
    if path.is_file():
        rows = read_rows(path)
        if not rows:
            raise UserError(f"{path} has no rows")
        return Source(name, rows)
    if path.suffix == ".json" or path.exists():
        raise UserError(f"no such rows file: {path}")
    tracked = read_rows_of(name, tracking_uri)
    return Source(name, tracked.rows, tracked.without_row)


@dataclass
class SourceRows:
    """The rows of some sources, each run once, and where more about them is kept."""

    rows: list[Row] = field(default_factory=list)
    scale: list[dict[str, Any]] = field(default_factory=list)
    """Rows of ``scale --json``."""
    remarks: list[str] = field(default_factory=list)
    """What a reader of the report should know about the sources."""
    history_files: dict[str, Path] = field(default_factory=dict)
    """The files with the steps of runs, by ``run_id``."""
    archives: list[Path] = field(default_factory=list)
    """The files with the steps of all runs of a compressed rows file."""
    stores: dict[str | None, list[Row]] = field(default_factory=dict)
    """Rows by the MLflow store that may have their runs; None is the default store."""
    tracked: bool = False
    """Whether a source is an experiment, a run or a suite, whose runs are in MLflow."""

    def add(self, rows: Sequence[Row], store: str | None) -> None:
        """Add the rows of one source."""
        self.rows += rows
        self.stores.setdefault(store, []).extend(rows)

    def histories(self, stores: bool = True) -> dict[str, list[dict[str, float]]]:
        """The steps of the runs by ``run_id``: from files beside the rows, or from MLflow for rows without such a file.

        A damaged file and a store that cannot be used become remarks.

        Args:
            stores: whether MLflow is asked, which may take long.
        """
        found: dict[str, list[dict[str, float]]] = {}
        for path in self.archives:
            try:
                found |= history.read_archive(path)
            except UserError as error:
                self.remarks.append(str(error))
        for run_id, path in self.history_files.items():
            try:
                found[run_id] = history.read(path, run_id)
            except UserError as error:
                self.remarks.append(str(error))
        for store, rows in self.stores.items() if stores else ():
            try:
                found |= histories([row for row in rows if row["run_id"] not in found], store)
            except TrackingError as error:
                self.remarks.append(str(error))
        return found


def read_sources(names: Sequence[str], tracking_uri: str | None) -> SourceRows:
    """The rows of all sources; raises :class:`UserError` for a name that is no source.

    A name is the path of a rows file or of a file of ``scale --json``, the folder or the name of a suite, or the id of
    an MLflow run, or the name of an MLflow experiment.
    """
    found = SourceRows()
    for name in names:
        path = Path(name)
        folder = next((each for each in (path, default_folder(name), trial_folder(name)) if each.is_dir()), None)
        if folder is not None:
            _add_folder(found, folder, tracking_uri)
        elif (scale := _scale_rows(path)) is not None:
            found.scale += scale
        else:
            source = read_source(name, tracking_uri)
            found.add(source.rows, tracking_uri)
            if path.is_file():
                _find_histories(found, path, source.rows)
            else:
                found.tracked = True
            if source.without_row:
                found.remarks.append(
                    f"{name}: {len(source.without_row)} runs have no result row; they run still, or were killed"
                )
    once = {str(row.get("run_id")): row for row in found.rows}
    if len(once) < len(found.rows):
        found.remarks.append(f"{len(found.rows) - len(once)} rows were in several sources and count once")
    found.rows = list(once.values())
    return found


def _add_folder(found: SourceRows, folder: Path, tracking_uri: str | None) -> None:
    """Add the rows of a suite's results, or of such a folder of ``reports/`` that has them compressed."""
    rows_file = next((file for file in (folder / "rows.json", folder / "rows.json.gz") if file.is_file()), None)
    if rows_file is not None:
        rows = read_source(str(rows_file)).rows
    else:
        rows = Results(folder).every_row(found.remarks.append)
        if not rows:
            raise UserError(f"{folder} is no results folder of a suite: it has no rows.json and no row in runs/")
        found.remarks.append(
            f"{folder} has no rows.json, which a suite writes when it ends: all {len(rows)} rows of runs/ are used"
        )
    found.add(rows, tracking_uri or own_store(folder))
    if rows_file is None or not compressed(rows_file):
        found.tracked = True
    _find_histories(found, rows_file or folder / "rows.json", rows)


def _find_histories(found: SourceRows, rows_file: Path, rows: Sequence[Row]) -> None:
    if compressed(rows_file) and (archive := history.archive(rows_file)).is_file():
        found.archives.append(archive)
    for row in rows:
        if (path := history.find(rows_file, row)) is not None:
            found.history_files[str(row["run_id"])] = path


_OF_SCALE = (
    "dataset_name", "optimizer_name", "model_layers", "model_hidden", "dist_workers", "dist_device",
    "time_iteration_median_s", "n",
)  # fmt: skip
"""What every row of ``scale`` has."""


def _scale_rows(path: Path) -> list[dict[str, Any]] | None:
    """The rows that ``scale --json`` wrote to ``path``; None for another file.

    Raises :class:`UserError` for the predictions of ``predict``.
    """
    try:
        rows = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return None  # the reader of rows reports what is wrong with it
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) and "efficiency" in row for row in rows):
        return None
    if any(row.get("predicted") for row in rows):
        raise UserError(f"{path} was written by predict: a report has measured numbers only")
    for place, row in enumerate(rows, 1):
        if wrong := next(problems(row, required=_OF_SCALE), None):
            raise UserError(f"{path} is not a file of scale --json: row {place}: {wrong}")
    return rows
