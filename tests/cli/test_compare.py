"""``compare`` on rows of real runs: what is printed, from where it reads, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shell import DATA, Answer, Cli, rows_of

pytestmark = pytest.mark.slow  # every test looks at runs that were made for it

RUN = ("run", *DATA, "--layers", "2", "--hidden", "8", "--init", "he", "--iterations", "5", "--quiet")
OPTIMIZERS = ("--optimizer", "adam", "--optimizer", "sgd")


@pytest.fixture(scope="session")
def measured(prepared: Callable[..., Path]) -> tuple[Path, list[dict[str, Any]]]:
    """A folder with the rows and the MLflow store of 7 seeds of Adam and SGD, and the rows."""
    options = (*OPTIMIZERS, "--set", "adam.lr=0.05", "--target", "0.99", "--seeds", "7", "--json", "rows.json")
    folder = prepared(*RUN, *options)
    return folder, rows_of(folder / "rows.json")


@pytest.fixture
def here(measured: tuple[Path, list[dict[str, Any]]], folder: Path) -> list[dict[str, Any]]:
    """The rows, and ``rows.json`` in the working folder, which has no store."""
    shutil.copy(measured[0] / "rows.json", folder / "rows.json")
    return measured[1]


@pytest.fixture
def store(measured: tuple[Path, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The rows, and the folder they were made in as the working folder."""
    monkeypatch.chdir(measured[0])
    return measured[1]


def told(answer: Answer) -> str:
    assert answer.code == 0, answer.err
    assert answer.err == ""
    return answer.out


def test_two_optimizers_are_compared(cli: Cli, here: list[dict[str, Any]]) -> None:
    """Every printed number is computed here a second time from the rows."""
    sides = ("compare", "rows.json", "rows.json", "--a", "optimizer=sgd", "--b", "optimizer=adam")
    out = told(cli(*sides, "--json", "table.json"))
    assert "compared: optimizer sgd → adam" in out
    assert "0 of 7 reached" in out
    table = json.loads(Path("table.json").read_text())
    accuracy, seconds, target = table["lines"]
    by_optimizer = {name: [row for row in here if row["optimizer_name"] == name] for name in ("sgd", "adam")}
    differences = [
        b["acc_test_at_best_val"] - a["acc_test_at_best_val"]
        for a, b in zip(by_optimizer["sgd"], by_optimizer["adam"], strict=True)
    ]
    assert accuracy["effect"]["value"] == pytest.approx(sum(differences) / 7)
    assert (accuracy["pairs"], accuracy["effect_scale"]) == (7, "difference")
    assert f"{100 * sum(differences) / 7:+.1f}".replace("-", "−") in out
    ratios = sorted(
        b["time_iteration_median_s"] / a["time_iteration_median_s"]
        for a, b in zip(by_optimizer["sgd"], by_optimizer["adam"], strict=True)
    )
    assert seconds["effect"]["value"] == pytest.approx(ratios[3])
    assert f"{ratios[3]:.3g}" in out
    # Nobody reaches 99 %: a tie of misses, and no number that JSON lacks.
    assert (target["missed_a"], target["missed_b"], target["a"]["value"]) == (7, 7, None)
    assert target["verdict"] in ("not significant", "too few seeds")


def test_the_same_runs_show_no_difference(cli: Cli, here: list[dict[str, Any]]) -> None:
    out = told(cli("compare", "rows.json", "rows.json"))
    lines = [line for line in out.splitlines() if line.startswith("│ sbm")]
    assert len(lines) == 6
    assert all("not significant" in line or "too few seeds" in line for line in lines)
    assert "B better" not in out and "faster" not in out
    assert "also differs" not in out and "without a partner" not in out


def doctored(rows: list[dict[str, Any]], path: str, **values: Any) -> None:
    """The rows with ``values`` in them, or what they make of the column's own."""
    changed = [
        {**row, **{name: value(row[name]) if callable(value) else value for name, value in values.items()}}
        for row in rows
    ]
    Path(path).write_text(json.dumps(changed))


def test_a_real_slowdown_and_loss_are_called_by_their_names(cli: Cli, here: list[dict[str, Any]]) -> None:
    adam = [row for row in here if row["optimizer_name"] == "adam"]
    doctored(adam, "a.json")
    doctored(
        adam, "b.json",
        time_iteration_median_s=lambda s: 1.05 * s, acc_test_at_best_val=lambda x: x - 0.02,
    )  # fmt: skip
    metrics = ("--metric", "time_iteration_median_s", "--metric", "acc_test_at_best_val")
    out = told(cli("compare", "a.json", "b.json", *metrics))
    assert "B slower" in out and "B worse" in out
    out = told(cli("compare", "b.json", "a.json", *metrics))
    assert "B faster" in out and "B better" in out
    small = told(cli("compare", "b.json", "a.json", *metrics, "--smallest-percent", "6", "--smallest-points", "3"))
    assert "smaller than 6 %" in small and "smaller than 3 points" in small
    assert "faster" not in small


def test_times_of_two_days_are_not_judged_unasked(cli: Cli, here: list[dict[str, Any]]) -> None:
    adam = [row for row in here if row["optimizer_name"] == "adam"]
    doctored(adam, "a.json")
    doctored(adam, "b.json", time_iteration_median_s=lambda s: 1.05 * s, created=lambda day: f"2100{day[4:]}")
    asked = ("compare", "a.json", "b.json", "--metric", "time_iteration_median_s")
    out = told(cli(*asked))
    assert "no difference shown (A and B were not measured in turn)" in " ".join(out.split())
    assert "slower" not in out
    assert "also differs: created" in out
    assert "B slower" in told(cli(*asked, "--apart"))


