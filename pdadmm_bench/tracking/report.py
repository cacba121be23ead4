"""What a report reads from MLflow beside the rows, and where it puts its files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pdadmm_bench.core.rows import Row
from pdadmm_bench.tracking import store

#: The metrics of a step that pictures are drawn from.
METRICS = ("train_seconds", "acc_val", "objective", "primal_residual", "loss_train", "loss")

FOLDER = "report"


def histories(rows: Sequence[Row], tracking_uri: str | None = None) -> dict[str, list[dict[str, float]]]:
    """The steps of each row's MLflow run, by the ``run_id`` of the row; runs that the store does not have are left out.

    A store that does not exist has no runs, and none is made. Raises :class:`TrackingError` for an unusable one.
    """
    ids = {row["mlflow_run_id"]: row["run_id"] for row in rows if row.get("mlflow_run_id")}
    uri = store.uri_or_default(tracking_uri)
    file = store.database(uri)
    if not ids or (file is not None and not file.exists()):
        return {}
    store.check(uri)
    store.quiet()
    from mlflow.exceptions import MlflowException

    found: dict[str, list[dict[str, float]]] = {}
    try:
        with store.alone(file):
            client = store.client(uri)
            client.search_experiments(max_results=1)
        for run_id, ours in ids.items():
            try:
                recorded = set(client.get_run(run_id).data.metrics)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                continue
            steps: dict[int, dict[str, float]] = {}
            for key in sorted(recorded.intersection(METRICS)):
                for point in client.get_metric_history(run_id, key):
                    steps.setdefault(point.step, {"iteration": point.step})[key] = point.value
            if steps:
                found[ours] = [steps[step] for step in sorted(steps)]
    except Exception as error:
        raise store.unusable(uri, error) from error
    return found


def log_files(parent: str, files: Sequence[Path], tracking_uri: str | None = None) -> bool:
    """Put ``files`` into the folder ``report`` of the run ``parent``; False where the store has no such run.

    A store that does not exist is not made. Raises :class:`TrackingError` for one that cannot be used.
    """
    uri = store.uri_or_default(tracking_uri)
    file = store.database(uri)
    if file is not None and not file.exists():
        return False
    store.quiet()
    from mlflow.exceptions import MlflowException

    try:
        client = store.client(uri)
        try:
            client.get_run(parent)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        for path in files:
            client.log_artifact(parent, str(path), FOLDER)
    except Exception as error:
        raise store.unusable(uri, error) from error
    return True


def parents(rows: Sequence[Row]) -> list[str]:
    """The parent runs of ``rows``."""
    return list(dict.fromkeys(str(row["mlflow_parent_run_id"]) for row in rows if row.get("mlflow_parent_run_id")))
