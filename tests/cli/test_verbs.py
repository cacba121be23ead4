"""The command itself: help, its speed by what it leaves alone, and unexpected ends."""

from __future__ import annotations

import inspect
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fresh_python import run_in_fresh_python
from shell import TINY, Cli
from typer.testing import CliRunner

from pdadmm_bench import __version__
from pdadmm_bench.cli import main
from pdadmm_bench.cli.verbs.run import run
from pdadmm_bench.core import presets, resources
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.options import FIELDS
from pdadmm_bench.core.spec import run_spec

SLOW = {"torch", "mlflow", "numpy", "matplotlib", "rich", "pydantic", "torch_geometric", "ogb", "pandas"}


@pytest.mark.parametrize(
    ("arguments", "light"),
    [
        (["--help"], SLOW),
        (["--version"], SLOW),
        (["ui", "--help"], SLOW - {"pydantic"}),
        (["run", "--help"], SLOW - {"pydantic"}),
        (["list"], SLOW - {"pydantic", "rich"}),
        (["info", "pubmed"], SLOW - {"pydantic", "rich"}),
        (["run", "--layers", "1"], SLOW - {"pydantic"}),
    ],
    ids=lambda value: " ".join(sorted(value) if isinstance(value, set) else value),
)
def test_what_is_not_needed_is_not_imported(arguments: list[str], light: set[str]) -> None:
    code = (
        "import sys\nfrom pdadmm_bench.cli.main import main\n"
        f"sys.argv = ['pdadmm-bench', *{arguments}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print(sorted({light} & sys.modules.keys()))"
    )
    assert run_in_fresh_python(code)[-1] == "[]"


