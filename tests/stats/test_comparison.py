"""Rows to pairs to a table: what is compared with what, and what is left out is counted under its reason."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from stats_rows import a_row, runs

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.rows import Row
from pdadmm_bench.core.spec import LATER
from pdadmm_bench.stats.comparison import ComparedSides, ComparisonLine, compare_rows
from pdadmm_bench.stats.metrics import Metric, metric, present
from pdadmm_bench.stats.pairing import device_class, pair, setting_name, settings

ACCURACY = "acc_test_at_best_val"
SECONDS = "time_iteration_median_s"
A = [0.80, 0.81, 0.82, 0.79, 0.80, 0.83, 0.84]
B = [0.76, 0.77, 0.75, 0.75, 0.77, 0.78, 0.80]


def compared(a: list[Row], b: list[Row], *names: str, **options: Any) -> ComparedSides:
    return compare_rows(a, b, [metric(name) for name in names or (ACCURACY,)], **options)


def golden(line: ComparisonLine) -> tuple[Any, ...]:
    found = line.comparison
    effect, low, high = (
        None if x is None else round(x, 4) for x in (found.effect.value, found.effect.low, found.effect.high)
    )
    return line.setting, found.pairs, effect, low, high, found.p_corrected, found.verdict


def test_golden_table() -> None:
    """Two optimizers, two columns, seven seeds; written out by hand but for the ends of the mean's intervals.

    Accuracy: the differences are −4, −4, −7, −4, −3, −5, −4 points, their mean −31/7. Seconds: ratios 1/2 but for one
    of 2, all tied in rank: as far out as six of one sign against one are 2 · (1 + 7) of the 128 patterns. Each of
    the two is alone in its family, so that Holm changes nothing: 2/128 and 16/128.
    """
    a = runs("adam", ACCURACY, A, iterations=50)
    b = runs("pdadmm", ACCURACY, B, iterations=50)
    for row in b:
        row[SECONDS] = 0.5
    b[3][SECONDS] = 2.0
    table = compared(a, b, ACCURACY, SECONDS)
    setting = {"dataset": "cora", "optimizer": "adam → pdadmm"}
    accuracy, seconds = map(golden, table.lines)
    assert accuracy[:3] == (setting, 7, round(-0.31 / 7, 4))
    assert -0.07 <= accuracy[3] < -0.31 / 7 < accuracy[4] <= -0.03
    assert accuracy[5:] == (2 / 128, "worse")
    assert seconds == (setting, 7, 0.5, 0.5, 0.5, 16 / 128, "not significant")
    assert table.compared == {"optimizer": ("adam → pdadmm",)}
    assert table.other_differences == {}
    assert (table.unpaired_a, table.unpaired_b) == (Counter(), Counter())


def test_times_of_runs_side_by_side_are_not_compared() -> None:
    a, b = runs("adam", SECONDS, [1.0] * 7), runs("pdadmm", SECONDS, [0.5] * 7)
    for row in a:
        row["env_concurrency"] = 2
    (accuracy,) = compared(a, b, ACCURACY).lines
    (seconds,) = compared(a, b, SECONDS).lines
    assert accuracy.comparison.pairs == 7
    assert (seconds.comparison.pairs, seconds.comparison.verdict) == (0, "not compared")
    assert "side by side with other runs" in seconds.comparison.reason


def test_a_schedule_tells_runs_apart_only_where_there_is_a_pipeline() -> None:
    def asked(schedule: str, **columns: Any) -> dict[str, Any]:
        return settings(a_row({"gpus": 2, "schedule": schedule}, **columns))

    assert asked("1f1b", dist_schedule=None) == asked("gpipe", dist_schedule=None)
    assert asked("1f1b", dist_schedule="1f1b") != asked("gpipe", dist_schedule="gpipe")
    assert asked("1f1b") != asked("gpipe")  # rows of before they said


def test_itself_shows_no_difference() -> None:
    rows = runs("adam", ACCURACY, A) + runs("pdadmm", ACCURACY, B) + runs("sgd", ACCURACY, [0.5, None])
    table = compared(rows, rows, ACCURACY, SECONDS, "time_to_target_s", "memory_peak_bytes")
    assert len(table.lines) == 12
    assert {line.comparison.verdict for line in table.lines} <= {"not significant", "too few seeds", "not compared"}
    (alone,) = compared(rows[:7], rows[:7]).lines
    assert alone.comparison.verdict == "not significant"
    assert table.compared == table.other_differences == {}
    assert not table.unpaired_a and not table.unpaired_b


SETTINGS = st.fixed_dictionaries(
    {
        "optimizer": st.sampled_from(["pdadmm", "adam"]),
        "layers": st.sampled_from([2, 4]),
        "seed": st.integers(0, 3),
        "iterations": st.sampled_from([10, 20]),
    }
)
SIDES = st.lists(st.tuples(SETTINGS, st.one_of(st.none(), st.floats(0, 1))), max_size=12)


@hypothesis_settings(deadline=None)
@given(SIDES, SIDES)
def test_every_row_is_paired_or_counted(a: list[Any], b: list[Any]) -> None:
    one, other = ([a_row(asked, **{ACCURACY: value}) for asked, value in side] for side in (a, b))
    found = pair(one, other)
    for rows, side, unpaired in ((one, 0, found.unpaired_a), (other, 1, found.unpaired_b)):
        used = {id(both[side]) for group in found.groups for both in group.pairs}
        assert len(used) + unpaired.total() == len(rows)
    for group in found.groups:
        assert all(x["seed"] == y["seed"] and x["model_layers"] == y["model_layers"] for x, y in group.pairs)
    table = compared(one, other)
    pairs = sum(len(group.pairs) for group in found.groups)
    assert sum(line.comparison.pairs + line.left_out.total() for line in table.lines) == pairs


def test_one_optimizer_against_several() -> None:
    others = runs("sgd", ACCURACY, B) + runs("adagrad", ACCURACY, B)
    table = compared(runs("adam", ACCURACY, A), others)
    assert [line.setting["optimizer"] for line in table.lines] == ["adam → sgd", "adam → adagrad"]
    assert [line.comparison.pairs for line in table.lines] == [7, 7]


def test_several_against_several_is_no_comparison() -> None:
    """Which of them would be compared with which?"""
    a, b = (runs(one, ACCURACY, A) + runs(two, ACCURACY, A) for one, two in (("adam", "sgd"), ("pdadmm", "adagrad")))
    table = compared(a, b)
    assert table.lines == []
    assert table.unpaired_a == {"no other run with optimizer adam": 7, "no other run with optimizer sgd": 7}


def test_what_both_sides_have_is_matched() -> None:
    """Both have Adam, so that B's SGD is no partner of anything."""
    table = compared(runs("adam", ACCURACY, A), runs("adam", ACCURACY, B) + runs("sgd", ACCURACY, B))
    assert [line.setting for line in table.lines] == [{"dataset": "cora", "optimizer": "adam"}]
    assert table.unpaired_b == {"no other run with optimizer sgd": 7}


