"""The workflows are sound before anybody pushes them: schema, scripts, and the commands they call."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from pdadmm_bench import __version__
from pdadmm_bench.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
OWN = sorted((ROOT / ".github/workflows").glob("*.yml"))
WORKFLOWS = [*OWN, *sorted((ROOT / "examples").rglob(".github/workflows/*.yml"))]
SCRIPTS = Path(sysconfig.get_path("scripts"))
PINNED = re.compile(r"^actions/[\w-]+@v\d+$|@[0-9a-f]{40}$")
"""GitHub's own actions by their major version, others by a commit."""
TARGET = re.compile(r"^(\w+):", re.MULTILINE)

each = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: str(path.relative_to(ROOT)))


def steps(path: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def lines(path: Path) -> list[list[str]]:
    """The words of every line that a step runs."""
    runs = [step["run"] for step in steps(path) if "run" in step]
    return [shlex.split(line) for run in runs for line in run.splitlines()]


def commands(path: Path) -> list[list[str]]:
    """The arguments of every ``pdadmm-bench``."""
    called = [words for words in lines(path) if words[0].endswith("pdadmm-bench")]
    return [words[1:] for words in called]


def test_there_are_the_four() -> None:
    assert [path.stem for path in OWN] == ["gate", "nightly", "release", "tests"]
    triggers = {path.stem: set(yaml.safe_load(path.read_text())[True]) for path in OWN}  # YAML 1.1 reads on as true
    by_time = {"schedule", "workflow_dispatch"}
    assert triggers == {"gate": {"pull_request"}, "nightly": by_time, "release": {"push"}, "tests": {"push"}}


def test_the_linters_of_make_lint_find_a_mistake(tmp_path: Path) -> None:
    """A misspelt key, and an expression of GitHub's that could inject code."""
    wrong = tmp_path / "gate.yml"
    text = OWN[0].read_text(encoding="utf-8")
    wrong.write_text(text.replace("runs-on:", "run-on:"), encoding="utf-8")
    assert "run-on" in complaint("check-jsonschema", "--builtin-schema", "vendor.github-workflows", wrong)
    assert text.count('"$BASE"') == 1
    wrong.write_text(text.replace('"$BASE"', '"${{ github.head_ref }}"'), encoding="utf-8")
    config = ("--offline", "--no-progress", "--config", ROOT / ".github/zizmor.yml")
    assert "template-injection" in complaint("zizmor", *config, wrong)


def complaint(linter: str, *arguments: str | Path) -> str:
    """What a linter has to say of a file in which it finds a mistake."""
    ended = subprocess.run([SCRIPTS / linter, *arguments], capture_output=True, text=True, timeout=60)
    assert ended.returncode != 0
    return ended.stdout + ended.stderr


@each
def test_scripts_are_sound(path: Path) -> None:
    """By shellcheck; an expression of GitHub's in a script could inject code, so it goes through the environment."""
    for step in steps(path):
        if "run" in step:
            assert "${{" not in step["run"], step
            command = [str(SCRIPTS / "shellcheck"), "--shell=bash", "-"]
            ended = subprocess.run(command, input=step["run"], capture_output=True, text=True, timeout=60)
            assert ended.returncode == 0, ended.stdout


@each
def test_commands_are_those_of_a_person(path: Path) -> None:
    group: Any = typer.main.get_command(app)
    for arguments in commands(path):
        group.commands[arguments[0]].make_context(arguments[0], arguments[1:])
    makefile = set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    targets = {word for words in lines(path) if words[0] == "make" for word in words[1:]}
    assert targets <= makefile
    assert commands(path) or targets
    for words in commands(path):
        if "--suite" in words:
            place = path.parents[2] / words[words.index("--suite") + 1]
            assert place.is_file(), place


@each
def test_jobs_end_and_may_only_read(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert 0 < job["timeout-minutes"] <= 350
        assert "latest" not in job["runs-on"]
        assert all(PINNED.search(step["uses"]) for step in job["steps"] if "uses" in step)
        assert job.get("permissions", {}) in ({}, {"id-token": "write"})
        assert "permissions" not in job or not any("run" in step for step in job["steps"])


def test_only_a_tag_is_uploaded_and_only_as_its_version() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    assert workflow[True] == {"push": {"tags": ["v*"]}}
    assert workflow["jobs"]["upload"]["needs"] == "build"
    (check,) = [step for step in workflow["jobs"]["build"]["steps"] if "TAG" in step.get("env", {})]
    script = check["run"].replace(".venv/bin/python", shlex.quote(sys.executable))
    for tag, code in {f"v{__version__}": 0, __version__: 1, f"v{__version__}.1": 1}.items():
        assert subprocess.run(["sh", "-c", script], env={**os.environ, "TAG": tag}, timeout=60).returncode == code


def test_the_gate_has_the_base_and_shows_its_verdicts() -> None:
    for path in (path for path in WORKFLOWS if path.stem == "gate"):
        (checkout,) = [step for step in steps(path) if "checkout" in step.get("uses", "")]
        assert checkout["with"]["fetch-depth"] == 0
        (words,) = [words for words in commands(path) if words[0] == "regress"]
        assert words[words.index("--against") + 1] == "$BASE"
        shown = [step for step in steps(path) if "GITHUB_STEP_SUMMARY" in step.get("run", "")]
        assert len(shown) == 1 and words[words.index("--markdown") + 1] in shown[0]["run"]
        assert "cancelled()" in shown[0]["if"]  # the verdict that matters comes with a failed step
