"""``pdadmm-bench rerun``: one row again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from shell import DATA, TINY, Cli, rows_of

from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.training.setup import resolve

pytestmark = pytest.mark.usefixtures("blank_pictures")


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs are kept that the first test makes."""
    return tmp_path_factory.mktemp("once")


@pytest.fixture
def rows(once: Path, with_store: Path, cli: Cli) -> list[dict[str, Any]]:
    """Of adam with a hyperparameter of its own, of pdadmm, and of a run that diverges; made once, with their store."""
    if not (once / "rows.json").exists():
        options = ("--optimizer", "adam", "--optimizer", "pdadmm", "--optimizer", "sgd", "--set", "sgd.lr=1e30")
        cli(*TINY, *options, "--set", "adam.lr=0.0625", "--seeds", "3,", "--json", "rows.json", "--quiet")
        for name in ("mlflow.db", "rows.json"):
            shutil.copy(name, once)
    for name in ("mlflow.db", "rows.json"):
        shutil.copy(once / name, with_store)
    return rows_of(Path("rows.json"))


def test_the_same_machine_gives_the_same_bits(rows: list[dict[str, Any]], cli: Cli) -> None:
    for row in rows[:2]:
        answer = cli("rerun", row["run_id"][:8], "--rows", "rows.json", "--json", "again.json")
        assert answer.code == 0, answer.err
        lines = answer.out.splitlines()
        assert lines[0].startswith(f"{row['optimizer_name']} sbm[")
        assert lines[1].startswith("same data: sbm[") and row["dataset_sha256"][:12] in lines[1]
        assert lines[-1] == f"agrees: the weights are equal bit by bit (sha256 {row['weights_sha256'][:12]})"
        (again,) = rows_of(Path("again.json"))
        assert again["run_id"] != row["run_id"]
        for name in ("seed", "iterations", "weights_initial_sha256", "weights_sha256", "acc_test_at_best_val"):
            assert again[name] == row[name]
    assert len(rows_of(Path("rows.json"))) == 3  # nothing is added to what there was


def test_a_run_that_diverged_does_so_again(rows: list[dict[str, Any]], cli: Cli) -> None:
    answer = cli("rerun", rows[2]["run_id"], "--rows", "rows.json")
    assert rows[2]["status"] == "diverged"
    assert (answer.code, "agrees" in answer.out) == (0, True)


def test_a_row_is_found_in_the_store(rows: list[dict[str, Any]], cli: Cli) -> None:
    answer = cli("rerun", rows[0]["mlflow_run_id"], "--quiet")
    assert answer.code == 0, answer.err
    assert f"run {rows[0]['run_id']} of " in answer.out
    parent = cli("rerun", rows[0]["mlflow_parent_run_id"])
    assert "has no result row" in parent.error


def test_differences_are_named_and_judged(rows: list[dict[str, Any]], cli: Cli) -> None:
    row = rows[0] | {"env_torch": "1.0", "env_code": "0123456789abcdef", "weights_sha256": "0" * 64}
    Path("changed.json").write_text(json.dumps([row]))
    answer = cli("rerun", row["run_id"], "--rows", "changed.json")
    assert answer.code == 0, answer.err
    assert "different now: torch: 1.0 → " in answer.out
    assert "different now: code: 0123456789abcdef → " in answer.out
    assert answer.out.splitlines()[-1] == "agrees: every accuracy is equal; the weights are not equal bit by bit"

    row |= {"acc_test_final": row["acc_test_final"] - 0.25}
    Path("changed.json").write_text(json.dumps([row]))
    answer = cli("rerun", row["run_id"], "--rows", "changed.json", "--quiet")
    assert answer.code == 1
    assert "(+0.2500)" in answer.out
    assert answer.out.splitlines()[-1] == "differs: 1 of 5 accuracies; the weights are not equal bit by bit"

    Path("changed.json").write_text(json.dumps([rows[1] | {"status": "timeout", "iterations": 2}]))
    answer = cli("rerun", rows[1]["run_id"], "--rows", "changed.json", "--json", "again.json")
    assert rows_of(Path("again.json"))[0]["iterations"] == 2  # as far as it came, not as fast
    assert answer.code == 1


def test_the_row_decides_not_todays_presets(rows: list[dict[str, Any]]) -> None:
    from pdadmm_bench.suite.rerun import spec_of

    row = rows[1] | {"optimizer_rho": 0.5, "dist_threads": 3}
    spec = spec_of(row)
    assert resolve(spec).optimizer.hyperparameters.rho == 0.5
    assert (spec.threads, spec.device, spec.seed) == (3, "cpu", 3)
    assert spec.model_copy(update={"set": {}, "preset": "default", "threads": None, "device": "auto"}) == run_spec(
        json.loads(row["spec"]) | {"set": {}}
    )


def test_what_cannot_be_repeated_is_said(rows: list[dict[str, Any]], cli: Cli) -> None:
    adam = rows[0]
    answers = {
        "f00": ([], "no row with the run id 'f00'"),
        "": ([], "is the start of 3 run ids"),
        "other-data": (
            [adam | {"run_id": "other-data", "dataset_sha256": "0" * 64}],
            "the data are not those of the row",
        ),
        "killed": (
            [adam | {"run_id": "killed", "status": "error", "status_reason": "killed"}],
            "the run ended as error (killed): there are no numbers to repeat",
        ),
        "bare": ([adam | {"run_id": "bare", "spec": None}], "does not carry its settings"),
        "gone": ([adam | {"run_id": "gone", "optimizer_name": "adamant"}], "unknown optimizer 'adamant'"),
    }
    for run_id, (more, said) in answers.items():
        Path("more.json").write_text(json.dumps([*rows, *more]))
        answer = cli("rerun", run_id, "--rows", "more.json")
        assert answer.code == 2 and said in answer.err, (run_id, answer)
    assert "no such rows file: nowhere.json" in cli("rerun", "a", "--rows", "nowhere.json").error
    assert "there is not a results folder with rows" in cli("rerun", "a", "--results", "there").error
    assert "no row with the run id 'abc' in results/ and the MLflow store" in cli("rerun", "abc").error


@pytest.mark.dist
def test_several_workers_from_the_folder_of_a_suite(with_store: Path, cli: Cli) -> None:
    keys = dict(zip(DATA[::2], DATA[1::2], strict=True))
    Path("pair.toml").write_text(
        f'summary = "s"\n[[entry]]\ndataset = "{keys["--dataset"]}"\nhops = 1\nnum_val = 50\nnum_test = 50\n'
        'layers = 4\nhidden = 8\niterations = 4\ngpus = 2\npartition = "1,3"\n'
    )
    assert cli("suite", "pair.toml", "--quiet").code == 0
    (row,) = rows_of(Path("results/pair/rows.json"))
    answer = cli("rerun", row["run_id"])
    assert answer.code == 0, answer.err
    assert "different now" not in answer.out
    assert answer.out.splitlines()[-1].startswith("agrees: the weights are equal bit by bit")
