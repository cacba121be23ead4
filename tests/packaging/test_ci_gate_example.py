"""``examples/ci-gate``: installed as its README says, its optimizer is gated like one of ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OPTIMIZER = Path("src/my_optimizer/signed_momentum.py")
STEP = "sub_(direction, alpha="


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy as a repository with one commit."""
    folder = tmp_path_factory.mktemp("project") / "ci-gate"
    shutil.copytree(ROOT / "examples/ci-gate", folder, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    (folder / ".gitignore").write_text("*.egg-info\n__pycache__\nmlflow.db*\n")
    author = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "ours"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True, env={**os.environ, **author})
    return folder


@pytest.fixture(scope="module")
def python(project: Path) -> Path:
    """An environment with the project, installed with -e, and the packages of the running one, this one among them."""
    place = project.parent / "venv"
    venv.create(place, symlinks=True, with_pip=False)
    site = sysconfig.get_path("purelib", vars={"base": str(place), "platbase": str(place)})
    Path(site, "lent.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    python = place / "bin/python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run(
        [*install, "--no-build-isolation", "--disable-pip-version-check", "--editable", str(project)],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return python


def call(python: Path, project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-P", "-m", "pdadmm_bench", *arguments],
        cwd=project, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip


@pytest.mark.slow
def test_a_sign_error_in_the_own_optimizer_is_caught(python: Path, project: Path) -> None:
    """Against the last commit, so the base has to be of the revision, and Adam the same on both sides."""
    source = project / OPTIMIZER
    text = source.read_text(encoding="utf-8")
    assert text.count(STEP) == 1
    source.write_text(text.replace(STEP, STEP.replace("sub_", "add_")), encoding="utf-8")
    ended = call(python, project, "regress", "--suite", "gate.toml", "--against", "HEAD", "--quick")
    source.write_text(text, encoding="utf-8")
    assert ended.returncode == 1, ended
    lines = {line.split()[1]: line for line in ended.stdout.splitlines() if "×32 sbm" in line}
    assert lines["signed-momentum"].startswith("worse") and "accuracy" in lines["signed-momentum"], ended
    assert lines["adam"].startswith("ok"), ended
