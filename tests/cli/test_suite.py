"""``pdadmm-bench suite`` as a user meets it who leaves it running overnight."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hold import Hold
from shell import DATASET, Answer, Cli, finish, rows_of, start, tiny_suite
from waiting import wait_until

from pdadmm_bench.cli.views.suite import SuiteView
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.suite import scheduler
from pdadmm_bench.suite.results import Results

pytestmark = pytest.mark.usefixtures("blank_pictures")

SIX = tiny_suite('[[entry]]\noptimizer = ["dladmm", "pdadmm", "pdadmm-q"]\nseeds = 2\niterations = 100\n')
ENDLESS = tiny_suite("""
[[entry]]
optimizer = "dladmm"
[[entry]]
optimizer = "held"
iterations = 800
[[entry]]
optimizer = "pdadmm"
""")
NUMBERS = ("weights_initial_sha256", "weights_sha256", "acc_test_at_best_val", "acc_val_best", "status", "iterations")


def suite_file(folder: Path, text: str) -> str:
    (folder / "mine.toml").write_text(text)
    return "mine.toml"


def kept(folder: Path) -> dict[str, dict[str, Any]]:
    """The rows on file by the name of their run."""
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("results/mine/runs/*.json")}


def numbers(folder: Path) -> dict[str, tuple[Any, ...]]:
    return {key: tuple(row[name] for name in NUMBERS) for key, row in kept(folder).items()}


def tracked(folder: Path) -> tuple[list[Any], list[Any]]:
    """The parents and children in the store."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("pdadmm-bench").experiment_id])
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    return [run for run in runs if run not in children], children