def test_a_changed_hyperparameter_is_what_is_compared() -> None:
    a, b = (runs("adam", ACCURACY, A, set={"lr": lr}) for lr in (0.1, 0.2))
    table = compared(a + runs("sgd", ACCURACY, A), b + runs("sgd", ACCURACY, A))
    assert [line.setting["lr"] for line in table.lines] == ["0.1 → 0.2", None]
    assert table.compared == {"lr": ("0.1 → 0.2",)}


def test_a_grid_on_both_sides_is_matched() -> None:
    rows = [row for lr in (0.1, 0.2) for row in runs("adam", ACCURACY, A, set={"lr": lr})]
    table = compared(rows, rows)
    assert [line.setting["lr"] for line in table.lines] == [0.1, 0.2]


def test_one_worker_against_two_whatever_the_schedule() -> None:
    two = [
        row for schedule in ("gpipe", "1f1b") for row in runs("adam", SECONDS, [0.6, 0.7], gpus=2, schedule=schedule)
    ]
    table = compared(runs("adam", SECONDS, [1.0, 1.1]), two, SECONDS)
    assert [line.setting["schedule"] for line in table.lines] == ["None → gpipe", "None → 1f1b"]
    assert all(line.comparison.pairs == 2 for line in table.lines)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dataset": "citeseer"}, "no other run with dataset citeseer"),
        ({"hops": 2}, "different data: hops 2 (there 4)"),
        ({"split": "full"}, "different data: split full (there public)"),
        ({"reduce": "8"}, "different data: reduce 8 (there none)"),
        ({"split": "given", "split_index": 3}, "different data: split given (there public), split_index 3 (there 0)"),
        ({"layers": 3}, "different network: layers 3 (there 2)"),
        ({"hidden": 32, "seed": 9}, "different network: hidden 32 (there 16)"),
        ({"seed": 9}, "no other run with this seed and split"),
        ({"split_seed": 1}, "no other run with this seed and split"),
    ],
)
def test_without_a_partner(change: dict[str, Any], reason: str) -> None:
    base = {"optimizer": "adam", "seed": 0}
    table = compared([a_row(base)], [a_row(base), a_row({**base, **change})])
    assert table.unpaired_b == {reason: 1}
    assert not table.unpaired_a


def test_other_data_under_the_same_name_are_refused() -> None:
    a, b = runs("adam", ACCURACY, A), runs("sgd", ACCURACY, A)
    b[0]["dataset_sha256"] = "another"
    (line,) = compared(a, b).lines
    assert line.comparison.pairs == 6
    assert line.left_out == {"different data: cora has another dataset_sha256": 1}


