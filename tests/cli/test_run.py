"""``pdadmm-bench run`` as its users meet it."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hold import Hold
from shell import DATA, DATASET, TINY, Answer, Cli, finish, rows_of, start
from waiting import wait_until

import pdadmm_bench as pb
from pdadmm_bench.core.rows import FIXED

pytestmark = pytest.mark.usefixtures("blank_pictures")


@pytest.fixture(scope="module")
def two_at_once(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> tuple[Path, Answer, Answer]:
    """Two commands started at once in one fresh folder: one that goes well, one with a run that diverges."""
    folder = tmp_path_factory.mktemp("two")
    good = ("--optimizer", "adam", "--optimizer", "pdadmm", "--seeds", "2", "--json", "good.json")
    bad = ("--optimizer", "sgd", "--optimizer", "adagrad", "--set", "sgd.lr=1e30", "--quiet", "--json", "bad.json")
    processes = [start(*TINY, *options, cwd=folder, cache=shared_cache) for options in (good, bad)]
    first, second = map(finish, processes)
    return folder, first, second


@pytest.mark.slow
def test_two_optimizers_with_two_seeds(two_at_once: tuple[Path, Answer, Answer]) -> None:
    folder, answer, _ = two_at_once
    assert answer.code == 0, answer.err
    rows = rows_of(folder / "good.json")
    assert [(row["optimizer_name"], row["seed"]) for row in rows] == [
        ("adam", 0), ("pdadmm", 0), ("adam", 1), ("pdadmm", 1),
    ]  # fmt: skip
    for row in rows:
        assert list(row)[: len(FIXED)] == list(FIXED)
        assert (row["status"], row["iterations"], row["model_layers"], row["model_hidden"]) == ("ok", 4, 2, 8)
        assert (row["dist_workers"], row["dist_device"], row["schema_version"]) == (1, "cpu", 1)
        assert 0 <= row["acc_test_at_best_val"] <= 1
        assert row["time_iteration_median_s"] > 0
    starts = {row["seed"]: set() for row in rows}
    for row in rows:
        starts[row["seed"]].add(row["weights_initial_sha256"])
    assert all(len(hashes) == 1 for hashes in starts.values())  # every optimizer of a seed starts from the same weights
    assert starts[0] != starts[1]
    assert len({row["run_id"] for row in rows} | {row["mlflow_run_id"] for row in rows}) == 8


@pytest.mark.slow
def test_off_a_terminal_the_output_is_plain_lines(two_at_once: tuple[Path, Answer, Answer]) -> None:
    _, answer, _ = two_at_once
    lines = answer.err.splitlines()
    name = "adam sbm[classes=3,features=12,nodes=300] seed 0"
    assert f"[1/4] {name}: iteration 4/4" in answer.err
    assert f"✓ {name}  test" in answer.err, "the same name at the end"
    assert sum(line.startswith("✓ ") for line in lines) == 4
    assert lines[-2:] == [
        "compare the runs: pdadmm-bench ui",
        "a page with their tables and pictures: pdadmm-bench report good.json --format html",
    ]
    assert "\x1b" not in answer.out + answer.err
    assert "\r" not in answer.out + answer.err
    assert [line.split()[1] for line in answer.out.splitlines() if line.startswith("│")] == ["adam", "pdadmm"]


@pytest.mark.slow
def test_on_a_terminal_the_standings_are_below_the_bars(
    cli: Cli, with_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # stands for a terminal
    answer = cli(*TINY, "--optimizer", "adam", "--optimizer", "pdadmm", "--seeds", "2")
    assert answer.code == 0, answer.err
    told = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", answer.err)
    screens = told.split("best validation accuracy, mean")
    assert re.search(r"adam +– +0 of 2\s", screens[1]), "before anything is known there is a dash, and no time"
    last = screens[-1]
    assert all(re.search(rf"{name} +\d+\.\d % \(n=2\) +2 of 2\s", last) for name in ("adam", "pdadmm")), last
    assert any(re.search(r"adam +\d+\.\d % \(n=1\) +1 of 2 +\d+ s", screen) for screen in screens)
    assert any("all runs" in screen and re.search(r"1/4 \d+ s left", screen) for screen in screens)
    told_last = told.splitlines()[-1]
    prefix = "a page with tables and pictures of the experiment: pdadmm-bench "
    assert told_last.startswith(prefix), "without --json too"
    page = cli(*shlex.split(told_last.removeprefix(prefix)))
    assert page.code == 0, page.err
    assert Path("report/report.html").is_file()


@pytest.mark.slow
def test_a_run_that_diverges_leaves_the_others_alone(two_at_once: tuple[Path, Answer, Answer]) -> None:
    folder, _, answer = two_at_once
    assert answer.code == 1, answer.err
    diverged, other = rows_of(folder / "bad.json")
    assert (diverged["optimizer_name"], diverged["status"]) == ("sgd", "diverged")
    assert "at iteration" in diverged["status_reason"]
    assert diverged["loss_train_final"] is None
    assert (other["optimizer_name"], other["status"]) == ("adagrad", "ok")


@pytest.mark.slow
def test_quiet_is_failures_and_the_table(two_at_once: tuple[Path, Answer, Answer]) -> None:
    _, _, answer = two_at_once
    (line,) = answer.err.splitlines()
    assert line.startswith("✗ sgd ")
    assert "1 diverged" in answer.out


@pytest.mark.slow
def test_two_commands_share_a_fresh_folder(two_at_once: tuple[Path, Answer, Answer]) -> None:
    folder, _, _ = two_at_once
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("pdadmm-bench")
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.info.status for run in runs) == ["FAILED"] * 2 + ["FINISHED"] * 6
    written = [*rows_of(folder / "good.json"), *rows_of(folder / "bad.json")]
    assert {row["mlflow_run_id"] for row in written} < {run.info.run_id for run in runs}


HELD = (*TINY, "--iterations", "800", "--optimizer", "held", "--threads", "1", "--json", "rows.json")
KEPT = ("--checkpoint", "kept")


def goes_on(cli: Cli, hold: Hold) -> int:
    """Make the stopped run again, with its checkpoint and without, which gives the same bits; where it went on."""
    hold.release()
    again = cli(*HELD, *KEPT)
    assert again.code == 0, again.err
    (row,) = rows_of(Path("rows.json"))
    done = row["env_continued_from"]
    assert f"going on after iteration {done} of 800 of 2 layers, from the checkpoint in kept/held-sbm-" in again.err
    assert list(Path("kept").iterdir()) == []
    assert cli(*HELD).code == 0
    (whole,) = rows_of(Path("rows.json"))
    assert row["weights_sha256"] == whole["weights_sha256"]
    return done


@pytest.mark.slow
def test_ctrl_c_keeps_what_there_was_and_a_checkpoint(
    with_store: Path, shared_cache: Path, hold: Hold, cli: Cli
) -> None:
    """The run ends its iteration, makes a checkpoint and says so."""
    process = start(*HELD, *KEPT, "--optimizer", "sgd", cwd=with_store, cache=shared_cache)
    hold.wait(process)
    process.send_signal(signal.SIGINT)
    answer = finish(process)
    assert answer.code == 130, answer.err
    assert "Traceback" not in answer.err
    assert "1 interrupted" in answer.out
    (row,) = rows_of(with_store / "rows.json")
    assert (row["status"], row["optimizer_name"]) == ("interrupted", "held")
    assert 2 <= row["iterations"] < 800
    assert row["acc_test_final"] is not None
    assert f"stopped by the user; iteration {row['iterations']} is kept in kept/held-sbm-" in answer.err
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{with_store}/mlflow.db")
    for run_id in (row["mlflow_run_id"], row["mlflow_parent_run_id"]):
        assert client.get_run(run_id).info.status == "KILLED"
    written = len(client.get_metric_history(row["mlflow_run_id"], "acc_val"))
    assert 0 <= row["iterations"] + 1 - written <= 1  # the last step may have been on its way
    assert goes_on(cli, hold) == row["iterations"]


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_last_checkpoint(
    with_store: Path, shared_cache: Path, hold: Hold, cli: Cli
) -> None:
    process = start(*HELD, *KEPT, "--checkpoint-every", "1e-9", cwd=with_store, cache=shared_cache)
    hold.wait(process)
    process.kill()
    finish(process)
    assert 2 <= goes_on(cli, hold) < 800


@pytest.mark.slow
def test_a_second_ctrl_c_costs_no_row(with_store: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes while the store is written."""
    from mlflow import MlflowClient

    def impatient(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(MlflowClient, "set_terminated", impatient)
    assert cli(*TINY, "--optimizer", "adam", "--json", "rows.json").code == 130
    assert [row["status"] for row in rows_of(Path("rows.json"))] == ["ok"]


CONFIG = f"""
dataset = "{DATASET}"
optimizer = ["adam", "sgd"]
seeds = [3, 5]
layers = 2
hidden = 8
num-val = 50
num_test = 50
hops = 1
iterations = 6
json = "rows.json"
quiet = true
preset = "none"

[set]
lr = 0.25
weight_decay = 0.5

[set.adam]
beta1 = 0.5
lr = 0.125
"""


@pytest.mark.slow
def test_a_configuration_file_and_the_command_line(with_store: Path, cli: Cli) -> None:
    Path("config.toml").write_text(CONFIG)
    options = ("--iterations", "2", "--seeds", "7,", "--set", "adam.beta2=0.75", "--set", "weight_decay=0.0625")
    answer = cli("run", "--config", "config.toml", *options)
    assert answer.code == 0, answer.err
    adam, sgd = rows_of(Path("rows.json"))
    assert (adam["optimizer_name"], sgd["optimizer_name"]) == ("adam", "sgd")
    assert [(row["seed"], row["iterations"], row["model_hidden"]) for row in (adam, sgd)] == [(7, 2, 8)] * 2
    assert (adam["optimizer_lr"], adam["optimizer_beta1"], adam["optimizer_beta2"]) == (0.125, 0.5, 0.75)
    assert (sgd["optimizer_lr"], sgd["optimizer_weight_decay"]) == (0.25, 0.0625)
    assert adam["optimizer_weight_decay"] == 0.0625


def test_for_all_on_the_command_line_beats_for_one_in_the_file(cli: Cli) -> None:
    Path("config.toml").write_text(CONFIG)
    answer = cli("run", "--config", "config.toml", "--set", "lr=0.5", "--dry-run")
    assert answer.out.count("lr=0.5 ") == 2, "a line for both seeds of an optimizer"
    assert "lr=0.125" not in answer.out
    assert "beta1=0.5" in answer.out


def test_a_dry_run_starts_nothing(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PDADMM_BENCH_CACHE", str(tmp_path / "cache"))
    answer = cli(*TINY, "--optimizer", "all", "--seeds", "2", "--json", "rows.json", "--dry-run")
    assert answer.code == 0
    assert DATASET in answer.out  # not taken for markup
    assert "14 runs" in answer.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("given", "shown"), [("7", "0–6"), ("0,100", "0, 100"), ("3,", "3")])
def test_a_dry_run_has_a_line_for_all_seeds_of_an_optimizer(cli: Cli, given: str, shown: str) -> None:
    answer = cli(*TINY, "--optimizer", "pdadmm", "--optimizer", "adam", "--seeds", given, "--dry-run")
    runs = [[part.strip() for part in line.split("│")] for line in answer.out.splitlines() if "│ 2 × 8" in line]
    assert [line[1:3] for line in runs if shown in line] == [["pdadmm", shown], ["adam", shown]]


def test_a_dry_run_shows_the_rows_of_workers_that_share_them(cli: Cli) -> None:
    answer = cli(*TINY, "--optimizer", "adam", "--gpus", "2", "--mesh", "rows", "--dry-run")
    workers = [line.split("│") for line in answer.out.splitlines() if "│ 1–2 " in line]
    assert [[part.strip() for part in line[3:6]] for line in workers] == [["0", "1–2", "1–30"], ["1", "1–2", "31–60"]]


def test_a_dry_run_refuses_what_a_run_refuses(cli: Cli) -> None:
    assert "did you mean rho?" in cli("run", "--set", "rh=1", "--dry-run").error
    assert "did you mean pubmed?" in cli("run", "--dataset", "pubmedd", "--dry-run").error


def test_warnings_show_when_quiet(with_store: Path, cli: Cli) -> None:
    options = ("--quiet", "--optimizer", "pdadmm", "--set", "rho=1", "--set", "nu=1", "--num-val", "100000")
    answer = cli(*TINY, *options, "--cache", str(with_store / "cache"))
    assert answer.code == 0
    caution, data = answer.err.splitlines()
    assert caution.startswith("warning: pdadmm: rho=1, nu=1")
    assert data.startswith("warning: sbm[")


NAMES = {
    ("--dataset", "pubmedd"): "unknown dataset 'pubmedd': did you mean pubmed? valid: amazon-ratings,",
    ("--dataset", "cora-smb"): "did you mean cora",
    ("--dataset", "sbm[nods=20]"): "did you mean nodes?",
    ("--optimizer", "padmm"): "unknown optimizer 'padmm': did you mean pdadmm",
    ("--optimizer", "adam", "--optimizer", ""): "unknown optimizer ''",
    ("--preset", "publishd"): "unknown preset 'publishd': did you mean published?",
    ("--set", "roh=1"): "unknown hyperparameter of pdadmm: 'roh': did you mean rho? valid: bias, decay, first_layer,",
    ("--set", "adma.lr=1"): "unknown optimizer 'adma': did you mean adam",
}
VALUES = {
    ("--layers", "1"): "layers=1 is not valid: input should be greater than or equal to 2",
    ("--layers", "two"): "'--layers'",
    ("--hidden", "0"): "hidden=0 is not valid: input should be greater than or equal to 1",
    ("--hops", "-1"): "greater than or equal to 0",
    ("--iterations", "0"): "greater than or equal to 1",
    ("--set", "rho=-1"): "rho='-1' is not valid: input should be greater than 0",
    ("--set", "rho=abc"): "rho='abc' is not valid: input should be a valid number",
    ("--set", "rho=inf"): "should be a finite number",
    ("--set", "step_rule=exat"): "should be 'exact' or 'backtracking'",
    ("--set", "step=row"): "should be 'layer', 'row-unit', 'exact-W' or 'exact'",
    (
        "--set",
        "step=exact",
        "--set",
        "step_rule=backtracking",
    ): "pdadmm: step_rule=backtracking searches one step per layer",
    ("--optimizer", "adam", "--set", "lr=nan"): "lr='nan' is not valid: input should be a finite number",
    ("--set", "rho"): "--set 'rho': give name=value",
    ("--set", "rho="): "give name=value",
    ("--set", ".rho=1"): "give name=value",
    ("--seeds", "0"): "seeds='0' is not valid: give at least one seed",
    ("--seeds", "abc"): "give a number of seeds (3), or the seeds (0,100,200)",
    ("--seeds", "1,1"): "each once",
    ("--seeds", "-1,2"): "none negative",
    ("--seeds", "123456789"): "'123456789,'",
    ("--gpus", "0"): "gpus=0 is not valid: input should be greater than or equal to 1",
    ("--target", "2"): "target=2.0 is not valid: input should be less than or equal to 1",
    ("--target", "nan"): "finite",
    ("--time-limit", "0"): "greater than 0",
    ("--eval-every", "0"): "greater than or equal to 1",
    ("--split", "privat"): "should be 'auto', 'public', ",
    ("--split", "public"): "has no public split",
    ("--device", "tpu"): "should be 'auto', 'cpu' or 'cuda'",
    ("--preset", "published"): "nothing is published for pdadmm on sbm",
    ("--config", "missing.toml"): "no such file: missing.toml",
}


@pytest.mark.parametrize("options", [*NAMES, *VALUES], ids=" ".join)
def test_bad_input_is_one_line_and_nothing_else(options: tuple[str, ...], cli: Cli, tmp_path: Path) -> None:
    assert (NAMES | VALUES)[options] in cli(*TINY, *options).error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("layerz = 3", "unknown key in config.toml: 'layerz': did you mean layers?"),
        ("layers = 'ten'", "layers='ten' is not valid: input should be a valid integer"),
        ("seeds = [0, 'a']", "seeds='a' is not valid"),
        ("seeds = 2.5", "seeds=2.5 is not valid"),
        ("optimizer = []", "at least 1 item"),
        ("set = 3", "set is a table"),
        ("[set.adm]\nlr = 1", "unknown optimizer 'adm'"),
        ("[set]\nrho = 'x'", "rho='x' is not valid"),
        ("data = 'pubmed'", "unknown key in config.toml: 'data'"),
        ("layers", "config.toml is not valid TOML"),
    ],
)
def test_bad_configuration_files(text: str, said: str, cli: Cli) -> None:
    Path("config.toml").write_text(text)
    assert said in cli("run", "--config", "config.toml").error


