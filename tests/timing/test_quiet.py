"""Whether the machine is quiet: the verdict from given times, and the row that keeps it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from toy import toy_problem, toy_spec

from pdadmm_bench.cli.views.live import LiveView
from pdadmm_bench.core import quiet
from pdadmm_bench.core.options import Output
from pdadmm_bench.core.quiet import Quietness
from pdadmm_bench.data.cache import CACHE_VARIABLE
from pdadmm_bench.timing import scaling
from pdadmm_bench.timing.quiet import judged, measure
from pdadmm_bench.timing.speed_file.entry import Bench
from pdadmm_bench.timing.speed_file.file import measured, single
from pdadmm_bench.timing.speed_file.kinds import ProfileEntry
from pdadmm_bench.training.run import run
from pdadmm_bench.training.session import NoTracking, train_specs


@pytest.mark.parametrize(
    ("times", "other_load", "problem"),
    [
        ([1.0, 1.01] * 30, 0.01, None),
        ([1.0] * 54 + [1.3] * 6, 0.01, "takes up to 30% longer"),
        ([1.0] * 30 + [1.08] * 30, 0.01, "became 8% slower"),
        ([1.0, 1.01] * 30, 0.4, "other processes use 40% of the cores"),
    ],
)
def test_the_verdict_comes_from_spread_drift_and_other_load(
    times: list[float], other_load: float, problem: str | None
) -> None:
    found = judged(times, other_load)
    assert found.answer.startswith("not quiet: " if problem else "quiet: ")
    assert len(found.problems()) == (problem is not None)
    assert problem is None or problem in found.problems()[0]


def test_a_row_keeps_the_answer_for_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert run(toy_spec(iterations=1), toy_problem()).row["env_quiet"] is None
    quiet.keep(tmp_path, Quietness(0.02, 0.0, 0.01))
    assert run(toy_spec(iterations=1), toy_problem()).row["env_quiet"] == "quiet: spread 2%, drift 0%, other load 1%"
    assert quiet.kept(tmp_path, now=lambda: time.time() + 3601) is None
    (tmp_path / "quiet.json").write_text('{"spread": []}')
    assert quiet.kept(tmp_path) is None


def test_the_answer_is_that_of_the_cache_that_a_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``check --cache X`` and ``run --cache X``: the answer is in X, also for the processes of the run."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "usual"))
    quiet.keep(tmp_path / "told", Quietness(0.02, 0.0, 0.01))
    output = Output(cache=tmp_path / "told", quiet=True)
    (row,) = train_specs([toy_spec(iterations=1)], output, LiveView(quiet=True), NoTracking(), toy_problem())
    assert row["env_quiet"] == "quiet: spread 2%, drift 0%, other load 1%"
    assert os.environ[CACHE_VARIABLE] == str(tmp_path / "usual")


def test_rows_of_scale_and_profile_keep_the_answer_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    quiet.keep(tmp_path, Quietness(0.02, 0.0, 0.01))
    names = ("time_compute_s", "time_exposed_s", "time_exposed_share", "time_iteration_median_s")
    result = dict.fromkeys(names, 1.0) | {"dist_partition": "2", "dist_per_worker": "[]"}
    result |= {"dist_sent_bytes": 0, "memory_state_bytes": 0}
    monkeypatch.setattr(scaling, "launch", lambda *args, **options: [[result]])
    point = scaling.ScalingPoint(toy_spec(threads=1))
    (scaled,) = scaling.measure([point], toy_problem, repeats=1, iterations=1, timeout=1.0)
    monkeypatch.setattr(ProfileEntry, "measure", lambda self, bench, found: None)
    profiled, _ = measured(single({"optimizer": "adam", "dataset": "sbm"}), Bench(lambda data: toy_problem()))
    assert scaled["env_quiet"] == profiled["env_quiet"] == "quiet: spread 2%, drift 0%, other load 1%"


def test_it_can_be_measured_here() -> None:
    found = measure(seconds=0.0)
    assert found.spread >= 0 and found.other_load >= 0
