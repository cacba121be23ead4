"""Time to target, performance profiles and speedups, each against numbers by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stats_rows import a_row, runs

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.stats.estimate import Estimate, aggregate
from pdadmm_bench.stats.performance_profile import performance_profile
from pdadmm_bench.stats.speedup import efficiency, speedups
from pdadmm_bench.stats.target import Reach, reach_of_row, time_to_target


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("ok", Reach(None, None, 10.0)),
        ("diverged", Reach(None, None, 10.0)),
        ("timeout", Reach(None, None, 10.0)),
        ("error", Reach(None, None, 10.0)),
        ("skipped", None),
        ("interrupted", None),
    ],
)
def test_which_runs_miss(status: str, expected: Reach | None) -> None:
    """Failing is a miss; not having been allowed to try is none."""
    assert reach_of_row(a_row({"target": 0.7}, status=status)) == expected
    assert reach_of_row(a_row(status=status)) is None


def test_misses_stay_in_the_median() -> None:
    hits = [Reach(1.0, 10, 1.0), Reach(2.0, 20, 2.0), Reach(4.0, 40, 4.0)]
    misses = [Reach(None, None, 9.0), Reach(None, None, 7.0)]
    found = time_to_target(hits + misses)
    assert str(found) == "3 of 5 reached"
    assert (found.seconds.value, found.iterations.value, found.censored_s) == (4.0, 40.0, 7.0)
    assert found.seconds.high == math.inf
    assert time_to_target(hits[:1] + misses).seconds.value == math.inf
    assert time_to_target(hits).censored_s is None
    assert str(time_to_target([])) == "0 of 0 reached"
    assert time_to_target([]).seconds == Estimate(None, None, None, 0)


def test_profile_by_hand() -> None:
    """Ratios: fast 1, 1, 2, miss; steady 2, 3, 1, miss. Nobody solves p4, and p5 was tried by one only."""
    costs = {
        "fast": {"p1": 1.0, "p2": 2.0, "p3": 8.0, "p4": None, "p5": 1.0},
        "steady": {"p1": 2.0, "p2": 6.0, "p3": 4.0, "p4": math.inf},
    }
    found = performance_profile(costs)
    assert found.problems == ("p1", "p2", "p3", "p4")
    assert found.ratios == {"fast": (1.0, 1.0, 2.0, math.inf), "steady": (2.0, 3.0, 1.0, math.inf)}
    assert (found.unsolved, found.left_out) == (("p4",), ("p5",))
    assert found.curve("fast") == ([1.0, 2.0], [0.5, 0.75])
    assert found.curve("steady") == ([1.0, 2.0, 3.0], [0.25, 0.5, 0.75])
    assert found.share("fast", 1e9) == found.share("fast", math.inf) == 0.75


def test_profile_of_nothing() -> None:
    assert performance_profile({}).problems == ()
    assert math.isnan(performance_profile({"a": {}}).share("a", 2.0))
    with pytest.raises(ValueError, match="positive"):
        performance_profile({"a": {"p": 0.0}})


COSTS = st.dictionaries(st.sampled_from("pqrs"), st.one_of(st.none(), st.floats(1e-3, 1e3)), min_size=1).map(
    lambda costs: {problem: costs.get(problem) for problem in "pqrs"}
)


@given(st.dictionaries(st.sampled_from("abc"), COSTS, min_size=1))
def test_profiles_are_shares_that_only_grow(costs: dict[str, dict[str, float | None]]) -> None:
    found = performance_profile(costs)
    solved_by_someone = [problem for problem in found.problems if problem not in found.unsolved]
    for solver in costs:
        factors, shares = found.curve(solver)
        assert factors == sorted(factors) and shares == sorted(shares)
        assert shares[-1] == sum(cost is not None for cost in costs[solver].values()) / 4
    best = [min(found.ratios[solver][place] for solver in costs) for place in range(4)]
    assert best.count(1.0) == len(solved_by_someone)


def test_efficiency_is_the_speedup_per_worker() -> None:
    assert efficiency(aggregate([2.0, 3.0, 4.0]), 2.0).value == 1.5


def test_speedups_by_hand() -> None:
    seconds = {("pdadmm", 1): [4.0, 4.4], ("pdadmm", 2): [2.0, 2.0], ("adam", 1): [3.0, 3.0], ("adam", 2): [2.0, 2.5]}
    rows = [
        row
        for (optimizer, gpus), values in seconds.items()
        for row in runs(optimizer, "time_iteration_median_s", values, gpus=gpus)
    ]
    own = {(line.setting["optimizer"], line.setting["gpus"]): line for line in speedups(rows, {"gpus": 1}).lines}
    assert own["pdadmm", 1].ratio.value == own["adam", 1].ratio.value == 1.0
    assert own["pdadmm", 2].ratio.value == pytest.approx(2.1)
    assert own["pdadmm", 2].efficiency.value == pytest.approx(1.05)
    assert own["adam", 2].ratio.value == pytest.approx((1.5 + 1.2) / 2)
    assert own["adam", 2].seconds.value == 2.25
    assert own["adam", 2].reference_seconds.value == 3.0

    adam = speedups(rows, {"optimizer": "adam"}).lines
    assert {(line.setting["optimizer"], line.setting["gpus"]): line.reference["gpus"] for line in adam} == {
        ("pdadmm", 1): 1, ("pdadmm", 2): 2, ("adam", 1): 1, ("adam", 2): 2,
    }  # fmt: skip
    single = speedups(rows, {"optimizer": "adam", "gpus": 1}).lines
    assert {line.reference["optimizer"] for line in single} == {"adam"}
    (fastest,) = (line for line in single if (line.setting["optimizer"], line.setting["gpus"]) == ("pdadmm", 2))
    assert fastest.ratio.value == pytest.approx(1.5)
    assert fastest.efficiency.value == pytest.approx(0.75)


def test_what_has_no_reference_is_counted() -> None:
    rows = runs("adam", "time_iteration_median_s", [1.0, 1.0]) + runs("sgd", "time_iteration_median_s", [1.0], gpus=2)
    found = speedups(rows, {"optimizer": "adam"})
    assert len(found.lines) == 1
    assert found.unpaired == {"no other run with gpus 2": 1}
    with pytest.raises(UserError, match="no row is the reference optimizer = dladmm"):
        speedups(rows, {"optimizer": "dladmm"})


def test_a_reference_is_one_setting() -> None:
    adam = [row for wire in ("fp32", "bf16") for row in runs("adam", "time_train_s", [1.0], gpus=2, wire=wire)]
    rows = [*adam, *runs("pdadmm", "time_train_s", [1.0], gpus=2)]
    with pytest.raises(UserError, match="name its wire too"):
        speedups(rows, {"optimizer": "adam"})
    lines = speedups(rows, {"optimizer": "adam", "wire": "bf16"}).lines
    assert [line.reference["wire"] for line in lines] == ["bf16"] * 3


def test_speedups_stay_within_a_machine_class_and_count_failures() -> None:
    rows = runs("adam", "time_iteration_median_s", [1.0, 1.0, 1.0])
    others = runs("pdadmm", "time_iteration_median_s", [0.5, 0.5, 0.5])
    others[0]["env_cpu"] = "another"
    others[1]["status"] = "diverged"
    line = speedups(rows + others, {"optimizer": "adam"}).lines[1]
    assert line.in_turn
    assert (line.ratio.value, line.ratio.n) == (2.0, 1)
    assert line.left_out == {
        "different machine class: AMD EPYC, 2 cores, cpu / another, 2 cores, cpu": 1,
        "no time_iteration_median_s (reference ok, run diverged)": 1,
    }
