"""``pdadmm-bench sync``: runs made while the server was away, or logged in part, get to MLflow once and wholly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from shell import DATA, DATASET, TINY, Cli, rows_of, tiny_suite

from pdadmm_bench.tracking import store
from pdadmm_bench.tracking.upload import Upload

pytestmark = pytest.mark.slow  # every test looks at runs that were made for it

AWAY = ("--tracking-uri", "http://127.0.0.1:9")
HERE = ("--tracking-uri", "sqlite:///mlflow.db")
TWO = (*TINY, "--optimizer", "adam", "--optimizer", "sgd", "--quiet", "--json", "rows.json")
SUITE = tiny_suite('[[entry]]\noptimizer = ["dladmm", "pdadmm"]\n', iterations=3)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What costs the most here are pictures, which other tests are about."""
    monkeypatch.setattr(Upload, "_figures", lambda *args: [])


class Store:
    """What is in the store of the working folder."""

    def __init__(self) -> None:
        self.client = store.client("sqlite:///mlflow.db")
        experiment = self.client.get_experiment_by_name("pdadmm-bench")
        runs = list(self.client.search_runs([experiment.experiment_id])) if experiment else []
        self.children = {run.data.tags["record"]: run for run in runs if "mlflow.parentRunId" in run.data.tags}
        self.parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        assert len(self.children) + len(self.parents) == len(runs)  # no run is there twice

    def steps(self, run: Any, key: str = "acc_val") -> list[int]:
        return [point.step for point in self.client.get_metric_history(run.info.run_id, key)]

    def artifact(self, run: Any, name: str) -> Any:
        return json.loads(Path(self.client.download_artifacts(run.info.run_id, name)).read_text())


def check(rows: list[dict[str, Any]], steps: list[int]) -> Store:
    """Every row has its run, with all that a run has, and knows it."""
    found = Store()
    assert set(found.children) == {row["run_id"] for row in rows}
    for row in rows:
        run = found.children[row["run_id"]]
        assert (row["mlflow_run_id"], row["mlflow_parent_run_id"]) == (
            run.info.run_id, run.data.tags["mlflow.parentRunId"],
        )  # fmt: skip
        assert (run.info.status, run.data.tags["status"]) == ("FINISHED", "ok")
        assert (run.data.params["optimizer"], run.data.tags["dataset"]) == (row["optimizer_name"], DATASET)
        hyperparameter = "rho" if "admm" in row["optimizer_name"] else "lr"
        assert f"{hyperparameter}={row[f'optimizer_{hyperparameter}']}" in run.data.tags["hyperparameters"].split()
        assert run.data.metrics["acc_test_at_best_val"] == row["acc_test_at_best_val"]
        assert run.inputs.dataset_inputs[0].dataset.name == DATASET
        assert found.steps(run) == steps
        assert found.artifact(run, "row.json") == row
        assert found.artifact(run, "config.json")["model"]["hidden"] == 8
        assert found.artifact(run, "environment.json")["env_torch"] == row["env_torch"]
        assert 0 <= run.info.end_time - run.info.start_time < 600_000
    return found


def test_runs_made_while_the_server_was_away(with_store: Path, cli: Cli) -> None:
    answer = cli(*TWO, *AWAY)
    assert answer.code == 0, answer.err
    assert answer.err.count("warning: the MLflow store http://127.0.0.1:9 cannot be used (creating a run: ") == 1
    advice = (
        "2 runs are not, or not wholly, in MLflow; pdadmm-bench sync --tracking-uri http://127.0.0.1:9 uploads them"
    )
    assert advice in answer.err
    assert all("mlflow_run_id" not in row or row["mlflow_run_id"] is None for row in rows_of(Path("rows.json")))
    still = cli("sync", *AWAY)
    assert "cannot be used" in still.error and "start it, or set MLFLOW_TRACKING_URI" in still.error
    assert "say which one is to have them: --tracking-uri http://127.0.0.1:9" in cli("sync").error

    synced = cli("sync", *HERE)
    assert (synced.code, synced.out) == (0, "2 uploaded, 0 completed, 0 there already: sqlite:///mlflow.db\n"), synced
    found = check(rows_of(Path("rows.json")), steps=[0, 1, 2, 3, 4])
    (parent,) = found.parents
    assert (parent.info.status, parent.data.tags["optimizer"]) == ("FINISHED", "adam, sgd")
    assert found.artifact(parent, "rows.json") == rows_of(Path("rows.json"))
    assert "comparison.png" in {file.path for file in found.client.list_artifacts(parent.info.run_id)}
    assert cli("sync", *HERE).out == "nothing to upload: no run here lacks one in MLflow\n"
    everything = cli("sync", "rows.json", "--all", *HERE)
    assert everything.out == "0 uploaded, 0 completed, 2 there already: sqlite:///mlflow.db\n"
    check(rows_of(Path("rows.json")), steps=[0, 1, 2, 3, 4])

    assert cli(*TINY, "--optimizer", "sgd", "--quiet", *AWAY).code == 0  # what it leaves is for another store
    named = cli("sync", "rows.json", "--all")
    assert named.out == "0 uploaded, 0 completed, 2 there already: sqlite:///mlflow.db\n", named
    assert list(Path("mlflow-unsent").glob("*/*.steps.json.gz")), "it stays for that one"


