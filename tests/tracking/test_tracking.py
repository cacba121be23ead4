"""Tracking through a real SQLite store: what ends up in MLflow, and what a store that fails does to a run."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pdadmm_bench.core.errors import TrackingError
from pdadmm_bench.core.rows import Row, make_row
from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.report.figures import convergence
from pdadmm_bench.report.figures.style import colour_of
from pdadmm_bench.tracking import TrackedRun, Tracker, child, store, values, view_command
from pdadmm_bench.tracking.described import description
from pdadmm_bench.tracking.suite import SuiteTracker

ENVIRONMENT = {"env_commit": "abc123", "env_dirty": True, "env_cpu": "test"}
SHA = "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be sent is kept in the working folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def drawn_uri(migrated: Path, tmp_path: Path) -> str:
    """A store whose runs get their pictures."""
    shutil.copy(migrated, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def uri(drawn_uri: str, blank_pictures: None) -> str:
    """A store whose runs get blank pictures."""
    return drawn_uri


def open_tracker(uri: str, warnings: list[str] | None = None) -> Tracker:
    warn = [].append if warnings is None else warnings.append
    return Tracker.open(uri, "bench", "cora 10×256", {"layers": 10}, ENVIRONMENT, warn=warn)


def start(tracker: Tracker, optimizer: str = "pdadmm", seed: int = 0, **facts: object) -> TrackedRun:
    child = tracker.observer()
    spec = run_spec({"dataset": "cora", "optimizer": optimizer, "seed": seed})
    known = {"optimizer_rho": 0.01, "dataset_sha256": SHA, "dist_device": "cpu", "dist_workers": 2, **facts}
    child.started(spec, known)
    return child


def steps(count: int) -> list[dict[str, float]]:
    return [
        {"iteration": k, "iteration_seconds": 0.01, "train_seconds": 0.01 * k, "acc_val": k / count, "objective": 1 / k}
        for k in range(1, count + 1)
    ]


def end(child: TrackedRun, history: list[dict[str, float]], status: str = "ok", **values: object) -> Row:
    names = {"optimizer_name": "pdadmm", "dataset_name": "cora", "seed": 0}
    row = make_row({**names, "status": status, "acc_test_final": 0.8, **values})
    child.finished(row, history)
    return row


def train(tracker: Tracker, count: int = 3, status: str = "ok", **start_with: object) -> Row:
    child = start(tracker, **start_with)
    for step in steps(count):
        child.stepped(step)
    return end(child, steps(count), status)


def artifacts(tracker: Tracker, run_id: str) -> set[str]:
    return {item.path for item in tracker.client.list_artifacts(run_id)}


def test_a_parent_is_worth_opening(uri: str) -> None:
    """Metrics of each optimizer, verdicts, the page; and the speedup of a run of two workers."""

    def done(optimizer: str, workers: int, seed: int, accuracy: float, seconds: float) -> Row:
        child = start(tracker, optimizer, seed, dist_workers=workers)
        spec = run_spec({"dataset": "cora", "optimizer": optimizer, "seed": seed, "gpus": workers})
        child.stepped(steps(1)[0])
        return end(
            child, steps(1), spec=json.dumps(spec.flat()), optimizer_name=optimizer, seed=seed, dist_workers=workers,
            acc_test_at_best_val=accuracy, time_iteration_median_s=seconds, time_to_near_best_s=seconds,
            dist_device="cpu", env_cores=2, model_layers=10, model_hidden=256, run_id=child.run.id,
        )  # fmt: skip

    with open_tracker(uri) as tracker:
        rows = [done("adam", 1, seed, 0.70 + seed / 1000, 2.0) for seed in range(6)]
        rows += [done("pdadmm", 1, seed, 0.75 + seed / 900, 4.0) for seed in range(6)]
        twice = done("pdadmm", 2, 0, 0.75, 1.0)
    client = tracker.client
    parent = client.get_run(tracker.run_id)
    assert parent.data.metrics["adam/acc_test_at_best_val"] == pytest.approx(0.7025)
    assert parent.data.metrics["adam/time_iteration_median_s"] == 2.0
    assert parent.data.metrics["pdadmm 2 workers/speedup"] == 4.0
    assert client.get_run(twice["mlflow_run_id"]).data.metrics["speedup"] == 4.0
    assert parent.data.tags["mlflow.note.content"].startswith("pdadmm is the most accurate on cora (1 worker): 75.3 %")
    verdicts = Path(client.download_artifacts(tracker.run_id, "verdicts.md")).read_text()
    assert "**leader better**" in verdicts
    note = client.get_run(twice["mlflow_run_id"]).data.tags["mlflow.note.content"]
    assert "| test accuracy at the best validation accuracy | 75.0 % |" in note and "| optimizer | pdadmm |" in note
    page = Path(client.download_artifacts(tracker.run_id, "report.html")).read_text()
    assert "data:image/svg+xml;base64," in page and len(page) < 500_000, "one picture, and no plotly"
    assert "pdadmm is the most accurate on cora (1 worker)" in page


@pytest.mark.slow
def test_parent_and_children(drawn_uri: str) -> None:
    with open_tracker(drawn_uri) as tracker:
        rows = [train(tracker, seed=seed) for seed in (0, 1)]
    parent = tracker.client.get_run(tracker.run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["dataset"] == "cora"
    assert "| pdadmm |" in parent.data.tags["mlflow.note.content"]
    kind = tracker.client.get_experiment(tracker.experiment_id).tags["mlflow.experimentKind"]
    assert kind == "custom_model_development"
    assert artifacts(tracker, tracker.run_id) == {
        "config.json", "environment.json", "rows.json", "summary.md", "comparison.png", "report.html",
    }  # fmt: skip
    found = tracker.client.search_runs([tracker.experiment_id], f"tags.mlflow.parentRunId = '{tracker.run_id}'")
    assert {run.info.run_id for run in found} == {row["mlflow_run_id"] for row in rows}
    assert all(row["mlflow_parent_run_id"] == tracker.run_id for row in rows)
    for run in found:
        assert run.info.status == "FINISHED"
        assert artifacts(tracker, run.info.run_id) == {
            "config.json", "environment.json", "row.json", "convergence.png",
        }  # fmt: skip


def test_a_description_has_no_links() -> None:
    """MLflow's UI reads ``[80.1, 82.3] (n=5)`` as one."""
    assert values.as_note("| 81.0 % [80.1, 82.3] (n=5) |") == r"| 81.0 % \[80.1, 82.3\] (n=5) |"
    assert len(values.as_note("[" * 9000)) == 8000