def test_times_of_two_machines_are_refused_and_accuracies_are_not() -> None:
    a, b = runs("adam", ACCURACY, A), runs("sgd", ACCURACY, B)
    for row in b:
        row |= {"dist_device": "cuda", "env_gpu": "NVIDIA H100", "env_gpu_count": 1}
    accuracy, seconds = compared(a, b, ACCURACY, SECONDS).lines
    assert accuracy.comparison.verdict == "worse"
    reason = "different machine class: AMD EPYC, 2 cores, cpu / AMD EPYC, 2 cores, cuda 1 × NVIDIA H100"
    assert seconds.left_out == {reason: 7}
    assert (seconds.comparison.verdict, seconds.comparison.reason) == ("not compared", reason)
    assert seconds.comparison.effect.value is None


def test_runs_without_a_value_are_counted_by_how_they_ended() -> None:
    a, b = runs("adam", ACCURACY, A), runs("pdadmm", ACCURACY, A)
    b[0]["status"], b[1]["status"] = "diverged", "oom"
    a[1]["status"] = "error"
    (line,) = compared(a, b).lines
    assert line.comparison.pairs == 5
    assert line.left_out == {f"no {ACCURACY} (B diverged)": 1, f"no {ACCURACY} (A error, B oom)": 1}


def test_only_times_gain_from_repeats_of_a_seed() -> None:
    """The same seed gives the same accuracy again: ten copies are one sample, not ten."""
    a, b = runs("adam", ACCURACY, [0.7]) * 10, runs("sgd", ACCURACY, [0.8]) * 10
    a, b = ([{**row} for row in side] for side in (a, b))
    accuracy, seconds = compared(a, b, ACCURACY, SECONDS).lines
    assert accuracy.comparison.pairs == 1
    assert accuracy.left_out == {"repeat of a seed, which is no second sample": 9}
    assert seconds.comparison.pairs == 10


def test_repeats_are_paired_in_the_order_they_were_run() -> None:
    def side(optimizer: str, seconds: list[float]) -> list[Row]:
        times = enumerate(seconds)
        return [a_row({"optimizer": optimizer}, **{SECONDS: s}, created=f"2030-01-01T00:0{i}") for i, s in times]

    found = compared(side("adam", [1.0, 2.0, 4.0])[::-1], side("sgd", [2.0, 4.0, 8.0]), SECONDS).lines[0].comparison
    assert (found.effect.value, found.pairs) == (2.0, 3)


def test_targets_must_be_the_same() -> None:
    a, b = a_row({"optimizer": "adam", "target": 0.7}), a_row({"optimizer": "sgd", "target": 0.8})
    (line,) = compared([a], [b], "time_to_target_s").lines
    assert line.left_out == {"different target: 0.7 / 0.8": 1}


def test_misses_are_counted_beside_the_ratio() -> None:
    a = runs("adam", "time_to_target_s", [1.0, 2.0, None, 1.0], target=0.7)
    b = runs("sgd", "time_to_target_s", [2.0, None, None, None], target=0.7)
    (line,) = compared(a, b, "time_to_target_s").lines
    assert (line.misses, line.comparison.pairs) == ((1, 3), 4)
    assert line.comparison.effect.value == float("inf")


def test_lines_by_what_is_asked_for() -> None:
    a = [row for layers in (2, 3) for row in runs("adam", ACCURACY, A[:3], layers=layers)]
    b = [row for layers in (2, 3) for row in runs("sgd", ACCURACY, B[:3], layers=layers)]
    assert [line.setting.get("layers") for line in compared(a, b).lines] == [2, 3]
    (line,) = compared(a, b, by=["dataset"]).lines
    assert (line.setting, line.comparison.pairs) == ({"dataset": "cora"}, 6)
    assert [line.setting for line in compared(a, b, by=["seed"]).lines] == [{"seed": 0}, {"seed": 1}, {"seed": 2}]


def test_circumstances_are_told() -> None:
    a, b = runs("adam", ACCURACY, A), runs("adam", ACCURACY, A)
    for row in b:
        row |= {"dist_threads": 2, "env_torch": "2.9", "optimizer_lr": 0.3, "created": "2031"}
        row |= {"weights_initial_sha256": "b"}
    for row in a:
        row |= {"env_torch": "2.8", "optimizer_lr": 0.1, "weights_initial_sha256": "a"}
    told = compared(a, b).other_differences
    assert told["dist_threads"] == ("1 → 2",)
    assert told["env_torch"] == ("2.8 → 2.9",)
    assert told["optimizer_lr"] == ("0.1 → 0.3",)
    assert told["weights_initial_sha256"] == ("another start for the same seed",)
    assert "not in turn" in told["created"][0]


