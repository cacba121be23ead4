"""Reads rows and histories back from MLflow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdadmm_bench.core.errors import TrackingError, UserError, unknown
from pdadmm_bench.core.files import parse_json
from pdadmm_bench.core.rows import SCHEMA_VERSION, Row, row_problems
from pdadmm_bench.tracking import store
from pdadmm_bench.tracking.sqlite_file import experiments_without
from pdadmm_bench.tracking.upload import PARENT, find_run

ARTIFACT = "row.json"

#: The metrics of a step that pictures are drawn from, and what the step calls them. Earlier versions named the seconds
#: as the step does.
DRAWN = {
    "train_seconds": "train_seconds", "time_train_s": "train_seconds",
    **{key: key for key in ("acc_val", "objective", "primal_residual", "loss_train", "loss")},
}  # fmt: skip

_RUN_ID = re.compile(r"[0-9a-f]{32}")
_PAGE = 1000


@dataclass(frozen=True)
class TrackedRows:
    """The rows of some runs in MLflow."""

    rows: list[Row]
    without_row: list[str]
    """Ids of training runs that left no row: they are still running, or were killed."""


def read_rows_of(name: str, tracking_uri: str | None = None) -> TrackedRows:
    """The rows of ``name``: the id of a training run or of the parent of some, or the name of an experiment.

    Raises :class:`UserError` for a name that is none of them, for runs without any row, and for rows that this program
    cannot read; :class:`TrackingError` for a store that cannot be used.
    """
    uri = store.uri_or_default(tracking_uri)
    _check_name(name, store.database(uri))
    with store.existing(uri) as client:
        if client is None:
            raise TrackingError(
                f"{name!r} is no rows file, and there is no MLflow store {store.database(uri)} to look for it in"
            )
        runs = _training_runs(client, name)
        found = [(run.info.run_id, _row(client, run)) for run in runs]
    rows = [row for _, row in found if row is not None]
    if not rows:
        raise UserError(
            f"{name!r} in the MLflow store {store.public(uri)} has {len(runs)} training runs and not one result row; "
            "give an experiment or a run that pdadmm-bench made and finished"
        )
    return TrackedRows(rows, [run_id for run_id, row in found if row is None])


def read_run(run_id: str, tracking_uri: str | None = None) -> Row | None:
    """The row of the MLflow run ``run_id``; None where there is no such run, or no store.

    Raises :class:`UserError` for a run without a row, :class:`TrackingError` for a store that cannot be used.
    """
    uri = store.uri_or_default(tracking_uri)
    file = store.database(uri)
    if not _RUN_ID.fullmatch(run_id) or (file and experiments_without(file, run_id) is not None):
        return None  # before MLflow is imported
    with store.existing(uri) as client:
        if client is None or (run := _run(client, run_id)) is None:
            return None
        if (row := _row(client, run)) is None:
            raise UserError(f"the MLflow run {run_id} has no result row")
        return row


def histories(rows: Sequence[Row], tracking_uri: str | None = None) -> dict[str, list[dict[str, float]]]:
    """The steps of ``rows`` by ``run_id``, with the metrics for pictures; a row without a run in MLflow has none.

    Raises :class:`TrackingError` for a store that cannot be used.
    """
    ids = {row["run_id"]: row["mlflow_run_id"] for row in rows if row.get("mlflow_run_id")}
    found: dict[str, list[dict[str, float]]] = {}
    if not ids:
        return found
    with store.existing(store.uri_or_default(tracking_uri)) as client:
        if client is None:
            return found
        for run_id, there in ids.items():
            run = find_run(client, there)
            steps: dict[int, dict[str, float]] = {}
            for key in sorted(set(run.data.metrics).intersection(DRAWN)) if run else ():
                for point in client.get_metric_history(there, key):
                    steps.setdefault(point.step, {"iteration": point.step})[DRAWN[key]] = point.value
            if steps:
                found[run_id] = [steps[step] for step in sorted(steps)]
    return found


def _check_name(name: str, file: Path | None) -> None:
    """Raise :class:`UserError` where the store ``file`` has nothing of that name; this takes no import of MLflow."""
    if file and (experiments := experiments_without(file, name)) is not None:
        raise unknown("rows file, run or experiment", name, experiments)


def _run(client: Any, name: str) -> Any | None:
    """The run with the id ``name``, None if there is none; the name of an experiment may look like an id."""
    return find_run(client, name) if _RUN_ID.fullmatch(name) else None


def _training_runs(client: Any, name: str) -> list[Any]:
    """The training runs of a run, of a parent, or of an experiment; the oldest first."""
    if (run := _run(client, name)) is not None:
        is_child = PARENT in run.data.tags
        return [run] if is_child else _search(client, run.info.experiment_id, f"tags.{PARENT} = '{name}'")
    experiments = {experiment.name: experiment for experiment in client.search_experiments()}
    if name not in experiments:
        raise unknown("rows file, run or experiment", name, experiments)
    runs = _search(client, experiments[name].experiment_id, "")
    return [run for run in runs if PARENT in run.data.tags]


def _search(client: Any, experiment_id: str, condition: str) -> list[Any]:
    runs: list[Any] = []
    token = None
    while True:
        page = client.search_runs(
            [experiment_id], condition, max_results=_PAGE, order_by=["attributes.start_time ASC"], page_token=token
        )
        runs += page
        token = page.token
        if not token:
            return runs


def _row(client: Any, run: Any) -> Row | None:
    """The row that the run left, None if it left none; raises :class:`UserError` for one that cannot be read."""
    from mlflow.artifacts import load_text

    run_id = run.info.run_id
    if not any(artifact.path == ARTIFACT for artifact in client.list_artifacts(run_id)):
        return None
    try:
        row = parse_json(load_text(f"{run.info.artifact_uri}/{ARTIFACT}"))
    except ValueError as error:
        raise UserError(f"{ARTIFACT} of MLflow run {run_id} is not a result row: {error}") from None
    version = row.get("schema_version") if isinstance(row, dict) else None
    if version != SCHEMA_VERSION:
        raise UserError(
            f"MLflow run {run_id} has a row of schema {version}, this program reads schema {SCHEMA_VERSION}"
        )
    if wrong := row_problems(row):
        raise UserError(f"{ARTIFACT} of MLflow run {run_id} is not a result row: {wrong[0]}")
    return dict(row)