@pytest.mark.parametrize(("workers", "told"), [(1, False), (2, True)])
def test_a_partition_is_a_param_where_there_is_something_to_split(workers: int, told: bool) -> None:
    spec = run_spec({"dataset": "cora", "optimizer": "pdadmm", "gpus": workers})
    facts = {"dist_workers": workers, "dist_partition": "10" if workers == 1 else "5,5", "dist_threads": 1}
    params = description(spec, facts, ENVIRONMENT, {})["params"]
    assert ("dist_partition" in params) == told


def test_metrics_begin_with_accuracy() -> None:
    """The UI's comparison is coloured by the metric that came first."""
    step = {"loss_val": 2.0, "acc_val": 0.5, "acc_test_at_best_val": 0.4, "time_train_s": 1.0}
    assert [metric.key for metric in values.metrics_of(step, 3, 0)] == [
        "acc_test_at_best_val", "acc_val", "loss_val", "time_train_s",
    ]  # fmt: skip


def test_a_step_shows_what_the_protocol_would_report_so_far() -> None:
    """The start is no result, a later tie is none either, and steps without an evaluation change nothing."""
    found = [(0.9, 0.1), (0.5, 0.4), (None, None), (0.6, 0.3), (0.6, 0.9), (0.5, 0.8)]
    history = [
        {"iteration": k, "train_seconds": float(k), **({"acc_val": val, "acc_test": test} if val else {})}
        for k, (val, test) in enumerate(found)
    ]
    assert [metrics.get("acc_test_at_best_val") for _, _, metrics in values.series(history)] == [
        None, 0.4, 0.4, 0.3, 0.3, 0.3,
    ]  # fmt: skip
    assert all("acc_test" not in metrics for _, _, metrics in values.series(history))