def alternating(optimizer: str, seconds: list[float], start: int) -> list[Row]:
    """Seven runs of a side, 10 s after each other."""
    rows = runs(optimizer, SECONDS, seconds)
    for place, row in enumerate(rows):
        row["created"] = f"2030-01-01T00:{(start + 10 * place) // 60:02d}:{(start + 10 * place) % 60:02d}+00:00"
    return rows


@pytest.mark.parametrize(
    ("start", "taken_in_turn"), [(5, True), (0, True), (15, True), (70, False), (600, False), (60, False)]
)
def test_times_that_were_not_measured_in_turn_are_not_judged(start: int, taken_in_turn: bool) -> None:
    """B's first run is ``start`` seconds after A's first, A's last is after 60 s."""
    a, b = alternating("adam", A, 0), alternating("sgd", [1.5 * second for second in A], start)
    (line,) = compared(a, b, SECONDS).lines
    assert line.in_turn is taken_in_turn
    if taken_in_turn:
        assert line.comparison.verdict == "worse"
        return
    assert (line.comparison.verdict, line.comparison.reason) == (
        "no difference shown", "A and B were not measured in turn",
    )  # fmt: skip
    assert "not in turn" in compared(a, b).other_differences["created"][0]
    assert compared(a, b, SECONDS, apart=True).lines[0].comparison.verdict == "worse"
    for row in b:
        row[ACCURACY] = 0.7
    assert compared(a, b).lines[0].comparison.verdict == "worse"  # the clock says nothing about accuracy


def test_rows_without_a_specification_are_paired_by_their_columns() -> None:
    a, b = runs("adam", ACCURACY, A), runs("sgd", ACCURACY, B)
    for row in a + b:
        row["spec"] = None
    (line,) = compared(a, b).lines
    assert (line.setting, line.comparison.pairs) == ({"dataset": "cora", "optimizer": "adam → sgd"}, 7)


def test_a_dataset_may_be_spelt_in_two_ways() -> None:
    """The row's name has the parameters in one order, whatever the order they were given in."""
    names = "sbm[nodes=300,classes=3]", "sbm[classes=3,nodes=300]"
    a, b = (a_row({"optimizer": "adam", "dataset": name}, dataset_name=names[1], dataset_sha256="1") for name in names)
    assert compared([a], [b]).lines[0].comparison.pairs == 1


@pytest.mark.parametrize("spec", ["{", "[1]", "3"])
def test_a_broken_specification_is_named(spec: str) -> None:
    with pytest.raises(UserError, match="spec is not a JSON object"):
        settings(a_row(spec=spec))


def test_setting_names() -> None:
    rows = [a_row({"set": {"lr": 0.1}})]
    names = {"dataset_name": "dataset", "workers": "gpus", "dist_workers": "gpus", "seed": "seed", "lr": "lr"}
    assert {name: setting_name(name, rows) for name in names} == names
    with pytest.raises(UserError, match="did you mean optimizer"):
        setting_name("optimiser", rows)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("acc_val_best", "accuracy"),
        ("loss_test_final", "loss"),
        ("time_train_s", "time"),
        ("memory_peak_bytes", "bytes"),
        ("dist_sent_bytes", "bytes"),
        ("time_to_target_iterations", "iterations"),
    ],
)
def test_metrics_by_the_name_of_their_column(name: str, kind: str) -> None:
    found = metric(name, smallest_difference=0.1, smallest_factor=0.2)
    assert found == Metric(name, kind, 0.1 if kind == "accuracy" else 0.2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["seed", "acc_best_iteration", "env_memory_bytes", "time_exposed_share", "model_layers"]
)
def test_columns_without_a_better_end_are_no_metrics(name: str) -> None:
    with pytest.raises(UserError, match="is not a metric"):
        metric(name)


def test_a_metric_is_present_where_a_run_tried() -> None:
    assert present(ACCURACY, [a_row()])
    assert not present("time_to_target_s", [a_row()])
    assert present("time_to_target_s", [a_row({"target": 0.9})])


def test_machine_class_names_what_times_depend_on() -> None:
    assert device_class(a_row()) == "AMD EPYC, 2 cores, cpu"
    assert json.loads(a_row()["spec"])["device"] == "auto"  # what was asked for does not matter


def test_rows_from_before_a_setting_pair_with_those_that_have_its_default() -> None:
    old, new = a_row({"optimizer": "adam"}), a_row({"optimizer": "sgd"})
    spec = json.loads(old["spec"])
    old["spec"] = json.dumps({name: value for name, value in spec.items() if name not in LATER})
    (group,) = pair([old], [new]).groups
    assert group.compared == ["optimizer"]


def test_the_split_that_auto_took_is_the_one_that_was_named() -> None:
    (group,) = pair([a_row({"optimizer": "adam"})], [a_row({"optimizer": "sgd", "split": "public"})]).groups
    assert group.compared == ["optimizer"]