class Losing:
    """Stands between this program and the store: after some calls of a method, the server is gone with its answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        from mlflow import MlflowClient

        self.method, self.calls, self.gone = "", 0, False
        for name in ("create_run", "log_batch", "log_inputs", "log_text", "set_tag", "set_terminated", "search_runs"):
            monkeypatch.setattr(MlflowClient, name, self._between(name, getattr(MlflowClient, name)))

    def _between(self, name: str, real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            if self.gone:
                raise ConnectionRefusedError("gone")
            answer = real(*arguments, **options)
            if name == self.method:
                self.calls -= 1
                if self.calls < 0:
                    self.gone = True
                    raise ConnectionResetError("gone")
            return answer

        return call


@pytest.mark.parametrize(
    ("method", "calls"),
    [("create_run", 1), ("log_batch", 2), ("log_inputs", 1), ("log_text", 4), ("set_terminated", 0),
     ("set_terminated", 2)],
)  # fmt: skip
def test_a_server_lost_at_any_point_costs_nothing(
    method: str, calls: int, with_store: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Losing(monkeypatch)
    server.method, server.calls = method, calls
    answer = cli(*TWO, *HERE)
    assert answer.code == 0, answer.err
    assert server.gone and "in MLflow; pdadmm-bench sync --tracking-uri sqlite:///mlflow.db uploads" in answer.err
    server.method, server.gone = "", False
    synced = cli("sync", *HERE)
    assert synced.code == 0, synced.err
    found = check(rows_of(Path("rows.json")), steps=[0, 1, 2, 3, 4])
    (parent,) = found.parents
    assert parent.info.status == "FINISHED" and len(found.artifact(parent, "rows.json")) == 2
    assert cli("sync", *HERE).out.startswith("nothing to upload")


@pytest.mark.parametrize("histories", [True, False])
def test_what_a_suite_keeps_is_enough(histories: bool, with_store: Path, cli: Cli) -> None:
    """Rows alone are enough for all but the steps."""
    Path("mine.toml").write_text(SUITE)
    assert cli("suite", "mine.toml", "--quiet", *AWAY).code == 0
    shutil.rmtree("results/mine/mlflow-unsent")
    if not histories:
        for path in Path("results/mine/runs").glob("*.steps.json.gz"):
            path.unlink()
    synced = cli("sync", *HERE)
    assert (synced.code, synced.out) == (0, "2 uploaded, 0 completed, 0 there already: sqlite:///mlflow.db\n"), synced
    rows = rows_of(Path("results/mine/rows.json"))
    found = check(rows, steps=[0, 1, 2, 3] if histories else [])
    assert [json.loads(path.read_text()) for path in sorted(Path("results/mine/runs").glob("*.json"))] == sorted(
        rows, key=lambda row: row["env_run_key"]
    )
    (parent,) = found.parents
    assert (parent.info.run_name, parent.info.status, parent.data.tags["suite"]) == ("suite mine", "FINISHED", "mine")
    assert {run.data.tags["run_key"] for run in found.children.values()} == {row["env_run_key"] for row in rows}
    assert cli("sync", "results/mine", *HERE).out.startswith("nothing to upload")
    goes_on = cli("suite", "mine.toml", *HERE)
    assert (goes_on.code, "0 to make, 2 finished" in goes_on.err) == (0, True)


def test_a_suite_keeps_no_second_copy_of_rows_and_steps(with_store: Path, cli: Cli) -> None:
    Path("mine.toml").write_text(SUITE)
    answer = cli("suite", "mine.toml", *AWAY)
    assert "what MLflow could not take is kept in results/mine" in answer.err
    kept = [path.name for path in Path("results/mine/mlflow-unsent").glob("*/*")]
    assert kept == ["parent.json"]


def test_a_damaged_history_is_told_and_the_rest_is_uploaded(with_store: Path, cli: Cli) -> None:
    Path("mine.toml").write_text(SUITE)
    assert cli("suite", "mine.toml", "--quiet", *AWAY).code == 0
    damaged = sorted(Path("results/mine/runs").glob("*.steps.json.gz"))[0]
    damaged.write_bytes(damaged.read_bytes()[:40])
    synced = cli("sync", *HERE)
    assert synced.code == 0
    assert f"{damaged} is not the history of a run" in synced.err
    assert sorted(len(Store().steps(run)) for run in Store().children.values()) == [0, 4]


def test_rows_of_another_store_are_uploaded_on_request(with_store: Path, cli: Cli) -> None:
    shutil.copy("mlflow.db", "other.db")
    assert cli(*TWO, "--tracking-uri", "sqlite:///other.db").code == 0
    before = rows_of(Path("rows.json"))
    assert cli("sync", "rows.json", *HERE).out.startswith("nothing to upload")
    assert cli("sync", "rows.json", "--all", *HERE).out.startswith("2 uploaded")
    assert cli("sync", "rows.json", "--all", *HERE).out.startswith("0 uploaded, 0 completed, 2 there already")
    found = Store()
    assert len(found.children) == 2 and len(found.parents) == 1
    assert rows_of(Path("rows.json")) == before  # they go on naming the store that has their steps


def test_a_failed_run_is_uploaded_as_one(with_store: Path, cli: Cli) -> None:
    broken = cli("run", *DATA, "--layers", "2", "--hidden", "8", "--optimizer", "sgd", "--set", "lr=1e30", *AWAY)
    assert broken.code == 1
    assert cli("sync", *HERE).code == 0
    (run,) = Store().children.values()
    assert (run.info.status, run.data.tags["status"]) == ("FAILED", "diverged")
    assert run.data.tags["status_reason"]


def test_a_suite_that_starts_again_sends_what_was_left(with_store: Path, cli: Cli) -> None:
    Path("mine.toml").write_text(SUITE)
    assert cli("suite", "mine.toml", "--quiet", "--filter", "optimizer=dladmm", *AWAY).code == 0
    assert cli("suite", "mine.toml", "--quiet", *HERE).code == 0
    found = check(rows_of(Path("results/mine/rows.json")), steps=[0, 1, 2, 3])
    assert [run.info.status for run in found.parents] == ["FINISHED"]
    assert not Path("results/mine/mlflow-unsent").exists()


def test_what_cannot_be_read_is_told(with_store: Path, cli: Cli) -> None:
    assert "no-such.json is neither a rows file nor a folder" in cli("sync", "no-such.json").error
    Path("rows.json").write_text("{half")
    assert "rows.json is not a rows file" in cli("sync", "rows.json").error
    Path("mlflow-unsent").mkdir()
    Path("mlflow-unsent/a.json").write_text('{"id": "a"')
    assert "mlflow-unsent/a.json is not the record of a run" in cli("sync").error
    assert Path("mlflow-unsent/a.json").exists()
    Path("mlflow-unsent/a.json").write_text('{"id": "a", "store": "sqlite:///mlflow.db", "steps": []}')
    refused = cli("sync").error
    assert "an earlier version of pdadmm-bench wrote it, and its sync uploads it" in refused
    Path("mlflow-unsent/a.json").unlink()
    Path("mlflow-unsent/b").mkdir()
    Path("mlflow-unsent/b/parent.json").write_text("[]")
    assert "mlflow-unsent/b/parent.json is not the record of a run" in cli("sync").error
    assert Path("mlflow-unsent/b/parent.json").exists()
