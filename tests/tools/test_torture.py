"""The standing test that tries to make the program lose, hang or lie: a sample of it holds, what is lost is told."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "tools" / "studies" / "torture.py"
MOST = 5


def torture(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(PROGRAM), str(folder), *arguments], capture_output=True, text=True)


@pytest.mark.slow
def test_a_sample_holds_and_is_not_tried_again(tmp_path: Path) -> None:
    sample = ("--area", "inputs", "--area", "checkpoints", "--most", str(MOST))
    first = torture(tmp_path, *sample)
    assert first.returncode == 0, first.stdout + first.stderr
    assert f"all: {2 * MOST} tried, 0 lost" in first.stdout
    before = (tmp_path / "found.jsonl").read_text()
    assert torture(tmp_path, *sample).stdout == first.stdout
    assert (tmp_path / "found.jsonl").read_text() == before


def test_what_was_lost_is_counted_and_in_the_table(tmp_path: Path, tool: Callable[[str], ModuleType]) -> None:
    lost = {"area": "inputs", "name": "a", "command": "pdadmm-bench a", "lost": "exit code 1", "seconds": 0.1}
    held = {**lost, "area": "suites", "name": "b", "lost": None}
    (tmp_path / "found.jsonl").write_text("".join(json.dumps(each) + "\n" for each in (lost, held)))
    answer = torture(tmp_path, "--area", "tracking", "--most", "0")
    assert answer.returncode == 1
    assert "inputs: 1 tried, 1 lost" in answer.stdout and "all: 2 tried, 1 lost" in answer.stdout
    table = tool("studies").torture(json.loads(gzip.decompress((tmp_path / "rows.json.gz").read_bytes())))
    assert "| inputs | 1 | 0 | 1 | `pdadmm-bench a`: exit code 1 |" in table
    assert "| all | 2 | 1 | 1 |  |" in table