def test_clean_shows_the_cache_and_removes_what_is_named(cli: Cli, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    old, new = cache / "tmp" / "old", cache / "tmp" / "new"
    for path in (
        cache / "raw" / "Cora" / "x",
        cache / "features" / "a.pt",
        cache / "features" / "b.pt",
        old / "y",
        new / "z",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(1000))
    (cache / "notes.txt").touch()
    (tmp_path / "mine").mkdir()
    (cache / "raw" / "link").symlink_to(tmp_path / "mine")
    os.utime(old, (0, 0))

    def sizes(*kinds: str) -> dict[str, str]:
        answer = cli("clean", *kinds, "--cache", str(cache))
        assert answer.code == 0, answer.err
        lines = [line.split() for line in answer.out.splitlines()[1:]]
        return {line[0]: " ".join(line[-2:]) for line in lines}

    shown = sizes()
    assert (shown["features"], shown["digests"], shown["trials"], shown["tmp"]) == ("2 kB", "0 B", "0 B", "1 kB")
    assert sizes("features")["features"] == "2 kB"
    assert sizes()["features"] == "0 B"
    assert (cache / "raw" / "Cora" / "x").exists()
    sizes("all")
    assert (tmp_path / "mine").is_dir(), "a link goes, what it leads to stays"
    left = sorted(str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file())
    assert left == ["notes.txt", "tmp/new/z"]
    assert "'feature'" in cli("clean", "feature").error


def test_help_tells_meaning_choices_and_defaults(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = cli("run", "--help").out
    for option, field in FIELDS.items():
        if option != "set":
            assert (field.description or option) in " ".join(text.split()), option
    assert "sbm[nodes=2000,...]" in text  # not taken for markup
    assert "[default: 10]" in text
    assert "auto|cpu|cuda" in text
    assert "the command line wins" in text
    assert "[default: 4]" in cli("prepare", "--help").out


def test_every_setting_is_an_option() -> None:
    options = {name.removesuffix("_") for name in inspect.signature(run).parameters}
    assert options == {*FIELDS, "config"}


def test_version(cli: Cli) -> None:
    assert cli("--version").out == f"pdadmm-bench {__version__}\n"


def test_misspelt_verbs_and_options(cli: Cli) -> None:
    assert "'run'" in cli("rnu").error
    assert "--optimizer" in cli(*TINY, "--optimizr", "adam").error


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.slow
def test_a_locale_without_the_signs(encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "pdadmm_bench", "info", "adam"]
    answer = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert b"learning rate (> 0)" in answer.stdout
    assert b"(? 0, < 1)" in answer.stdout


def test_no_traceback_unless_asked_for(cli: Cli, install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = install("pdadmm_bench.optimizers", broken="broken_package:Optimizer")
    (folder / "broken_package.py").write_text("raise RuntimeError('a defect')")
    answer = cli("info", "broken")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "error: RuntimeError: a defect (not expected; pdadmm-bench --debug shows where)\n"
    monkeypatch.setenv(main.DEBUG, "1")
    with pytest.raises(RuntimeError, match="a defect"):
        cli("info", "broken")


def test_debug_may_stand_anywhere(cli: Cli) -> None:
    for arguments in (("--debug", "info", "nothing"), ("info", "--debug", "nothing"), ("info", "nothing", "--debug")):
        with pytest.raises(UserError, match="nothing"):
            cli(*arguments)
    assert "--debug" in cli("--help").out


def test_of_several_workers_each_names_itself(
    cli: Cli, install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torchrun starts them. One that lost a worker says so: its own end is only a consequence."""
    monkeypatch.setenv("RANK", "3")
    assert cli("info", "nothing").error.startswith("error: worker 3: ")
    folder = install("pdadmm_bench.optimizers", lonely="lonely_package:Optimizer")
    (folder / "lonely_package.py").write_text(
        "from pdadmm_bench.core.errors import Unreachable\nraise Unreachable('Connection closed by peer')\n"
    )
    answer = cli("info", "lonely")
    assert (answer.code, answer.err) == (1, "error: worker 3: lost a worker (Connection closed by peer)\n")


SWALLOWS = """
import pathlib, time
pathlib.Path("importing").touch()
try:
    time.sleep(100)
except KeyboardInterrupt:
    print("swallowed")
"""


@pytest.mark.parametrize("module", ["typer", "torch"])
def test_ctrl_c_during_imports_is_quiet(module: str, tmp_path: Path) -> None:
    """Of what the command starts with; and of torch, whose import swallows the exception."""
    (tmp_path / f"{module}.py").write_text(SWALLOWS)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    started = subprocess.Popen(
        [sys.executable, "-m", "pdadmm_bench", *TINY],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a test run in the background is deaf to it
    )  # fmt: skip
    while not (tmp_path / "importing").exists():
        assert started.poll() is None
        time.sleep(0.02)
    started.send_signal(signal.SIGINT)
    assert (started.communicate(timeout=60)[0], started.returncode) == (b"", 130)


@pytest.mark.parametrize(
    ("name", "begin", "holds"),
    [
        ("markdown", "| optimizer |", "| --- |"),
        ("csv", "optimizer,", "pdadmm,"),
        ("latex", "%", "pdadmm &"),
        ("html", "<div", "<td"),
    ],
)
def test_tables_are_printed_in_the_format_that_is_asked_for(cli: Cli, name: str, begin: str, holds: str) -> None:
    answer = cli("--tables", name, "list", "optimizers")
    assert answer.code == 0 and answer.out.lstrip().startswith(begin), answer
    assert holds in answer.out and "━" not in answer.out
    assert cli("--tables", "terminal", "list", "optimizers").out != answer.out


def test_an_unknown_format_of_tables_is_refused(cli: Cli) -> None:
    answer = cli("--tables", "cvs", "list")
    assert answer.code == 2 and "unknown format of tables (--tables) 'cvs': did you mean csv?" in answer.err


def test_an_overlay_adds_a_dataset(cli: Cli, tmp_path: Path) -> None:
    card = Path(resources.roots()[-1] / "datasets" / "sbm.toml").read_text()
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "mine.toml").write_text(card.replace("nodes = 2000", "nodes = 2000 "))
    assert "mine " in cli("--share", str(tmp_path), "list").out
    assert cli("--share", "nowhere", "list").error == (
        "error: the overlay nowhere (--share or PDADMM_BENCH_SHARE) is not a folder"
    )


def test_prepare_goes_on_after_a_missing_dataset(cli: Cli) -> None:
    answer = cli("prepare", "pubmed", "cora", "--offline", "--cache", "empty")
    assert answer.code == 2
    assert "dataset 'pubmed' is missing" in answer.err
    assert "dataset 'cora' is missing" in answer.err


def test_the_help_of_run_has_groups_and_what_matters_first(cli: Cli) -> None:
    text = cli("run", "--help").out
    groups = ["What matters first", "Data", "Network", "Optimizer", "Layout: workers and devices", "Running", "Output"]
    assert re.findall(r"^(\S.*):$", text, re.MULTILINE) == [*groups, "Other"]
    first, rest = text.split("\nData:\n")
    assert len(re.findall(r"^  --", first, re.MULTILINE)) == 10
    assert "--workers, --gpus" in first
    assert rest.split("\nOther:\n")[1].split() == ["--help", "Show", "this", "message", "and", "exit."]


def test_every_verb_is_in_a_group(cli: Cli) -> None:
    text = cli("--help").out
    assert "Start here:" in text and "More:" not in text
    assert "..." not in text.partition("Start here:")[2], "what a verb does is not cut"


def test_the_help_of_ui_names_one_default_of_the_experiment(cli: Cli) -> None:
    text = " ".join(cli("ui", "--help").out.split())
    assert "experiment to open [default: that of the latest run] --view" in text
    assert "[default: 5000; 1<=x<=65535]" in text


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("run --dataset wiki", {"wikics"}),
        ("run --optimizer pdadmm-", {"pdadmm-q", "pdadmm-m", "pdadmm-c", "pdadmm-reference"}),
        ("suite sm", {"smoke"}),
        ("info cora-", {"cora-full", "cora-ml"}),
        ("prepare cora cite", {"citeseer"}),
    ],
)
def test_a_shell_completes_names(words: str, offered: set[str]) -> None:
    variables = {"_PDADMM_BENCH_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": f"pdadmm-bench {words}"}
    out = CliRunner(env=variables).invoke(main.app, prog_name="pdadmm-bench").output
    assert set(re.findall(r'"([\w-]+)"', out)) == offered


@pytest.mark.parametrize("verb", ["report", "compare rows.json"])
def test_a_shell_completes_what_has_rows(verb: str, folder: Path) -> None:
    """Suites with results, and files and folders."""
    (folder / "results" / "mine").mkdir(parents=True)
    for name in ("mine.json", "other.json"):
        (folder / name).touch()
    for begun, offered in (("mi", {"mine", "mine.json"}), ("results/m", {"results/mine"})):
        variables = {"_PDADMM_BENCH_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": f"pdadmm-bench {verb} {begun}"}
        out = CliRunner(env=variables).invoke(main.app, prog_name="pdadmm-bench").output
        assert set(re.findall(r'"([\w./-]+)"', out)) == offered


def test_info_shows_the_values_of_a_run_preset_by_preset(cli: Cli) -> None:
    out = cli("info", "adam", "--dataset", "cora", "--layers", "2", "--hidden", "500").out
    (line,) = [line for line in out.splitlines() if line.startswith("│ lr ")]
    spec = run_spec({"dataset": "cora", "optimizer": "adam", "layers": 2, "hidden": 500})
    default = presets.resolve(spec)["lr"]
    assert line.split()[3] == f"{default:g}" and line.split()[-2] == "0.001"
    assert "is no optimizer" in cli("info", "cora", "--dataset", "cora").error


def test_info_of_an_optimizer_says_how_to_see_the_values_of_a_run(cli: Cli) -> None:
    assert "pdadmm-bench info adam --dataset cora" in cli("info", "adam").out