def test_cuda_without_a_device(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert cli(*TINY, "--device", "cuda").error.startswith("error: --device cuda: ")


# A path below a file, since folders without permission do not stop root.
PLACES = {
    ("--cache", "file/cache"): "the cache file/cache cannot be used",
    ("--json", "file/rows.json"): "file is not a folder",
    ("--json", "folder"): "folder cannot be written: it is not a regular file",
    ("--json", os.devnull): "it is not a regular file",
    ("--tracking-uri", "sqlite:///file/mlflow.db"): "file/mlflow.db cannot be written",
    ("--tracking-uri", "mlruns"): "not a store MLflow can write",
    ("--data-root", "file"): "the data root file (--data-root) is not a folder",
}


@pytest.mark.parametrize("options", PLACES, ids=" ".join)
def test_places_that_cannot_be_used_are_told_before_training(options: tuple[str, ...], cli: Cli) -> None:
    Path("file").touch()
    Path("folder").mkdir()
    assert PLACES[options] in cli(*TINY, "--quiet", *options).error
    assert not Path(os.devnull).is_file()


def test_a_run_that_cannot_start_leaves_earlier_rows_alone(cli: Cli) -> None:
    Path("rows.json").write_text("earlier")
    assert cli(*TINY, "--json", "rows.json", "--tracking-uri", "mlruns").code == 2
    assert Path("rows.json").read_text() == "earlier"
    assert [path.name for path in Path().iterdir()] == ["rows.json"]


@pytest.mark.parametrize("room", [0, 100])
def test_a_full_disk(room: int, with_store: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told before training where there is no room at all; else the rows that do not fit are printed."""
    cli(*TINY, "--quiet", "--optimizer", "adam")  # fills the cache, which is not the matter here
    sync = os.fsync

    def fsync(handle: int) -> None:
        if os.fstat(handle).st_size > room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    answer = cli(*TINY, "--quiet", "--optimizer", "adam", "--json", "rows.json")
    if room == 0:
        assert answer.error == "error: rows.json cannot be written: No space left on device"
        assert not Path("rows.json").exists()
        return
    assert answer.code == 0
    steps, warning, row = answer.err.splitlines()
    assert "No space left on device; the run has a row, but its steps are not kept" in steps
    assert warning == "warning: rows.json cannot be written: No space left on device; training goes on"
    assert json.loads(row)["status"] == "ok"
    assert rows_of(Path("rows.json")) == []
    assert "1 ok" in answer.out


@pytest.mark.slow
def test_real_pubmed(real_data: Path, with_store: Path, cli: Cli) -> None:
    options = ("--layers", "2", "--hidden", "16", "--iterations", "30", "--set", "lr=0.01", "--json", "rows.json")
    answer = cli("run", "--optimizer", "adam", "--data-root", str(real_data), "--offline", *options)
    assert answer.code == 0, answer.err
    (row,) = rows_of(Path("rows.json"))
    assert (row["dataset_name"], row["dataset_split"], row["dataset_source"]) == ("pubmed", "public", "data-root")
    assert row["acc_test_at_best_val"] > 0.6


@pytest.mark.slow
def test_an_interrupt_before_training_is_quiet(
    with_store: Path, shared_cache: Path, install: Callable[..., Path]
) -> None:
    """It comes while the data are made ready: here, while the card of a third party is looked up."""
    folder = install("pdadmm_bench.datasets", endless="endless_package:card")
    reached = with_store / "reached"
    (folder / "endless_package.py").write_text(
        f"import pathlib, time\ndef card():\n    pathlib.Path({str(reached)!r}).touch()\n    time.sleep(600)\n"
    )
    process = start(*TINY, "--dataset", "endless", cwd=with_store, cache=shared_cache)
    wait_until(reached.exists, process)
    process.send_signal(signal.SIGTERM)
    answer = finish(process)
    assert answer.code == 130, answer.err
    assert answer.out == ""
    assert "Traceback" not in answer.err


def test_data_options_are_shared_with_prepare(cli: Cli) -> None:
    assert cli("prepare", DATASET, *DATA[2:]).code == 0
    answer = cli("prepare", DATASET, *DATA[2:])
    assert "cached" in answer.out
    assert "60/50/50 rows" in answer.out


@pytest.mark.usefixtures("with_store")
def test_python_makes_the_same_runs(cli: Cli) -> None:
    cli(*TINY, "--optimizer", "adam", "--seeds", "2", "--json", "rows.json", "--threads", "1")
    problem = pb.load(DATASET, hops=1, num_val=50, num_test=50)
    mine = pb.run(problem, "adam", seeds=2, layers=2, hidden=8, iterations=4, threads=1, progress=False)
    same = ("status", "spec", "dataset_sha256", "weights_sha256", "acc_test_at_best_val", "env_protocol")
    theirs = rows_of(Path("rows.json"))
    assert [[row[name] for name in same] for row in mine] == [[row[name] for name in same] for row in theirs]