def under_way(folder: Path) -> list[Path]:
    """The notes of runs that have begun and have no row yet."""
    return [path for path in folder.glob("results/mine/claims/*.json") if path.stem not in kept(folder)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> tuple[Path, Answer]:
    """Six runs, two side by side, in a fresh folder."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, finish(start("suite", suite_file(folder, SIX), "-j", "2", cwd=folder, cache=shared_cache))


@pytest.mark.slow
def test_a_suite_is_rows_and_one_parent(undisturbed: tuple[Path, Answer]) -> None:
    folder, answer = undisturbed
    assert answer.code == 0, answer.err
    rows = rows_of(folder / "results" / "mine" / "rows.json")
    assert [(row["seed"], row["optimizer_name"]) for row in rows] == [
        (seed, name) for seed in (0, 1) for name in ("dladmm", "pdadmm", "pdadmm-q")
    ]
    assert {row["run_id"] for row in rows} == {row["run_id"] for row in kept(folder).values()}
    for key, row in kept(folder).items():
        assert (row["status"], row["env_suite"], row["env_run_key"]) == ("ok", "mine", key)
        assert row["suite_version"] == rows[0]["suite_version"] and len(row["env_code"]) == 16
    (parent,), children = tracked(folder)
    assert (parent.info.run_name, parent.info.status) == ("suite mine", "FINISHED")
    assert parent.data.tags["optimizer"] == "dladmm, pdadmm, pdadmm-q"
    assert {run.info.run_id for run in children} == {row["mlflow_run_id"] for row in rows}
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.data.tags["suite"] for run in (parent, *children)} == {"mine"}


@pytest.mark.slow
def test_the_plan_comes_first_and_then_a_line_per_run(undisturbed: tuple[Path, Answer]) -> None:
    folder, answer = undisturbed
    version = rows_of(folder / "results/mine/rows.json")[0]["suite_version"]
    plan = f"6 runs (suite version {version}): 6 to make, 0 finished, 0 skipped; rows in results/mine\n"
    assert plan in answer.err
    assert answer.err.index("predicted by the cost model") < answer.err.index("[1/6] ✓ ")
    lines = [line for line in answer.err.splitlines() if line.startswith("[")]
    assert [line.split("]")[0] for line in lines] == [f"[{n}/6" for n in range(1, 7)]
    assert all(" left)" in line for line in lines[:-1]) and "left" not in lines[-1]
    assert "\x1b" not in answer.out + answer.err


@pytest.mark.slow
def test_times_of_runs_side_by_side_are_marked_and_not_shown(undisturbed: tuple[Path, Answer]) -> None:
    folder, answer = undisturbed
    assert {row["env_concurrency"] for row in kept(folder).values()} == {2}
    assert all(row["time_iteration_median_s"] > 0 for row in kept(folder).values())
    assert "/iter" not in answer.err
    assert " ms" not in answer.out and "dladmm" in answer.out


@pytest.mark.slow
def test_killed_again_and_again_a_suite_loses_and_repeats_nothing(
    undisturbed: tuple[Path, Answer], with_store: Path, shared_cache: Path, cli: Cli
) -> None:
    draw = random.Random(0)
    name = suite_file(with_store, SIX)
    seen: dict[str, str] = {}
    for kill in range(2):
        process = start("suite", name, cwd=with_store, cache=shared_cache)
        wait_until(lambda: len(kept(with_store)) > kill, process)  # noqa: B023
        time.sleep(2 * draw.random())
        process.kill()
        process.communicate()
        now = {key: row["run_id"] for key, row in kept(with_store).items()}
        assert seen.items() <= now.items()
        seen = now
    answer = cli("suite", name)
    assert answer.code == 0, answer.err
    assert f"{6 - len(seen)} to make, {len(seen)} finished" in answer.err
    assert seen.items() <= {key: row["run_id"] for key, row in kept(with_store).items()}.items()
    assert numbers(with_store) == numbers(undisturbed[0])
    assert len(rows_of(with_store / "results/mine/rows.json")) == 6
    (parent,), children = tracked(with_store)
    ends = Counter(run.info.status for run in children)
    assert parent.info.status == "FINISHED"
    assert ends["FINISHED"] == 6 and ends["RUNNING"] == 0 and ends["KILLED"] <= 2
    again = cli("suite", name)
    assert (again.code, "0 to make, 6 finished" in again.err, "nothing was left to make" in again.err) == (
        0,
        True,
        True,
    )


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished_and_goes_on_in_the_middle_of_a_run(
    with_store: Path, shared_cache: Path, hold: Hold, cli: Cli
) -> None:
    name = suite_file(with_store, ENDLESS)
    process = start("suite", name, cwd=with_store, cache=shared_cache)
    hold.wait(process)
    process.send_signal(signal.SIGINT)
    answer = finish(process)
    assert answer.code == 130, answer.err
    assert "Traceback" not in answer.err
    assert "\ninterrupted; pdadmm-bench suite mine.toml goes on from here\n" in answer.err
    rows = {row["optimizer_name"]: row for row in rows_of(with_store / "results/mine/rows.json")}
    assert {name: row["status"] for name, row in rows.items()} == {"dladmm": "ok", "held": "interrupted"}
    assert 2 <= rows["held"]["iterations"] < 800 and rows["held"]["acc_test_final"] is not None
    (parent,), children = tracked(with_store)
    assert sorted(run.info.status for run in (parent, *children)) == ["FINISHED", "KILLED", "KILLED"]
    (checkpoint,) = (with_store / "results/mine/checkpoints").glob("*/held-*/run.json")
    assert json.loads(checkpoint.read_text())["iteration"] == rows["held"]["iterations"]
    hold.release()
    more = cli("suite", name)
    assert more.code == 0, more.err
    assert "2 to make, 1 finished" in more.err
    after = {row["optimizer_name"]: row for row in kept(with_store).values()}
    assert after["dladmm"]["run_id"] == rows["dladmm"]["run_id"]
    assert after["pdadmm"]["status"] == "ok"
    done = rows["held"]["iterations"]
    assert (after["held"]["env_continued_from"], after["held"]["iterations"]) == (done, 800)
    assert f"going on after iteration {done} of 800" in more.err
    assert list((with_store / "results/mine/checkpoints").iterdir()) == []
    assert len(tracked(with_store)[0]) == 1  # the parent goes on too


@pytest.mark.dist
def test_ctrl_c_reaches_runs_over_several_workers(with_store: Path, shared_cache: Path) -> None:
    name = suite_file(with_store, tiny_suite('[[entry]]\noptimizer = "dladmm"\niterations = 1000000\ngpus = 2\n'))
    process = start("suite", name, cwd=with_store, cache=shared_cache)
    wait_until(lambda: under_way(with_store), process)
    process.send_signal(signal.SIGTERM)  # as a cluster ends a job
    answer = finish(process)
    assert answer.code == 130, answer.err
    (row,) = kept(with_store).values()
    assert (row["status"], row["dist_workers"]) == ("interrupted", 2)
    assert row["status_reason"].startswith("stopped by the user")


@pytest.mark.slow
def test_a_run_that_is_killed_or_stopped_is_a_row_and_the_others_go_on(
    with_store: Path, shared_cache: Path, hold: Hold
) -> None:
    name = suite_file(with_store, ENDLESS.replace('"held"', '"held"\nseeds = 2'))
    process = start("suite", name, "--dist-timeout", "5", cwd=with_store, cache=shared_cache)
    for number in ("KILL", "STOP"):
        hold.wait(process)
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        subprocess.run(["kill", f"-{number}", child], check=True)
        hold.reached.unlink()
    answer = finish(process)
    assert answer.code == 1, answer.err
    rows = {(row["optimizer_name"], row["seed"]): row for row in kept(with_store).values()}
    statuses = {("dladmm", 0): "ok", ("held", 0): "error", ("held", 1): "error", ("pdadmm", 0): "ok"}
    assert {run: row["status"] for run, row in rows.items()} == statuses
    assert rows["held", 0]["status_reason"] == "killed by SIGKILL; the system may have run out of memory"
    assert rows["held", 1]["status_reason"] == "does not answer: no sign of life for 5 s"
    assert "warning: 2 of 4 runs failed; pdadmm-bench suite mine.toml --failed-only makes them again" in answer.err


@pytest.mark.dist
@pytest.mark.parametrize("workers", [1, 2])
def test_a_warm_start_is_on_the_bar(workers: int, with_store: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[int, int, str]] = []
    monkeypatch.setattr(SuiteView, "stepped", lambda view, bar, *what: shown.append(what))
    deep = f'[[entry]]\noptimizer = "pdadmm"\nlayers = 4\ngpus = {workers}\nwarm_start = "2:3"\n'
    assert cli("suite", suite_file(with_store, tiny_suite(deep)), "--quiet").code == 0
    assert shown[0] == (0, 3, "warm start, 2 layers")
    assert shown[-1][:2] == (4, 4) and shown[-1][2].startswith("val ")


@pytest.mark.slow
def test_two_at_once_share_the_work(undisturbed: tuple[Path, Answer], tmp_path: Path, shared_cache: Path) -> None:
    name = suite_file(tmp_path, SIX)
    first, second = (start("suite", name, cwd=tmp_path, cache=shared_cache) for _ in range(2))
    answers = finish(first), finish(second)
    assert [answer.code for answer in answers] == [0, 0], answers
    assert numbers(tmp_path) == numbers(undisturbed[0])
    made = "".join(answer.err for answer in answers).count("] ✓ ")
    assert made == 6
    parents, children = tracked(tmp_path)
    assert (len(parents), len(children)) == (1, 6)
    for answer in answers:
        assert "6 runs" in answer.err
    assert max(row["env_concurrency"] for row in kept(tmp_path).values()) == 2


@pytest.mark.slow
def test_failed_runs_are_rows_and_are_tried_again(with_store: Path, cli: Cli) -> None:
    bad = """
    [[entry]]
    optimizer = "sgd"
    set.sgd.lr = [1e30, 0.1]
    [[entry]]
    optimizer = "adam"
    wire = "bf16"
    """
    name = suite_file(with_store, tiny_suite(bad))
    answer = cli("suite", name)
    assert answer.code == 1, answer.err
    rows = rows_of(with_store / "results/mine/rows.json")
    assert [row["status"] for row in rows] == ["diverged", "ok", "skipped"]
    assert rows[2]["status_reason"] == "adam sends fp32, not bf16"
    assert "1 run skipped: adam sends fp32, not bf16" in answer.err
    assert f"[1/2] ✗ sgd {DATASET} 2×8 lr=1e+30 seed 0  diverged: " in answer.err
    assert [run.info.status for run in tracked(with_store)[0]] == ["FAILED"]
    only = cli("suite", name, "--failed-only")
    assert (only.code, "1 run again: diverged before" in only.err) == (1, True)
    forced = cli("suite", name, "--force", "--filter", "optimizer=sgd", "--quiet")
    assert forced.code == 1
    after = rows_of(with_store / "results/mine/rows.json")
    assert {row["run_id"] for row in after[:2]}.isdisjoint(row["run_id"] for row in rows)
    assert [row["status"] for row in after] == ["diverged", "ok", "skipped"]  # a filter takes no rows from the file
    assert after[2] == rows[2]
    assert len(tracked(with_store)[0]) == 2  # --force begins anew
    fine = cli("suite", name, "--failed-only", "--filter", "optimizer=adam")
    assert (fine.code, fine.err) == (0, "no run of mine has failed\n")


def test_a_dry_run_starts_nothing(cli: Cli, folder: Path) -> None:
    name = suite_file(folder, SIX + '[[entry]]\noptimizer = "pdadmm"\nlayers = 4\ngpus = 2\n')
    answer = cli("suite", name, "--dry-run")
    assert answer.code == 0, answer.err
    assert "7 runs (suite version" in answer.out and "rows in results/mine; nothing started" in answer.out
    (line,) = [line for line in answer.out.splitlines() if "4×8" in line]
    assert {"2", "3,1", "MB"} <= set(line.split()) or {"2", "2,2"} <= set(line.split())
    assert [path.name for path in folder.iterdir()] == ["mine.toml"]


@pytest.mark.slow
def test_data_that_cannot_be_had_skips_its_runs(with_store: Path, cli: Cli) -> None:
    card = Path("share/datasets/lost.toml")
    card.parent.mkdir(parents=True)
    source = (Path(scheduler.__file__).parents[2] / "datasets" / "photo.toml").read_text()
    card.write_text("\n".join(line for line in source.splitlines() if not line.startswith("upstream")))
    name = suite_file(with_store, tiny_suite(f'[[entry]]\ndataset = ["lost", "{DATASET}"]\n'))
    planned = cli("--share", "share", "suite", name, "--dry-run", "--cache", "cache")
    assert "1 run on lost, which is fetched first" in planned.out
    answer = cli("--share", "share", "suite", name, "--cache", "cache")
    assert answer.code == 0, answer.err
    lost, other = rows_of(with_store / "results/mine/rows.json")
    assert (lost["status"], lost["dataset_name"], other["status"]) == ("skipped", "lost", "ok")
    assert "its card names no place to fetch it from" in lost["status_reason"]
    assert answer.err.index("1 run on lost skipped: ") < answer.err.index("[1/1] ✓ ")
    offline = cli("--share", "share", "suite", name, "--cache", "cache", "--offline", "--dry-run")
    assert "1 run skipped: lost is not here" in offline.out


@pytest.mark.slow
def test_code_that_changes_meanwhile_stops_the_suite(
    with_store: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = iter([scheduler.code_version("dladmm"), "edited"])
    monkeypatch.setattr(scheduler, "code_version", lambda optimizer: next(versions))
    answer = cli("suite", suite_file(with_store, tiny_suite('[[entry]]\noptimizer = "dladmm"\nseeds = 3\n')))
    assert answer.code == 1
    assert "the code changed while the suite was running" in answer.err and "2 runs not made" in answer.err
    assert [row["status"] for row in kept(with_store).values()] == ["ok"]


@pytest.mark.slow
def test_a_suite_for_trying_out_is_kept_apart_until_the_next_try(folder: Path, cli: Cli, shared_cache: Path) -> None:
    trial = shared_cache / "trials" / "smoke"
    (trial / "runs").mkdir(parents=True)
    (trial / "runs" / "of-the-last-try.json").touch()
    few = ("--filter", "gpus=1", "--filter", "layers=3", "--filter", "seed=0", "--filter", "optimizer=dladmm,pdadmm")
    planned = cli("suite", "smoke", *few, "--dry-run")
    assert "2 to make, 0 finished" in planned.out and (trial / "runs" / "of-the-last-try.json").is_file()
    answer = cli("suite", "smoke", *few)
    assert answer.code == 0, answer.err
    assert answer.err.startswith(
        "warning: smoke is for trying out: none of its numbers is to be quoted, and rows and MLflow runs are kept apart"
    )
    assert answer.err.count("] ✓ ") == 2
    assert "tables and pictures: pdadmm-bench report smoke --format all" in answer.err
    assert list(folder.iterdir()) == []
    assert {path.name for path in trial.iterdir()} >= {"rows.json", "mlflow.db", "mlruns"}
    assert [row["env_trial"] for row in rows_of(trial / "rows.json")] == [True] * 2
    report = cli("report", "smoke", "--format", "terminal,html", "--out", "out")
    assert "nothing in this table is to be quoted" in report.out and "convergence curves" not in report.out
    assert "logged to the MLflow run" in report.out
    with FileLock(f"{trial}.lock"):
        assert "another process tries smoke out" in cli("suite", "smoke", *few).err


@pytest.mark.slow
def test_a_suite_for_trying_out_goes_where_it_is_told(
    folder: Path, cli: Cli, migrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "there").mkdir()
    shutil.copy(migrated, folder / "there" / "mlflow.db")
    one = ("--filter", "workers=1", "--filter", "layers=3", "--filter", "seed=0", "--filter", "optimizer=dladmm")
    monkeypatch.setenv("FORCE_COLOR", "1")  # stands for a terminal
    made = cli("suite", "smoke", *one, "--results", "there")
    assert made.code == 0, made.err
    standings = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", made.err.rpartition("best validation accuracy, mean")[2])
    assert re.search(r"dladmm +\d+\.\d % \(n=1\) +1 of 1\s", standings), standings
    assert "0 of 1" in made.err, "the run was planned before it was made"
    monkeypatch.delenv("FORCE_COLOR")
    assert [row["env_suite"] for row in rows_of(folder / "there" / "rows.json")] == ["smoke"]
    assert [path.name for path in folder.iterdir()] == ["there"]
    again = cli("suite", "smoke", *one, "--results", "there")
    assert "0 to make, 1 finished" in again.err
    assert "pdadmm-bench report there --format all" in again.err


@pytest.mark.slow
def test_a_folder_that_is_deleted_under_a_suite_costs_no_row(
    folder: Path, cli: Cli, migrated: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, finished = folder / "there", SuiteView.finished
    there.mkdir()
    shutil.copy(migrated, there / "mlflow.db")

    def then_delete(view: SuiteView, *what: Any) -> None:
        finished(view, *what)
        if "seed 1" in what[1]:
            shutil.rmtree(there)

    monkeypatch.setattr(SuiteView, "finished", then_delete)
    name = suite_file(folder, "save = false\n" + tiny_suite('[[entry]]\noptimizer = "dladmm"\nseeds = 4\n'))
    answer = cli("suite", name, "--results", "there")
    assert answer.code == 0, answer.err
    assert answer.err.count("the file is gone") == 1 and "SQLAlchemy" not in answer.err
    assert [row["seed"] for row in rows_of(there / "rows.json")] == [0, 1, 2, 3]
    assert len(list(there.glob("runs/*.json"))) == 4
    store = ("--tracking-uri", f"sqlite:///{there}/mlflow.db")
    assert f"pdadmm-bench sync {' '.join(store)} there uploads them" in answer.err
    shutil.copy(migrated, there / "mlflow.db")
    synced = finish(start("sync", *store, "there", cwd=folder, cache=shared_cache))
    assert synced.out.startswith("2 uploaded, 0 completed"), synced
    shutil.copy(there / "mlflow.db", folder)  # MLflow keeps the deleted one open in this process
    (parent,), children = tracked(folder)
    assert parent.info.status == "FINISHED"
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.info.run_id for run in children} == {row["mlflow_run_id"] for row in rows_of(there / "rows.json")[2:]}


@pytest.mark.slow
def test_a_disk_that_is_full_for_a_while_costs_no_row(
    with_store: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, full = Results.write, ["before MLflow", "after it"]

    def written(results: Results, key: str, row: Any) -> None:
        if full:
            full.pop()
            raise UserError(f"{key} cannot be written: No space left on device")
        write(results, key, row)

    monkeypatch.setattr(Results, "write", written)
    answer = cli("suite", suite_file(with_store, tiny_suite('[[entry]]\noptimizer = "dladmm"\nseeds = 2\n')))
    assert answer.code == 0, answer.err
    assert answer.err.count("No space left on device; that is tried again in the end, and this is the row:") == 1
    (told,) = [json.loads(line) for line in answer.err.splitlines() if line.startswith("{")]
    rows = rows_of(with_store / "results/mine/rows.json")
    assert rows[0] == told and [row["seed"] for row in rows] == [0, 1]


WRONG = {
    ("nowhere",): "unknown suite 'nowhere'",
    ("mine.toml", "--filter", "layerz=2"): "unknown key in --filter 'layerz': did you mean layers?",
    ("mine.toml", "-j", "1000"): "-j 1000 needs 1000 cores for 1000 runs side by side",
    ("mine.toml", "--results", "mine.toml"): "mine.toml is not a folder",
    ("mine.toml", "--tracking-uri", "mlruns"): "not a store MLflow can write",
    ("mine.toml", "--data-root", "nowhere"): "the data root nowhere (--data-root) is not a folder",
    ("mine.toml", "--dist-timeout", "0"): "dist_timeout=0.0 is not valid",
}


@pytest.mark.parametrize("options", WRONG, ids=" ".join)
def test_what_cannot_be_asked_for_is_one_line(options: tuple[str, ...], cli: Cli, folder: Path) -> None:
    suite_file(folder, SIX)
    assert WRONG[options] in cli("suite", *options, "--quiet").error
    assert not list(folder.glob("results/mine/runs/*"))


def test_a_misspelt_key_is_told_with_the_valid_ones(cli: Cli, folder: Path) -> None:
    name = suite_file(folder, tiny_suite("[[entry]]\noptimiser = 'adam'\n"))
    assert "unknown key in entry 1 of mine.toml: 'optimiser': did you mean optimizer" in cli("suite", name).error
