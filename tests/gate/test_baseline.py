"""Baseline files survive being written, and what is no baseline is refused with what would be right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.gate import baseline as files
from pdadmm_bench.gate.evidence import Benchmark, SeedRun, setting_of


def example(machine: str = "here", seconds: float = 0.00123456789) -> files.Baseline:
    setting = setting_of(run_spec({"dataset": "sbm", "layers": 2, "set": {"rho": "1e-3"}}).flat())
    runs = {"0": SeedRun({"status": "ok", "acc_test_at_best_val": 0.5}, ((0, 1.6094379124341, 0.2), (2, 0.5, 0.6)))}
    benchmark = Benchmark("pdadmm 2×256 sbm", setting, runs, {"dataset_nodes": 3}, [seconds])
    return files.new("ci", machine, {"env_cpu": "Ünnamed", "env_torch": "2"}, [benchmark])


def test_a_baseline_survives_its_file(tmp_path: Path) -> None:
    path = files.path_of(tmp_path, "here", "ci")
    files.write(path, example())
    found = files.read(path)
    assert found.environment == {"env_cpu": "Ünnamed", "env_torch": "2"}
    (benchmark,) = found.benchmarks.values()
    (before,) = example().benchmarks.values()
    assert (benchmark.version, benchmark.data) == (before.version, before.data)
    assert benchmark.runs["0"].curve == ((0, 1.60944, 0.2), (2, 0.5, 0.6))
    assert benchmark.seconds == [0.00123457]
    assert json.loads(path.read_text())["benchmarks"]["pdadmm 2×256 sbm"]["version"] == before.version


def test_the_own_class_is_found_first_then_the_latest(tmp_path: Path) -> None:
    assert files.find(tmp_path, "here", "ci") is None
    for machine, recorded in (("old", "2026-01-01"), ("new", "2026-02-01")):
        found = example(machine)
        files.write(
            files.path_of(tmp_path, machine, "ci"),
            files.Baseline("ci", machine, recorded, found.environment, found.benchmarks),
        )
    assert files.find(tmp_path, "here", "ci") == tmp_path / "new" / "ci.json"
    files.write(files.path_of(tmp_path, "here", "ci"), example())
    assert files.find(tmp_path, "here", "ci") == tmp_path / "here" / "ci.json"


def without(path: Path, change: Any) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.pop("benchmarks"), "it has no benchmarks"),
        (lambda values: values.update(format=99), "has format 99, this program reads format 1"),
        (lambda values: values.pop("recorded"), "not a complete baseline"),
        (lambda values: values["benchmarks"]["pdadmm 2×256 sbm"]["setting"].update(layers=3), "version disagree"),
        (lambda values: values["benchmarks"]["pdadmm 2×256 sbm"]["runs"].clear(), "no runs"),
        (lambda values: values["benchmarks"]["pdadmm 2×256 sbm"]["runs"]["0"]["row"].popitem(), "seed 0: no accuracy"),
    ],
)
def test_what_is_no_baseline_is_refused(change: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "ci.json"
    files.write(path, example())
    without(path, change)
    with pytest.raises(UserError, match=message):
        files.read(path)


def test_text_and_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such baseline"):
        files.read(tmp_path / "ci.json")
    (tmp_path / "ci.json").write_text("rows")
    with pytest.raises(UserError, match="is not a baseline"):
        files.read(tmp_path / "ci.json")
