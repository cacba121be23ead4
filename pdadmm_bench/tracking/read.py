"""Result rows back from where runs went: a rows file, an MLflow run, or an MLflow experiment."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pdadmm_bench.core.errors import TrackingError, UserError, unknown
from pdadmm_bench.core.rows import SCHEMA_VERSION, Row, read_rows
from pdadmm_bench.tracking import store
from pdadmm_bench.tracking.upload import PARENT

ARTIFACT = "row.json"
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_PAGE = 1000


@dataclass(frozen=True)
class Source:
    """Rows under the name they were asked for by."""

    name: str
    rows: list[Row]
    without_row: list[str] = field(default_factory=list)
    """Ids of training runs that left no row: they are running still, or were killed."""


def read_source(name: str, tracking_uri: str | None = None) -> Source:
    """The rows of ``name``: the path of a rows file, the id of a run or of an invocation, or an experiment.

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
    uri = store.uri_or_default(tracking_uri)
    with _client(uri, name) as client:
        runs = _runs(client, name)
        found = [(run.info.run_id, _row(client, run)) for run in runs]
    rows = [row for _, row in found if row is not None]
    if not rows:
        raise UserError(
            f"{name!r} in the MLflow store {store.public(uri)} has {len(runs)} training runs and not one result row; "
            "give an experiment or a run that pdadmm-bench made and finished"
        )
    return Source(name, rows, [run_id for run_id, row in found if row is None])


def read_run(run_id: str, tracking_uri: str | None = None) -> Row | None:
    """The row of the MLflow run ``run_id``; None where there is no such run, or no store.

    Raises :class:`UserError` for a run without a row, :class:`TrackingError` for a store that cannot be used.
    """
    uri = store.uri_or_default(tracking_uri)
    file = store.database(uri)
    if file is not None and not file.exists():
        return None
    with _client(uri, run_id) as client:
        if (run := _run(client, run_id)) is None:
            return None
        if (row := _row(client, run)) is None:
            raise UserError(f"the MLflow run {run_id} has no result row")
        return row


@contextlib.contextmanager
def _client(uri: str, name: str) -> Iterator[Any]:
    """A client of a store that exists; what MLflow fails on becomes a :class:`TrackingError`."""
    file = store.database(uri)
    if file is not None and not file.exists():
        raise TrackingError(f"{name!r} is no rows file, and there is no MLflow store {file} to look for it in")
    store.check(uri)
    store.quiet()
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a bar for each row
    try:
        with store.alone(file):
            client = store.client(uri)
            client.search_experiments(max_results=1)  # a store of an older MLflow is migrated here, alone
        yield client
    except UserError:
        raise
    except Exception as error:
        raise store.unusable(uri, error) from error


def _run(client: Any, name: str) -> Any | None:
    """The run with the id ``name``, None if there is none."""
    from mlflow.exceptions import MlflowException

    if _RUN_ID.fullmatch(name):
        with contextlib.suppress(MlflowException):  # no such run; an experiment may be called so
            return client.get_run(name)
    return None


def _runs(client: Any, name: str) -> list[Any]:
    """The training runs of a run, of an invocation, or of an experiment; the oldest first."""
    if (run := _run(client, name)) is not None:
        is_child = PARENT in run.data.tags
        children = f"tags.{PARENT} = '{name}'"
        return [run] if is_child else _search(client, run.info.experiment_id, children)
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
        row = json.loads(load_text(f"{run.info.artifact_uri}/{ARTIFACT}"))
    except json.JSONDecodeError as error:
        raise UserError(f"{ARTIFACT} of MLflow run {run_id} is not a result row: {error}") from None
    version = row.get("schema_version") if isinstance(row, dict) else None
    if version != SCHEMA_VERSION:
        raise UserError(
            f"MLflow run {run_id} has a row of schema {version}, this program reads schema {SCHEMA_VERSION}"
        )
    return dict(row)
