"""What becomes of every run, decided before the first one starts."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.rows import Row, first_values, make_row
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.suite.estimate import estimate
from pdadmm_bench.suite.file import read
from pdadmm_bench.suite.plan import Plan, PlannedRun, PlanOptions, make_plan
from pdadmm_bench.suite.results import Results, untimed

TEXT = """
summary = "a try"
[defaults]
dataset = "sbm[nodes=300,classes=3,features=12]"
hops = 1
num_val = 50
num_test = 50
hidden = 8
iterations = 4
layers = 4
device = "cpu"
[[entry]]
optimizer = ["adam", "pdadmm"]
seeds = 2
"""


@pytest.fixture
def results(tmp_path: Path) -> Results:
    found = Results(tmp_path / "results")
    found.prepare()
    return found


@pytest.fixture
def planned(tmp_path: Path, results: Results, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``planned(text, …)`` is the plan of a suite on a machine with four cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(4)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def make(text: str = TEXT, told: list[str] | None = None, **options: Any) -> Plan:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return make_plan(read(path), results, PlanOptions(**options), (told if told is not None else []).append)

    return make


def row_of(run: PlannedRun, status: str = "ok") -> Row:
    values = {**first_values(run.spec), **run.facts, "status": status, "env_torch": "2"}
    return make_row(values | ({"acc_test_at_best_val": 0.5, "time_train_s": 1.0} if status == "ok" else {}))


def actions(plan: Plan) -> Counter[str]:
    return Counter(run.action for run in plan.runs)


def test_finished_runs_are_not_made_again_and_failed_ones_are(planned: Any, results: Results) -> None:
    first, second, third, _ = planned().runs
    for run, status in ((first, "ok"), (second, "timeout"), (third, "diverged")):
        results.write(run.key, row_of(run, status))
    assert [run.action for run in planned().runs] == ["finished", "finished", "make", "make"]
    assert planned().runs[2].reason == "again: diverged before"
    assert actions(planned(force=True)) == {"make": 4}
    assert [run.key for run in planned(failed_only=True).runs] == [third.key]
    # A row of one suite counts in another that asks for the same run among others.
    more = planned(TEXT.replace("seeds = 2", "seeds = 3"))
    assert actions(more) == {"finished": 2, "make": 4}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"env_code": "before"}, "again: the code changed"),
        ({"dataset_key": "before"}, "again: the data changed"),
        ({"env_torch": "1"}, "again: hyperparameters, torch or device changed"),
    ],
)
def test_what_changed_since_a_run_is_told(change: dict[str, str], said: str, planned: Any, results: Results) -> None:
    run = planned().runs[0]
    results.write("0" * 32, row_of(run) | change)
    (again,) = (other for other in planned().runs if other.reason)
    assert (again.key, again.action, again.reason) == (run.key, "make", said)


def test_runs_that_cannot_be_made_are_skipped_with_the_reason(planned: Any, tmp_path: Path) -> None:
    text = (
        TEXT
        + """
        [[entry]]
        optimizer = "adam"
        wire = "bf16"
        [[entry]]
        optimizer = "adam"
        dataset = "cora"
        [[entry]]
        optimizer = "adam"
        gpus = 3
        threads = 2
        """
    )
    plan = planned(text, offline=True, cache=tmp_path / "cache")
    reasons = [run.reason for run in plan.runs if run.action == "skip"]
    assert reasons == [
        "adam sends fp32, not bf16",
        "cora is not here (Cora/raw/ind.cora.x and 7 more absent), and --offline forbids fetching it",
        "3 workers with 2 threads each need 6 cores, this machine has 4: they would take turns",
    ]
    # With a network, the data are something to try.
    assert actions(planned(text, cache=tmp_path / "cache"))["skip"] == 2


def test_absent_graphs_are_left_out_where_the_suite_wants_local_ones(planned: Any, tmp_path: Path) -> None:
    text = TEXT + '[[entry]]\ndataset = ["cora", "sbm"]\nlocal_only = true\nseeds = 3\n'
    plan = planned(text, cache=tmp_path / "cache")
    assert plan.left_out == {"cora": 3}
    assert actions(plan) == {"make": 4 + 3}
    version = plan.suite.version
    assert planned(text.replace('"cora", ', ""), cache=tmp_path / "cache").suite.version != version


def test_a_file_that_is_not_the_cards_skips_its_runs(planned: Any, tmp_path: Path) -> None:
    damaged = tmp_path / "root" / "Cora" / "raw" / "ind.cora.x"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("not this")
    plan = planned(TEXT + '[[entry]]\ndataset = "cora"', data_root=tmp_path / "root")
    (run,) = (run for run in plan.runs if run.action == "skip")
    assert run.spec.data.dataset == "cora" and "is not the file its card describes" in str(run.reason)


def test_cores_are_never_oversubscribed(planned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """threads × workers × runs side by side ≤ cores, four here."""
    pair = TEXT.replace("[[entry]]", "[[entry]]\ngpus = 2", 1)
    assert [run.threads for run in planned(TEXT).runs] == [4] * 4
    assert [run.threads for run in planned(TEXT, jobs=2).runs] == [2] * 4
    assert [run.threads for run in planned(pair, jobs=2).runs] == [1] * 4
    with pytest.raises(UserError, match=r"-j 3 needs 6 cores .* 2 workers\), this machine has 4: use -j 2$"):
        planned(pair, jobs=3)
    with pytest.raises(UserError, match=r"-j 5 needs 5 cores .* has 4: use -j 4$"):
        planned(TEXT, jobs=5)
    three = TEXT.replace("[[entry]]", "[[entry]]\nthreads = 3", 1)
    with pytest.raises(UserError, match=r"-j 2 needs 6 cores .*3 threads.* use -j 1, or fewer threads$"):
        planned(three, jobs=2)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert [run.threads for run in planned(TEXT, jobs=2).runs] == [2] * 4
    with pytest.raises(UserError, match="-j 4 needs 8 cores"):
        planned(TEXT, jobs=4)


def test_finished_runs_do_not_count_for_the_cores(planned: Any, results: Results) -> None:
    text = TEXT + '[[entry]]\nthreads = 4\noptimizer = "adam"\n'
    (wide,) = (run for run in planned(text).runs if run.spec.threads)
    results.write(wide.key, row_of(wide))
    assert actions(planned(text, jobs=4)) == {"make": 4, "finished": 1}


def test_filters(planned: Any) -> None:
    def chosen(*filters: str) -> list[tuple[str, int]]:
        return [(run.spec.optimizer, run.spec.seed) for run in planned(filters=filters).runs]

    assert chosen("optimizer=adam") == [("adam", 0), ("adam", 1)]
    assert chosen("optimizer=adam", "seed=1") == [("adam", 1)]
    assert chosen("seed=0,1", "optimizer=pdadmm") == [("pdadmm", 0), ("pdadmm", 1)]
    assert len(chosen("dataset=sbm[nodes=300,classes=3,features=12]", "normalize=false", "target=none")) == 4
    for bad, said in {
        "optimizer": "give KEY=VALUE",
        "optimiser=adam": "unknown key in --filter 'optimiser': did you mean optimizer",
        "seed=7": "--filter seed=7: no run has 7; seed is 0, 1",
        "optimizer=adam,sdg": "--filter optimizer=adam,sdg: no run has sdg; optimizer is adam, pdadmm",
    }.items():
        with pytest.raises(UserError) as refused:
            chosen(bad)
        assert said in str(refused.value)


def test_unreadable_rows_are_told_and_kept(planned: Any, results: Results) -> None:
    first, second, third, fourth = planned().runs
    folder = results.folder / "runs"
    for run, text in (
        (first, '{"status": "ok", "schema_ver'),
        (second, json.dumps(row_of(second) | {"schema_version": 0})),
        (third, "[]"),
        (fourth, json.dumps(row_of(fourth))),
    ):
        (folder / f"{run.key}.json").write_text(text)
    told: list[str] = []
    assert [run.action for run in planned(told=told).runs] == ["make", "make", "make", "finished"]
    for line, said in zip(
        told, ("is not a result row: it ", "is a row of schema 0", "is not a result row"), strict=True
    ):
        assert said in line and line.endswith("the run is made again, the file is kept beside it")
    row = row_of(first)
    results.write(first.key, row)
    assert (folder / f"{first.key}.unreadable").read_text().startswith('{"status": "ok"')
    assert results.read(first.key) == row


def test_a_run_is_claimed_once_at_a_time(results: Results) -> None:
    claim = results.claim("k")
    assert claim is not None and claim.left_behind is None
    assert results.claim("k") is None
    assert results.claim("other") is not None
    claim.note("a1b2")
    claim.release()
    again = results.claim("k")
    assert again is not None and again.left_behind is None  # it came to its end
    again.note("c3d4")
    again._lock.release()  # as the system does for a process that was killed
    after = results.claim("k")
    assert after is not None and after.left_behind == "c3d4"


def test_times_of_runs_side_by_side_are_no_timings() -> None:
    row = {"time_iteration_median_s": 1.0, "time_target_accuracy": 0.5, "acc_test_final": 0.25}
    assert untimed([row | {"env_concurrency": 1}]) == [row | {"env_concurrency": 1}]
    (hidden,) = untimed([row | {"env_concurrency": 2}])
    assert hidden == row | {"env_concurrency": 2, "time_iteration_median_s": None}


def test_an_estimate_grows_with_the_work(planned: Any) -> None:
    spec = planned().runs[0].spec
    few, many = estimate(spec, 1), estimate(spec.model_copy(update={"iterations": 400_000}), 1)
    assert few.layers == (4,) and few.num_bytes > 2**28
    assert many.seconds > few.seconds + 1
    limited = spec.model_copy(update={"iterations": 400_000, "eval_every": 400_000, "time_limit": 0.5})
    assert estimate(limited, 1).seconds < few.seconds + 0.5
    over_two = estimate(spec.model_copy(update={"gpus": 2}), 1)
    assert sum(over_two.layers) == 4 and over_two.num_bytes > few.num_bytes


def test_looking_for_rows_changes_nothing(planned: Any, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (run, *_) = planned(cache=cache).runs
    assert not run.found.ready and run.found.key and not cache.exists()
    load_problem(run.spec.data, cache=cache)
    (again, *_) = planned(cache=cache).runs
    assert again.found == replace(run.found, ready=True)


def test_a_split_is_found_by_its_present_name_and_its_former_one(planned: Any) -> None:
    text = TEXT.replace("[[entry]]", '[[entry]]\nsplit = ["per-class", "fraction"]\nreduce = [8, "rows"]', 1)
    counts = [len(planned(text, filters=(f"split={name}",)).runs) for name in ("per-class", "random", "fraction")]
    assert counts[0] == counts[1] == counts[2]
    assert {run.spec.data.reduce for run in planned(text, filters=("reduce=8",)).runs} == {"8"}
