"""``regress`` and ``baseline`` as a user calls them: what they say, what they write, and what they refuse."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from shell import Cli, tiny_suite

from pdadmm_bench.gate import baseline
from pdadmm_bench.gate import measure as gate
from pdadmm_bench.gate.benchmark_process import BenchmarkProcess
from pdadmm_bench.gate.checkout import HEAD, CannotCompare

SUITE = tiny_suite('[[entry]]\noptimizer = "pdadmm"\nseeds = 2\n')
MINE = ("--suite", "mine.toml")


@pytest.fixture
def suite(folder: Path) -> Path:
    (folder / "mine.toml").write_text(SUITE)
    return folder


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_no_baseline_passes_and_says_so(cli: Cli, suite: Path) -> None:
    answer = cli("regress", *MINE, "--quick", "--markdown", "gate.md", "--junit", "gate.xml")
    assert answer.code == 0
    assert "no baseline yet, so this passes and nothing was run" in answer.out
    assert re.search(r"^new +pdadmm 2×8 sbm +no baseline yet", answer.out, re.MULTILINE)
    assert "machine class: " in answer.err
    assert "no baseline yet" in (suite / "gate.md").read_text()
    assert ElementTree.parse(suite / "gate.xml").find("testsuite").get("skipped") == "1"  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_baseline_is_recorded_shown_and_held(cli: Cli, suite: Path, migrated: Path) -> None:
    """One recording for what follows from it: the same code passes, and another machine's times are refused."""
    shutil.copy(migrated, suite / "mlflow.db")
    answer = cli("baseline", "record", *MINE, "--no-time")
    assert answer.code == 0, answer.err
    (path,) = suite.glob("reports/baselines/*/mine.json")
    assert path.parent.name in answer.err and str(path.relative_to(suite)) in answer.out
    assert "1 benchmark, recorded" in cli("baseline", "show").out
    shown = cli("baseline", "show", *MINE).out
    assert "pdadmm 2×8 sbm" in shown and path.parent.name in shown

    answer = cli("regress", *MINE, "--json", "gate.json")
    assert answer.code == 0, answer
    assert "no times: the baseline has none" in answer.out
    assert {row["effect"] for row in json.loads((suite / "gate.json").read_text()) if row["check"] == "accuracy"} == {0}
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{suite / 'mlflow.db'}")
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert run.info.run_name == "regress mine"
    assert run.data.params["verdict/pdadmm 2x8 sbm"] == "ok"
    assert run.data.metrics["pdadmm 2x8 sbm/accuracy/effect"] == 0
    assert run.data.tags["regress_exit_code"] == "0"

    other = suite / "reports/baselines/somewhere/mine.json"
    other.parent.mkdir()
    path.rename(other)
    change(other, machine_class="somewhere")
    (suite / "mine.toml").write_text(SUITE.replace("iterations = 4", "iterations = 5"))
    answer = cli("regress", *MINE, "--quick")
    assert "times and peak memory refused: recorded on another machine class, somewhere" in answer.out
    assert (answer.code, "the benchmark changed: iterations 4 → 5" in answer.out) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("regress", "--suite", "cii"), "unknown suite 'cii': did you mean ci"),
        (("regress", *MINE, "--against", "nowhere"), "not a git repository"),
        (("regress", *MINE, "--calibrate", "--quick"), "leave out --against, --quick"),
        (("regress", *MINE, "--junit", "mine.toml/gate.xml"), "is not a folder"),
        (("baseline", "show", *MINE), "no baseline of mine in reports/baselines"),
    ],
)
def test_what_is_refused(cli: Cli, suite: Path, arguments: tuple[str, ...], message: str) -> None:
    answer = cli(*arguments, *(("--quiet",) if arguments[0] == "regress" else ()))
    assert message in answer.error
    assert not (suite / "mlflow.db").exists()  # no run that failed


def test_revisions_that_cannot_be_compared(cli: Cli, suite: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=suite, check=True)
    against = ("regress", *MINE, "--quick", "--quiet", "--against")
    assert "--against nowhere: no such revision here" in cli(*against, "nowhere").error
    assert "no such revision here" in cli(*against, "--all").error
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *author, "commit", "-q", "--allow-empty", "-m", "empty"], cwd=suite, check=True)
    assert "none of pdadmm_bench is run from the repository" in cli(*against, "HEAD").error


def test_a_wrong_threshold_is_refused_before_anything_runs(cli: Cli, suite: Path) -> None:
    (suite / "mine.toml").write_text(SUITE + "[gate]\ntime_percents = 5\n")
    assert "did you mean time_percent" in cli("regress", *MINE, "--quiet").error


def test_a_failure_of_the_gate_itself_is_not_called_worse(
    cli: Cli, suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(folder: Path, machine_class: str, name: str) -> None:
        raise ZeroDivisionError("by nobody")

    monkeypatch.setattr(baseline, "find", broken)
    assert "ZeroDivisionError: by nobody (not expected; --debug shows where)" in cli("regress", *MINE, "--quick").error


def test_benchmarks_whose_process_is_killed_cannot_be_compared() -> None:
    with BenchmarkProcess(HEAD) as probe:
        os.kill(probe.pid, signal.SIGKILL)
        with pytest.raises(CannotCompare, match="this tree: the benchmarks' process ended: killed by SIGKILL"):
            probe.check_code()


@pytest.mark.slow
def test_a_calibration_goes_on_with_what_was_kept(cli: Cli, suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after Ctrl-C, and only with what was measured of the same benchmarks on this class of machine."""
    passes: list[list[str]] = []

    def time_in_turn(suite: Any, base: Any, output: Any, tell: Any, names: list[str], decided: Any) -> gate.Pairs:
        passes.append(names)
        if len(passes) == 3:
            raise KeyboardInterrupt
        return {name: [(1.0, 1.0 + 0.001 * (turn % 3)) for turn in range(72)] for name in names}

    monkeypatch.setattr(gate, "time_in_turn", time_in_turn)
    calibrate = ("regress", *MINE, "--calibrate", "--json", "pairs.json", "--comparisons")
    first = cli(*calibrate, "1")
    assert "1 comparisons of this code with itself, 0 called worse" in first.out, first
    assert "smallest slowdown caught 90 times in 100: 5 %" in first.out
    second = cli(*calibrate, "9")
    assert "pairs.json: 1 comparisons from before" in second.err
    assert "stopped: what was measured so far is judged" in second.err
    assert second.code == 0 and "2 comparisons of this code with itself" in second.out
    kept = json.loads((suite / "pairs.json").read_text())
    assert len(kept) == 2 and len(kept[0]["pairs"]) == 72
    assert "2 comparisons of this code" in cli(*calibrate, "2").out and len(passes) == 3  # nothing more was measured

    (suite / "mine.toml").write_text(SUITE.replace("iterations = 4", "iterations = 5"))
    assert "pairs.json was measured with another suite" in cli(*calibrate, "3").error
    (suite / "mine.toml").write_text(SUITE)
    (suite / "pairs.json").write_text(json.dumps([{**kept[0], "machine_class": "a pdp-11"}]))
    assert "another machine class, a pdp-11" in cli(*calibrate, "3").error
    for text in ("{", "[1]", '{"a": 1}'):
        (suite / "pairs.json").write_text(text)
        assert "was not written by --calibrate" in cli(*calibrate, "3").error