def test_what_nobody_chose_is_no_param() -> None:
    """The comparison of two runs shows what was chosen; the rest is in a tag and in the configuration."""
    facts = {"optimizer_rho": 0.01, "optimizer_nu": 0.1, "optimizer_name": "pdadmm", "dist_workers": 1}
    spec = run_spec({"dataset": "sbm[nodes=90]", "layers": 4, "set": {"nu": 0.1}, "feature_scale": "none"})
    found = description(spec, facts, ENVIRONMENT, {})
    assert found["params"] == {
        "dataset": "sbm[nodes=90]", "optimizer": "pdadmm", "layers": "4", "hidden": "256", "seed": "0", "gpus": "1",
        "iterations": "200", "feature_scale": "none", "optimizer_nu": "0.1",
    }  # fmt: skip
    assert found["tags"]["hyperparameters"] == "rho=0.01 nu=0.1"
    assert found["name"] == "pdadmm sbm 4×256 seed 0"


def test_what_a_child_holds(uri: str) -> None:
    with open_tracker(uri) as tracker:
        row = train(tracker, count=5)
    client = tracker.client
    run = client.get_run(row["mlflow_run_id"])
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "acc_val")] == [
        (k, k / 5) for k in range(1, 6)
    ]
    assert run.data.metrics["time_iteration_s"] == 0.01
    assert run.data.metrics["acc_test_final"] == 0.8
    seconds = [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "time_train_s")]
    assert seconds == [(k, 0.01 * k) for k in range(1, 6)]
    assert "time_to_target_s" not in run.data.metrics
    wanted = {"dataset": "cora", "device": "cpu", "workers": "2", "commit": "abc123", "dirty": "True", "status": "ok"}
    assert wanted.items() <= run.data.tags.items()
    assert {"optimizer": "pdadmm", "layers": "10"}.items() <= run.data.params.items()
    assert (run.data.tags["hyperparameters"], run.data.tags["mlflow.runColor"]) == ("rho=0.01", colour_of("pdadmm"))
    (given,) = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("cora", SHA[:36])
    assert {tag.key: tag.value for tag in given.tags}["sha256"] == SHA
    stored = json.loads(Path(client.download_artifacts(run.info.run_id, "row.json")).read_text())
    assert stored == row
    config = json.loads(Path(client.download_artifacts(run.info.run_id, "config.json")).read_text())
    assert (config["model"]["layers"], config["resolved"]["optimizer_rho"]) == (10, 0.01)


def test_runs_are_found_by_params_and_tags(uri: str) -> None:
    with open_tracker(uri) as tracker:
        train(tracker, optimizer="adam")
        row = train(tracker, optimizer="pdadmm")
    query = "params.optimizer = 'pdadmm' and tags.dataset = 'cora' and tags.hyperparameters LIKE '%rho=0.01%'"
    (found,) = tracker.client.search_runs([tracker.experiment_id], query)
    assert found.info.run_id == row["mlflow_run_id"]


def test_more_metrics_than_one_batch_holds(uri: str) -> None:
    count = values.MOST_METRICS // 4 + 10
    with open_tracker(uri) as tracker:
        row = train(tracker, count=count)
    history = tracker.client.get_metric_history(row["mlflow_run_id"], "objective")
    assert [m.step for m in history] == list(range(1, count + 1))


