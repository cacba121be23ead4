"""The summary: golden numbers, and nothing dropped without a word."""

from __future__ import annotations

import io
import json
import math

import pytest
from rich.console import Console

from pdadmm_bench.core.rows import Row, make_row
from pdadmm_bench.report import render
from pdadmm_bench.report.tables.comparison import decision_rule
from pdadmm_bench.report.tables.summary import summarise, summary_table
from pdadmm_bench.report.units import seconds
from pdadmm_bench.stats.comparison import compare_rows
from pdadmm_bench.stats.estimate import aggregate
from pdadmm_bench.stats.metrics import metric


def a_row(seed: int = 0, status: str = "ok", **values: object) -> Row:
    names = {"optimizer_name": "pdadmm", "dataset_name": "cora", "seed": seed, "status": status}
    return make_row({**names, **values})


def summary_markdown(rows: list[Row]) -> str:
    return render.markdown_body(summary_table(rows))


def test_mean_and_interval_over_seeds() -> None:
    accuracies = (0.80, 0.81, 0.82, 0.83, 0.84)
    rows = [a_row(seed, acc_test_at_best_val=value) for seed, value in enumerate(accuracies)]
    (line,) = summarise(rows)
    assert line.accuracy == aggregate(accuracies, "mean")
    assert "82.0 % [80.2, 83.8] (n=5)" in summary_markdown(rows)


def test_few_runs_have_no_interval() -> None:
    (line,) = summarise(a_row(seed, acc_test_at_best_val=0.8 + 0.01 * seed) for seed in range(4))
    assert line.accuracy.n == 4 and line.accuracy.low is line.accuracy.high is None
    assert "80.0 % (n=1)" in summary_markdown([a_row(acc_test_at_best_val=0.8)])


def test_failed_runs_are_counted_and_their_numbers_left_out() -> None:
    rows = [
        a_row(0, acc_test_at_best_val=0.8),
        a_row(1, "diverged", acc_test_at_best_val=0.1),
        a_row(2, "error"),
        a_row(3, "interrupted", acc_test_at_best_val=0.2),
    ]
    (line,) = summarise(rows)
    assert (line.accuracy.value, line.accuracy.n) == (0.8, 1)
    assert line.statuses == {"ok": 1, "diverged": 1, "error": 1, "interrupted": 1}
    assert "1 ok, 1 diverged, 1 error, 1 interrupted" in summary_markdown(rows)


def test_a_setting_that_only_failed_keeps_its_line() -> None:
    (line,) = summarise([a_row(status="oom")])
    assert line.accuracy.value is line.iteration_s is line.target is None
    assert "| pdadmm | – | 1 oom |" in summary_markdown([a_row(status="oom")])


def test_iteration_time_with_its_percentiles() -> None:
    times = [(0.010, 0.009, 0.020), (0.012, 0.011, 0.030), (0.014, 0.010, 0.025)]
    names = ("time_iteration_median_s", "time_iteration_p5_s", "time_iteration_p95_s")
    rows = [a_row(seed, **dict(zip(names, values, strict=True))) for seed, values in enumerate(times)]
    (line,) = summarise(rows)
    assert line.iteration_s is not None
    assert (line.iteration_s.value, line.iteration_s.low, line.iteration_s.high) == (0.012, 0.010, 0.025)
    text = summary_markdown(rows)
    assert "12 ms [10 ms, 25 ms] (n=3)" in text
    assert "| iteration time [5th, 95th percentile] |" in text, "the brackets of the accuracy are a confidence interval"


def test_a_miss_counts_as_never() -> None:
    def runs(*times: float | None) -> list[Row]:
        return [
            a_row(seed, "ok" if time is None else "target_reached", time_to_target_s=time, time_target_accuracy=0.8)
            for seed, time in enumerate(times)
        ]

    (most,) = summarise(runs(1.0, 3.0, None))
    assert most.target
    assert (most.target.seconds.value, most.target.reached, most.target.runs) == (3.0, 2, 3)
    (few,) = summarise(runs(1.0, None, None))
    assert few.target
    assert (few.target.seconds.value, few.target.reached, few.target.runs) == (math.inf, 1, 3)
    assert "– (1/3)" in summary_markdown(runs(1.0, None, None))


def test_a_run_that_failed_missed_its_target() -> None:
    rows = [
        a_row(0, "target_reached", time_to_target_s=1.0, time_target_accuracy=0.8),
        a_row(1, "diverged", time_target_accuracy=0.8),
        a_row(2, "skipped", time_target_accuracy=0.8),
    ]
    (line,) = summarise(rows)
    assert line.target
    assert (line.target.reached, line.target.runs) == (1, 2)


def test_times_of_runs_side_by_side_are_not_shown() -> None:
    def timed(concurrency: int, seconds_: float) -> list[Row]:
        values = {"time_iteration_median_s": seconds_, "time_to_target_s": seconds_, "time_target_accuracy": 0.5}
        return [a_row(seed, "target_reached", env_concurrency=concurrency, **values) for seed in range(3)]

    assert "| pdadmm | – | not timed | not timed (3/3) | 3 target_reached |" in summary_markdown(timed(2, 1.0))
    both = summary_markdown(timed(2, 1.0) + timed(1, 4.0))
    assert "| pdadmm | – | 4 s (n=3) | 4 s (6/6) | 6 target_reached |" in both


