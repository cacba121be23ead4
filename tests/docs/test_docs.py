"""The documentation says what is true: commands parse, links lead somewhere, examples run.

A code block whose first line is a comment with a file name becomes that file, beside which the commands of the same
document are read.
"""

from __future__ import annotations

import gzip
import json
import re
import runpy
import shlex
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
import yaml
from torch_geometric.data import Data

import pdadmm_bench as pb
from pdadmm_bench.cli.main import app
from pdadmm_bench.core import resources
from pdadmm_bench.core.rows import PREFIXES
from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.data.cache import CACHE_VARIABLE
from pdadmm_bench.data.catalog import load_card
from pdadmm_bench.data.load import SPLIT_FACTS, load_problem
from pdadmm_bench.optim import registry as optimizers
from pdadmm_bench.optim.hyperparameters import model_of
from pdadmm_bench.training.run import run

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(ROOT.glob("docs/*.md"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FILE = re.compile(r"# (\S+\.(?:py|toml))")
VERDICT = re.compile(r"\*\*(confirmed|confirmed only where|not confirmed|not testable here)\*\*")
ORDER = ("confirmed", "confirmed only where", "not confirmed", "not testable here")
NUMBERS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight")
NUMBER = re.compile(r"\d+\.\d+|\d{4,}")
"""Numbers that only a measurement or a paper can have put into a page, once the commas of thousands are gone."""


def blocks(document: Path) -> list[tuple[str, str]]:
    """Language and text of every code block."""
    return BLOCK.findall(document.read_text(encoding="utf-8"))


def linked(document: Path, target: str) -> Path:
    """The file that a link of the document leads to. A section that the link names is there too."""
    name, _, anchor = target.partition("#")
    path = document.parent / name if name else document
    assert path.is_file(), target
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
    assert not anchor or anchor in [re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in headings], target
    return path


def numbers(text: str) -> set[str]:
    """The numbers of a text, ``6,400`` as ``6400``."""
    return set(NUMBER.findall(re.sub(r"(?<=\d),(?=\d{3})", "", text)))


def commands(document: Path) -> list[list[str]]:
    """The arguments of every ``pdadmm-bench …`` and ``… -m pdadmm_bench …`` line."""
    lines = [line for language, text in blocks(document) if language == "sh" for line in text.splitlines()]
    found = []
    for words in (shlex.split(line, comments=True) for line in lines):
        for name in ("pdadmm-bench", "pdadmm_bench"):
            if name in words:
                found.append(words[words.index(name) + 1 :])
    return found


def a_graph(path: Path) -> None:
    """Write a small PyG graph."""
    y = torch.arange(60) % 3
    torch.save(Data(x=torch.randn(60, 4), y=y, edge_index=torch.randint(60, (2, 120))), path)


COMMANDS = [
    pytest.param(document, arguments, id=f"{document.name}: {shlex.join(arguments)}")
    for document in DOCUMENTS
    for arguments in commands(document)
]


@pytest.fixture
def examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> Callable[[Path], list[str]]:
    """``examples(document)`` writes its files into the working folder, installs its packages, and returns their names.

    The working folder is an overlay as well, so that the cards of the document are found. So is the card of a graph in
    a file, as the document says: of the graph that one of its files writes, else of a small one that stands for the
    reader's.
    """

    def write(document: Path) -> list[str]:
        files = {named[1]: text for _, text in blocks(document) if (named := FILE.match(text))}
        groups = tomllib.loads(files.get("pyproject.toml", "")).get("project", {}).get("entry-points", {})
        places = [install(group, **targets) for group, targets in groups.items()]
        for name, text in files.items():
            for folder in (tmp_path, *places):
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
        for arguments in commands(document):
            if arguments[:2] == ["card", "new"] and "--from-file" in arguments:
                written = [name for name, text in files.items() if f'"{arguments[-1]}"' in text]
                for name in written:
                    runpy.run_path(name)
                if not written:
                    a_graph(tmp_path / arguments[-1])
                typer.main.get_command(app).main(arguments, standalone_mode=False)
        capsys.readouterr()
        return [name for targets in groups.values() for name in targets]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv(resources.VARIABLE, str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")
    return write


def test_there_are_commands() -> None:
    verbs = {arguments[0] for param in COMMANDS for arguments in [param.values[1]] if arguments}
    assert verbs >= {"run", "scale", "predict", "list", "info", "prepare", "doctor", "ui"}


@pytest.mark.parametrize(("document", "arguments"), COMMANDS)
@pytest.mark.slow
def test_command_is_understood(
    document: Path, arguments: list[str], examples: Callable[[Path], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """The verb and its options exist; of ``run``, also that every run it asks for can be made."""
    examples(document)
    group: Any = typer.main.get_command(app)
    place = next(place for place, word in enumerate(arguments) if word in group.commands)
    if arguments[place] == "run":
        group.main([*arguments, "--device", "cpu", "--dry-run"], standalone_mode=False)  # whatever devices are here
        plan = capsys.readouterr().out
        assert "nothing started" in plan and "skip:" not in plan
    else:
        group.make_context("pdadmm-bench", arguments[: place + 1])
        group.commands[arguments[place]].make_context(arguments[place], arguments[place + 1 :])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(BLOCK.sub("", document.read_text(encoding="utf-8"))):
        if not target.startswith(("https://", "http://")):
            linked(document, target)


def test_every_claim_has_a_verdict_and_numbers_that_stand_where_it_links() -> None:
    """A number that changed in the page or in the rows that its claim links to is stale here."""
    page = ROOT / "docs" / "claims.md"
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    claims = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]
    assert len(claims) == 15
    verdicts: Counter[str] = Counter()
    for claim, source, verdict, found, where in claims:
        match = VERDICT.match(verdict)
        assert match, claim
        verdicts[match[1]] += 1
        evidence = LINK.findall(where)
        assert any("#" in target or target.startswith("../reports/") for target in evidence), claim
        files = [linked(page, target) for target in [*evidence, *LINK.findall(source)]]
        there = numbers("\n".join(path.read_text(encoding="utf-8") for path in files if path.suffix != ".gz"))
        missing = [n for n in numbers(f"{claim} {found}") if not {n, f"{float(n) / 100:.3f}"} & there]
        assert not missing, (claim, missing)
    yes, partly, no, unknown = (NUMBERS[verdicts[name]] for name in ORDER)
    counted = f"{yes} are confirmed, {partly} only under conditions, {no} are not, and {unknown} cannot be tested"
    assert f"Of fifteen claims {counted}" in " ".join(page.read_text(encoding="utf-8").split())


@pytest.mark.slow
def test_the_optimizer_of_the_guide_trains(examples: Callable[[Path], list[str]]) -> None:
    (name,) = examples(ROOT / "CONTRIBUTING.md")
    assert name in optimizers.names()
    small = {"dataset": "sbm[nodes=300,classes=3,features=12]", "layers": 2, "hidden": 8, "init": "he"}
    small |= {"num_val": 50, "num_test": 50}
    spec = run_spec({**small, "optimizer": name, "iterations": 30, "set": {"lr": 1e-2, "alpha": 0.9}})
    row = run(spec, load_problem(spec.data, report=lambda line: None)).row
    assert row["status"] == "ok", row["status_reason"]
    assert row["optimizer_alpha"] == 0.9
    assert row["acc_test_at_best_val"] > 0.5


def test_the_dataset_of_the_guide_loads(examples: Callable[[Path], list[str]]) -> None:
    examples(ROOT / "CONTRIBUTING.md")
    card = load_card("mixed")
    problem = load_problem(run_spec({"dataset": "mixed", "hops": 1}).data, report=lambda line: None)
    assert problem.num_features == 2 * card.sizes.features
    assert problem.facts["dataset_edges"] == card.sizes.edges
    assert load_card("photo").version == "2"


def test_the_documentation_names_no_folder_of_ours() -> None:
    for document in DOCUMENTS:
        assert not re.search(r"/(work|root|home|tmp)/", document.read_text(encoding="utf-8")), document


def test_pictures_are_small() -> None:
    for picture in (ROOT / "docs" / "images").glob("*.png"):
        assert picture.stat().st_size < 300_000, picture


@pytest.mark.slow
def test_the_notebook_the_readme_and_the_page_about_python_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their code is run from top to bottom; the page shows every public name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    cells = json.loads((ROOT / "examples" / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    notebook = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    page = [text for language, text in blocks(ROOT / "docs" / "api.md") if language == "python"]
    readme = [text for language, text in blocks(ROOT / "README.md") if language == "python"]
    for place, code in (("notebook.ipynb", notebook), ("README.md", readme), ("api.md", page)):
        exec(compile("\n".join(code), place, "exec"), {"__name__": place})
    assert not [name for name in pb.API if not re.search(rf"\bpb\.{name}\b", "\n".join(page))]
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"report.html", "report.md"}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150


def test_the_citation_is_of_this_version_and_names_the_papers_of_the_readme() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["cff-version"], citation["version"], citation["license"]) == ("1.2.0", pb.__version__, "MIT")
    papers = [identifier["value"] for paper in citation["references"] for identifier in paper["identifiers"]]
    readme = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Papers")[2]
    assert re.findall(r"arXiv:[\d.]+\d", readme) == papers


def test_every_name_in_a_row_is_explained_and_no_other(tmp_path: Path) -> None:
    """docs/rows.md has the names of committed rows and of a run made now, and the program writes what it explains."""
    page = ROOT / "docs" / "rows.md"
    explained = set(re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+)*)`", page.read_text(encoding="utf-8")))
    settings = run_spec({"dataset": "sbm", "layers": 2, "hidden": 8, "iterations": 1})
    rows = [run(settings, load_problem(settings.data, cache=tmp_path, report=print)).row]
    for path in ROOT.glob("reports/*/rows.json.gz"):
        rows += json.loads(gzip.decompress(path.read_bytes()))
    scaled = json.loads(gzip.decompress((ROOT / "reports" / "layouts" / "measured.json.gz").read_bytes()))
    optimizer = {f"optimizer_{name}" for each in optimizers.names() for name in model_of(each).model_fields}
    written = {name for row in [*rows, *scaled] for name in row} - optimizer | {
        f"dataset_{name}" for name in SPLIT_FACTS
    }
    assert not written - explained
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "pdadmm_bench").rglob("*.py"))
    assert not [name for name in explained if name.startswith(PREFIXES) and name not in written and name not in source]