def test_metrics_are_buffered_between_writes(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_tracker(uri) as tracker:
        child = start(tracker)
        with monkeypatch.context() as patch:
            patch.setattr(tracker.client, "log_batch", lambda *args, **kwargs: pytest.fail("a call per step"))
            for step in steps(50):
                child.stepped(step)
        end(child, steps(50))
    assert len(tracker.client.get_metric_history(child.run_id, "acc_val")) == 50


def test_infinity_does_not_ruin_the_axis(uri: str) -> None:
    with open_tracker(uri) as tracker:
        child = start(tracker)
        child.stepped({"iteration": 1, "objective": float("inf")})
        end(child, [], "diverged")
    (metric,) = tracker.client.get_metric_history(child.run_id, "objective")
    assert metric.value != metric.value


def test_long_values_are_marked_as_cut(uri: str) -> None:
    with open_tracker(uri) as tracker:
        child = start(tracker, optimizer_notes="x" * 9000)
        end(child, [], "error", status_reason="y" * 9000)
    run = tracker.client.get_run(child.run_id)
    assert "cut" in run.data.tags["hyperparameters"][-50:]
    assert "cut" in run.data.tags["status_reason"][-50:]


@pytest.mark.parametrize(
    ("status", "mlflow"),
    [
        ("ok", "FINISHED"), ("target_reached", "FINISHED"), ("timeout", "FINISHED"), ("skipped", "FINISHED"),
        ("diverged", "FAILED"), ("oom", "FAILED"), ("error", "FAILED"), ("interrupted", "KILLED"),
    ],
)  # fmt: skip
def test_status(uri: str, status: str, mlflow: str) -> None:
    with open_tracker(uri) as tracker:
        row = train(tracker, status=status)
    child = tracker.client.get_run(row["mlflow_run_id"])
    assert (child.info.status, child.data.tags["status"]) == (mlflow, status)
    assert tracker.client.get_run(tracker.run_id).info.status == mlflow


def stop_midway(tracker: Tracker, error: type[BaseException]) -> None:
    with tracker:
        child = start(tracker)
        for step in steps(7):
            child.stepped(step)
        raise error


def test_ctrl_c_leaves_the_runs_killed_with_what_they_had(uri: str) -> None:
    tracker = open_tracker(uri)
    with pytest.raises(KeyboardInterrupt):
        stop_midway(tracker, KeyboardInterrupt)
    found = tracker.client.search_runs([tracker.experiment_id])
    assert {run.info.status for run in found} == {"KILLED"}
    (child,) = [run for run in found if run.info.run_id != tracker.run_id]
    assert child.data.tags["status"] == "interrupted"
    assert len(tracker.client.get_metric_history(child.info.run_id, "acc_val")) == 7


def test_another_exception_leaves_them_failed(uri: str) -> None:
    tracker = open_tracker(uri)
    with pytest.raises(RuntimeError):
        stop_midway(tracker, RuntimeError)
    assert {run.info.status for run in tracker.client.search_runs([tracker.experiment_id])} == {"FAILED"}


def test_a_store_that_fails_later_costs_a_warning(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(child, "FLUSH_SECONDS", 0.0)

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    with open_tracker(uri, warnings) as tracker:
        for name in ("create_run", "log_batch", "log_text", "set_terminated"):
            monkeypatch.setattr(tracker.client, name, full)
        row = train(tracker)
    first, last = warnings
    assert "No space left on device" in first
    assert "training goes on, and what MLflow could not take is kept in mlflow-unsent" in first
    assert last == f"1 run is not, or not wholly, in MLflow; pdadmm-bench sync --tracking-uri {uri} uploads it"
    assert "\n" not in first
    assert row["status"] == "ok"
    assert row.get("mlflow_run_id") is None


def test_a_store_that_recovers_loses_nothing(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    with open_tracker(uri, warnings) as tracker:
        child = start(tracker)
        with monkeypatch.context() as patch:
            patch.setattr(tracker.client, "log_batch", lambda *args, **kwargs: 1 / 0)
            for step in steps(4):
                child.stepped(step)
            row = end(child, steps(4))
        assert tracker.client.get_run(child.run_id).info.status == "RUNNING"
        assert list(Path("mlflow-unsent").glob("*/*.json"))
    assert len(warnings) == 2 and "has every run" in warnings[1]
    assert not Path("mlflow-unsent").exists()
    assert row["mlflow_run_id"] == child.run_id
    assert tracker.client.get_run(child.run_id).info.status == "FINISHED"
    assert len(tracker.client.get_metric_history(child.run_id, "acc_val")) == 4


def test_a_plot_that_fails_costs_only_the_plot(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(convergence, "run_picture", lambda *args: 1 / 0)
    with open_tracker(uri, warnings) as tracker:
        row = train(tracker)
    assert warnings == ["convergence.png of pdadmm cora 10×256 2 workers seed 0 could not be drawn (division by zero)"]
    assert tracker.client.get_run(row["mlflow_run_id"]).info.status == "FINISHED"


@pytest.mark.parametrize("address", ["http://user:secret@127.0.0.1:9", "postgresql://user:secret@127.0.0.1:9/mlflow"])
def test_a_server_that_is_away_is_told_at_once_and_stops_no_run(address: str) -> None:
    warnings: list[str] = []
    began = time.monotonic()
    tracker = open_tracker(address, warnings)
    assert time.monotonic() - began < 30
    (warning,) = warnings
    assert "refused" in warning and "kept in mlflow-unsent" in warning
    with tracker:
        row = train(tracker)
    assert row["status"] == "ok"
    assert warnings[1:] == [
        f"1 run is not, or not wholly, in MLflow; pdadmm-bench sync --tracking-uri '{store.public(address)}' uploads it"
    ]
    kept = [path.read_text() for path in Path("mlflow-unsent").glob("*/*.json")]
    assert len(kept) == 2 and "secret" not in "".join(kept)


ADDRESSES = {
    "file:///tmp/mlruns": "for a file use sqlite:///mlflow.db",
    "mlruns": "for a file use sqlite:///mlflow.db",
    "http://": "names no server: give it as http://HOST:PORT",
    "https:///path": "names no server",
    "http://host:port": "is no address of an MLflow store",
    "nonsense://x": "unknown kind of MLflow store 'nonsense'",
    "sqlite:///": "names no file",
    "sqlite://mlflow.db": "names no file",
    "sqlite:///file/mlflow.db": "file is not a folder",
}


@pytest.mark.parametrize("uri", ADDRESSES)
def test_an_address_that_can_be_no_store_is_refused_at_once(uri: str) -> None:
    Path("file").touch()
    with pytest.raises(TrackingError, match=re.escape(ADDRESSES[uri])):
        open_tracker(uri)
    assert [path.name for path in Path().iterdir()] == ["file"]


def goes_on(uri: str, because: str) -> None:
    """Check that a run on a store that cannot be used is made and kept, with one warning, and is not said twice."""
    warnings: list[str] = []
    with open_tracker(uri, warnings) as tracker:
        row = train(tracker)
    assert row["status"] == "ok" and row.get("mlflow_run_id") is None
    assert because in warnings[0] and "training goes on" in warnings[0], warnings
    assert "sync" in warnings[1] and len(warnings) == 2, warnings
    (kept,) = Path("mlflow-unsent").glob(f"*/{tracker._children[0].run.id}.json")
    assert json.loads(kept.read_text())["status"] == "ok"


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("something that matters to somebody")
    goes_on(f"sqlite:///{tmp_path}/mlflow.db", "not an SQLite database")
    assert (tmp_path / "mlflow.db").read_text() == "something that matters to somebody"


def test_a_database_of_another_program(tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE users (name)")
    before = file.read_bytes()
    goes_on(f"sqlite:///{file}", "database of another program, not of MLflow")
    assert file.read_bytes() == before


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=5 << 20))
    goes_on(f"sqlite:///{tmp_path}/mlflow.db", "only 5 MiB are free")


@pytest.mark.slow
def test_a_store_that_was_left_half_made(uri: str, tmp_path: Path) -> None:
    """As a process leaves it that is killed while MLflow makes the store: MLflow itself never recovers from it."""
    file = tmp_path / "mlflow.db"
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE _alembic_tmp_latest_metrics (key)")
        database.execute("UPDATE alembic_version SET version_num = '90e64c465722'")
        database.commit()
    before = file.read_bytes()
    goes_on(uri, "was left half made")
    warnings: list[str] = []
    options = {"results": tmp_path / "results", "parent": "0" * 32, "tags": {}, "warn": warnings.append}
    with SuiteTracker.resume(uri, "bench", "suite ci", {}, ENVIRONMENT, **options):
        pass  # a suite that was begun on it goes on, too
    assert "was left half made" in warnings[0]
    assert file.read_bytes() == before
    assert not list(tmp_path.glob(".mlflow.db.*")), "what was tried beside it is removed"
    file.unlink()
    with open_tracker(uri) as tracker:
        assert tracker.run_id


def test_a_store_of_a_newer_mlflow(uri: str, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
        database.commit()
    goes_on(uri, "made by a newer MLflow")


@pytest.mark.slow
def test_a_store_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its making is stopped in the middle; what a killed process left beside it is removed by the next one."""
    from mlflow.store.db import utils

    def stop(engine: object) -> None:
        raise KeyboardInterrupt

    uri, left = f"sqlite:///{tmp_path}/mlflow.db", tmp_path / ".mlflow.db.0123abcd.new"
    with monkeypatch.context() as patch:
        patch.setattr(utils, "_upgrade_db", stop)
        with pytest.raises(KeyboardInterrupt):
            open_tracker(uri)
    assert not (tmp_path / "mlflow.db").exists()
    left.write_bytes(b"half a store")
    with open_tracker(uri) as tracker:
        assert train(tracker)["mlflow_run_id"]
    assert not left.exists()


def test_an_artifact_folder_that_cannot_be_written(uri: str, tmp_path: Path) -> None:
    (tmp_path / "mlruns").touch()
    goes_on(uri, "cannot be used (creating a run: ")


def test_a_deleted_experiment_says_how_to_restore_it(uri: str) -> None:
    with open_tracker(uri) as tracker:
        pass
    tracker.client.delete_experiment(tracker.experiment_id)
    goes_on(uri, f"restore --experiment-id {tracker.experiment_id}")


def test_passwords_stay_out_of_the_configuration(uri: str) -> None:
    config = {"tracking_uri": "https://me:secret@example.org"}
    with Tracker.open(uri, "bench", "x", config, ENVIRONMENT) as tracker:
        pass
    assert "secret" not in Path(tracker.client.download_artifacts(tracker.run_id, "config.json")).read_text()


def test_which_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(store.VARIABLE, raising=False)
    assert store.uri_or_default() == "sqlite:///mlflow.db"
    monkeypatch.setenv(store.VARIABLE, "http://tracker:5000")
    assert store.uri_or_default() == "http://tracker:5000"
    assert store.uri_or_default("sqlite:///other.db") == "sqlite:///other.db"
    assert view_command() == "pdadmm-bench ui"
    assert view_command("sqlite:///a b.db") == "pdadmm-bench ui --tracking-uri 'sqlite:///a b.db'"


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "sqlite:///./mlflow.db?timeout=5"])
@pytest.mark.slow
def test_a_relative_store_is_that_of_the_folder(
    uri: str, migrated: Path, tmp_path: Path, blank_pictures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow by itself would go on writing to the first of them, in one process."""
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
        shutil.copy(migrated, folder)
        monkeypatch.chdir(folder)
        with open_tracker(uri) as tracker:
            train(tracker)
    for folder in folders:
        client = store.client(f"sqlite:///{folder}/mlflow.db")
        assert len(client.search_runs([client.get_experiment_by_name("bench").experiment_id])) == 2
        assert store.describe(f"sqlite:///{folder}/mlflow.db") == "reachable, 2 experiments"


def test_describe_makes_no_store(tmp_path: Path) -> None:
    assert "first run" in store.describe(f"sqlite:///{tmp_path}/mlflow.db")
    assert list(tmp_path.iterdir()) == []


def test_users_settings_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    store.quiet()
    assert store.os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"


def test_importing_it_leaves_mlflow_alone() -> None:
    code = "import sys, pdadmm_bench.tracking; sys.exit('mlflow' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.slow
def test_two_processes_open_a_fresh_store_at_once(tmp_path: Path) -> None:
    code = (
        "from pdadmm_bench.tracking import Tracker\n"
        "with Tracker.open('sqlite:///mlflow.db', 'bench', 'x', {}, {}): pass"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(3)
    ]
    outputs = [process.communicate(timeout=200)[0].decode() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], outputs
    assert outputs == ["", "", ""]
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("bench")
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["FINISHED"] * 3