def test_what_differs_is_never_averaged_and_is_named() -> None:
    def spec(**values: object) -> dict[str, str]:
        return {"spec": json.dumps({"optimizer": "pdadmm", "dataset": "cora", "layers": 10, "seed": 0, **values})}

    rows = [a_row(0, **spec()), a_row(1, **spec(seed=1)), a_row(0, **spec(layers=20))]
    assert [(line.label, sum(line.statuses.values())) for line in summarise(rows)] == [
        ("pdadmm layers=10", 2), ("pdadmm layers=20", 1),
    ]  # fmt: skip


def test_optimizers_are_compared_by_name_alone() -> None:
    rows = [a_row(optimizer_name=name) for name in ("pdadmm", "adam")]
    assert [line.label for line in summarise(rows)] == ["pdadmm", "adam"]


def test_the_table_shows_labels_as_they_are() -> None:
    out = io.StringIO()
    rows = [a_row(dataset_name="sbm[red]"), a_row(dataset_name="cora|x")]
    Console(file=out, width=200).print(render.terminal(summary_table(rows)))
    assert "dataset_name=sbm[red]" in out.getvalue()
    assert "cora\\|x" in summary_markdown(rows)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0 ms"), (0.01234, "12.3 ms"), (0.9999, "1 s"), (2.5, "2.5 s"), (12345.6, "12,346 s")],
)
def test_durations(value: float | None, text: str) -> None:
    assert seconds(value) == text


def three(seeds: int = 6, ahead: float = 0.02) -> list[Row]:
    """Rows of adam, sgd, which is the better gradient method, and pdadmm, which is ``ahead`` of sgd."""
    rows = []
    for name, accuracy, time in (("pdadmm", 0.8 + ahead, 0.03), ("adam", 0.75, 0.01), ("sgd", 0.8, 0.005)):
        for seed in range(seeds):
            spec = json.dumps({"dataset": "cora", "optimizer": name, "layers": 2, "hidden": 8, "gpus": 1, "seed": seed})
            values = {"acc_test_at_best_val": accuracy + 0.001 * seed, "time_iteration_median_s": time, "spec": spec}
            values |= {"time_to_near_best_s": time * 10} | ({} if name == "pdadmm" else {"optimizer_lr": 0.1})
            rows.append(a_row(seed, optimizer_name=name, run_id=f"{name}{seed}", **values))
    return rows


def compared(seeds: int = 6, ahead: float = 0.02) -> str:
    """The table of :func:`three`."""
    return summary_markdown(three(seeds, ahead))


def test_lines_are_compared_with_the_best_gradient_method_and_with_adam() -> None:
    text = compared()
    heads, _, pdadmm, adam, sgd = text.splitlines()[:5]
    assert "points to sgd, the best gradient method" in heads.replace("\n", " ")
    assert "target" not in heads and "warm start" not in heads, "a column without a value is left out"
    assert [cell.strip() for cell in pdadmm.split("|")[3:7]] == [
        "+2.0 [+2.0, +2.0] (n=6)",
        "30 ms (n=6)",
        "3.00",
        "300 ms",
    ]
    assert [cell.strip() for cell in adam.split("|")[3:6]] == ["−5.0 [−5.0, −5.0] (n=6)", "10 ms (n=6)", "reference"]
    assert [cell.strip() for cell in sgd.split("|")[3:6]] == ["reference", "5 ms (n=6)", "0.50"]


def test_the_table_says_which_is_best_or_why_none_is() -> None:
    """Seven pairs are the fewest with which two tests can be passed; the table asks for them at once."""
    assert "pdadmm is the most accurate: better than every other by the paired test" in compared(seeds=7)
    none = "none is shown to be the most accurate: pdadmm has the highest mean but"
    assert f"{none} is not shown to differ from sgd: smaller than 0.5 points" in compared(seeds=7, ahead=0.001)
    assert f"{none} has too few seeds: 5 pairs, 7 needed for 2 comparisons (--seeds 7)" in compared(seeds=5)


@pytest.mark.parametrize("failed", [False, True])
def test_the_table_and_a_comparison_ask_for_the_same_number_of_seeds(failed: bool) -> None:
    """Of the leader with every other line: two comparisons need seven pairs, and one needs six where a line failed."""
    rows = three(seeds=5)
    if failed:
        rows = [row | {"status": "diverged"} if row["optimizer_name"] == "adam" else row for row in rows]
    others, leader = ([row for row in rows if (row["optimizer_name"] == "pdadmm") == best] for best in (False, True))
    sides = compare_rows(others, leader, [metric("acc_test_at_best_val")])
    needed = {line.comparison.needed for line in sides.lines}
    assert needed == {6 if failed else 7}
    (said,) = {line.comparison.reason for line in sides.lines if line.comparison.pairs}
    assert f"too few seeds: {said} (--seeds {needed.pop()})" in summary_markdown(rows)
    assert f"no line was tested: {said.split()[2]} pairs" in decision_rule(sides, 0.005, 0.02, False)
