"""The wheel: what is in it, that it works without a source tree and a network, and what an index page shows of it."""

from __future__ import annotations

import email
import json
import re
import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from pathlib import Path

import pytest
from installed import ROOT, Installed

from pdadmm_bench import __version__
from pdadmm_bench.core import resources

TINY = (
    "--dataset", "sbm[nodes=300,classes=3,features=12]", "--hops", "1", "--num-val", "50", "--num-test", "50",
    "--layers", "2", "--hidden", "8", "--iterations", "4", "--json", "rows.json",
)  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def contents(installed: Installed) -> dict[str, bytes]:
    """Every file in the wheel."""
    with zipfile.ZipFile(installed.wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def metadata(contents: dict[str, bytes]) -> Message:
    return email.message_from_bytes(contents[f"pdadmm_bench-{__version__}.dist-info/METADATA"])


def files(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder`` by its name from there, apart from what Python made."""
    paths = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_the_package_and_its_data_are_in_the_wheel_and_nothing_else(
    installed: Installed, contents: dict[str, bytes]
) -> None:
    source = installed.source
    expected = {f"pdadmm_bench/{name}": data for name, data in files(source / "pdadmm_bench").items()}
    for folder in resources.FOLDERS:
        expected |= {f"pdadmm_bench/share/{folder}/{name}": data for name, data in files(source / folder).items()}
    assert {name: data for name, data in contents.items() if ".dist-info/" not in name} == expected
    kinds = ("py.typed", "report/page.html.j2", "share/datasets/pubmed.toml", "share/runners/smoke.toml")
    assert {f"pdadmm_bench/{name}" for name in (*kinds, "share/reports/published/accuracy.toml")} <= set(contents)


def test_the_same_wheel_comes_from_the_source_distribution(
    installed: Installed, contents: dict[str, bytes], tmp_path: Path
) -> None:
    """``python -m build`` makes both, the wheel from the files of the source distribution."""
    shutil.copytree(installed.source, tmp_path / "src", ignore=shutil.ignore_patterns("build", "*.egg-info"))
    for name in ("docs", "tests", "tools", "constraints.txt", "CITATION.cff"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / "src" / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path / "dist"), "src"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    (source,) = (tmp_path / "dist").glob("*.tar.gz")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert sorted(archive.namelist()) == sorted(contents)
    shutil.unpack_archive(source, tmp_path / "unpacked", filter="data")
    unpacked = {name.partition("/")[2] for name in files(tmp_path / "unpacked")}
    wanted = {"docs/images/accuracy.png", "tests/packaging/test_wheel.py", "constraints.txt", "CITATION.cff", "LICENSE"}
    assert wanted <= unpacked


def test_the_installed_command_needs_no_source_tree_and_no_network(
    installed: Installed, migrated: Path, tmp_path: Path
) -> None:
    shutil.copy(migrated, tmp_path / "mlflow.db")
    said = installed.run("pdadmm-bench", "run", *TINY, folder=tmp_path)
    (row,) = json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))
    assert (row["status"], row["env_version"], row["env_commit"]) == ("ok", __version__, None)
    assert "warning" not in said.lower()
    where = installed.run("python", "-c", "import pdadmm_bench; print(pdadmm_bench.__file__)", folder=tmp_path)
    assert where.startswith(str(installed.packages))
    assert not installed.network_log.exists(), installed.network_log.read_text()


def test_the_network_would_have_been_missed(installed: Installed, tmp_path: Path) -> None:
    """What the tests here rely on: an attempt to reach another machine fails and leaves a trace."""
    attempt = (
        "import socket\ntry: socket.create_connection(('192.0.2.1', 80), 1)\nexcept OSError as error: print(error)"
    )
    assert "no network here" in installed.run(
        "python", "-c", attempt, folder=tmp_path, NETWORK_LOG=str(tmp_path / "log")
    )
    assert "192.0.2.1" in (tmp_path / "log").read_text()


def test_the_command_is_there_without_arguments(installed: Installed, tmp_path: Path) -> None:
    assert "Usage: pdadmm-bench" in installed.run("pdadmm-bench", "--help", folder=tmp_path)
    assert "--host" in installed.run("pdadmm-bench", "ui", "--help", folder=tmp_path)


def test_cards_suites_and_published_numbers_are_found(installed: Installed, tmp_path: Path) -> None:
    listed = installed.run("pdadmm-bench", "list", "datasets", folder=tmp_path).splitlines()[1:]
    assert {line.split()[0] for line in listed if line} >= {path.stem for path in ROOT.glob("datasets/*.toml")}
    look = (
        "from pdadmm_bench.core.resources import *; print(find('reports/published/accuracy.toml'), *names('runners'))"
    )
    published, *suites = installed.run("python", "-c", look, folder=tmp_path).split()
    assert published.startswith(str(installed.packages))
    assert suites == sorted(path.stem for path in ROOT.glob("runners/*.toml"))


def test_an_index_page_shows_the_readme(metadata: Message) -> None:
    """Rendered as the Python package index does it, with no link or picture that leads nowhere there."""
    from readme_renderer import markdown

    text = str(metadata.get_payload())
    page = markdown.render(text)
    assert page
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert all(re.match(r"https?://|#", target) for target in re.findall(r'(?:src|href)="([^"]*)"', page))
    assert ">Two commands<" in page
    for picture in re.findall(r"!\[([^]]*)\]", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert f"<em>{picture} (" in page


def test_the_metadata_says_what_the_package_is(metadata: Message) -> None:
    assert (metadata["Name"], metadata["Version"]) == ("pdadmm-bench", __version__)
    assert metadata["License-Expression"] == "MIT"
    assert set(metadata.get_all("Provides-Extra", [])) >= {"docs", "postgresql", "dev"}
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
