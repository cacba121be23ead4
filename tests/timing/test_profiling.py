"""What a profile says: ratios within repetitions, parts that add up, rivals that are fair, figures with intervals."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import pytest
import torch

from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.timing import in_turn
from pdadmm_bench.timing.generated import generated_problem
from pdadmm_bench.timing.in_turn import Contender, alternate
from pdadmm_bench.timing.profile import allocations, breakdown, figures, profile, reference_spec
from pdadmm_bench.timing.samples import Samples
from pdadmm_bench.timing.subject import Subject, Unsupported
from pdadmm_bench.training.setup import resolve

PROBLEM = generated_problem(60, 12, 4)


def spec(**settings: Any) -> Any:
    shape: dict[str, Any] = {"dataset": "sbm", "layers": 4, "hidden": 16, "init": "he", "threads": 1, "device": "cpu"}
    shape["deterministic"] = True  # equal layers in products of their own
    return run_spec({**shape, **settings})


class Fake:
    """A contender whose seconds are told beforehand."""

    def __init__(self, name: str, seconds: list[float], log: list[str]):
        self.name, self._seconds, self._log = name, list(seconds), log

    def seconds(self) -> float:
        self._log.append(self.name)
        return self._seconds.pop(0)


def test_repetitions_alternate_and_turn_around() -> None:
    log: list[str] = []
    contenders: Any = {name: Fake(name, [1.0, 2.0, 3.0], log) for name in "abc"}
    found = list(alternate(contenders, 3))
    assert "".join(log) == "abccbaabc"
    assert found == [{"a": 1, "b": 1, "c": 1}, {"c": 2, "b": 2, "a": 2}, {"a": 3, "b": 3, "c": 3}]


def test_ratios_are_formed_within_a_repetition() -> None:
    """On a machine that slows down by half, ratios stay what they are."""
    found = Samples()
    for slow in (1.0, 2.0, 4.0, 1.0, 2.0):
        seconds = {"iteration": 0.3 * slow, "floor": 0.2 * slow, "adam": 0.6 * slow, "reference": 3.0 * slow}
        found.add(**figures(seconds, flops=10**9))
    row = found.row_values()
    assert (row["iteration_s"], row["iteration_s_low"], row["iteration_s_high"]) == (0.6, 0.3, 1.2)
    assert row["ratio_to_floor"] == pytest.approx(1.5)
    assert row["ratio_to_adam"] == pytest.approx(0.5)
    assert row["reference_ratio"] == pytest.approx(10)
    assert row["gflops_per_s"] == pytest.approx(1 / 0.6)
    assert row["n"] == 5


def test_what_never_came_about_has_no_number() -> None:
    found = Samples()
    for value in (1.0, math.inf, math.inf, math.inf, math.inf):
        found.add(reached_s=value, sooner=1 / value)
    row = found.row_values()
    assert (row["reached_s"], row["sooner"], row["sooner_high"]) == (None, 0.0, 1.0)
    json.dumps(row, allow_nan=False)


@pytest.mark.slow
def test_a_profile_is_complete_and_flat() -> None:
    found = Samples()
    profile(spec(), PROBLEM, found, repeats=5, adam=True, reference=True, budget_s=60, on_progress=lambda *_: None)
    row = found.row_values()
    for name in ("iteration_s", "floor_s", "adam_s", "reference_s"):
        assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
    assert row["products_count"] == 14  # 2 in the first layer, 4 in each other
    assert row["products_flops"] == 2 * 60 * (2 * 12 * 16 + 4 * 16 * 16 * 2 + 4 * 16 * 4)
    assert row["memory_peak_bytes"] > row["memory_state_bytes"] > 0
    assert all(value is None or isinstance(value, (str, int, float, bool)) for value in row.values())


@pytest.mark.slow
def test_a_profile_cut_off_keeps_whole_repetitions() -> None:
    found = Samples()

    def on_progress(what: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        profile(spec(), PROBLEM, found, repeats=9, adam=False, reference=False, budget_s=60, on_progress=on_progress)
    row = found.row_values()
    assert row["n"] == 2
    assert row["iteration_s"] > 0
    assert row["products_count"] == 14


@pytest.mark.parametrize(
    ("settings", "budget", "reason"),
    [({}, 0.0, "budget"), ({"optimizer": "adam"}, 60.0, None), ({"precision": "bf16"}, 60.0, None)],
)
@pytest.mark.slow
def test_the_reference_is_left_out_with_a_reason_only(settings: Any, budget: float, reason: str | None) -> None:
    found = Samples()
    profile(
        spec(**settings),
        PROBLEM,
        found,
        repeats=1,
        adam=False,
        reference=True,
        budget_s=budget,
        on_progress=lambda *_: None,
    )
    assert found.facts["adam_skipped"] == "not wanted"
    assert ("reference_s" in found.samples) == (reason is None)
    assert reason is None or reason in found.facts["reference_skipped"]


def test_the_reference_has_its_authors_penalties_where_they_are_published() -> None:
    ours = spec(dataset="cora", layers=10, hidden=500, init="normal")
    published = reference_spec(ours, resolve(ours).optimizer)
    values = resolve(published).optimizer.hyperparameters
    assert (values.rho, values.nu, values.mu, values.rho_schedule) == (1e-4, 1e-4, 0.01, "authors")


def test_elsewhere_the_reference_has_ours() -> None:
    ours = spec(set={"rho": 0.7, "nu": 0.1, "mu": 0.02}, precision="bf16")
    same = reference_spec(ours, resolve(ours).optimizer)
    values = resolve(same).optimizer.hyperparameters
    assert (values.rho, values.nu, values.mu) == (0.7, 0.1, 0.02)
    assert same.precision == "fp32"


def test_parts_add_up_to_an_iteration() -> None:
    training = Subject(spec(optimizer="pdadmm-reference"), PROBLEM)
    unwatched = training.optimizer.part
    parts = breakdown(training, 5)
    assert list(parts) == ["p", "W", "b", "z", "z_L", "q", "u", "other"]
    assert all(seconds >= 0 for seconds in parts.values())
    assert parts["other"] < sum(parts.values()) / 2
    assert training.optimizer.part is unwatched


def test_allocations_are_counted() -> None:
    training = Subject(spec(), PROBLEM)
    kept: list[torch.Tensor] = []

    def step(state: Any) -> None:
        kept.append(torch.empty(100_000))
        torch.empty(300)

    training.optimizer.step = step  # type: ignore[method-assign]
    assert allocations(training) == {
        "allocations_count": 2,
        "allocations_bytes": 400_000 + 1_200,
        "allocations_largest_bytes": 400_000,
    }


def test_short_work_is_repeated_until_it_can_be_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Subject(spec(), PROBLEM)
    calls = 0

    def work() -> None:
        nonlocal calls
        calls += 1

    clock = [0.0]

    def timed(work: Any, device: Any, count: int = 1) -> float:
        for _ in range(count):
            work()
            clock[0] += 0.03
        return 0.03

    monkeypatch.setattr(in_turn, "timed", timed)
    contender = Contender(work, training)
    seen = []
    for _ in range(3):
        contender.seconds()
        seen.append(calls)
    assert contender.count == 4
    assert [after - before for before, after in pairwise(seen)] == [5, 5]  # one unmeasured, four measured


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"optimizer": "pdadmm-reference", "precision": "bf16"}, "fp32"), ({"precision": "tf32"}, "CUDA")],
)
def test_what_cannot_be_done_says_so(settings: Any, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        Subject(spec(**settings), PROBLEM)
