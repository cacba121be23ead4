"""The documentation as a site: it builds without a warning, says what the command says, loads nothing from elsewhere.

Links, verbs and options in the pages themselves are tested in test_docs.py.
"""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from installed import ROOT

from pdadmm_bench.cli.main import app
from pdadmm_bench.data.cards import Card
from pdadmm_bench.optim.base import Optimizer

DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("runners/*.md")]
BLOCK = re.compile(r"^```(sh|bash)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def build(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """``mkdocs build --strict``, which counts the warnings that it prints; so not with ``--quiet``."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder), *options]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    answer = build(folder)
    assert answer.returncode == 0, answer.stderr
    return folder


def text(page: Path) -> str:
    """What a reader sees of the page."""
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


@pytest.mark.slow
def test_every_page_is_there(site: Path) -> None:
    pages = {path.name for path in site.glob("*.html")}
    assert pages == {"404.html", *(f"{path.stem}.html" for path in ROOT.glob("docs/*.md"))}


@pytest.mark.slow
def test_the_reference_of_the_command_has_every_verb_and_option(site: Path) -> None:
    page = text(site / "cli.html")
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        assert f"Usage: pdadmm-bench {name} " in page
        for parameter in command.params:
            assert all(option in page for option in parameter.opts if option.startswith("--"))
    assert "units of every hidden layer" in page  # from the models, which the verbs read when they are asked for help


@pytest.mark.slow
def test_the_reference_of_python_has_the_contracts(site: Path) -> None:
    page = (site / "api.html").read_text(encoding="utf-8")
    methods = {name for name, value in vars(Optimizer).items() if callable(value) and not name.startswith("_")}
    for name in (*(f"optim.base.Optimizer.{name}" for name in methods if name != "part"), "data.load.load_problem"):
        assert f'id="pdadmm_bench.{name}"' in page
    assert all(re.search(rf"\b{name}\b", text(site / "api.html")) for name in Card.model_fields)
    assert not re.search(r":(class|mod|func|meth|attr):", page)


@pytest.mark.slow
@pytest.mark.parametrize(("page", "word"), [("cli.html", "--microbatches"), ("rows.html", "time_to_near_best_s")])
def test_the_search_finds_an_option_and_a_name_of_a_row(site: Path, page: str, word: str) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    assert page in {entry["location"].partition("#")[0] for entry in index["docs"] if word in entry["text"]}


@pytest.mark.slow
def test_guides_are_those_of_the_repository(site: Path) -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "class RMSprop(GradientOptimizer):" in guide
    assert "class RMSprop(GradientOptimizer):" in text(site / "adding-an-optimizer.html")
    assert "[[files]]" in text(site / "adding-a-dataset.html")
    for path in (ROOT / "runners/slurm/run.sbatch", ROOT / "runners/kubernetes/job.yaml"):
        assert path.read_text(encoding="utf-8").strip() in text(site / "machines.html")


@pytest.mark.slow
def test_nothing_is_loaded_from_another_server(site: Path) -> None:
    for page in site.glob("*.html"):
        tags = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page.read_text(encoding="utf-8"))
        assert not [tag for tag in tags if re.search(r'(?:src|href)="?(?:https?:)?//', tag)], page.name


@pytest.mark.slow
def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path) -> None:
    """So does a page that the navigation has not: what --strict is relied on for here."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Start\n\n[gone](gone.md), [nowhere](other.md#nowhere)\n")
    (tmp_path / "docs" / "other.md").write_text("# Other\n")
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    settings = re.sub(r"(?ms)^(nav|hooks|plugins|watch):.*?(?=^\w|\Z)", "", settings)
    (tmp_path / "mkdocs.yml").write_text(f"{settings}\nnav: [index.md]\n", encoding="utf-8")
    answer = build(tmp_path / "site", "--config-file", str(tmp_path / "mkdocs.yml"))
    assert answer.returncode == 1
    for complaint in ("gone.md", "'#nowhere'", 'not included in the "nav"'):
        assert complaint in answer.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_shell_can_read_the_shell_blocks(document: Path) -> None:
    blocks = [block for _, block in BLOCK.findall(document.read_text(encoding="utf-8")) if "--8<--" not in block]
    answer = subprocess.run(["bash", "-n"], input="\n".join(blocks), capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stderr