def test_what_cannot_be_compared_is_said(cli: Cli, here: list[dict[str, Any]]) -> None:
    doctored(here, "gpu.json", dist_device="cuda", env_gpu="NVIDIA H100", env_gpu_count=1)
    out = told(cli("compare", "rows.json", "gpu.json"))
    assert "7 pairs: different machine class" in out and "cuda 1 × NVIDIA H100" in out
    doctored(here, "data.json", dataset_sha256="0")
    out = told(cli("compare", "rows.json", "data.json", "--metric", "acc_test_final"))
    assert "7 pairs: different data" in out
    deeper = [{**row, "spec": row["spec"].replace('"layers": 2', '"layers": 3'), "model_layers": 3} for row in here]
    doctored(deeper, "deep.json")
    out = told(cli("compare", "rows.json", "deep.json"))
    assert "nothing to compare" in out
    assert "14 rows of A: different network: layers 2 (there 3)" in out
    doctored(here[:-1], "short.json", status=lambda s: s)
    out = told(cli("compare", "rows.json", "short.json"))
    assert "without a partner: 1 row of A: no other run with this seed and split" in out


def test_lines_by_and_metrics(cli: Cli, here: list[dict[str, Any]], folder: Path) -> None:
    options = ("--by", "dataset_name", "--metric", "memory_peak_bytes", "--json", "table.json")
    told(cli("compare", "rows.json", "rows.json", *options))
    (line,) = rows_of(folder / "table.json")["lines"]  # type: ignore[call-overload]
    assert (line["metric"], line["pairs"], list(line["setting"])) == ("memory_peak_bytes", 14, ["dataset"])


def test_runs_and_experiments_of_the_store_are_the_same_rows(cli: Cli, store: list[dict[str, Any]]) -> None:
    invocation, run = store[0]["mlflow_parent_run_id"], store[0]["mlflow_run_id"]
    for name in ("pdadmm-bench", invocation):
        out = told(cli("compare", "rows.json", name))
        assert f"B  {name}: 14 rows" in out
        assert "without a partner" not in out and "also differs" not in out
    out = told(cli("compare", run, "rows.json"))
    assert f"A  {run}: 1 row\n" in out
    assert "too few seeds (1 pair, 6 needed)" in out


def test_runs_that_left_no_row_are_counted(cli: Cli, store: list[dict[str, Any]]) -> None:
    """A run that was killed is still RUNNING in the store and has no row."""
    from mlflow import MlflowClient

    client = MlflowClient("sqlite:///mlflow.db")
    experiment = client.create_experiment("killed", artifact_location=str(Path.cwd() / "mlruns"))
    try:
        parent = client.create_run(experiment)
        child = client.create_run(experiment, tags={"mlflow.parentRunId": parent.info.run_id})
        error = cli("compare", "rows.json", "killed").error
        assert "'killed' in the MLflow store sqlite:///mlflow.db has 1 training runs and not one result row" in error
        client.log_text(child.info.run_id, '{"schema_version"', "row.json")
        assert f"row.json of MLflow run {child.info.run_id} is not a result row" in cli("compare", "killed", "x").error
        client.log_text(child.info.run_id, '{"schema_version": 0}', "row.json")
        assert "has a row of schema 0, this program reads schema 1" in cli("compare", "killed", "x").error
        client.log_text(child.info.run_id, json.dumps(store[0]), "row.json")
        client.create_run(experiment, tags={"mlflow.parentRunId": parent.info.run_id})
        assert "A  killed: 1 row, 1 more without a result row" in told(cli("compare", "killed", "rows.json"))
    finally:
        client.delete_experiment(experiment)


def test_a_name_that_is_none_is_refused(cli: Cli, store: list[dict[str, Any]]) -> None:
    assert "did you mean pdadmm-bench?" in cli("compare", "rows.json", "pdadm-bench").error
    assert "unknown rows file, run or experiment" in cli("compare", "rows.json", "0" * 32).error
    assert "no such rows file: nope.json" in cli("compare", "rows.json", "nope.json").error


def test_without_a_store_none_is_made(cli: Cli, here: list[dict[str, Any]], folder: Path) -> None:
    assert "no MLflow store mlflow.db to look for it in" in cli("compare", "rows.json", "exp").error
    assert not (folder / "mlflow.db").exists()
    (folder / "other.db").write_text("no database at all")
    error = cli("compare", "rows.json", "exp", "--tracking-uri", "sqlite:///other.db").error
    assert "other.db is not an SQLite database" in error


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[]", "bad.json has no rows"),
        ("[{", "bad.json is not a rows file"),
        ('{"a": 1}', "expected a JSON array of result rows"),
        ('[{"schema_version": 0}]', "rows of schema 0, this program reads schema 1"),
    ],
)
def test_files_that_are_no_rows_are_refused(
    cli: Cli, here: list[dict[str, Any]], folder: Path, content: str, says: str
) -> None:
    (folder / "bad.json").write_text(content)
    assert says in cli("compare", "rows.json", "bad.json").error


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--metric", "seed"), "'seed' is not a metric"),
        (("--by", "optimiser"), "did you mean optimizer"),
        (("--a", "optimizer"), "give name=value, such as optimizer=pdadmm"),
        (("--a", "optimizer=dladmm"), "rows.json has no row with optimizer=dladmm; it has adam, sgd"),
        (("--b", "sed=1"), "did you mean seed"),
        (("--json", "."), "cannot be written"),
        (("--smallest-points", "-1"), "--smallest-points"),
    ],
)
def test_bad_options_are_refused(cli: Cli, here: list[dict[str, Any]], options: tuple[str, ...], says: str) -> None:
    assert says in cli("compare", "rows.json", "rows.json", *options).error
