"""The gate's judgement on evidence whose answer is known: every verdict, every check, and how often it errs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdadmm_bench.core.env import machine_class
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.gate import checks, intervals, summary
from pdadmm_bench.gate.error_rates import of_accuracies, of_times, slower
from pdadmm_bench.gate.evidence import Benchmark, SeedRun, asked, in_full, names, run_of, setting_of
from pdadmm_bench.gate.judge import BenchmarkVerdict, Comparability, GateReport, judge, judge_benchmark
from pdadmm_bench.gate.thresholds import SuiteThresholds, Thresholds

SETTING = setting_of(run_spec({"dataset": "sbm", "optimizer": "pdadmm", "layers": 4, "hidden": 32}).flat())
LOSSES = (1.6, 1.2, 0.9, 0.7, 0.6)
ACCURACIES = (0.2, 0.4, 0.6, 0.7, 0.72)
HERE = Comparability(same_machine=True, together=True)


def run(accuracy: float = 0.7, losses: Sequence[float] = LOSSES, status: str = "ok", **row: Any) -> SeedRun:
    values = {
        "status": status, "status_reason": "because" if status != "ok" else None, "acc_test_at_best_val": accuracy,
        "memory_state_bytes": 1000, "memory_peak_bytes": 10**8, "dist_sent_bytes": 0, **row,
    }  # fmt: skip
    curve = tuple((2 * i, loss, acc) for i, (loss, acc) in enumerate(zip(losses, ACCURACIES, strict=True)))
    return SeedRun(values, curve)


def side(*runs: SeedRun, setting: dict[str, Any] = SETTING, **more: Any) -> Benchmark:
    data = {"dataset_nodes": 300, "dataset_sha256": "a" * 64}
    return Benchmark("pdadmm 4×32 sbm", setting, {str(seed): item for seed, item in enumerate(runs)}, data, **more)


def judged(base: Benchmark | None, head: Benchmark | None, comparability: Comparability = HERE) -> BenchmarkVerdict:
    return judge_benchmark("pdadmm 4×32 sbm", base, head, lambda setting: Thresholds(), comparability)


TEN = [run(0.70 + 0.002 * seed) for seed in range(10)]


def changed(change: Any) -> list[SeedRun]:
    return [SeedRun({**item.row, **change(item.row)}, item.curve) for item in TEN]


def curves(*losses: float) -> list[SeedRun]:
    return [replace(item, curve=run(losses=losses).curve) for item in TEN]


def lost(points: float) -> list[SeedRun]:
    return changed(lambda row: {"acc_test_at_best_val": row["acc_test_at_best_val"] - points / 100})


def test_the_same_twice_is_ok() -> None:
    found = judged(side(*TEN), side(*TEN))
    assert found.verdict == "ok"
    assert {finding.check for finding in found.findings} >= {"accuracy", "loss curve", "iterations", "state memory"}
    assert all(finding.effect == 0 for finding in found.findings)


@pytest.mark.parametrize(
    ("head", "check", "verdict"),
    [
        (side(*lost(1.0)), "accuracy", "worse"),
        (side(*lost(0.3)), "accuracy", "ok"),
        (side(*lost(-1.0)), "accuracy", "better"),
        (side(*curves(1.6, 1.2, 0.95, 0.7, 0.6)), "loss curve", "worse"),
        (side(*[*TEN[:9], run(losses=(1.6, 1.2, 0.9, 0.7, 0.62))]), "loss curve", "worse"),
        (side(*[*TEN[:9], run(losses=(1.6, 1.2, 0.9, 0.7, 0.607))]), "loss curve", "ok"),
        (side(*curves(1.6, 1.1, 0.9, 0.7, 0.5)), "loss curve", "better"),
        (side(*[replace(item, curve=item.curve[:-1]) for item in TEN]), "loss curve", "worse"),
        (side(*changed(lambda row: {"memory_state_bytes": 1020})), "state memory", "worse"),
        (side(*changed(lambda row: {"memory_peak_bytes": 1.3e8})), "peak memory", "worse"),
        (side(*changed(lambda row: {"memory_peak_bytes": 1.2e8})), "peak memory", "ok"),
        (side(*[*TEN[:9], run(status="diverged")]), "run", "worse"),
    ],
)  # fmt: skip
def test_each_check_has_its_threshold(head: Benchmark, check: str, verdict: str) -> None:
    found = judged(side(*TEN), head)
    finding = found.finding(check)
    assert (found.verdict, finding and finding.outcome) == (verdict, verdict)
    assert check in summary.explanation(found) or check == "run" or verdict == "ok"


def test_bytes_are_compared_exactly() -> None:
    base = side(*changed(lambda row: {"dist_sent_bytes": 25_600}))
    one_more = side(*changed(lambda row: {"dist_sent_bytes": 25_601}))
    assert judged(base, one_more).verdict == "worse"
    assert "25,600 → 25,601" in summary.explanation(judged(base, one_more))
    assert judged(one_more, base).verdict == "better"
    assert judged(base, base).verdict == "ok"


def test_a_loss_curve_that_departs_says_where() -> None:
    worse = side(*[*TEN[:3], run(losses=(1.6, 1.2, 0.95, 0.8, 0.6)), *TEN[4:]])
    (finding,) = judged(side(*TEN), worse).deciding
    assert finding.note == "seed 3 departs at iteration 4"
    assert finding.effect == pytest.approx(0.8 / 0.7 - 1)


def test_iterations_to_a_part_of_the_base_s_best() -> None:
    later = tuple((2 * point[0], *point[1:]) for point in TEN[0].curve)
    pairs = [(item, replace(item, curve=later)) for item in TEN]
    found = checks.iterations(pairs, Thresholds())
    assert (found.outcome, found.effect, found.low) == ("worse", 1.0, 1.0)
    assert "68.4 %" in found.note  # 95 % of 0.72
    never = checks.iterations([(item, replace(item, curve=item.curve[:2])) for item in TEN], Thresholds())
    assert (never.outcome, never.effect) == ("worse", math.inf)
    assert "never reached" in summary.finding_text(never)


def test_another_benchmark_is_not_comparable() -> None:
    found = judged(side(*TEN, setting={**SETTING, "iterations": 50}), side(*TEN, setting={**SETTING, "iterations": 40}))
    assert (found.verdict, found.reason) == ("not comparable", "the benchmark changed: iterations 50 → 40")
    found = judged(side(*TEN, setting={**SETTING, "iterations": 50}), side(*TEN))
    assert found.reason == "the benchmark changed: iterations 50 → 200"


def test_a_default_is_no_part_of_a_benchmark() -> None:
    """So a new option changes no version, and an older revision understands what it is asked."""
    flat = run_spec({"dataset": "sbm", "optimizer": "pdadmm", "layers": 4, "hidden": 32, "gpus": 1}).flat()
    assert asked(flat) == SETTING == {"dataset": "sbm", "layers": 4, "hidden": 32, "optimizer": "pdadmm", "gpus": 1}
    assert in_full(SETTING) == flat


def test_the_hash_of_rows_counts_where_one_machine_made_both() -> None:
    base, head = side(*TEN), side(*TEN)
    head.data = {**head.data, "dataset_sha256": "b" * 64}
    assert judged(base, head).verdict == "not comparable"
    assert judged(base, head, Comparability(same_machine=True)).verdict == "ok"
    head.data["dataset_nodes"] = 301
    found = judged(base, head, Comparability(same_machine=False))
    assert found.reason == "the benchmark changed: dataset_nodes 300 → 301"


def test_new_missing_skipped_and_failed_on_both_sides() -> None:
    assert judged(None, side(*TEN)).verdict == "new"
    assert judged(side(), side(*TEN)).verdict == "new"
    assert judged(side(*TEN), None).verdict == "missing"
    assert judged(side(run(status="skipped")), side(run(status="skipped"))).verdict == "ok"
    assert judged(side(run(status="error")), side(run(status="error"))).verdict == "not comparable"
    assert judged(side(run(status="error")), side(run())).verdict == "better"


def test_one_seed_has_no_interval_and_its_curve_is_judged_all_the_same() -> None:
    found = judged(side(run(0.7)), side(run(0.2)))
    accuracy = found.finding("accuracy")
    assert accuracy and (accuracy.outcome, accuracy.low, accuracy.note) == ("ok", None, "one seed, no interval")
    assert judged(side(run(0.7)), side(run(0.7, losses=(1.6, 1.5, 1.4, 1.3, 1.2)))).verdict == "worse"


def test_recorded_times_count_on_the_same_class_of_machine_only() -> None:
    base = side(*TEN, seconds=[0.001 + 1e-6 * i for i in range(15)])
    head = side(*TEN, seconds=[0.0015 + 1e-6 * i for i in range(15)])
    assert judged(base, head, Comparability(same_machine=True)).verdict == "worse"
    elsewhere = judged(base, head, Comparability(same_machine=False))
    assert (elsewhere.verdict, elsewhere.finding("time"), elsewhere.finding("peak memory")) == ("ok", None, None)


def test_one_disturbed_measurement_in_five_decides_nothing() -> None:
    rng = np.random.default_rng(0)
    base, head = rng.normal(1, 0.01, size=(2, 36))
    head *= rng.choice([1, 3], size=36, p=[0.8, 0.2])
    noisy = list(zip(base.tolist(), head.tolist(), strict=True))
    assert checks.time_in_turn(noisy, Thresholds()).outcome == "ok"
    assert checks.time_in_turn(slower(noisy, 15), Thresholds()).outcome == "worse"


def test_lines_come_worst_first_and_make_the_exit_code() -> None:
    base = {name: side(*TEN) for name in ("fine", "slow", "gone")}
    head = {"fine": side(*TEN), "slow": side(*lost(2)), "extra": side(*TEN)}
    lines = judge(base, head, lambda setting: Thresholds(), HERE)
    assert [(item.verdict, item.name) for item in lines] == [
        ("worse", "slow"), ("missing", "gone"), ("new", "extra"), ("ok", "fine"),
    ]  # fmt: skip
    report = GateReport("ci", "somewhere", lines)
    assert report.exit_code == 1
    report.verdicts = [item for item in lines if item.verdict != "worse"]
    assert report.exit_code == 2
    report.verdicts = [item for item in lines if item.verdict in ("ok", "new")]
    assert report.exit_code == 0


def test_markdown_and_junit_say_the_same() -> None:
    base, head = (
        {"a|b": side(*TEN), "fine": side(*TEN)},
        {"a|b": side(*lost(2)), "fine": side(*TEN), "<new>": side(*TEN)},
    )
    report = GateReport("ci", "HEAD~1", judge(base, head, lambda setting: Thresholds(), HERE), ["a note"])
    text = summary.markdown(report)
    assert text.startswith("### Regression gate `ci`: got worse")
    assert "−2.00 points [−2.00, −2.00]" in text and "> a note" in text
    rows = [row for row in text.splitlines() if row.startswith("| ")]
    assert len(rows) == 2 + 3 and len({row.replace("\\|", "").count("|") for row in rows}) == 1
    (suite,) = ElementTree.fromstring(summary.junit(report))
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3", "failures": "1", "errors": "0", "skipped": "1",
    }  # fmt: skip
    failure = next(case for case in suite if case.find("failure") is not None)
    assert failure.get("name") == "a|b"
    assert [row["verdict"] for row in summary.rows(report) if row.get("check") == "accuracy"] == ["worse", "ok"]


def test_names_tell_benchmarks_apart() -> None:
    flats = [{"dataset": "sbm[nodes=300]", "layers": 4, "hidden": 8, "gpus": gpus, "wire": wire}
             for gpus, wire in ((1, "auto"), (2, "auto"), (2, "bf16"))]  # fmt: skip
    settings = [setting_of(run_spec(flat).flat()) for flat in flats]
    assert names(settings) == [
        "pdadmm 4×8 sbm", "pdadmm 4×8 sbm 2 workers wire=auto", "pdadmm 4×8 sbm 2 workers wire=bf16",
    ]  # fmt: skip


def test_a_run_keeps_its_finite_points_and_no_machine() -> None:
    history = [
        {"iteration": 0, "loss_train": 1.0, "acc_val": 0.1},
        {"iteration": 1, "iteration_seconds": 0.1},
        {"iteration": 2, "loss_train": math.nan, "acc_val": 0.1},
    ]
    kept = run_of({"status": "diverged", "env_cpu": "x", "acc_val_best": 0.1, "time_train_s": 1.0}, history)
    assert kept.curve == ((0, 1.0, 0.1),)
    assert kept.row == {"status": "diverged", "acc_val_best": 0.1}


def test_thresholds_of_a_benchmark() -> None:
    table = {
        "time_percent": 7,
        "benchmark": [
            {"where": {"optimizer": ["adam", "pdadmm"]}, "time": False},
            {"where": {"optimizer": "pdadmm", "workers": 1}, "loss_percent": 9},
        ],
    }
    gate = SuiteThresholds(table, "mine.toml")
    mine = gate.of(SETTING)
    assert (mine.time_percent, mine.time, mine.loss_percent) == (7, False, 9)
    assert gate.of({**SETTING, "optimizer": "adam"}).loss_percent == Thresholds().loss_percent
    gate.check_used()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"time_percnt": 7}, "did you mean time_percent"),
        ({"time_percent": -1}, "greater than or equal to 0"),
        ({"benchmark": [{"time_percent": 7}]}, "where=None is not valid"),
        ({"benchmark": [{"where": {"optimiser": "adam"}}]}, "did you mean optimizer"),
        ({"benchmark": [{"where": {"optimizer": "adma"}}]}, "fits no benchmark"),
        ({"benchmark": {"where": {}}}, r"give \[\[gate.benchmark\]\] tables"),
    ],
)
def test_a_gate_table_that_cannot_be_meant(table: dict[str, Any], message: str) -> None:
    def check() -> None:
        gate = SuiteThresholds(table, "mine.toml")
        gate.of(in_full(SETTING))
        gate.check_used()

    with pytest.raises(UserError, match=message):
        check()


def test_the_class_of_a_machine_is_a_folder_s_name() -> None:
    facts = {"env_cpu": "Intel(R) Xeon(R) CPU @ 2.20GHz", "env_cores": 4, "env_gpu": None, "env_torch": "2.13.0+cpu"}
    assert machine_class(facts) == "intel-xeon-cpu-2.20ghz-4-cores-no-gpu-torch-2.13.0+cpu"
    with_gpu = machine_class({**facts, "env_gpu": "NVIDIA H200", "env_gpu_count": 2})
    assert with_gpu == "intel-xeon-cpu-2.20ghz-4-cores-2-nvidia-h200-torch-2.13.0+cpu"


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60))
def test_intervals_hold_their_centre(values: list[float]) -> None:
    low, high = intervals.of_median(values)
    assert min(values) <= low <= np.median(values) <= high <= max(values)
    found = intervals.of_mean(values)
    assert (found is None) == (len(values) == 1)
    if found:
        assert found[0] - 1e-6 <= np.mean(values) <= found[1] + 1e-6


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    samples = rng.lognormal(0, 0.5, size=(2000, 12))
    held = np.mean([low <= 1 <= high for low, high in map(intervals.of_median, samples.tolist())])
    assert held >= 0.985
    means = [intervals.of_mean(values) for values in rng.normal(size=(2000, 10)).tolist()]
    assert 0.98 <= np.mean([found is not None and found[0] <= 0 <= found[1] for found in means]) <= 0.998


@pytest.mark.slow
def test_calibration_counts_false_alarms_and_finds_the_smallest_slowdown() -> None:
    """Noise of 3 %, one measurement in ten slow by 30 %: what a shared machine is like."""
    rng = np.random.default_rng(0)

    def seconds(n: int) -> np.ndarray:
        return 0.001 * np.exp(rng.normal(0, 0.03, n) + np.where(rng.random(n) < 0.1, rng.exponential(0.3, n), 0))

    null = [(list(zip(seconds(72).tolist(), seconds(72).tolist(), strict=True)), Thresholds()) for _ in range(200)]
    found = of_times(null, least=36, step=12)
    assert (found.comparisons, found.false_alarms, found.false_better) == (200, 0, 0)
    assert found.false_alarm_limit == pytest.approx(0.0149, abs=1e-4)
    assert found.smallest is not None and 7 <= found.smallest <= 10
    assert found.caught[10] >= 0.95 and found.caught[15] == 1.0
    twelve = [run(0.70 + 0.002 * seed) for seed in range(12)]  # as many seeds as in runners/ci.toml
    runs = of_accuracies([(twelve, Thresholds())], test_nodes=2000, repetitions=1000)
    assert runs.false_alarms <= 2 and runs.caught >= 0.95
