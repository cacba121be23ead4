"""A store in a file that is taken elsewhere, with its artifacts or without."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pdadmm_bench.tracking import store


def made(migrated: Path, folder: Path) -> str:
    """A store in ``folder`` with one run; the id of the run."""
    folder.mkdir()
    shutil.copy(migrated, folder / "mlflow.db")
    with store.existing(f"sqlite:///{folder}/mlflow.db") as client:
        assert client is not None
        experiment = store.create_experiment(client, "bench", folder / "mlflow.db")
        run_id = str(client.create_run(experiment).info.run_id)
        client.log_text(run_id, "a row", "row.json")
    return run_id


def text_of(folder: Path, run_id: str) -> str:
    from mlflow.artifacts import load_text

    with store.existing(f"sqlite:///{folder}/mlflow.db") as client:
        assert client is not None
        return str(load_text(f"{client.get_run(run_id).info.artifact_uri}/row.json"))


def test_a_store_is_taken_elsewhere_with_its_artifacts(migrated: Path, tmp_path: Path) -> None:
    """The database and ``mlruns``, copied side by side, are the whole store: no path leads back to the cluster."""
    run_id = made(migrated, tmp_path / "cluster")
    shutil.move(tmp_path / "cluster", tmp_path / "laptop")
    assert text_of(tmp_path / "laptop", run_id) == "a row"
    with store.existing(f"sqlite:///{tmp_path}/laptop/mlflow.db") as client:
        assert client is not None
        new = client.create_run(client.get_experiment_by_name("bench").experiment_id)
    assert str(new.info.artifact_uri).startswith(str(tmp_path / "laptop" / "mlruns"))


@pytest.mark.parametrize("copied", ["mlflow.db", "all"])
def test_a_copy_beside_the_original_changes_nothing(migrated: Path, tmp_path: Path, copied: str) -> None:
    """While the artifacts are where the database says, they are read from there, also without a copy of them."""
    run_id = made(migrated, tmp_path / "here")
    if copied == "all":
        shutil.copytree(tmp_path / "here", tmp_path / "copy")
    else:
        (tmp_path / "copy").mkdir()
        shutil.copy(tmp_path / "here" / "mlflow.db", tmp_path / "copy")
    assert text_of(tmp_path / "copy", run_id) == "a row"
    with store.existing(f"sqlite:///{tmp_path}/copy/mlflow.db") as client:
        assert client is not None
        assert str(tmp_path / "here") in client.get_run(run_id).info.artifact_uri
