"""Input that is refused: with exit code 2, the bad value, and before anything that takes seconds is imported."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest
from fresh_python import run_in_fresh_python
from shell import Cli

from pdadmm_bench.core import resources

ENTRY = 'summary = "x"\n[[entry]]\noptimizer = "adam"\n'
REFUSED = {
    "run --layers abc": "'abc': input should be a valid integer",
    "run --seeds 1,,2": "option seeds='1,,2' is not valid",
    "run --threads 100000": "threads=100000",
    "run --dataset nope": "unknown dataset 'nope'",
    "run --preset nope": "unknown preset 'nope'",
    "run --tracking-uri http://": "http:// names no server",
    "run --tracking-uri nonsense://x": "unknown kind of MLflow store 'nonsense'",
    "run --json file/rows.json": "file/rows.json cannot be written",
    "run --data-root file": "the data root file",
    "run --checkpoint file/x": "file/x is not a folder",
    "run --config deep.toml": "deep.toml is not valid TOML: its brackets are nested too deeply",
    "run --optimizer adam --set adam=1": "set adam='1': an optimizer has hyperparameters",
    "run --optimizer adam --set adam.nope=1": "unknown hyperparameter of adam: 'nope'",
    "run --optimizer pdadmm --set rho=-1": "hyperparameter of pdadmm: rho='-1'",
    "run --optimizer ddg --dry-run --set momentum=0.5": "momentum=0.5 is for inner=sgd",
    "compare x y --by ,,": "--by ',,': give settings with commas between",
    "suite exclude.toml": "exclude=3 is not valid: give a list of tables",
    "suite set.toml": "set.adam is a table",
    "suite nope": "unknown suite 'nope'",
    "suite many.toml": "seeds=1000000000 is not valid: a suite has at most 100,000 runs",
    "suite lr.toml": "entry 1 of lr.toml: unknown hyperparameter of adam: 'learning'",
    "suite key.toml": "unknown key in entry 1 of key.toml: 'seedz'",
    "suite data.toml": "unknown dataset 'nope'",
    "suite smoke --filter nope=1": "unknown key in --filter 'nope'",
    "suite smoke --results file --dry-run": "file is not a folder",
    "rerun abc --rows deep.json": "deep.json is not a rows file: its brackets are nested too deeply",
    "report deep.json": "deep.json is not a rows file: its brackets are nested too deeply",
    "report x --format ,,": "--format ',,': give formats with commas between",
    "sync deep.json": "deep.json is not a rows file: its brackets are nested too deeply",
    "regress --suite nope": "unknown suite 'nope'",
    "regress --baselines file": "file is not a folder",
    "baseline record --suite nope": "unknown suite 'nope'",
    "baseline show --suite nope": "unknown suite 'nope'",
    "baseline show --baselines file": "file is not a folder",
    "baseline show --baselines damaged": "damaged/here/ci.json is not a baseline",
    "clean --cache file": "file is not a folder",
    "prepare sbm nope": "unknown dataset 'nope'",
    "scale --rows 10 --workers 0": "--workers '0'",
    "scale --dataset nope": "unknown dataset 'nope'",
    "predict --layers abc": "option layers='abc' is not valid",
    "predict --optimizer nope": "unknown optimizer 'nope'",
    "profile --optimizer nope": "unknown optimizer 'nope'",
    "profile --rows 9 --set nope=1": "unknown hyperparameter of pdadmm: 'nope'",
    "profile nope.toml": "no such speed file: nope.toml",
    "profile kind.toml": "setting of entry 'a': kind 'nope'",
    "profile target.toml": "no target can be set for 'nope'",
    "profile speed.toml --only nope": "unknown entry 'nope'",
    "rerun nope": "no row with the run id 'nope'",
    "compare nope deep.json --tracking-uri sqlite:///tracked.db": "unknown rows file, run or experiment 'nope'",
    "report nope --tracking-uri sqlite:///tracked.db": "unknown rows file, run or experiment 'nope'",
    "ui --host 999.1.1.1": "--host has to be an address of this machine",
}


@pytest.fixture
def files(folder: Path) -> None:
    """The files that the arguments name."""
    Path("file").touch()
    Path("mlflow.db").touch()
    Path("damaged/here").mkdir(parents=True)
    Path("damaged/here/ci.json").write_text('{"suite": ')
    Path("deep.json").write_text("[" * 100_000)
    Path("deep.toml").write_text("a = " + "[" * 100_000)
    Path("many.toml").write_text(f"{ENTRY}seeds = 1000000000\n")
    Path("exclude.toml").write_text(f"{ENTRY}exclude = 3\n")
    Path("set.toml").write_text(f"{ENTRY}set.adam = 1\n")
    Path("key.toml").write_text(f"{ENTRY}seedz = 1\n")
    Path("lr.toml").write_text(f"{ENTRY}set.adam.learning = 1\n")
    Path("kind.toml").write_text('[[entry]]\nname = "a"\nkind = "nope"\nrows = 9\n')
    Path("target.toml").write_text('[[entry]]\nname = "a"\nrows = 9\ntargets.nope.most = 1\n')
    with contextlib.closing(sqlite3.connect("tracked.db")) as database:  # as far as it is looked at without MLflow
        database.execute("CREATE TABLE experiments (name, lifecycle_stage)")
        database.execute("CREATE TABLE runs (run_uuid)")
        database.execute("CREATE TABLE alembic_version (version_num)")
    Path("data.toml").write_text(f'{ENTRY}dataset = "nope"\n')


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("arguments", REFUSED)
def test_the_bad_value_is_in_the_one_line(arguments: str, cli: Cli) -> None:
    before = sorted(Path().iterdir())
    assert REFUSED[arguments] in cli(*arguments.split()).error
    assert sorted(Path().iterdir()) == before


@pytest.mark.slow
@pytest.mark.usefixtures("files")
def test_refused_before_torch_and_mlflow_are_imported() -> None:
    """All in one process, one after the other: what one of them imports, it is named for."""
    commands = [arguments.split() for arguments in REFUSED]
    code = (
        "import sys\nfrom pdadmm_bench.cli.main import main\n"
        f"for arguments in {commands}:\n"
        "    sys.argv = ['pdadmm-bench', *arguments]\n"
        "    try:\n        main()\n    except SystemExit as end:\n        assert end.code == 2, arguments\n"
        "    heavy = {'torch', 'mlflow'} & sys.modules.keys()\n"
        "    assert not heavy, (arguments, heavy)\n"
    )
    run_in_fresh_python(code)


def test_every_dataset_is_known_before_the_first_is_prepared(cli: Cli) -> None:
    answer = cli("prepare", "sbm[nodes=300,classes=3,features=12]", "nope", "--num-val", "50", "--num-test", "50")
    assert (answer.code, answer.out) == (2, "")


def test_the_name_in_a_card_is_no_path(cli: Cli, tmp_path: Path) -> None:
    card = (resources.roots()[-1] / "datasets" / "sbm.toml").read_text()
    (tmp_path / "share" / "datasets").mkdir(parents=True)
    (tmp_path / "share" / "datasets" / "mine.toml").write_text(f'name = "../../x"\n{card}')
    error = cli("--share", str(tmp_path / "share"), "info", "mine").error
    assert "name='../../x' is not valid" in error


def test_a_report_has_no_html_of_names(cli: Cli, tmp_path: Path) -> None:
    name = "<script>alert(1)</script>"
    row = {
        "schema_version": 1, "run_id": "a", "status": "ok", "dataset_name": name, "optimizer_name": name, "seed": 0,
        "model_layers": 2, "model_hidden": 8, "status_reason": name, "acc_test_at_best_val": 0.5, "dist_workers": 1,
        "env_protocol": name,
    }  # fmt: skip
    Path("rows.json").write_text(json.dumps([row]))
    answer = cli("report", "rows.json", "--format", "markdown")
    assert answer.code == 0, answer.err
    assert "<" not in Path("report/report.md").read_text()


@pytest.mark.parametrize("text", ["", "[]", "{}", '"x"', "[[" * 50_000])
def test_files_of_something_else_are_one_line_for_every_verb_that_reads_them(text: str, cli: Cli) -> None:
    Path("rows.json").write_text(text)
    for verb in (["compare", "rows.json", "rows.json"], ["report", "rows.json"], ["rerun", "a", "--rows", "rows.json"]):
        assert "rows.json" in cli(*verb).error or "'a'" in cli(*verb).error
